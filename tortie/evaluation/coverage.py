"""What is gained in accuracy by giving no answer where the classifier is unsure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tortie.evaluation.metrics import Interval, wilson

THRESHOLDS = (0.0, *(round(0.05 * i, 2) for i in range(1, 20)), 0.98, 0.99, 0.995, 0.999)
REJECTED_BELOW = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Those of the thresholds that a table shows."""


@dataclass(frozen=True)
class Covered:
    """What answers remain, and what they are worth, where unsure ones are rejected.

    Attributes:
        threshold: a photograph whose most probable class has less than this is rejected.
        coverage: share of the photographs that get an answer, 0 to 1.
        accuracy: share of right answers among those, 0 to 1.
        n: photographs that get an answer, those of a group counted as one; above 0.
    """

    threshold: float
    coverage: float
    accuracy: float
    n: float

    @property
    def interval(self) -> Interval:
        """The accuracy with its 95% interval."""
        return wilson(self.accuracy * self.n, self.n)


def coverage_curve(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
) -> list[Covered]:
    """Coverage and accuracy at rising thresholds, up to the last one with an answer.

    Args:
        probabilities: ``(N, K)``, rows add to one.
        labels: true class indices ``(N,)``.
        weights: of each photograph; ``None`` where each is one.

    Returns:
        Coverage begins at 1, with threshold 0, and never rises from one to the next. Empty without
        a photograph.
    """
    confidence = probabilities.max(axis=1) if len(labels) else np.empty(0, np.float32)
    right = probabilities.argmax(axis=1) == labels if len(labels) else np.empty(0, np.bool_)
    weights = np.ones(len(labels)) if weights is None else weights
    curve: list[Covered] = []
    for threshold in THRESHOLDS:
        kept = confidence >= np.float32(threshold)
        n = float(weights[kept].sum())
        if n <= 0:
            break
        share = float(np.average(right[kept], weights=weights[kept]))
        curve.append(Covered(threshold, min(1.0, n / float(weights.sum())), share, n))
    return curve
