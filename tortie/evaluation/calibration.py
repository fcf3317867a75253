"""Whether probabilities mean what they say, and the one number that makes them mean it.

Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017: sections 2
(reliability, expected calibration error) and 4.2 (temperature scaling).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]

FLOOR = float(np.finfo(np.float32).tiny)
"""Least probability whose logarithm is taken: that of nothing is not a number."""

_SPREAD = 0.25
# Standard deviation of ln T before a photograph is seen. A thousand photographs do not feel it;
# forty that are all right would otherwise ask for certainty without end, and a few that are surely
# wrong for a temperature of 10, which makes those of new photographs worse.
_COARSE = np.linspace(-4 * math.log(2), 4 * math.log(2), 33)  # ln T from 1/16 to 16
_PRECISION = 1e-6  # of ln T
_SURE_ENOUGH = 0.2  # standard error of ln T


@dataclass(frozen=True)
class Bin:
    """The photographs whose most probable class was given about the same probability.

    Attributes:
        low: probability above which the bin begins, 0 to 1.
        high: probability through which it reaches.
        confidence: mean probability of the most probable class.
        accuracy: share of right answers.
        count: photographs, those of a group counted as one; above 0.
    """

    low: float
    high: float
    confidence: float
    accuracy: float
    count: float


def temperature_scaled(
    probabilities: NDArray[np.float32], temperature: float | NDArray[np.float32]
) -> NDArray[np.float32]:
    """Probabilities whose logarithm was divided by a temperature; the order of classes stays.

    Args:
        probabilities: ``(N, K)``, rows add to one.
        temperature: above 0; 1 changes nothing, more is less sure. One for all, or one for each
            row ``(N,)``.
    """
    if np.all(temperature == 1):
        return probabilities
    divisor = np.asarray(temperature, np.float32).reshape(-1, 1)
    scaled = np.log(np.maximum(probabilities, FLOOR)) / divisor
    scaled -= scaled.max(axis=1, keepdims=True)
    powers = np.exp(scaled)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def fit_temperature(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: Weights | None = None,
) -> float:
    """The temperature at which the labels are most probable.

    Beside the log loss stands a weak expectation that T is near 1 (ln T normal, of standard
    deviation 0.25), which few photographs cannot outweigh. The log loss on the labels given is
    never above that of T = 1.

    Args:
        probabilities: ``(N, K)`` of photographs that had no part in training; rows add to one.
        labels: true class indices ``(N,)``.
        weights: of each photograph; ``None`` where each is one.

    Returns:
        1/16 to 16; 1 where nothing is better, or no photograph is given.
    """
    weights = _ones(labels, weights)
    if not weights.sum():
        return 1.0
    logs = np.log(np.maximum(probabilities, FLOOR)).astype(np.float64)

    def cost(log_temperature: float) -> float:
        losses = _losses(logs, labels, math.exp(log_temperature))
        return float(losses @ weights) + (log_temperature / _SPREAD) ** 2 / 2

    coarse = [cost(float(one)) for one in _COARSE]
    best = int(np.argmin(coarse))
    low = float(_COARSE[max(0, best - 1)])
    high = float(_COARSE[min(len(_COARSE) - 1, best + 1)])
    found = _minimum(cost, low, high)
    return math.exp(found) if cost(found) < cost(0.0) else 1.0


def _minimum(cost: Callable[[float], float], low: float, high: float) -> float:
    """Where a cost with one valley is least, by golden sections (Kiefer 1953)."""
    share = (math.sqrt(5) - 1) / 2
    left, right = high - share * (high - low), low + share * (high - low)
    of_left, of_right = cost(left), cost(right)
    while high - low > _PRECISION:
        if of_left < of_right:
            high, right, of_right = right, left, of_left
            left = high - share * (high - low)
            of_left = cost(left)
        else:
            low, left, of_left = left, right, of_right
            right = low + share * (high - low)
            of_right = cost(right)
    return (low + high) / 2


def held_out_gain(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    temperature: float,
    weights: Weights | None = None,
) -> float:
    """By how much the temperature lowers the log loss of photographs left out of its fit, in nats.

    Each photograph is left out with its copies, and measured at the temperature then fitted,
    found by one step of Newton's method: removing photographs whose loss has the slope g in ln T
    moves the minimum by g / H, where H is the curvature of the whole. A group weighs as one
    photograph, so that the slope of one stands for all of it.

    Args:
        probabilities: uncalibrated ``(N, K)``, that the temperature was fitted on.
        labels: true class indices ``(N,)``.
        temperature: fitted on them.
        weights: of each photograph; ``None`` where each is one.

    Returns:
        the sum over the photographs by their weights; negative where the loss rises.
    """
    logs = np.log(np.maximum(probabilities, FLOOR)).astype(np.float64)
    weights, scaled = _ones(labels, weights), logs / temperature
    shares = temperature_scaled(probabilities, temperature).astype(np.float64)
    mean = (shares * scaled).sum(axis=1)
    slopes = scaled[np.arange(len(labels)), labels] - mean
    variance = (shares * (scaled - mean[:, None]) ** 2).sum(axis=1)
    curvature = float(variance @ weights) + 1 / _SPREAD**2
    without = temperature * np.exp(np.clip(slopes / curvature, -1, 1))
    gain = _losses(logs, labels, 1.0) - _losses(logs, labels, without[:, None])
    return float(gain @ weights)


def temperature_error(
    probabilities: NDArray[np.float32], temperature: float, weights: Weights | None = None
) -> float:
    """Standard error of ln T where it was fitted on these photographs.

    By the Fisher information of ln T: the variance of the scaled log-probabilities under the
    scaled probabilities, added up. Photographs that the classifier is sure of tell nothing.

    Returns:
        Infinite where they tell nothing at all.
    """
    scaled = np.log(np.maximum(probabilities, FLOOR)).astype(np.float64) / temperature
    shares = temperature_scaled(probabilities, temperature).astype(np.float64)
    mean = (shares * scaled).sum(axis=1, keepdims=True)
    variance = (shares * (scaled - mean) ** 2).sum(axis=1)
    information = float(variance @ _ones(variance, weights))
    return 1 / math.sqrt(information) if information > 0 else math.inf


def too_little_to_calibrate(
    probabilities: NDArray[np.float32],
    temperature: float,
    on: str,
    weights: Weights | None = None,
) -> str | None:
    """A warning where the photographs leave the temperature open; ``None`` where they fix it.

    The rule: the standard error of ln T is above 0.2, so that the 95% interval of T reaches
    beyond two thirds and one and a half times its value.

    Args:
        probabilities: uncalibrated, of the photographs that the temperature was fitted on.
        temperature: fitted on them.
        on: which photographs these are, in words.
        weights: of each photograph; ``None`` where each is one.
    """
    error = temperature_error(probabilities, temperature, weights)
    if error <= _SURE_ENOUGH:
        return None
    factor = math.exp(min(1.96 * error, 9))
    known = "temperature unknown" if factor > 20 else f"temperature within a factor of {factor:.1f}"
    return (
        f"probabilities are only roughly calibrated ({len(probabilities):,} photographs of the "
        f"{on}; {known})"
    )


def expected_calibration_error(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    bins: int = 15,
    weights: Weights | None = None,
) -> float:
    """Mean distance of confidence and accuracy over equally wide bins, each by its photographs.

    0 to 1. With few photographs chance alone keeps it above 0: 100 well-calibrated ones have
    about 0.05.

    Raises:
        ValueError: no photograph.
    """
    found = reliability(probabilities, labels, bins, weights)
    off = sum(one.count * abs(one.confidence - one.accuracy) for one in found)
    return off / sum(one.count for one in found)


def brier(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: Weights | None = None,
) -> float:
    """Brier's score: squared distance to the right answer, over all classes, in the mean.

    0 (sure and right) to 2 (sure and wrong), as in Brier 1950, Monthly Weather Review 78; texts
    on two classes often give half of it.

    Raises:
        ValueError: no photograph.
    """
    _at_least_one(labels)
    exact = probabilities.astype(np.float64)
    given = exact[np.arange(len(labels)), labels]
    squares = (exact**2).sum(axis=1) - 2 * given + 1
    return float(np.average(squares, weights=_ones(labels, weights)))


def reliability(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    bins: int = 15,
    weights: Weights | None = None,
) -> list[Bin]:
    """Confidence against accuracy, in equally wide bins of the most probable class's probability.

    Returns:
        The bins that hold a photograph, lowest first. A probability on an edge belongs to the bin
        below.

    Raises:
        ValueError: no photograph.
    """
    _at_least_one(labels)
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    where = np.searchsorted(edges[1:-1], confidence)
    weights = _ones(labels, weights)
    return [
        Bin(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            confidence=float(np.average(confidence[where == i], weights=weights[where == i])),
            accuracy=float(np.average(right[where == i], weights=weights[where == i])),
            count=float(weights[where == i].sum()),
        )
        for i in np.unique(where[weights > 0])
    ]


def _losses(
    logs: NDArray[np.float64],
    labels: NDArray[np.int64],
    temperature: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """−log of the scaled probability of the right class; one temperature, or ``(N, 1)``."""
    scaled = logs / temperature
    most = scaled.max(axis=1)
    total = most + np.log(np.exp(scaled - most[:, None]).sum(axis=1))
    losses: NDArray[np.float64] = total - scaled[np.arange(len(labels)), labels]
    return losses


def _ones(rows: NDArray[Any], weights: Weights | None) -> Weights:
    return np.ones(len(rows)) if weights is None else weights


def _at_least_one(labels: NDArray[np.int64]) -> None:
    if not len(labels):
        raise ValueError("expected at least one photograph to count")
