"""Softmax regression on stored activations: several training sets of the same images at once.

The folds of a cross-fitting share four fifths of their images, so their solutions are found side by
side: one pass of the features serves all of them, and a product of them with the weights of five
folds takes little longer than with those of one. Each training set keeps its own standardisation.

Newton's method, each step by conjugate gradients, which need products with the Hessian and not the
Hessian (Nocedal and Wright 2006, "Numerical Optimization", algorithm 7.1). They are preconditioned
by the leading axes of the features' spread, along which the loss is steepest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

GAP = 1e-8  # nats that the loss may lie above its minimum, by the estimate of the preconditioner
ROUGH_GAP = 1e-6  # where penalties are compared
_STEPS, _TURNS = 30, 100  # of Newton's method, and of conjugate gradients in each, at the most
LEAST_STEP = 1e-3
ROUNDING = 3e-8  # of a loss in float32
_AXES = 64
AXES_ON = 4096  # images that the axes are found on
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
        self, features: Floats, labels: Integers, classes: int, sets: Sequence[TrainingSet]
    ) -> None:
        """Standardise the features.

        Args:
            features: float32 ``(N, D)``; standardised in place.
            labels: class indices ``(N,)``, 0 to K-1.
            classes: K.
            sets: the F training sets.
        """
        every = len(labels)
        own = [standardisation(features, one.rows) for one in sets]
        mean, scale = own[0] if len(sets) == 1 else standardisation(features, np.arange(every))
        features -= mean
        features *= scale
        at_once = max(1, _NUMBERS // max(1, every * classes))
        self._groups = [
            _Group(features, labels, classes, sets[begin : begin + at_once])
            for begin in range(0, len(sets), at_once)
        ]
        for number, group in enumerate(self._groups):
            group.standardise(own[number * at_once :][:at_once], mean, scale)
        self._axes = Axes(features)

    def solve(self, penalty: float, gap: float = GAP) -> list[LinearHead]:
        """The minimum of each set for ``penalty``; the last solutions are the starting points.

        Args:
            penalty: λ.
            gap: nats that the loss may lie above its minimum.
        """
        return [head for group in self._groups for head in group.solve(penalty, gap, self._axes)]


class Axes:
    """The leading axes of standardised features, by which the Hessian is nearly inverted.

    Attributes:
        vectors: orthonormal columns ``(D, R)``.
        spreads: the features' mean square along each ``(R,)``.
        rest: and along any other direction.
    """

    def __init__(self, rows: Floats) -> None:
        """Find them by two turns of subspace iteration, on some of the rows."""
        some = rows[:: -(-len(rows) // AXES_ON)]
        count = min(_AXES, *some.shape)
        drawn = np.random.default_rng(0).standard_normal((some.shape[1], count))
        basis = drawn.astype(np.float32)
        for _ in range(2):
            basis = np.linalg.qr(some.T @ (some @ basis))[0]
        along = some @ basis
        values, turn = np.linalg.eigh(along.T @ along)
        self.vectors = (basis @ turn).astype(np.float32)
        self.spreads = (np.maximum(values, 0) / len(some)).astype(np.float32)
        left = float(np.vdot(some, some)) / len(some) - float(self.spreads.sum())
        # Half: directions that the features hardly take would be slowed by the mean of the others.
        self.rest = max(left, 0.0) / max(some.shape[1] - count, 1) / 2


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


class _Group:
    """Training sets that are solved side by side."""

    def __init__(
        self, rows: Floats, labels: Integers, classes: int, sets: Sequence[TrainingSet]
    ) -> None:
        self._rows, self._labels, self._classes = rows, labels, classes
        self._weights = np.zeros((len(labels), len(sets)), np.float32)
        for number, one in enumerate(sets):
            self._weights[one.rows, number] = one.weights / np.float32(len(one.rows))
        shape = len(sets), rows.shape[1], classes
        self._solution = Point(np.zeros(shape, np.float32), np.zeros(shape[::2], np.float32))

    def standardise(
        self, own: Sequence[tuple[Floats, Floats]], mean: Floats, scale: Floats
    ) -> None:
        """Let the sets have means and scales of their own, in units of the rows' ``(F, D)``."""
        self._own = own
        means, scales = (np.stack(each) for each in zip(*own, strict=True))
        self._middle = (means - mean) * scale
        self._stretch = np.where(scale == 0, 0, scales / np.where(scale == 0, 1, scale))

    def solve(self, penalty: float, within: float, axes: Axes) -> list[LinearHead]:
        """The head of each set, from the last solution on."""
        at = self._solution
        loss, shares = self._loss(at, penalty)
        for _ in range(_STEPS):
            slope = self._slope(at, shares, penalty)
            inverse = self._inverse(shares, penalty, axes)
            gap = slope.dot(inverse(slope)) / 2
            if not (gap > within).any():
                break
            step = self._newton_step(slope, shares, penalty, inverse, within)
            falls, size = slope.dot(step), np.where(gap > within, 1.0, 0.0)
            while True:
                there = at.plus(step, size)
                found, there_shares = self._loss(there, penalty)
                over = (found > loss + 1e-4 * size * falls + ROUNDING * (1 + loss)) & (size > 0)
                if not over.any():
                    break
                size = np.where(over, np.where(size > LEAST_STEP, size / 2, 0.0), size)
            if not size.any():
                break
            at, loss, shares = there, found, there_shares
        self._solution = at
        heads = []
        for (mean, scale), weight, bias in zip(self._own, at.weight, at.bias, strict=True):
            own = weight.T * scale
            heads.append(LinearHead(own, bias - own @ mean))
        return heads

    def _newton_step(
        self, slope: Point, shares: Floats, penalty: float, inverse: "Inverse", gap: float
    ) -> Point:
        """The step to the minimum of the loss's quadratic model, by conjugate gradients."""
        none = np.zeros(len(slope.bias))
        left = Point(-slope.weight, -slope.bias)
        toward = inverse(left)
        size = first = left.dot(toward)
        step = Point(np.zeros_like(slope.weight), np.zeros_like(slope.bias))
        for _ in range(_TURNS):
            curved = self._curvature(toward, shares, penalty)
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

    def _logits(self, point: Point) -> Floats:
        """``(N, F, K)``, of every image by every set's weights."""
        columns, bias = self._columns(point)
        logits = (self._rows @ columns).reshape(-1, *bias.shape)
        logits += bias
        return logits

    def _back(self, errors: Floats, point: Point, penalty: float) -> Point:
        """What errors of the logits ``(N, F, K)`` come to in the weights, and the penalty's."""
        sets, classes = errors.shape[1:]
        total = errors.sum(axis=0)
        products = (self._rows.T @ errors.reshape(len(errors), -1)).reshape(-1, sets, classes)
        weight = products.transpose(1, 0, 2) - self._middle[:, :, None] * total[:, None, :]
        weight = weight * self._stretch[:, :, None]
        weight += np.float32(penalty) * point.weight
        # Raising all biases by one number changes nothing. What rounding leaves of them has no
        # curvature: a step along it would have no end.
        total -= total.mean(axis=1, keepdims=True)
        return Point(weight, total)

    def _loss(self, at: Point, penalty: float) -> tuple[Doubles, Floats]:
        """The loss of each set ``(F,)``, and all probabilities ``(N, F, K)``."""
        logits = self._logits(at)
        logits -= logits.max(axis=2, keepdims=True)
        right = logits[np.arange(len(logits)), :, self._labels].astype(np.float64)
        np.exp(logits, out=logits)
        total = logits.sum(axis=2, keepdims=True)
        logits /= total
        losses = np.log(total[:, :, 0].astype(np.float64)) - right
        squares = np.einsum("fdk,fdk->f", at.weight, at.weight)
        return (losses * self._weights).sum(axis=0) + penalty / 2 * squares, logits

    def _slope(self, at: Point, shares: Floats, penalty: float) -> Point:
        errors = shares.copy()
        errors[np.arange(len(errors)), :, self._labels] -= 1
        errors *= self._weights[:, :, None]
        return self._back(errors, at, penalty)

    def _curvature(self, step: Point, shares: Floats, penalty: float) -> Point:
        """The Hessian times a step."""
        change = self._logits(step)
        change *= shares
        change -= shares * change.sum(axis=2, keepdims=True)
        change *= self._weights[:, :, None]
        return self._back(change, step, penalty)

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


def standardisation(features: Floats, rows: Integers) -> tuple[Floats, Floats]:
    """Mean and scale ``(D,)`` of each feature of some rows; the scale of a constant one is 0."""
    sums = np.zeros((2, features.shape[1]))
    around = features[rows[:1]]
    for begin in range(0, len(rows), AXES_ON):  # no copy of all
        block = features[rows[begin : begin + AXES_ON]] - around
        sums += block.sum(axis=0, dtype=np.float64), np.einsum("nd,nd->d", block, block)
    shift, squares = sums / len(rows)
    mean = around[0] + shift
    deviation = np.sqrt(np.maximum(squares - shift**2, 0))
    steady = deviation < 1e-6 * (np.abs(mean) + 1e-6)
    scale = np.where(steady, 0, 1 / np.where(steady, 1, deviation))
    return mean.astype(np.float32), scale.astype(np.float32)
