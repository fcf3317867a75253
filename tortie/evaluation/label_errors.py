"""Images whose label may be wrong, by confident learning.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR
2021, section 3: an image labelled *a* is counted for the class *b* whose probability reaches that
class's own threshold, the mean probability of *b* over the images labelled *b*. Those counted for
another class than their label's are in doubt. Thresholds of each class make up for a network that
is surer of some classes than of others, and for small classes.

That count says how many labels are wrong. Which ones: those of the largest margin, the probability
of the likeliest other class less that of the label ("prune by noise rate", section 4). Counted
images as such are often merely hard; of 5% wrong labels planted in five classes of CIFAR-10, as
many by margin hold 6 to 8 in a hundred more, at higher precision.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tortie.images.finding import Finding
from tortie.images.findings import about
from tortie.images.inspection import Inspection
from tortie.text import quoted

FEWEST = 5  # images of a class: a threshold that is the mean of fewer says nothing


@dataclass(frozen=True, slots=True)
class LabelError:
    """An image whose label may be wrong.

    Attributes:
        index: of the image.
        label: class index that it has.
        likely: class index that it looks like.
        probability: of the class that it looks like.
        margin: that probability less its label's: the larger, the surer.
    """

    index: int
    label: int
    likely: int
    probability: float
    margin: float


def thresholds(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """The mean probability of each class over the images of that label, ``(K,)``.

    A class of fewer than five images has an infinite threshold, which nothing reaches.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=own, minlength=classes)
    return np.where(counts < FEWEST, np.inf, sums / np.maximum(counts, 1))


def wrong_count(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> int:
    """How many labels are wrong: the images counted for another class than their label's."""
    limits = thresholds(probabilities, labels)
    reached = np.where(probabilities >= limits, probabilities, -1.0)
    counted = (reached.max(axis=1) >= 0) & np.isfinite(limits[labels])
    return int(np.sum(counted & (reached.argmax(axis=1) != labels)))


def label_errors(
    probabilities: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    count: int | None = None,
) -> list[LabelError]:
    """Images in doubt, surest first.

    Args:
        probabilities: ``(N, K)``, each row by a classifier that the image had no part in.
        labels: class indices ``(N,)``.
        count: how many at the most; ``None`` for :func:`wrong_count`.
    """
    everything = np.arange(len(labels))
    finite = np.isfinite(thresholds(probabilities, labels))
    others = np.where(finite, probabilities, -1.0)
    others[everything, labels] = -1.0
    likely = others.argmax(axis=1)
    margins = others[everything, likely] - probabilities[everything, labels]
    found = np.flatnonzero((margins > 0) & finite[labels])
    if count is None:
        count = wrong_count(probabilities, labels)
    return [
        LabelError(
            int(i), int(labels[i]), int(likely[i]), float(others[i, likely[i]]), float(margins[i])
        )
        for i in found[np.argsort(-margins[found], kind="stable")][:count]
    ]


def label_error_findings(
    inspection: Inspection,
    rows: NDArray[np.integer[Any]],
    probabilities: NDArray[np.floating[Any]],
    classes: Sequence[str],
    count: int | None = None,
) -> list[Finding]:
    """A finding for each image in doubt; files of equal bytes and label share one.

    Args:
        inspection: the images.
        rows: which of ``inspection.rows`` the probabilities are of, ``(n,)``.
        probabilities: theirs, ``(n, K)``, each by a classifier that it had no part in.
        classes: names in the order of the columns.
        count: how many at the most, as of :func:`label_errors`.
    """
    if not len(rows):
        return []
    labels = np.array([classes.index(inspection.labels[row]) for row in rows])
    same: dict[tuple[str, int], list[LabelError]] = defaultdict(list)
    for error in label_errors(probabilities, labels, count):
        same[inspection.keys[rows[error.index]], error.label].append(error)
    found = []
    for errors in same.values():
        first = errors[0]
        images = [inspection.rows[rows[error.index]] for error in errors]
        detail = (
            f"labelled {quoted(classes[first.label])}, looks like {quoted(classes[first.likely])} "
            f"({first.probability:.0%})"
        )
        found.append(
            about(
                inspection, "label-error", "warning", detail, images, images, weight=first.margin
            )
        )  # fmt: skip
    return found
