"""Sets of classes that hold the right one with a probability that is chosen.

Split conformal prediction (Vovk, Gammerman and Shafer 2005; Papadopoulos et al. 2002) with adaptive
prediction sets (Romano, Sesia and Candès 2020, "Classification with Valid and Adaptive Coverage").
The score of a class is the probability that the classifier gives to all classes above it; the most
probable class has 0. A set holds the classes whose score is at most the threshold: so none is
empty, an unsure photograph gets a larger one, and where the classifier is right more often than was
asked, sets of one class hold the right one more often, too.

The threshold for a confidence 1 − α is the quantile of the scores of the right classes of n
photographs that taught the classifier nothing, at (n + 1)(1 − α) / n. Then, for a new photograph of
the same kind (exchangeable with those n), the set holds the right class with a probability of 1 − α
at least, and of 1 − α + 1/(n + 1) at most where no two scores are equal. Photographs of a group
share the weight of one, and n is the number of groups: the hierarchical conformal prediction of
Lee, Barber and Willett 2023, section 3.1, whose guarantee is for a photograph of a new group.

Scores are of probabilities before the temperature, which was fitted on the same photographs. Where
they are cross-fitted (each by a classifier that was trained without it, while the one that predicts
was trained on all), the theorem is weaker: 1 − 2α (Vovk 2015; Barber et al. 2021, theorem 4).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tortie.errors import UsageError
from tortie.evaluation.metrics import Interval, wilson

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Weights = NDArray[np.float64]

LEVELS = (80.0, 90.0, 95.0, 99.0)  # percent that an evaluation shows
MOST = 10_000  # scores kept in a file: 80 kB
PREFIX = "sets."


@dataclass(frozen=True)
class PredictionSets:
    """The scores that thresholds are taken from.

    Attributes:
        scores: of the right classes, ascending, float32 ``(n,)``, 0 to 1.
        weights: of each photograph, float32 ``(n,)``: those of a group add up to one.
    """

    scores: Floats
    weights: Floats

    @property
    def groups(self) -> int:
        """Number of groups."""
        return round(float(self.weights.sum(dtype=np.float64)))

    def threshold(self, confidence: float) -> float:
        """The largest score of a class in a set; infinite where all classes must be in it.

        Args:
            confidence: percent, above 0 and below 100.
        """
        wanted = (self.groups + 1) * confidence / 100
        reached = np.cumsum(self.weights, dtype=np.float64) >= wanted - 1e-6
        return float(self.scores[int(reached.argmax())]) if reached.any() else math.inf

    def of(self, probabilities: Floats, confidence: float) -> NDArray[np.bool_]:
        """Which classes are in the set of each photograph, ``(N, K)``; one in each at least.

        Args:
            probabilities: before the temperature ``(N, K)``.
            confidence: percent.
        """
        held: NDArray[np.bool_] = scores_of(probabilities) <= self.threshold(confidence)
        return held


@dataclass(frozen=True)
class MeasuredSets:
    """Coverage and size of sets of one confidence on labelled photographs.

    Attributes:
        confidence: percent that was asked for.
        coverage: share of the photographs whose set holds the right class, with its interval.
        mean_size: classes in a set.
        per_class: of each class that was counted, the share whose set holds it, and the mean size.
    """

    confidence: float
    coverage: Interval
    mean_size: float
    per_class: dict[str, tuple[float, float]]


def scores_of(probabilities: Floats) -> Floats:
    """The score of every class ``(N, K)``: the probability of all classes that are above it.

    Of equal probabilities the class of the lower index is above, as for a prediction.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=1).astype(np.float64)
    above = np.cumsum(ranked, axis=1) - ranked
    above[:, 0] = 0  # to the bit
    scores = np.empty_like(probabilities)
    np.put_along_axis(scores, order, np.clip(above, 0, 1).astype(np.float32), axis=1)
    return scores


def fit_sets(probabilities: Floats, labels: Integers, weights: Weights) -> PredictionSets | None:
    """Keep the scores of photographs that had no part in training; ``None`` where none counts.

    Args:
        probabilities: before the temperature ``(N, K)``.
        labels: true class indices ``(N,)``.
        weights: of each photograph: those of a group add up to one. 0 for one that does not count.
    """
    rows = np.flatnonzero(weights > 0)
    rows = rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:MOST])]
    if not len(rows):
        return None
    scores = scores_of(probabilities[rows])[np.arange(len(rows)), labels[rows]]
    order = np.argsort(scores, kind="stable")
    return PredictionSets(scores[order], weights[rows][order].astype(np.float32))


def check_confidence(sets: PredictionSets | None, confidence: float, crops: int = 1) -> None:
    """Refuse a confidence that cannot be kept.

    Raises:
        UsageError: no percentage; no photographs to take a threshold from, or too few groups.
    """
    if not 1 <= confidence < 100:
        raise UsageError(f"--confidence {confidence:g}: expected a percentage, from 1 to below 100")
    if sets is None:
        raise UsageError(
            f"this classifier has no prediction sets for {crops} crop{'s' * (crops > 1)}: too few "
            "photographs were held out of its training"
            + (f", or fit --crops {crops} keeps what they need" if crops > 1 else "")
        )
    needed = math.ceil(confidence / (100 - confidence) - 1e-9)
    if sets.groups < needed:
        most = 100 * sets.groups / (sets.groups + 1)
        raise UsageError(
            f"--confidence {confidence:g} needs {needed:,} photographs (copies counted once) that "
            f"were held out of training; this classifier has {sets.groups:,}, enough for "
            f"{math.floor(most * 10) / 10:g}"
        )


def measure_sets(
    sets: PredictionSets | None,
    probabilities: Floats,
    labels: Integers,
    weights: Weights,
    classes: Sequence[str],
) -> list[MeasuredSets]:
    """What sets of the usual confidences come to; those that cannot be kept are left out."""
    measured: list[MeasuredSets] = []
    for confidence in LEVELS if sets is not None and len(labels) else ():
        assert sets is not None
        if math.isinf(sets.threshold(confidence)):
            continue
        held = sets.of(probabilities, confidence)
        right, sizes = held[np.arange(len(labels)), labels], held.sum(axis=1)
        n = float(weights.sum())
        own = [(name, labels == number) for number, name in enumerate(classes)]
        measured.append(
            MeasuredSets(
                confidence=confidence,
                coverage=wilson(min(float(right @ weights), n), n),
                mean_size=float(np.average(sizes, weights=weights)),
                per_class={
                    name: (
                        float(np.average(right[rows], weights=weights[rows])),
                        float(np.average(sizes[rows], weights=weights[rows])),
                    )
                    for name, rows in own
                    if rows.any()
                },
            )
        )
    return measured


def arrays_of(by_crops: Mapping[str, PredictionSets]) -> dict[str, Floats]:
    """What a file holds of the sets of each crop setting, by name."""
    arrays = {}
    for crops, one in by_crops.items():
        arrays[f"{PREFIX}{crops}.scores"] = one.scores
        arrays[f"{PREFIX}{crops}.weights"] = one.weights
    return arrays


def sets_in(arrays: "Mapping[str, NDArray[np.generic]]") -> dict[str, PredictionSets]:
    """The sets of a classifier's file, whose tensors were checked, by crop setting."""
    return {
        name.split(".")[1]: PredictionSets(
            np.asarray(array, np.float32),
            np.asarray(arrays[name.removesuffix("scores") + "weights"], np.float32),
        )
        for name, array in arrays.items()
        if name.startswith(PREFIX) and name.endswith(".scores")
    }
