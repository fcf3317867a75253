"""Which labels look wrong, by predictions of a softmax layer that no image had a part in.

A fit and a check ask this same question of the same activations, and name the same images.
"""

import numpy as np
from numpy.typing import NDArray

from tortie.evaluation.label_errors import label_error_findings, label_errors
from tortie.images.finding import Finding
from tortie.images.inspection import Inspection
from tortie.learning.cross_fitting import LabelledFeatures, choose_among, fold_parts
from tortie.learning.softmax import (
    Floats,
    Integers,
    PenaltyChoice,
    few_threads,
    softmax,
)
from tortie.learning.softmax_solver import FOLD_GAP
from tortie.learning.temperature import is_beyond_baseline

CHOOSE_ON = 2000  # images: the penalty for all is chosen on as many


def check_labels(
    inspection: Inspection, features: Floats, seed: int, chosen: PenaltyChoice | None = None,
    kept: float | None = None,
) -> list[Finding]:  # fmt: skip
    """Findings about labels.

    None where no class can be held out and trained on, or where the softmax layer is not shown to
    be better than always naming the most frequent class: it knows no label better.

    Args:
        inspection: the images.
        features: activations of the undistorted view of those that take part, float32 ``(N, D)``.
        seed: of the folds.
        chosen: the penalty, where it was chosen on these very images and folds already.
        kept: the penalty, where none is to be chosen.
    """
    classes = sorted(set(inspection.labels))
    if len(classes) < 2:
        return []
    everything = np.arange(len(inspection.labels))
    data = LabelledFeatures(
        features=features,
        labels=np.array([classes.index(label) for label in inspection.labels], np.int64),
        keys=inspection.keys,
        groups=inspection.groups,
        classes=len(classes),
        weights=inspection.weights.of(everything),
    )
    with few_threads(features):
        probabilities, count = out_of_fold(data, seed, chosen, kept)
    if not count:
        return []
    rows = everything[_told_apart(data)]
    return label_error_findings(inspection, rows, probabilities[rows], classes, count)


def _told_apart(data: LabelledFeatures) -> NDArray[np.bool_]:
    """Images whose class has another group too: the others' class was never trained without them.

    A head that was trained without their only group knows nothing of their class.
    """
    units: dict[int, set[str | int]] = {}
    for label, key, group in zip(data.labels.tolist(), data.keys, data.groups, strict=True):
        units.setdefault(label, set()).add(key if group is None else group)
    return np.array([len(units[label]) > 1 for label in data.labels.tolist()], bool)


def out_of_fold(
    data: LabelledFeatures, seed: int, chosen: PenaltyChoice | None = None,
    kept: float | None = None,
) -> tuple[Floats, int]:  # fmt: skip
    """Each image predicted by a head that neither it nor its group had a part in.

    Twice: what the first round doubts has no part in training the second, or wrong labels would
    vouch for one another. How many are wrong is counted in the first round: heads that saw no
    doubtful label are too sure of themselves for that.

    The penalty is chosen by cross-fitting too, on at most 2,000 of the images; that they had a
    part in this one number is of no consequence for their labels.

    Returns:
        probabilities ``(N, K)``, and how many labels are wrong: 0 where the first round is not
        shown to be better than always naming the most frequent class.
    """
    everything = np.arange(len(data.labels))
    parts = fold_parts(data, everything, seed)
    by_content = sorted(everything.tolist(), key=lambda i: data.keys[i])
    chosen = chosen or choose_among(data, np.sort(np.array(by_content[:CHOOSE_ON])), seed, kept)
    penalty = chosen.penalty
    if len(everything) <= CHOOSE_ON:  # it was chosen on these very parts
        first = np.zeros((len(data.labels), data.classes), np.float32)
        first[np.concatenate([held for _, held in parts])] = softmax(chosen.logits)
    else:
        first = _held_out_by(data, parts, everything, penalty)
    if not is_beyond_baseline(first, data.labels, data.weights_of(everything)):
        return first, 0
    doubted = [doubt.index for doubt in label_errors(first, data.labels)]
    trusted = np.setdiff1d(everything, doubted)
    if not doubted or len(np.unique(data.labels[trusted])) < data.classes:
        return first, len(doubted)
    return _held_out_by(data, parts, trusted, penalty), len(doubted)


def _held_out_by(
    data: LabelledFeatures,
    parts: list[tuple[Integers, Integers]],
    trusted: Integers,
    penalty: float,
) -> Floats:
    """Probabilities of every image by heads trained on the trusted ones of the other folds."""
    probabilities = np.zeros((len(data.labels), data.classes), np.float32)
    problems = data.problems([np.intersect1d(train, trusted) for train, _ in parts])
    for head, (_, held) in zip(problems.solve(penalty, FOLD_GAP), parts, strict=True):
        probabilities[held] = softmax(head.logits(data.features[held]))
    return probabilities
