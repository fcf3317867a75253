"""The softmax layer on stored activations, by a convex solver, and the choice of its penalty.

Multinomial logistic regression: the weighted mean over the images of the cross-entropy, plus
λ/2 times the squared weights on standardised features; the biases are free. The problem is
convex, so the result depends on neither a seed nor a starting point. Where images are far fewer
than features it is solved in the images' own span, which holds the solution exactly (the penalty
does not change under rotation).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tortie.learning.training_weights import TrainingWeights

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Weights = NDArray[np.float64]

PENALTIES = tuple(10.0 ** (1 - half / 2) for half in range(11))
"""λ from 10 to 1e-4 in half decades, strongest first."""


@dataclass(frozen=True)
class LinearHead:
    """A linear map to logits, the standardisation of the features folded in.

    Attributes:
        weight: float32 ``(K, D)``.
        bias: float32 ``(K,)``.
    """

    weight: Floats
    bias: Floats

    def logits(self, features: Floats) -> Floats:
        """Logits ``(N, K)`` of features ``(N, D)``."""
        return features @ self.weight.T + self.bias


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
    """One thread for each matrix product where the features are small.

    Below 16 MB a product takes less time than waking a second thread, and on a busy machine far
    less than waiting for it.
    """
    import scipy.optimize  # noqa: F401  (a library of matrix products that is not loaded is not told)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1 if features.nbytes < 2**24 else None, "blas"):
        yield


class Problem:
    """Softmax regression on one training set, solved for one penalty after another."""

    def __init__(
        self, features: Floats, labels: Integers, classes: int, weights: Floats | None = None
    ) -> None:
        """Standardise the features and, where images are fewer, turn them into their span.

        Args:
            features: float32 ``(N, D)``; standardised in place, as a copy of 60,000 photographs'
                activations would take 300 MB.
            labels: class indices ``(N,)``, 0 to K-1.
            classes: K.
            weights: of each image, of mean one ``(N,)``; by default the inverse square root of its
                class's share.
        """
        if weights is None:
            weights = TrainingWeights().of(np.arange(len(labels)), labels, classes)
        self._mean, self._scale = _standardisation(features)
        self._labels, self._classes = labels, classes
        self._weights = weights / np.float32(len(labels))
        self._onehot = np.zeros((len(labels), classes), np.float32)
        self._onehot[np.arange(len(labels)), labels] = 1
        self._basis: Floats | None = None
        rows = features
        rows -= self._mean
        rows *= self._scale
        if 4 * len(rows) < rows.shape[1]:  # above that, finding the span costs more than it saves
            values, vectors = np.linalg.eigh((rows @ rows.T).astype(np.float64))
            kept = values > values[-1] * 1e-7
            roots = np.sqrt(values[kept])
            self._basis = (rows.T @ (vectors[:, kept] / roots)).astype(np.float32)
            rows = (vectors[:, kept] * roots).astype(np.float32)
        self._rows = rows
        self._start = np.zeros((rows.shape[1] + 1) * classes)

    def solve(self, penalty: float) -> LinearHead:
        """The minimum for ``penalty``; the last solution is the starting point."""
        from scipy.optimize import minimize

        solution = minimize(
            self._loss, self._start, args=(penalty,), jac=True, method="L-BFGS-B",
            options={"maxiter": 1000, "ftol": 1e-7, "gtol": 1e-5, "maxcor": 20},
        )  # fmt: skip
        self._start = solution.x
        found = solution.x.reshape(-1, self._classes).astype(np.float32)
        weight = found[:-1].T if self._basis is None else found[:-1].T @ self._basis.T
        weight = weight * self._scale
        return LinearHead(weight, found[-1] - weight @ self._mean)

    def _loss(
        self, point: NDArray[np.float64], penalty: float
    ) -> tuple[float, NDArray[np.float64]]:
        weight = point.reshape(-1, self._classes)[:-1].astype(np.float32)  # (D, K)
        bias = point.reshape(-1, self._classes)[-1].astype(np.float32)
        logits = self._rows @ weight
        logits += bias
        logits -= logits.max(axis=1, keepdims=True)
        right = logits[np.arange(len(logits)), self._labels]
        np.exp(logits, out=logits)
        total = logits.sum(axis=1, keepdims=True)
        cross_entropy = np.log(total[:, 0]) - right
        loss = float(cross_entropy @ self._weights) + penalty / 2 * float((weight**2).sum())
        logits /= total
        logits -= self._onehot
        logits *= self._weights[:, None]
        gradient = np.empty((len(weight) + 1, self._classes))
        gradient[:-1] = self._rows.T @ logits + penalty * weight
        gradient[-1] = logits.sum(axis=0)
        return loss, gradient.ravel()


def _standardisation(features: Floats) -> tuple[Floats, Floats]:
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = np.sqrt(
        np.maximum(np.einsum("nd,nd->d", features, features) / len(features) - mean**2, 0)
    )
    steady = deviation < 1e-6 * (np.abs(mean) + 1e-6)
    scale = np.where(steady, 0, 1 / np.where(steady, 1, deviation))
    return mean.astype(np.float32), scale.astype(np.float32)


def choose(
    problems: Sequence[Problem],
    held: Sequence[tuple[Floats, Integers, Weights]],
    penalties: Sequence[float] = PENALTIES,
) -> PenaltyChoice:
    """The penalty of the least held-out log loss.

    Args:
        problems: one for each fold, or one in all.
        held: features ``(n, D)``, class indices and weights ``(n,)`` to score each of them on.
        penalties: those to try, strongest first; the search stops after two that are worse than
            the best.
    """
    labels = np.concatenate([own for _, own, _ in held])
    weights = np.concatenate([own for _, _, own in held])
    losses: dict[float, float] = {}
    best: tuple[float, float, Floats] | None = None
    worse = 0
    for penalty in penalties:
        logits = np.concatenate(
            [
                problem.solve(penalty).logits(features)
                for problem, (features, _, _) in zip(problems, held, strict=True)
            ]
        )
        loss = losses[penalty] = log_loss(logits, labels, weights)
        if best is None or loss < best[0]:
            best, worse = (loss, penalty, logits), 0
        else:
            worse += 1
            if worse == 2:
                break
    assert best is not None
    return PenaltyChoice(best[1], losses, best[2], labels, weights)


def held_out_parts(folds: Integers) -> list[tuple[Integers, Integers]]:
    """For each fold, the indices outside it and the indices in it."""
    return [
        (np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds)
    ]
