"""Linear probing: a softmax layer solved on the outputs of frozen stages.

It is what a new head begins with where stages train too: from a random head the first steps pull
trained stages away from what they know (Kumar et al. 2022, "Fine-tuning can distort pretrained
features and underperform out-of-distribution", section 3). It also scores a depth of freezing.
"""

import numpy as np

from tortie.learning.backbone import Backbone
from tortie.learning.cross_fitting import (
    HeldOut,
    LabelledFeatures,
    choose_among,
    predict_by,
    train_on,
)
from tortie.learning.dataset import Dataset, Integers
from tortie.learning.features import features
from tortie.learning.softmax import LinearHead, few_threads
from tortie.training.decoded import DecodedPhotographs


def probe(
    backbone: Backbone, data: Dataset, photographs: DecodedPhotographs | None = None,
    held_out: Integers | None = None,
) -> tuple[LinearHead, HeldOut]:  # fmt: skip
    """The softmax layer of the training photographs, undistorted, and its predictions of others.

    Args:
        backbone: all of its stages are taken as they are.
        data: the photographs.
        photographs: the same, where they are decoded already.
        held_out: which photographs it is to predict; ``None`` for none.

    Returns:
        the layer, and its probabilities of the photographs held out, with their positions: they
        come in an order of their own.
    """
    held_out = data.train[:0] if held_out is None else held_out
    rows = np.union1d(data.train, held_out)
    table = features(backbone.job, backbone.whole_extractor(), data, rows, photographs=photographs)
    own = LabelledFeatures(
        table.activations[:, 0], data.labels[rows], [data.sha256[i] for i in rows],
        [data.groups[i] for i in rows], classes=len(data.classes),
        weights=data.weights(rows), training=data.training_weights.only(rows),
    )  # fmt: skip
    train = table.row[data.train]
    with few_threads(own.features):
        head = train_on(own, train, choose_among(own, train, data.seed).penalty)
        found = predict_by(own, head, table.row[held_out])
        return head, HeldOut(rows[found.positions], found.probabilities)
