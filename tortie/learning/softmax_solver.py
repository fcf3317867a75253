"""Softmax regression on stored activations: several training sets of the same images at once.

The folds of a cross-fitting share four fifths of their images, so their solutions are found side by
side: one pass of the features serves all of them, and a product of them with the weights of five
folds takes little longer than with those of one. Each training set keeps its own standardisation.

Newton's method, each step by conjugate gradients, which need products with the Hessian and not the
Hessian (Nocedal and Wright 2006, "Numerical Optimization", algorithm 7.1). They are preconditioned
by the axes of the features' spread, all or the leading ones, along which the loss is steepest.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tortie.learning.axes import Axes
from tortie.learning.training_rows import TrainingRows, standardisation

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

GAP = 1e-13
"""Nats that the loss may lie above its minimum, by the preconditioner: probabilities are then
within some millionths of those at the minimum, unless rounding ends the search before. A class that
no image of a training set is of has no minimum: it is left with a probability of some 1e-7."""
FOLD_GAP = 1e-8  # where what was held out is predicted, and the layer is not kept
ROUGH_GAP = 1e-6  # where penalties are compared
_ROUNDED = 1e-8  # nats, from which on a step that gains little is one of rounding
_STEPS, _TURNS = 30, 100  # of Newton's method, and of conjugate gradients in each, at the most
LEAST_STEP = 1e-3
ROUNDING = 1e-6  # of a loss in float32, of few images with many features
_NUMBERS = 2**24  # probabilities at once: folds of more are solved one after another


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


class TrainingSet(NamedTuple):
    """Which images are trained on ``(n,)``, and what each counts, of mean one ``(n,)``."""

    rows: Integers
    weights: Floats


class Problems:
    """Softmax regression on training sets of the same images, for one penalty after another."""

    def __init__(
        self, features: Floats, labels: Integers, classes: int, sets: Sequence[TrainingSet],
        rows: Integers | None = None, threads: int = 1,
    ) -> None:  # fmt: skip
        """Standardise the features.

        Args:
            features: float32 ``(M, D)``; standardised in place, unless ``rows`` are given. Then
                they should be C-contiguous: numpy takes rows of others from a copy of all.
            labels: class indices ``(N,)``, 0 to K-1.
            classes: K.
            sets: the F training sets.
            rows: which of the features are those of the images ``(N,)``; by default all.
            threads: that work through blocks of features side by side.
        """
        every = np.arange(len(labels)) if rows is None else rows
        own = [standardisation(features, every[one.rows]) for one in sets]
        mean, scale = own[0] if len(sets) == 1 else standardisation(features, every)
        training = TrainingRows(features, rows, mean, scale, threads)
        self._threads = threads
        at_once = max(1, _NUMBERS // max(1, len(labels) * classes))
        self._groups = [
            _Group(training, labels, classes, sets[begin : begin + at_once])
            for begin in range(0, len(sets), at_once)
        ]
        for number, group in enumerate(self._groups):
            group.standardise(own[number * at_once :][:at_once])
        with self._limited():
            self._axes = training.axes()

    def solve(self, penalty: float, gap: float = GAP) -> list[LinearHead]:
        """The minimum of each set for ``penalty``; the last solutions are the starting points.

        Args:
            penalty: λ.
            gap: nats that the loss may lie above its minimum.
        """
        with self._limited():
            solved = [group.solve(penalty, gap, self._axes) for group in self._groups]
        return [head for heads in solved for head in heads]

    def _limited(self) -> AbstractContextManager[object]:
        """One thread for each product where blocks are worked through side by side.

        A product's own threads wait for the next by spinning, in the way of those.
        """
        return nullcontext() if self._threads == 1 else threadpool_limits(1, "blas")


class Point(NamedTuple):
    """Weights ``(F, D, K)`` on standardised features, or a step of them, and biases ``(F, K)``."""

    weight: Floats
    bias: Floats

    def dot(self, other: "Point") -> Doubles:
        """The inner product of each training set's own ``(F,)``."""
        count = len(self.bias)
        products = np.einsum(
            "fn,fn->f", self.weight.reshape(count, -1), other.weight.reshape(count, -1)
        )
        found: Doubles = (products + (self.bias * other.bias).sum(axis=1)).astype(np.float64)
        return found

    def plus(self, other: "Point", share: Doubles) -> "Point":
        """A step along another, by a share of each training set's own ``(F,)``."""
        by = share.astype(np.float32)
        return Point(
            self.weight + by[:, None, None] * other.weight, self.bias + by[:, None] * other.bias
        )


class _Evaluation(NamedTuple):
    """The loss of each set ``(F,)``, its gradient, and all probabilities ``(N, F, K)``."""

    loss: Doubles
    slope: Point
    shares: Floats


class _Group:
    """Training sets that are solved side by side."""

    def __init__(
        self, rows: TrainingRows, labels: Integers, classes: int, sets: Sequence[TrainingSet]
    ) -> None:
        self._rows, self._labels, self._classes = rows, labels, classes
        self._weights = np.zeros((len(labels), len(sets)), np.float32)
        for number, one in enumerate(sets):
            self._weights[one.rows, number] = one.weights / np.float32(len(one.rows))
        shape = len(sets), rows.shape[1], classes
        self._solution = Point(np.zeros(shape, np.float32), np.zeros(shape[::2], np.float32))

    def standardise(self, own: Sequence[tuple[Floats, Floats]]) -> None:
        """Let the sets have means and scales of their own, in units of the rows' ``(F, D)``."""
        self._own = own
        mean, scale = self._rows.mean, self._rows.scale
        means, scales = (np.stack(each) for each in zip(*own, strict=True))
        self._middle = (means - mean) * scale
        self._stretch = np.where(scale == 0, 0, scales / np.where(scale == 0, 1, scale))

    def solve(self, penalty: float, within: float, axes: Axes) -> list[LinearHead]:
        """The head of each set, from the last solution on."""
        at = self._solution
        here = self._evaluate(at, penalty)
        last = np.full(len(here.loss), np.inf)
        for _ in range(_STEPS):
            inverse = self._inverse(here.shares, penalty, axes)
            gap = here.slope.dot(inverse(here.slope)) / 2
            gap[(gap <= _ROUNDED) & (gap > last / 4)] = 0
            if not (gap > within).any():
                break
            last = gap
            step = self._newton_step(here, penalty, inverse, within)
            falls, size = here.slope.dot(step), np.where(gap > within, 1.0, 0.0)
            while True:
                there = at.plus(step, size)
                found = self._evaluate(there, penalty)
                falling = found.loss <= here.loss + 1e-4 * size * falls
                # Where rounding hides what a step gains, the slope at its end tells (Hager and
                # Zhang 2005, "A New Conjugate Gradient Method with Guaranteed Descent").
                hidden = found.loss <= here.loss + ROUNDING * (1 + here.loss)
                falling |= hidden & (found.slope.dot(step) <= -falls / 2)
                over = ~falling & (size > 0)
                if not over.any():
                    break
                size = np.where(over, np.where(size > LEAST_STEP, size / 2, 0.0), size)
            if not size.any():
                break
            at, here = there, found
        self._solution = at
        heads = []
        for (mean, scale), weight, bias in zip(self._own, at.weight, at.bias, strict=True):
            own = weight.T * scale
            heads.append(LinearHead(own, bias - own @ mean))
        return heads

    def _newton_step(
        self, here: _Evaluation, penalty: float, inverse: "Inverse", gap: float
    ) -> Point:
        """The step to the minimum of the loss's quadratic model, by conjugate gradients."""
        slope, none = here.slope, np.zeros(len(here.loss))
        left = Point(-slope.weight, -slope.bias)
        toward = inverse(left)
        size = first = left.dot(toward)
        step = Point(np.zeros_like(slope.weight), np.zeros_like(slope.bias))
        for _ in range(_TURNS):
            curved = self._curvature(toward, here.shares, penalty)
            bend = toward.dot(curved)
            along = np.divide(size, bend, out=none.copy(), where=bend > 0)
            step, left = step.plus(toward, along), left.plus(curved, -along)
            turned = inverse(left)
            then = left.dot(turned)
            # Far from the minimum the model is rough: a tenth of the slope may stay.
            if not (then > np.maximum(np.minimum(0.01, first) * first, gap)).any():
                break
            keep = np.divide(then, size, out=none.copy(), where=size > 0)
            toward, size = turned.plus(toward, keep), then
        return step

    def _columns(self, point: Point) -> tuple[Floats, Floats]:
        """Weights on the shared rows ``(D, F K)``, and the biases that go with them ``(F, K)``."""
        stretched = point.weight * self._stretch[:, :, None]
        bias = point.bias - np.einsum("fd,fdk->fk", self._middle, stretched)
        return stretched.transpose(1, 0, 2).reshape(len(stretched[0]), -1), bias

    def _evaluate(self, at: Point, penalty: float) -> _Evaluation:
        columns, bias = self._columns(at)
        shares = np.empty((len(self._labels), *bias.shape), np.float32)

        def work(rows: Floats, part: slice) -> list[NDArray[Any]]:
            own, labels, weights = shares[part], self._labels[part], self._weights[part]
            np.matmul(rows, columns, out=own.reshape(len(rows), -1))
            own += bias
            own -= own.max(axis=2, keepdims=True)
            places = np.arange(len(rows))
            right = own[places, :, labels].astype(np.float64)
            np.exp(own, out=own)
            total = own.sum(axis=2, keepdims=True)
            own /= total
            losses = np.log(total[:, :, 0].astype(np.float64)) - right
            errors = own.copy()
            # Less one would be rounding alone where an image is all but sure to be of its class.
            errors[places, :, labels] = 0
            errors[places, :, labels] = -errors.sum(axis=2)
            errors *= weights[:, :, None]
            return [(losses * weights).sum(axis=0), *self._products(rows, errors)]

        loss, *sums = self._rows.summed(len(columns[0]), work)
        squares = np.einsum("fdk,fdk->f", at.weight, at.weight)
        return _Evaluation(loss + penalty / 2 * squares, self._back(sums, at, penalty), shares)

    def _curvature(self, step: Point, shares: Floats, penalty: float) -> Point:
        """The Hessian times a step."""
        columns, bias = self._columns(step)

        def work(rows: Floats, part: slice) -> list[NDArray[Any]]:
            own, change = shares[part], (rows @ columns).reshape(len(rows), *bias.shape)
            change += bias
            # To raise all logits changes nothing: so there is none of a class that is all but sure,
            # whose curvature would be rounding alone.
            change -= change[np.arange(len(rows)), :, self._labels[part], None]
            change *= own
            change -= own * change.sum(axis=2, keepdims=True)
            change *= self._weights[part, :, None]
            return self._products(rows, change)

        return self._back(self._rows.summed(len(columns[0]), work), step, penalty)

    def _products(self, rows: Floats, errors: Floats) -> list[NDArray[Any]]:
        """Errors of logits ``(n, F, K)`` times their features ``(D, F K)``, and summed."""
        return [rows.T @ errors.reshape(len(rows), -1), errors.sum(axis=0)]

    def _back(self, sums: Sequence[Floats], point: Point, penalty: float) -> Point:
        """What errors come to in each set's own weights, and the penalty's."""
        products, total = sums
        products = products.reshape(-1, *total.shape)
        weight = products.transpose(1, 0, 2) - self._middle[:, :, None] * total[:, None, :]
        weight = weight * self._stretch[:, :, None]
        weight += np.float32(penalty) * point.weight
        # Raising all biases by one number changes nothing. What rounding leaves of them has no
        # curvature: a step along it would have no end.
        return Point(weight, total - total.mean(axis=1, keepdims=True))

    def _inverse(self, shares: Floats, penalty: float, axes: Axes) -> "Inverse":
        doubt = (1 - np.einsum("nfk,nfk->nf", shares, shares)) * self._weights
        return Inverse(axes, doubt.sum(axis=0) / (self._classes - 1), penalty)


class Inverse:
    """Nearly the inverse of the Hessian: the curvature is taken to be the same for every image."""

    def __init__(self, axes: Axes, curvature: Floats, penalty: float) -> None:
        """Take the curvature of each training set ``(F,)``."""
        self._vectors = axes.vectors
        self._bends = np.maximum(curvature, 1e-9).astype(np.float32)
        self._elsewhere = (1 / (self._bends * axes.rest + penalty)).astype(np.float32)
        along = 1 / (self._bends * axes.spreads[:, None] + np.float32(penalty))
        self._along = along - self._elsewhere  # (R, F)

    def __call__(self, point: Point) -> Point:
        """Nearly the inverse times a point."""
        sets, width, classes = point.weight.shape
        columns = point.weight.transpose(1, 0, 2).reshape(width, -1)
        leading = (self._vectors.T @ columns).reshape(-1, sets, classes) * self._along[:, :, None]
        back = (self._vectors @ leading.reshape(len(leading), -1)).reshape(width, sets, classes)
        weight = back.transpose(1, 0, 2) + self._elsewhere[:, None, None] * point.weight
        return Point(weight, point.bias / self._bends[:, None])
