"""Linear probing: a softmax layer solved on the outputs of frozen stages.

It is what freezing everything is worth, and what a new head begins with where stages train too:
from a random head the first steps pull trained stages away from what they know (Kumar et al. 2022,
"Fine-tuning can distort pretrained features and underperform out-of-distribution", section 3).
"""

from collections.abc import Sequence

import numpy as np

from tortie.activations.extract import Extraction, Extractor
from tortie.activations.store import ActivationStore
from tortie.activations.views import Undistorted, View
from tortie.errors import TortieError
from tortie.images import Source
from tortie.learning.backbone import chosen_device, chosen_precision
from tortie.learning.cross_fitting import LabelledFeatures, choose_among, judge, train_on
from tortie.learning.dataset import Dataset
from tortie.learning.options import FitOptions
from tortie.learning.result import Events
from tortie.learning.sharing import share_out
from tortie.learning.softmax import Floats, LinearHead, few_threads
from tortie.networks.network import Network
from tortie.networks.table import Entry
from tortie.processes import core_count, current
from tortie.training.feed import FeatureTable, Integers


def probe(
    network: Network, data: Dataset, entry: Entry, options: FitOptions, store: ActivationStore,
    events: Events, judged: Integers | None = None,
) -> tuple[LinearHead, Floats]:  # fmt: skip
    """The softmax layer of the training photographs, undistorted, and what it says of others.

    Args:
        network: all of its stages are taken as they are.
        data: the photographs.
        entry: the network's row in the table.
        options: the user's choices.
        store: where activations are kept.
        events: told of the progress.
        judged: which photographs it is to judge; ``None`` for none.

    Returns:
        the layer, and probabilities ``(len(judged), K)``.
    """
    judged = data.train[:0] if judged is None else judged
    extractor = extractor_of(network, entry, options, store)
    rows = np.union1d(data.train, judged)
    kept = computed(extractor, data, rows, [Undistorted(entry.preprocessing)], events)
    features = kept.activations[:, 0]
    keys, groups = data.examined.keys, data.examined.groups
    own = LabelledFeatures(
        features, data.labels[rows], [keys[i] for i in rows], [groups[i] for i in rows],
        len(data.classes),
    )  # fmt: skip
    train = kept.place[data.train]
    with few_threads(features):
        head = train_on(own, train, choose_among(own, train, options.seed).penalty)
        return head, judge(own, head, kept.place[judged]).probabilities


def extractor_of(
    network: Network, entry: Entry, options: FitOptions, store: ActivationStore,
    cut: str | None = None,
) -> Extractor:  # fmt: skip
    """The extractor of a network up to and with ``cut``; by default of all its stages."""
    device = chosen_device(options.device)
    return Extractor.of(
        network, entry, store=store, device=device,
        precision=chosen_precision(options.precision, device), engine=options.engine,
        threads=options.threads or core_count(),
        max_pixels=int(options.max_megapixels * 1e6), cut=cut,
    )  # fmt: skip


def computed(
    extractor: Extractor, data: Dataset, rows: Integers, views: Sequence[View], events: Events
) -> FeatureTable:
    """Activations of some photographs, from the store as far as it has them.

    Raises:
        TortieError: a photograph cannot be read any more.
    """
    share_out(current(), extractor, *sources_of(data, rows), views, events.progress)
    with Extraction(extractor, *sources_of(data, rows), views=views) as extraction:
        activations, found = extraction.finish(events.progress)
    if len(found) < len(rows):
        position, reason = min(extraction.reasons.items())
        raise TortieError(f"{data.photographs[rows[position]].path}: {reason}; fit again")
    place = np.full(len(data.photographs), -1)
    place[rows] = np.arange(len(rows))
    return FeatureTable(activations, place)


def sources_of(data: Dataset, rows: Integers) -> tuple[list[Source], list[str]]:
    """What to read for some photographs, and the SHA-256 of each."""
    return [data.sources[i] for i in rows], [data.examined.keys[i] for i in rows]
