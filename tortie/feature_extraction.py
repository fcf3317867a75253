"""Features of photographs: what a stage of a network makes of each, from the store or computed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tortie.activations.store import ActivationStore
from tortie.errors import TortieError, UsageError, short_traceback
from tortie.images import Collection, Source, hash_all
from tortie.images.inputs import Images, named, unlabelled
from tortie.learning.job import Events, make_job
from tortie.learning.options import FitOptions
from tortie.processes import ALONE, core_count
from tortie.watched import progress_of

if TYPE_CHECKING:
    from tortie.activations.extract import Extractor


@short_traceback
def features(
    images: Images,
    *,
    network: str = "efficientnet-lite0",
    stage: str | int | None = None,
    weights: str | None = "auto",
    progress: Callable[[int, int], None] | None = None,
    **choices: object,
) -> NDArray[np.float32]:
    """What a stage of a trained network makes of photographs, float32 ``(N, ...)``.

    They are taken from the activation store, and what is computed is kept there: a second call, or
    a fit that freezes as many stages, computes nothing.

    Args:
        images: files, folders, or images in memory, as :meth:`tortie.ImageClassifier.predict` takes
            them.
        network: a name of the table of networks.
        stage: name or number of a stage (``tortie networks NAME`` lists them); ``None`` for the
            last, which yields one vector an image, ``(N, D)``; others yield maps ``(N, C, H, W)``.
        weights: as :class:`tortie.ImageClassifier` takes them.
        progress: told images done and images in all; by default a bar where somebody watches.
        choices: ``input``, ``device``, ``precision``, ``engine``, ``threads``, ``max_megapixels``,
            as :class:`tortie.ImageClassifier` takes them.

    Raises:
        UsageError: no such network, stage, weights or choice; something that is no image.
        TortieError: a photograph cannot be read.
    """
    if str(stage) in ("0", "none", "auto"):
        raise UsageError(f"stage {stage}: expected the name of a stage, or a number from 1 on")
    freeze = "all" if stage is None else stage
    options = FitOptions.of(network=network, weights=weights, freeze=freeze, **choices)
    sources = unlabelled(images)
    store = ActivationStore.default()
    job = make_job(Collection(Path(), (), ()), sources, options, store, ALONE, Events())
    from tortie.learning.frozen_network import extractor_of

    extractor = extractor_of(job)
    with progress_of("photographs", progress) as told:
        return extract(extractor, sources, options.threads or core_count(), told)


def extract(
    extractor: "Extractor",
    sources: Sequence[Source],
    threads: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float32]:
    """The activations of every source, in order.

    Raises:
        TortieError: a photograph cannot be read.
    """
    from tortie.activations.extract import Extraction

    if not sources:
        return np.zeros((0, *extractor.output), np.float32)
    with Extraction(extractor, sources, hash_all(sources, threads)) as extraction:
        activations, _ = extraction.finish(progress)
    for position, reason in sorted(extraction.reasons.items()):
        raise TortieError(f"{named(sources[position], position)}: {reason}")
    return activations
