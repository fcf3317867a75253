"""The softmax layer on stored activations, by a convex solver, and the choice of its penalty.

Multinomial logistic regression: the weighted mean over the images of the cross-entropy, plus
λ/2 times the squared weights on standardised features; the biases are free. The problem is
convex, so the result depends on neither a seed nor a starting point.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tortie.learning.softmax_solver import (
    ROUGH_GAP,
    Floats,
    Integers,
    LinearHead,
    Problems,
    TrainingSet,
)
from tortie.learning.training_weights import TrainingWeights
from tortie.processes import core_count

__all__ = [
    "PENALTIES", "Floats", "Integers", "LinearHead", "PenaltyChoice", "Problem", "Weights",
    "choose", "few_threads", "held_out_parts", "is_small", "log_loss", "softmax",
]  # fmt: skip

Weights = NDArray[np.float64]

PENALTIES = tuple(10.0 ** (1 - half / 2) for half in range(11))
"""λ from 10 to 1e-4 in half decades, strongest first."""

_CLEARLY = 1.01
"""Times the least loss, above which no weaker penalty is tried: on 98 sets of 12 to 1,000
photographs, drawn from three, the choice was that of a search that goes on to the second."""


@dataclass(frozen=True)
class PenaltyChoice:
    """A penalty and the losses that chose it.

    Attributes:
        penalty: λ.
        losses: held-out log loss in nats of each λ that was tried, strongest first.
        logits: held-out logits ``(N, K)`` at the chosen λ, of the images that were held out.
        labels: class indices ``(N,)`` of these images.
        weights: of these images ``(N,)``.
    """

    penalty: float
    losses: dict[float, float]
    logits: Floats
    labels: Integers
    weights: Weights


def softmax(logits: Floats) -> Floats:
    """Probabilities ``(N, K)`` of logits ``(N, K)``; no overflow."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def log_loss(logits: Floats, labels: Integers, weights: Weights | None = None) -> float:
    """Mean cross-entropy in nats, by weight where there are weights."""
    top = logits.max(axis=1)
    total = np.log(np.exp(logits - top[:, None]).sum(axis=1, dtype=np.float64)) + top
    losses = total - logits[np.arange(len(labels)), labels]
    return float(
        np.average(losses, weights=weights if weights is not None and weights.any() else None)
    )


@contextmanager
def few_threads(features: Floats) -> Iterator[None]:
    """One thread for each matrix product where the features are small, else all cores.

    Below 16 MB a product takes less time than waking a second thread, and on a busy machine far
    less than waiting for it.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1 if is_small(features) else core_count(), "blas"):
        yield


def is_small(features: Floats) -> bool:
    """Whether a matrix product of features takes one thread."""
    return features.nbytes < 2**24


class Problem:
    """Softmax regression on one training set, solved for one penalty after another."""

    def __init__(
        self, features: Floats, labels: Integers, classes: int, weights: Floats | None = None
    ) -> None:
        """Standardise the features in place, as :class:`Problems` does of several sets.

        Args:
            features: as there; all of its rows are trained on.
            labels: as there.
            classes: as there.
            weights: of each image, of mean one ``(N,)``; by default the inverse square root of its
                class's share.
        """
        rows = np.arange(len(labels))
        if weights is None:
            weights = TrainingWeights().of(rows, labels, classes)
        self._problems = Problems(features, labels, classes, [TrainingSet(rows, weights)])

    def solve(self, penalty: float) -> LinearHead:
        """The minimum for ``penalty``; the last solution is the starting point."""
        return self._problems.solve(penalty)[0]


class Solver(Protocol):
    """Solves for the softmax layer of one training set or of several."""

    def solve(self, penalty: float, within: float) -> list[LinearHead]:
        """The solutions for a penalty, no loss above the least by more than ``within``."""


def choose(
    problems: Solver,
    held: Sequence[tuple[Floats, Integers, Weights]],
    penalties: Sequence[float] = PENALTIES,
) -> PenaltyChoice:
    """The penalty of the least held-out log loss.

    Penalties are compared within a millionth of a nat of each minimum, which takes half the time of
    a hundredth of that: their held-out losses differ by some hundredths.

    Args:
        problems: of the training set of each fold, or of one in all.
        held: features ``(n, D)``, class indices and weights ``(n,)`` to score each of them on.
        penalties: those to try, strongest first; the search stops after two that are worse than
            the best, or one that is worse by 1%: the weaker the penalty, the longer it takes.
    """
    labels = np.concatenate([own for _, own, _ in held])
    weights = np.concatenate([own for _, _, own in held])
    losses: dict[float, float] = {}
    best: tuple[float, float, Floats] | None = None
    worse = 0
    for penalty in penalties:
        logits = np.concatenate(
            [
                head.logits(features)
                for head, (features, _, _) in zip(
                    problems.solve(penalty, ROUGH_GAP), held, strict=True
                )
            ]
        )
        loss = losses[penalty] = log_loss(logits, labels, weights)
        if best is None or loss < best[0]:
            best, worse = (loss, penalty, logits), 0
        else:
            worse += 1
            if worse == 2 or loss > _CLEARLY * best[0]:
                break
    assert best is not None
    return PenaltyChoice(best[1], losses, best[2], labels, weights)


def held_out_parts(folds: Integers) -> list[tuple[Integers, Integers]]:
    """For each fold, the indices outside it and the indices in it."""
    return [
        (np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds)
    ]
