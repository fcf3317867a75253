"""How good a classifier is, each figure with what it is worth.

Every figure takes weights: images of one group share the weight of one (``sample_weights.py`` has
the rule, and why the interval holds).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tortie.evaluation.calibration import brier, expected_calibration_error
from tortie.evaluation.frames import frame

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Interval:
    """A share with its 95% interval.

    Attributes:
        value: right answers / n.
        low: lower end, 0 to 1.
        high: upper end, 0 to 1.
        n: number counted: a group of copies is one.
        photographs: number of photographs, where it is not ``n``.
    """

    value: float
    low: float
    high: float
    n: float
    photographs: int | None = None

    @property
    def counted(self) -> str:
        """What was counted, in words: ``24 (96 photographs with near copies or groups)``."""
        return counted(self.n, self.photographs)


def counted(n: float, photographs: int | None) -> str:
    """What was counted, in words: ``24 (96 photographs with near copies or groups)``."""
    if photographs is None or photographs == n:
        return f"{n:,.0f} photograph{'s' * (n != 1)}"
    return f"{amount(n)} ({photographs:,} photographs with near copies or groups)"


def counted_on(n: float, photographs: int | None, where: str) -> str:
    """What was counted and which photographs these are: ``153 photographs (validation)``."""
    told = counted(n, photographs)
    return f"{told}, {where}" if told.endswith(")") else f"{told} ({where})"


def shown_probability(value: float) -> str:
    """A probability in words: never 0 or 100%, which no classifier can give."""
    return ">99.9%" if value >= 0.9995 else "<0.1%" if value < 0.0005 else f"{value:.1%}"


def amount(count: float) -> str:
    """A count in words; where copies fell on two sides it need not be whole."""
    return f"{count:,.0f}" if abs(count - round(count)) < 0.05 else f"{count:,.1f}"


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class, 0 to 1 (0 where undefined), and how many counted."""

    precision: float
    recall: float
    f1: float
    n: float


@dataclass(frozen=True)
class Baseline:
    """What always naming the most frequent class would be worth.

    Attributes:
        label: that class.
        value: share of the photographs that are of it, 0 to 1.
    """

    label: str
    value: float


@dataclass(frozen=True)
class Scores:
    """What a set of probabilities was worth against the labels.

    Attributes:
        accuracy: with its Wilson interval.
        log_loss: mean −log of the probability given to the right class, in nats.
        ece: expected calibration error, 0 to 1.
        brier: Brier's score, 0 to 2.
        per_class: by class name, in the order of the classes.
        confusion: counts ``(K, K)``, a row for each true class, a column for each predicted one.
        baseline: what needs no learning.
    """

    accuracy: Interval
    log_loss: float
    ece: float
    brier: float
    per_class: dict[str, ClassScore]
    confusion: list[list[float]]
    baseline: Baseline

    def __repr__(self) -> str:
        """The figures of all classes together."""
        right = self.accuracy
        return (
            f"Scores(accuracy {right.value:.1%} ({right.low:.1%} to {right.high:.1%}), log_loss "
            f"{self.log_loss:.3f}, ece {self.ece:.3f}, brier {self.brier:.3f}, "
            f"{len(self.per_class)} classes)"
        )

    def to_frame(self) -> "DataFrame":
        """Precision, recall and F1 of each class, and how many were counted of it."""
        each = self.per_class.values()
        columns = {
            name: [getattr(one, name) for one in each]
            for name in ("precision", "recall", "f1", "n")
        }
        return frame(columns, index=list(self.per_class))

    @property
    def is_beyond_baseline(self) -> bool:
        """Whether the whole interval of the accuracy lies above the baseline."""
        return self.accuracy.low > self.baseline.value

    @property
    def never_recognised(self) -> dict[str, float]:
        """The classes of which no photograph is recognised, and how many were counted of each."""
        return {name: one.n for name, one in self.per_class.items() if one.n and not one.recall}

    @property
    def context(self) -> dict[str, Any]:
        """What an accuracy must not be told without, as JSON and a classifier's file have it."""
        return {
            "baseline": self.baseline.value,
            "baseline_class": self.baseline.label,
            "never_recognised": list(self.never_recognised),
        }


def wilson(right: float, n: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a binomial share (Wilson 1927, JASA 22).

    Args:
        right: successes, 0 to ``n``; shares of groups add up to no whole number.
        n: trials, above 0.
        confidence: of the interval.
    """
    right = min(right, n) if right - n < 1e-9 * n else right  # sums of thirds
    if not 0 <= right <= n or n <= 0:
        raise ValueError(f"expected 0 <= right <= n and n > 0, got {right} of {n}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if right == 0 else max(0.0, centre - half)
    high = 1.0 if right == n else min(1.0, centre + half)
    return Interval(share, low, high, n)


def score(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    weights: NDArray[np.float64] | None = None,
) -> Scores:
    """Every figure of the evaluation.

    The definitions are scikit-learn's, and tests hold them to it. Importing its metrics
    takes 0.6 s, a fifth of a fit whose activations are stored.

    Args:
        probabilities: ``(N, K)``, rows add to one.
        labels: true class indices ``(N,)``.
        classes: K names.
        weights: of each image ``(N,)``, above 0; those of a group add up to one. ``None`` where
            each image is one.

    Raises:
        ValueError: no image to count.
    """
    if not len(labels):
        raise ValueError("expected at least one photograph to count")
    weights = np.ones(len(labels)) if weights is None else weights
    predicted = probabilities.argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)))
    np.add.at(confusion, (labels, predicted), weights)
    confusion = _whole(confusion)
    right, called, n = np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    precision, recall = _share(right, called), _share(right, n)
    f1 = _share(2 * right, called + n)
    given = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    losses = -np.log(np.maximum(given, np.finfo(np.float32).tiny))
    return Scores(
        accuracy=_accuracy(float(right.sum()), float(n.sum()), len(labels)),
        log_loss=float(np.average(losses, weights=weights)),
        ece=expected_calibration_error(probabilities, labels, weights=weights),
        brier=brier(probabilities, labels, weights),
        per_class={
            name: ClassScore(float(precision[i]), float(recall[i]), float(f1[i]), _plain(n[i]))
            for i, name in enumerate(classes)
        },
        confusion=[[_plain(count) for count in row] for row in confusion],
        baseline=Baseline(classes[int(n.argmax())], float(n.max() / n.sum())),
    )


def _accuracy(right: float, n: float, photographs: int) -> Interval:
    groups = round(n)
    return replace(wilson(right * groups / n, groups), photographs=photographs)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part of a whole, 0 where there is no whole."""
    share: NDArray[np.float64] = np.where(whole > 0, part / np.where(whole > 0, whole, 1), 0.0)
    return share


def _whole(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of fractions, whole where they differ from that by rounding alone."""
    near: NDArray[np.float64] = counts.round()
    return np.where(np.abs(counts - near) < 1e-6, near, counts)


def _plain(count: float) -> float:
    """A count as JSON should show it: 3, not 3.0."""
    whole = round(float(count))
    return whole if abs(count - whole) < 1e-6 else float(count)


def calibration_metrics(scores: Scores | None, uncalibrated: Scores | None) -> dict[str, Any]:
    """The figures that judge the probabilities, not the answers, with those before the temperature.

    Keys ``log_loss``, ``ece``, ``brier``, and ``uncalibrated`` with the same three.
    """
    after, before = (
        {"log_loss": one and one.log_loss, "ece": one and one.ece, "brier": one and one.brier}
        for one in (scores, uncalibrated)
    )
    return {**after, "uncalibrated": before}
