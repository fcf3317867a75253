"""What a training step sees: batches made ready beside the step, each a function of its place.

The order of an epoch is a function of seed and epoch, a view one of seed, photograph and epoch. So
a run that goes on half-way through an epoch sees what it would have seen, whatever the number of
workers.
"""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from tortie.activations.engine import BATCH, Engine
from tortie.activations.views import View
from tortie.images.preprocess import Preprocessing
from tortie.training.decoded import DecodedPhotographs

Integers = NDArray[np.int64]

_AHEAD = 2  # batches ready before their turn, beside one a worker


class Feed(Protocol):
    """Where the inputs of a step come from."""

    def take(self, rows: Sequence[int], epoch: int) -> Tensor:
        """The inputs of some photographs in an epoch, counted from 1; epoch 0 is undistorted.

        Args:
            rows: positions of the photographs.
            epoch: which of their views.

        Returns:
            on the processor: pixels uint8 ``(n, H, W, C)``, or activations float32 ``(n, ...)``.
        """
        ...


@dataclass(frozen=True)
class Live:
    """Photographs read, drawn and, where there is a frozen prefix, sent through it.

    Attributes:
        photographs: decoded once.
        undistorted: the view of epoch 0.
        views: drawn views; epoch e sees number e − 1, counted round. Empty for the undistorted one
            in every epoch.
        prefix: the frozen stages, ready to run; ``None`` where nothing is frozen.
    """

    photographs: DecodedPhotographs
    undistorted: View
    views: Sequence[View]
    prefix: Engine | None = None

    def take(self, rows: Sequence[int], epoch: int) -> Tensor:
        """Pixels, or the activations of the frozen prefix."""
        view = self.undistorted
        if epoch and self.views:
            view = self.views[(epoch - 1) % len(self.views)]
        pixels = np.stack([self.photographs.pixels(row, view) for row in rows])
        if self.prefix is None:
            return torch.from_numpy(pixels)
        parts = [pixels[begin : begin + BATCH] for begin in range(0, len(pixels), BATCH)]
        return torch.from_numpy(np.concatenate([self.prefix(part) for part in parts]))


@dataclass(frozen=True)
class FeatureTable:
    """Activations of some of the photographs.

    Attributes:
        activations: float32 ``(n, views, ...)``.
        row: row among them of each photograph ``(N,)``; −1 where it has none.
    """

    activations: NDArray[np.float32]
    row: Integers

    def take(self, rows: Sequence[int], view: int) -> Tensor:
        """Float32 ``(len(rows), ...)``."""
        return torch.from_numpy(self.activations[self.row[list(rows)], view])


@dataclass(frozen=True)
class Stored:
    """Activations at the cut, all in memory.

    Attributes:
        undistorted: of the photographs that are predicted.
        drawn: of those that are trained on, all their views.
    """

    undistorted: FeatureTable
    drawn: FeatureTable

    def take(self, rows: Sequence[int], epoch: int) -> Tensor:
        """The activations of the epoch's view."""
        if not epoch:
            return self.undistorted.take(rows, 0)
        return self.drawn.take(rows, (epoch - 1) % self.drawn.activations.shape[1])


def order(
    rows: Integers, seed: int, epoch: int, weights: NDArray[np.float32] | None = None
) -> Integers:
    """The order in which an epoch sees its photographs.

    Args:
        rows: positions of the training photographs.
        seed: of every draw.
        epoch: counted from 1.
        weights: how often each is drawn, relative to the others: drawn with replacement; ``None``
            for each once.
    """
    generator = np.random.Generator(np.random.PCG64([seed, epoch]))
    if weights is None:
        return generator.permutation(rows)
    return generator.choice(rows, len(rows), p=weights / weights.sum(dtype=np.float64))


def batches_of(rows: Integers, batch: int) -> list[Integers]:
    """The rows in the fewest batches of at most ``batch``, their sizes within one of each other.

    From three a batch on, a remainder of one photograph, whose batch-norm statistics would be
    nothing, cannot occur.
    """
    return np.array_split(rows, -(-len(rows) // batch))


def ready(
    feed: Feed, batches: Sequence[Integers], epoch: int, workers: int
) -> Generator[tuple[Integers, Tensor], None, None]:
    """Each batch with its inputs, made ready in ``workers`` threads; 0 makes each in its turn."""
    if workers == 0:
        for rows in batches:
            yield rows, feed.take(rows.tolist(), epoch)
        return
    # Each worker multiplies on one thread: those of the step need the others.
    with ThreadPoolExecutor(workers, "tortie-feed", initializer=_alone) as executor:
        pending: deque[tuple[Integers, Future[Tensor]]] = deque()
        left = iter(batches)
        try:
            while True:
                for rows in islice(left, workers + _AHEAD - len(pending)):
                    pending.append((rows, executor.submit(feed.take, rows.tolist(), epoch)))
                if not pending:
                    return
                rows, inputs = pending.popleft()
                yield rows, inputs.result()
        finally:
            executor.shutdown(cancel_futures=True)


def _alone() -> None:
    torch.get_num_threads()  # torch sets a thread up at its first use, and never again
    threadpool_limits(1, user_api="openmp")


class Prepare:
    """Inputs as the trained part takes them, on its device.

    Pixels are normalised there; activations are taken as they are.
    """

    def __init__(self, preprocessing: Preprocessing, device: torch.device) -> None:
        self._device = device
        self._mean = torch.tensor(preprocessing.mean, device=device).view(1, -1, 1, 1)
        self._scale = 1 / torch.tensor(preprocessing.std, device=device).view(1, -1, 1, 1)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Float32 ``(n, C, H, W)``, channels-last in memory; or activations ``(n, ...)``."""
        inputs = inputs.to(self._device, non_blocking=True)
        if inputs.dtype != torch.uint8:
            if inputs.dim() == 4:
                return inputs.contiguous(memory_format=torch.channels_last)
            return inputs
        return inputs.permute(0, 3, 1, 2).float().sub_(self._mean).mul_(self._scale)
