"""The inverse Hessian of a softmax regression, from a sample of its rows that is held in memory.

Newton's method needs the gradient exactly, and of the Hessian only so much that its steps lead well
(Byrd et al. 2011, "On the Use of Stochastic Hessian Information in Optimization Methods for Machine
Learning"; Roosta-Khorasani and Mahoney 2019, "Sub-sampled Newton methods"). The sample's Hessian is
flat where few of its rows are, so a share is taken from a model of it: curvature that is the same
for every row, along the axes of the features' spread. This model is the preconditioner too.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tortie.learning.axes import axes_of
from tortie.learning.softmax_solver import Doubles, Floats

NUMBERS = 2**25
"""Of 32 bits, that a sample takes at the most, its features and its probabilities: 134 MB."""
PART = 0.5  # of all rows, at the most: a larger sample saves no time
_SHARE = 0.1  # of the model in the Hessian, where the sample is a small part of all rows
_AXES = 1280  # at the most; the rest of the features' spread is taken to be the same each way
_LEFT = 0.05  # of the right-hand side, by the preconditioner's measure, where a solution is there
_TURNS = 30  # of conjugate gradients, at the most


class SampleRows(NamedTuple):
    """Some rows of the sample: standardised features ``(n, D)`` and what each counts ``(n,)``."""

    features: Floats
    weights: Floats


Summed = Callable[[Sequence[Any], Callable[[Any], Sequence[NDArray[Any]]], int], Doubles]
"""What a function of items of this process yields, added up over threads and processes."""


class SampledHessian:
    """The Hessian at one point after another, times a vector or nearly inverted.

    A vector is ``((D + 1) K,)``: weights ``(D, K)`` on standardised features, then biases.
    """

    def __init__(
        self, rows: Sequence[SampleRows], part: float, width: int, summed: Summed,
        of_first: Callable[[Callable[[], Floats]], Floats],
    ) -> None:  # fmt: skip
        """Find how the features spread.

        Args:
            rows: of this process.
            part: of all rows that the sample is, at the most 1.
            width: D.
            summed: adds up over threads and processes.
            of_first: what the first process finds, for all of them.
        """
        self._rows, self._width, self._summed = rows, width, summed
        self._share = _SHARE * (1 - part)
        found = summed(rows, self._spread, width * width + 1)
        self._total, spread = found[0], found[1:].reshape(width, width) / found[0]
        count = min(_AXES, width)

        def found_axes() -> Floats:
            axes = axes_of(spread.astype(np.float32), count)
            return np.vstack([axes.vectors, axes.spreads, np.full(count, axes.rest, np.float32)])

        axes = of_first(found_axes).reshape(-1, count)
        self._vectors, self._spreads, self._rest = axes[:width], axes[width], axes[-1, 0]

    def _spread(self, rows: SampleRows) -> list[Floats]:
        weighted = rows.features * rows.weights[:, None]
        return [rows.weights.sum(keepdims=True), (rows.features.T @ weighted).ravel()]

    def move(self, weight: Floats, bias: Floats) -> None:
        """Let the Hessian be that at weights ``(D, K)`` and biases ``(K,)``."""

        def sums(place: int) -> list[Floats]:
            shares = self._rows[place].features @ weight
            shares += bias
            shares -= shares.max(axis=1, keepdims=True)
            np.exp(shares, out=shares)
            shares /= shares.sum(axis=1, keepdims=True)
            self._probabilities[place] = shares
            return [self._rows[place].weights @ (shares * (1 - shares))]

        self._probabilities: list[Floats] = [np.empty((0, 0), np.float32)] * len(self._rows)
        classes = len(bias)
        curvature = self._summed(range(len(self._rows)), sums, classes) / self._total
        # Classes that are all as likely have this curvature along any step that adds up to zero.
        self._curvature = np.maximum(curvature * classes / (classes - 1), 1e-9).astype(np.float32)

    def solve(self, vector: Doubles, penalised: Doubles) -> Doubles:
        """Nearly the inverse Hessian times a vector, by conjugate gradients.

        Args:
            vector: whose parts of the classes add up to zero.
            penalised: λ for each weight, 0 for the biases.
        """
        found, left = np.zeros_like(vector), vector
        toward = turned = self._nearly(left, float(penalised[0]))
        size = left @ toward
        enough = _LEFT**2 * size
        for _ in range(_TURNS):
            curved = self._times(toward) + penalised * toward
            bend = toward @ curved
            if not bend > 0:
                break
            found, left = found + size / bend * toward, left - size / bend * curved
            turned = self._nearly(left, float(penalised[0]))
            then = left @ turned
            if then <= enough:
                break
            toward, size = turned + then / size * toward, then
        return found if found.any() else turned

    def _times(self, vector: Doubles) -> Doubles:
        """The Hessian without the penalty, times a vector."""
        weight, bias = self._parts(vector)

        def sums(place: int) -> list[Floats]:
            features = self._rows[place].features
            shares, change = self._probabilities[place], features @ weight
            change += bias
            change *= shares
            change -= shares * change.sum(axis=1, keepdims=True)
            change *= self._rows[place].weights[:, None]
            return [(features.T @ change).ravel(), change.sum(axis=0)]

        found = self._summed(range(len(self._rows)), sums, len(vector)) / self._total
        found[-len(bias) :] -= found[-len(bias) :].mean()
        if self._share:
            model = self._model(vector, lambda spread: spread * self._curvature, self._curvature)
            found = (1 - self._share) * found + self._share * model
        return found

    def _nearly(self, vector: Doubles, penalty: float) -> Doubles:
        """The inverse of the model times a vector: the preconditioner."""
        bend = self._curvature
        return self._model(vector, lambda spread: 1 / (spread * bend + penalty), 1 / bend)

    def _model(self, vector: Doubles, along: Callable[[Any], Floats], biases: Floats) -> Doubles:
        """A function of the model times a vector.

        What all classes share changes no probability, and is left out.

        Args:
            vector: as everywhere here.
            along: factors of the weights, by the spread along an axis.
            biases: factors of the biases.
        """
        weight, bias = self._parts(vector)
        elsewhere = along(self._rest)
        leading = self._vectors.T @ weight
        leading *= along(self._spreads[:, None]) - elsewhere
        weight = self._vectors @ leading + elsewhere * weight
        whole = np.concatenate([weight, (bias * biases)[None]])
        whole -= whole.mean(axis=1, keepdims=True)
        return whole.ravel().astype(np.float64)

    def _parts(self, vector: Doubles) -> tuple[Floats, Floats]:
        parts = vector.astype(np.float32).reshape(self._width + 1, -1)
        return parts[:-1], parts[-1]
