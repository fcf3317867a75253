"""Softmax regression on features too many to copy, in files or in memory: few passes of them.

The problem is that of :mod:`~tortie.learning.softmax_solver`, which needs a pass of the features
for each product with the Hessian, some twenty a step of Newton's method. Here L-BFGS (Nocedal and
Wright 2006, "Numerical Optimization", algorithm 7.4) needs one pass a step, for the loss and its
gradient together. Its first guess of the inverse Hessian is that of a sample of the rows
(:mod:`~tortie.learning.sampled_hessian`), so that five to twenty passes a penalty are enough. What
the steps tell of the Hessian is forgotten from one penalty to the next: it is of another place.

Products are in float32, sums over blocks of rows, and all that is made of these, in float64. Each
thread works through blocks of its own, each process through files of its own, and the sums are
added up in their order.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tortie.learning import sampled_hessian
from tortie.learning.sampled_hessian import SampledHessian, SampleRows
from tortie.learning.softmax_solver import (
    LEAST_STEP,
    ROUNDING,
    Doubles,
    Floats,
    Integers,
    LinearHead,
)
from tortie.processes import ALONE, Processes, give_back_memory

GRADIENT = 1e-5
"""The gradient's length, as a share of its length at zero weights, at which a solution is there."""
_GAP = 1e-8  # nats that the loss may lie above its minimum, by the sample's estimate
_STEPS = 200  # for one penalty, at the most
_PAIRS = 20  # steps that are remembered
_PIECE = 1024  # rows of the sample that are worked on at once
_FAR = 100  # deviations that a mean may be from 0 where it is not taken out of every row


class Block(NamedTuple):
    """Some rows that are trained on.

    Attributes:
        features: float32 ``(n, D)``.
        labels: class indices ``(n,)``.
        weights: what each row counts ``(n,)``; those of all blocks add up to one.
    """

    features: Floats
    labels: Integers
    weights: Floats


Blocks = Sequence[Callable[[], Block]]
"""Each reads one block; those of a process, in its order."""


class _Evaluation(NamedTuple):
    """Weights and biases ``((D + 1) K,)``, the loss there without the penalty, and its gradient."""

    at: Doubles
    loss: float
    gradient: Doubles

    def penalised(self, penalised: Doubles) -> tuple[float, Doubles]:
        """The loss and its gradient with the penalty, λ of each number."""
        own = penalised * self.at
        return self.loss + float(self.at @ own) / 2, self.gradient + own


class _Pair(NamedTuple):
    """A step, and what the gradient changed by along it."""

    step: Doubles
    change: Doubles


class StreamedProblem:
    """Softmax regression on rows that are read block by block, for one penalty after another."""

    def __init__(
        self, blocks: Blocks, rows: int, shape: tuple[int, int],
        threads: int = 1, processes: Processes = ALONE,
    ) -> None:  # fmt: skip
        """Find the mean and the scale of each feature, and draw the sample, in one pass.

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
        self.reached = 1.0  # length of the last solution's gradient, as a share of the first
        held = sampled_hessian.NUMBERS // (self._width + self._classes)
        part = min(sampled_hessian.PART, max(held, 100) / rows)
        with _one_thread():
            self._mean, self._scale, sample = self._standardisation(rows, part)
            self._far = (np.abs(self._mean) * self._scale).max() > _FAR
            self._hessian = SampledHessian(sample, part, self._width, self._summed, self._of_first)
        self._solutions: dict[float, _Evaluation] = {}
        self._last: _Evaluation | None = None
        self._first: float | None = None

    def close(self) -> None:
        """Let go of the sample, and of its memory: C's library would keep that, in pieces."""
        del self._hessian
        give_back_memory()

    def solve(self, penalty: float, within: float = _GAP) -> list[LinearHead]:
        """The minimum for ``penalty``, the one of a list, from its own or else the last one on.

        Args:
            penalty: λ.
            within: nats that the loss may lie above its minimum, by the sample's estimate.
        """
        with _one_thread():
            return [self._solve(penalty, within)]

    def _solve(self, penalty: float, within: float) -> LinearHead:
        size = (self._width + 1) * self._classes
        penalised = np.full(size, penalty)
        penalised[-self._classes :] = 0
        found = self._solutions.get(penalty) or self._last or self._evaluate(np.zeros(size))
        pairs: deque[_Pair] = deque(maxlen=_PAIRS)
        for _ in range(_STEPS):
            _, gradient = found.penalised(penalised)
            length = float(np.linalg.norm(gradient))
            self._first = self._first or length
            self.reached = length / (self._first or 1.0)
            if self.reached <= GRADIENT:
                break
            self._hessian.move(*self._parts(found.at))
            inverse = partial(self._hessian.solve, penalised=penalised)
            step = -_nearly_inverse(gradient, pairs, inverse)
            if 0 <= -gradient @ step / 2 <= within:
                break
            then = self._search(found, step, penalised)
            if then is None:
                if not pairs:
                    break
                pairs.clear()  # rounding has spoilt them: begin anew from the gradient
                continue
            pair = _Pair(then.at - found.at, then.penalised(penalised)[1] - gradient)
            if pair.change @ pair.step > 0:
                pairs.append(pair)
            found = then
        self._solutions[penalty] = self._last = found
        weight, bias = self._parts(found.at)
        own: Floats = weight.T * self._scale
        return LinearHead(own, (bias - own @ self._mean).astype(np.float32))

    def _parts(self, at: Doubles) -> tuple[Floats, Floats]:
        """Weights ``(D, K)`` on standardised features, and biases ``(K,)``."""
        parts = at.astype(np.float32).reshape(self._width + 1, -1)
        return parts[:-1], parts[-1]

    def _search(self, found: _Evaluation, step: Doubles, penalised: Doubles) -> _Evaluation | None:
        """The step, halved until the loss falls; nothing where it does not.

        Near the minimum the loss falls by less than its rounding: then the slope along the step
        tells that the minimum was not left far behind (Hager and Zhang 2005, their condition T2).
        """
        loss, gradient = found.penalised(penalised)
        falls, size = gradient @ step, 1.0
        while size > LEAST_STEP and falls < 0:
            then = self._evaluate(found.at + size * step)
            lost, slope = then.penalised(penalised)
            if lost <= loss + 1e-4 * size * falls:
                return then
            if lost <= loss + ROUNDING * (1 + loss) and slope @ step <= -0.9 * falls:
                return then
            size /= 2
        return None

    def _evaluate(self, at: Doubles) -> _Evaluation:
        weight, bias = self._parts(at)
        columns = weight * self._scale[:, None]
        middle = np.zeros_like(self._mean) if self._far else self._mean
        bias = bias - middle @ columns
        summed = self._summed(
            self._blocks, lambda read: self._sums(read(), columns, bias), 1 + len(at)
        )
        self.passes += 1
        total, products = summed[1 : 1 + self._classes], summed[1 + self._classes :]
        slope = products.reshape(self._width, -1) - np.outer(middle, total)
        slope *= self._scale[:, None]
        # Raising all biases by one number changes nothing.
        return _Evaluation(
            at, float(summed[0]), np.concatenate([slope.ravel(), total - total.mean()])
        )

    def _sums(self, block: Block, columns: Floats, bias: Floats) -> list[NDArray[Any]]:
        """A block's loss, and gradients of the biases and the stretched weights."""
        features, labels, weights = block
        if self._far:  # what is small beside the mean would be lost in the products
            features = features - self._mean
        shares = features @ columns
        shares += bias
        shares -= shares.max(axis=1, keepdims=True)
        rows = np.arange(len(labels))
        right = shares[rows, labels].astype(np.float64)
        np.exp(shares, out=shares)
        total = shares.sum(axis=1, keepdims=True)
        shares /= total
        losses = np.log(total[:, 0].astype(np.float64)) - right
        shares[rows, labels] -= 1
        shares *= weights[:, None]
        return [np.array([losses @ weights]), shares.sum(axis=0), (features.T @ shares).ravel()]

    def _summed(
        self, items: Sequence[Any], sums: Callable[[Any], Sequence[NDArray[Any]]], size: int
    ) -> Doubles:
        """What this process's items, and those of the others, add up to, end to end ``(size,)``.

        A process that has none, as where there are more processes than files, adds nothing.
        """

        def share(number: int) -> list[Doubles]:
            whole: list[Doubles] = []
            for item in items[number :: self._threads]:
                found = sums(item)
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

    def _standardisation(self, rows: int, part: float) -> tuple[Floats, Floats, list[SampleRows]]:
        """Mean and scale of each feature ``(D,)``, 0 of a constant one, and this process's sample.

        A row is in the sample by a draw of its own.
        """
        around = self._of_first(lambda: self._blocks[0]().features.mean(axis=0))
        drawn: dict[int, SampleRows] = {}

        def sums(number: int) -> list[Doubles]:
            features, _, weights = self._blocks[number]()
            kept = np.random.default_rng((self._processes.rank, number)).random(len(weights)) < part
            features = features - around
            drawn[number] = SampleRows(features[kept], weights[kept])
            each = features.sum(axis=0, dtype=np.float64)
            return [each, np.einsum("nd,nd->d", features, features).astype(np.float64)]

        found = self._summed(range(len(self._blocks)), sums, 2 * self._width)
        shift, second = found.reshape(2, -1) / rows
        mean = around + shift
        deviation = np.sqrt(np.maximum(second - shift**2, 0))
        steady = deviation < 1e-6 * (np.abs(mean) + 1e-6)
        scale = np.where(steady, 0, 1 / np.where(steady, 1, deviation)).astype(np.float32)
        own = [drawn[number] for number in range(len(self._blocks))]
        drawn.clear()
        return mean.astype(np.float32), scale, _together(own, scale, shift.astype(np.float32))

    def _of_first(self, own: Callable[[], Floats]) -> Floats:
        """Numbers that the first process finds, end to end."""
        content = self._processes.broadcast_bytes(lambda: own().astype(np.float32).tobytes())
        return np.frombuffer(content, np.float32)


def _together(rows: list[SampleRows], scale: Floats, shift: Floats) -> list[SampleRows]:
    """The sample, standardised, in pieces that a product of matrices takes in its stride.

    They are parts of one array, whose memory goes back to the system as a whole. The list is
    emptied, so that each row is held once.
    """
    count, at = sum(len(one.weights) for one in rows), 0
    features = np.empty((count, len(scale)), np.float32)
    weights = np.empty(count, np.float32)
    rows.reverse()
    while rows:
        own = rows.pop()
        part = slice(at, at + len(own.weights))
        features[part], weights[part] = (own.features - shift) * scale, own.weights
        at = part.stop
    pieces = [slice(at, at + _PIECE) for at in range(0, count, _PIECE)]
    return [SampleRows(features[one], weights[one]) for one in pieces]


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
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        turned = turned + (share - (change @ turned) / (step @ change)) * step
    return turned
