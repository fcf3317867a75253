"""Intervals over seeds, and the verdict that follows from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tortie.experiments.study import Criterion

if TYPE_CHECKING:
    from tortie.experiments.study_result import Result

Verdict = Literal["held", "did not hold", "undecided at this scale"]

RULE = (
    "Each criterion is a mean over the seeds with its 95% interval (Student's t; differences are "
    "paired by seed). The claim held if every interval lies wholly where the claim says. It did "
    "not hold if an interval lies wholly outside. Otherwise it is undecided at this scale."
)


@dataclass(frozen=True)
class Mean:
    """A mean over seeds with its 95% interval; without a second seed its ends are infinite."""

    value: float
    low: float
    high: float

    def within(self, least: float, most: float) -> "Mean":
        """The same, with an interval that leaves out what cannot be."""
        return Mean(self.value, max(self.low, least), min(self.high, most))


@dataclass(frozen=True)
class Decided:
    """A criterion, what was found, and what that says.

    Attributes:
        criterion: that was decided.
        mean: what was found, with its interval.
        verdict: of this criterion alone.
    """

    criterion: Criterion
    mean: Mean
    verdict: Verdict


def mean_of(values: Sequence[float], exact: bool = False, resolution: float = 0.0) -> Mean:
    """The mean with Student's 95% interval.

    Args:
        values: one a seed.
        exact: whether they are counted: the interval is then the values' own range.
        resolution: half of the interval's width at the least.
    """
    mean = float(np.mean(values))
    if exact:
        return Mean(mean, float(min(values)), float(max(values)))
    if len(values) < 2:
        return Mean(mean, -math.inf, math.inf)
    from scipy.stats import t

    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = max(float(t.ppf(0.975, len(values) - 1)) * error, resolution)
    return Mean(mean, mean - half, mean + half)


def decide(result: "Result", criterion: Criterion) -> Decided:
    """What the seeds say of a criterion."""
    values = result.of(criterion.arm, criterion.key)
    if criterion.minus is not None:
        others = result.of(criterion.minus, criterion.key)
        pairs = list(zip(values, others, strict=True))
        if criterion.ratio:
            logs = [math.log(one / other) for one, other in pairs]
            found = mean_of(logs, criterion.exact, criterion.resolution)
            mean = Mean(*(_exp(end) for end in (found.value, found.low, found.high)))
            return Decided(criterion, mean, _verdict(mean, criterion))
        values = [one - other for one, other in pairs]
    mean = mean_of(values, criterion.exact, criterion.resolution)
    return Decided(criterion, mean, _verdict(mean, criterion))


def overall(decided: Sequence[Decided]) -> Verdict:
    """The verdict on the claim, by :data:`RULE`."""
    verdicts = {one.verdict for one in decided}
    if "did not hold" in verdicts:
        return "did not hold"
    return "held" if verdicts == {"held"} else "undecided at this scale"


def _verdict(mean: Mean, criterion: Criterion) -> Verdict:
    if any(math.isnan(end) for end in (mean.value, mean.low, mean.high)):
        return "undecided at this scale"
    if criterion.above < mean.low and mean.high < criterion.below:
        return "held"
    if mean.high <= criterion.above or mean.low >= criterion.below:
        return "did not hold"
    return "undecided at this scale"


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
