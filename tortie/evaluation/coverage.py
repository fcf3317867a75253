"""What is gained in accuracy by giving no answer where the classifier is unsure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tortie.evaluation.metrics import Interval, wilson

THRESHOLDS = (0.0, *(round(0.05 * i, 2) for i in range(1, 20)), 0.98, 0.99, 0.995, 0.999)


@dataclass(frozen=True)
class Covered:
    """What answers remain, and what they are worth, where unsure ones are rejected.

    Attributes:
        threshold: a photograph whose most probable class has less than this is rejected.
        coverage: share of the photographs that get an answer, 0 to 1.
        accuracy: share of right answers among those, 0 to 1.
        n: photographs that get an answer, at least 1.
    """

    threshold: float
    coverage: float
    accuracy: float
    n: int

    @property
    def interval(self) -> Interval:
        """The accuracy with its 95% interval."""
        return wilson(round(self.accuracy * self.n), self.n)


def coverage_curve(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> list[Covered]:
    """Coverage and accuracy at rising thresholds, up to the last one with an answer.

    Args:
        probabilities: ``(N, K)``, rows add to one.
        labels: true class indices ``(N,)``.

    Returns:
        Coverage begins at 1, with threshold 0, and never rises from one to the next. Empty without
        a photograph.
    """
    confidence = probabilities.max(axis=1) if len(labels) else np.empty(0, np.float32)
    right = probabilities.argmax(axis=1) == labels if len(labels) else np.empty(0, np.bool_)
    curve: list[Covered] = []
    for threshold in THRESHOLDS:
        kept = confidence >= np.float32(threshold)
        n = int(kept.sum())
        if not n:
            break
        share = float(right[kept].mean())
        curve.append(Covered(threshold, n / len(labels), share, n))
    return curve
