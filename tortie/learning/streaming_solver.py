"""Softmax regression on features larger than memory: one pass of their files an evaluation.

The problem is that of :mod:`~tortie.learning.softmax_solver`, which needs a pass of the features
for each product with the Hessian, some twenty a step of Newton's method. Here L-BFGS (Nocedal and
Wright 2006, "Numerical Optimization", algorithm 7.4) needs one pass a step, for the loss and its
gradient together. Its first guess of the inverse Hessian is the other solver's preconditioner. From
one penalty to the next the Hessian changes by a known multiple of the identity, so what was learnt
of it is kept.

Products are in float32, sums over blocks of rows, and all that is made of these, in float64. Each
thread works through blocks of its own, each process through files of its own, and the sums are
added up in their order.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from tortie.learning.softmax_solver import (
    AXES_ON,
    LEAST_STEP,
    ROUNDING,
    Axes,
    Doubles,
    Floats,
    Integers,
    Inverse,
    LinearHead,
    Point,
)
from tortie.processes import ALONE, Processes

GRADIENT = 1e-5
"""The gradient's length, as a share of its length at zero weights, at which a solution is there."""
_STEPS = 200  # for one penalty, at the most
_PAIRS = 20  # steps that are remembered


class Block(NamedTuple):
    """Some rows that are trained on.

    Attributes:
        features: float32 ``(n, D)``, which may be written to.
        labels: class indices ``(n,)``.
        weights: what each row counts ``(n,)``; those of all blocks add up to one.
    """

    features: Floats
    labels: Integers
    weights: Floats


Blocks = Sequence[Callable[[], Block]]
"""Each reads one block; those of a process, in its order."""


class _Evaluation(NamedTuple):
    """The loss at weights and biases, its gradient ``((D + 1) K,)``, and the logits' curvature."""

    loss: float
    gradient: Doubles
    curvature: float


class _Pair(NamedTuple):
    """A step, and what the gradient changed by along it, without the penalty's share."""

    step: Doubles
    change: Doubles


class StreamedProblem:
    """Softmax regression on rows in files, for one penalty after another."""

    def __init__(
        self, blocks: Blocks, rows: int, shape: tuple[int, int],
        threads: int = 1, processes: Processes = ALONE,
    ) -> None:  # fmt: skip
        """Find the mean and the scale of each feature, in one pass, and the leading axes.

        Args:
            blocks: of this process.
            rows: of all blocks of all processes.
            shape: D and K.
            threads: each works through blocks of its own.
            processes: that solve together.
        """
        self._blocks, self._threads, self._processes = blocks, threads, processes
        self._width, self._classes = shape
        self.passes = 0
        with _one_thread():
            self._mean, self._scale, some = self._standardisation(rows)
            self._axes = Axes((some - self._mean) * self._scale)
        self._last: Doubles = np.zeros((self._width + 1) * self._classes)
        self._solutions: dict[float, Doubles] = {}
        self._first: float | None = None
        self._pairs: deque[_Pair] = deque(maxlen=_PAIRS)

    def solve(self, penalty: float, within: float = 0.0) -> LinearHead:
        """The minimum for ``penalty``, from its own or else the last solution on.

        Args:
            penalty: λ.
            within: nats that the loss may lie above its minimum, by the preconditioner's estimate.
        """
        with _one_thread():
            return self._solve(penalty, within)

    def _solve(self, penalty: float, within: float) -> LinearHead:
        penalised = np.full(len(self._last), penalty)
        penalised[-self._classes :] = 0
        at = self._solutions.get(penalty, self._last)
        found = self._evaluate(at, penalised)
        self._first = self._first or float(np.linalg.norm(found.gradient))
        for _ in range(_STEPS):
            inverse = self._inverse(found.curvature, penalty)
            gap = found.gradient @ inverse(found.gradient) / 2
            if np.linalg.norm(found.gradient) <= GRADIENT * self._first or gap <= within:
                break
            pairs = [_Pair(one, other + penalised * one) for one, other in self._pairs]
            step = -_nearly_inverse(found.gradient, pairs, inverse)
            there, then = self._search(at, found, step, penalised)
            if then is None:
                if not self._pairs:
                    break
                self._pairs.clear()  # rounding has spoilt them: begin anew from the gradient
                continue
            change = then.gradient - found.gradient
            if change @ (there - at) > 0:
                self._pairs.append(_Pair(there - at, change - penalised * (there - at)))
            at, found = there, then
        self._solutions[penalty] = self._last = at
        weight, bias = self._parts(at)
        own: Floats = weight.T * self._scale
        return LinearHead(own, (bias - own @ self._mean).astype(np.float32))

    def _parts(self, at: Doubles) -> tuple[Floats, Floats]:
        """Weights ``(D, K)`` on standardised features, and biases ``(K,)``."""
        parts = at.astype(np.float32).reshape(self._width + 1, -1)
        return parts[:-1], parts[-1]

    def _inverse(self, curvature: float, penalty: float) -> Callable[[Doubles], Doubles]:
        """The other solver's preconditioner."""
        inverse = Inverse(self._axes, np.array([curvature], np.float32), penalty)

        def times(vector: Doubles) -> Doubles:
            weight, bias = self._parts(vector)
            found = inverse(Point(weight[None], bias[None]))
            return np.concatenate([found.weight.ravel(), found.bias.ravel()]).astype(np.float64)

        return times

    def _search(
        self, at: Doubles, found: _Evaluation, step: Doubles, penalised: Doubles
    ) -> tuple[Doubles, _Evaluation | None]:
        """The step, halved until the loss falls; nothing where it does not.

        Near the minimum the loss falls by less than its rounding: then the slope along the step
        tells that the minimum was not left far behind (Hager and Zhang 2005, their condition T2).
        """
        falls, size = found.gradient @ step, 1.0
        while size > LEAST_STEP:
            there = at + size * step
            then = self._evaluate(there, penalised)
            if then.loss <= found.loss + 1e-4 * size * falls:
                return there, then
            near = then.loss <= found.loss + ROUNDING * (1 + found.loss)
            if near and then.gradient @ step <= -0.9 * falls:
                return there, then
            size /= 2
        return at, None

    def _evaluate(self, at: Doubles, penalised: Doubles) -> _Evaluation:
        weight, bias = self._parts(at)
        columns = weight * self._scale[:, None]
        size = 2 + len(at)
        summed = self._summed(lambda block: self._sums(block, columns, bias), size)
        self.passes += 1
        loss, curvature = summed[:2]
        total, products = summed[2 : 2 + self._classes], summed[2 + self._classes :]
        slope = products.reshape(self._width, -1) * self._scale[:, None]
        # Biases that are raised all alike change nothing.
        gradient = np.concatenate([slope.ravel(), total - total.mean()]) + penalised * at
        loss += at @ (penalised * at) / 2
        return _Evaluation(float(loss), gradient, float(curvature) / (self._classes - 1))

    def _sums(self, block: Block, columns: Floats, bias: Floats) -> list[Floats]:
        """A block's loss, curvature, and gradients of the biases and the stretched weights."""
        features, labels, weights = block
        features -= self._mean
        shares = features @ columns
        shares += bias
        shares -= shares.max(axis=1, keepdims=True)
        rows = np.arange(len(labels))
        right = shares[rows, labels].astype(np.float64)
        np.exp(shares, out=shares)
        total = shares.sum(axis=1, keepdims=True)
        shares /= total
        losses = np.log(total[:, 0].astype(np.float64)) - right
        doubt = (1 - np.einsum("nk,nk->n", shares, shares)) @ weights
        shares[rows, labels] -= 1
        shares *= weights[:, None]
        scalars = np.array([losses @ weights, doubt])
        return [scalars, shares.sum(axis=0), (features.T @ shares).ravel()]

    def _summed(self, sums: Callable[[Block], Sequence[Floats | Doubles]], size: int) -> Doubles:
        """What a pass over all blocks adds up to, float64, end to end ``(size,)``.

        A process that has no block, as where there are more processes than files, adds nothing.
        """

        def share(number: int) -> list[Doubles]:
            whole: list[Doubles] = []
            for read in self._blocks[number :: self._threads]:
                found = sums(read())
                whole = whole or [np.zeros(one.shape) for one in found]
                for one, more in zip(whole, found, strict=True):
                    one += more
            return whole

        with ThreadPoolExecutor(self._threads) as workers:
            shares = [one for one in workers.map(share, range(self._threads)) if one]
        whole = np.zeros(size)
        for one in shares:
            whole += np.concatenate(one)
        return self._of_all(whole)

    def _of_all(self, flat: Doubles) -> Doubles:
        """The sum over the processes."""
        if self._processes.count == 1:
            return flat
        import torch

        tensor = torch.from_numpy(flat).to(self._processes.device)
        self._processes.all_reduce([tensor])
        found: Doubles = tensor.cpu().numpy()
        return found

    def _standardisation(self, rows: int) -> tuple[Floats, Floats, Floats]:
        """Mean and scale of each feature ``(D,)``, 0 of a constant one, and some of the rows."""
        every, some = -(-rows // AXES_ON), []
        (around,) = self._of_first(lambda: self._blocks[0]().features.mean(axis=0))

        def sums(block: Block) -> list[Doubles]:
            features = block.features
            some.append(features[::every].copy())
            features -= around
            each = features.sum(axis=0, dtype=np.float64)
            return [each, np.einsum("nd,nd->d", features, features).astype(np.float64)]

        first, second = self._summed(sums, 2 * self._width).reshape(2, -1) / rows
        mean = around + first
        deviation = np.sqrt(np.maximum(second - first**2, 0))
        steady = deviation < 1e-6 * (np.abs(mean) + 1e-6)
        scale = np.where(steady, 0, 1 / np.where(steady, 1, deviation))
        sample = self._of_first(lambda: np.vstack(some))
        return mean.astype(np.float32), scale.astype(np.float32), sample

    def _of_first(self, own: Callable[[], Floats]) -> Floats:
        """The rows ``(n, D)`` that the first process has."""
        content = self._processes.broadcast_bytes(lambda: own().astype(np.float32).tobytes())
        return np.frombuffer(content, np.float32).reshape(-1, self._width)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for each product: blocks are worked through side by side."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        yield


def _nearly_inverse(
    gradient: Doubles, pairs: Sequence[_Pair], first: Callable[[Doubles], Doubles]
) -> Doubles:
    """The inverse Hessian, as the pairs tell it, times the gradient: the two loops of L-BFGS."""
    left, shares = gradient, []
    for step, change in reversed(pairs):
        share = (step @ left) / (step @ change)
        left = left - share * change
        shares.append(share)
    turned = first(left)
    if pairs:
        step, change = pairs[-1]
        turned = turned * ((step @ change) / (change @ first(change)))
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        turned = turned + (share - (change @ turned) / (step @ change)) * step
    return turned
