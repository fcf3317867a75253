"""How well a classifier notices a kind of thing that it never saw: each class left out in turn.

A class is taken out of the training photographs, and with it a fold of the others. The distance
that the rest gives (:mod:`tortie.evaluation.novelty`) is taken of the left-out class, which plays
the stranger, and of the fold, which plays new photographs of the known. Beyond the distance of 95%
of the known a stranger is noticed. Over 20 classes, 20 of them are left out.

What a user will meet is a further kind, so the classes are what is sampled: the interval is that of
a mean over classes, which vary more than the photographs of one do. A class that resembles another
is missed more often than something quite unlike all of them would be.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tortie.evaluation.metrics import Interval, wilson
from tortie.evaluation.novelty import STRANGE, Floats, Integers, Weights, quantiles_of, spread_of

LEAST_CLASSES = 3
MOST_CLASSES = 20
_STUDENT = (
    12.706, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788,
    2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930,
)  # fmt: skip
"""Half the width of the 95% interval, in standard errors, of the mean of 2 to 20 values."""
_SPREADS = 5  # at least: with few classes a class is left out beside several folds
_MOST = 300  # photographs that a spread is measured on here; a fit takes up to 1,000
_PHOTOGRAPHS = 2000  # at most, of many drawn
_LEAST_KNOWN = 20  # groups whose distances give the threshold


@dataclass(frozen=True)
class Strangers:
    """What was noticed of kinds of things that were not trained on.

    Attributes:
        noticed: share of them, the mean over the classes that were left out; n is what a binomial
            share of as wide an interval would be counted on.
        doubted: share of the known beyond the threshold, of new photographs.
        classes: how many were left out in turn.
    """

    noticed: Interval
    doubted: float
    classes: int

    @property
    def sentence(self) -> str:
        """In words, for a person."""
        return (
            f"shown a kind of thing it never saw, it notices {self.noticed.value:.0%} "
            f"({self.noticed.low * 100:.0f}–{self.noticed.high:.0%}) of them, and wrongly doubts "
            f"{self.doubted:.0%} of the known"
        )


def told(measured: Strangers | None, classes: int) -> str:
    """What is known of it, in words.

    Args:
        measured: ``None`` where it could not be.
        classes: number of the classifier's.
    """
    if measured is not None:
        return f"{measured.sentence} ({measured.classes} classes left out in turn)"
    if classes < LEAST_CLASSES:
        return "with two classes none can be left out: how many it would notice is not known"
    return "too few photographs to tell how many it would notice"


def measure_strangers(
    features: Floats, labels: Integers, folds: Integers, weights: Weights,
    rows: Integers | None = None,
) -> Strangers | None:  # fmt: skip
    """Leave each class out in turn; ``None`` where there are too few classes or photographs.

    Args:
        features: activations ``(M, D)``.
        labels: class indices ``(M,)``.
        folds: of each training photograph ``(N,)``, groups kept together.
        weights: of each ``(N,)``: those of a group add up to one; 0 for one that does not count.
        rows: of ``features``, the training photographs ``(N,)``; by default all.
    """
    rows = np.arange(len(labels)) if rows is None else rows
    if len(rows) > _PHOTOGRAPHS:
        some = np.sort(np.random.default_rng(0).permutation(len(rows))[:_PHOTOGRAPHS])
        rows, folds, weights = rows[some], folds[some], weights[some]
    features, labels = features[rows], labels[rows]
    present, numbers = np.unique(labels), np.unique(folds)
    if len(present) < LEAST_CLASSES or len(numbers) < 2:
        return None
    chosen = np.sort(np.random.default_rng(0).permutation(present)[:MOST_CLASSES])
    each = -(-_SPREADS // len(chosen))
    known, known_weights = [], []
    strangers: list[list[NDArray[np.float64]]] = []
    for place, one in enumerate(chosen):
        inside, turns = (
            labels == one,
            [(place * each + turn) % len(numbers) for turn in range(each)],
        )
        strangers.append([])
        for fold in numbers[turns]:
            train = np.flatnonzero(~inside & (folds != fold))
            held = np.flatnonzero(~inside & (folds == fold))
            if not (len(train) and len(held)):
                continue
            spread = spread_of(features, labels, _MOST, train)
            known.append(spread.distances(features[held]))
            known_weights.append(weights[held])
            strangers[-1].append(spread.distances(features[inside]))
    counted = np.concatenate([np.zeros(0), *known_weights])
    if counted.sum() < _LEAST_KNOWN:
        return None
    share = np.array([STRANGE / 100])
    (threshold,) = quantiles_of(np.concatenate(known), counted, share)
    rates, sizes = [], []
    for one, distances in zip(chosen, strangers, strict=True):
        own = weights[labels == one]
        if own.sum() > 0 and distances:
            beyond = np.mean([found > threshold for found in distances], axis=0)
            rates.append(float(np.average(beyond, weights=own)))
            sizes.append(float(own.sum()))
    if len(rates) < LEAST_CLASSES:
        return None
    return Strangers(interval_over(np.array(rates), sum(sizes)), 1 - STRANGE / 100, len(rates))


def interval_over(rates: NDArray[np.float64], photographs: float) -> Interval:
    """The 95% interval of the mean of shares that were measured on a sample of classes.

    Wilson's, for the n that gives the binomial share the variance of the mean over the classes, as
    Student's distribution widens it: at most all photographs, at least two for each class.
    """
    count = len(rates)
    mean, variance = float(rates.mean()), float(rates.var(ddof=1)) / count
    widened = variance * (_STUDENT[count - 2] / 1.96) ** 2
    most, least = max(photographs, 1.0), min(2.0 * count, photographs)
    n = most if widened <= 0 else mean * (1 - mean) / widened
    n = min(max(n, least, 1.0), most)
    if widened <= 0:  # all equal, as where all are noticed: how classes differ is not known
        n = least
    return wilson(mean * n, n)
