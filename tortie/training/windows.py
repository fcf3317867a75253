"""Features that are trained on by steps, read from their files a window at a time.

An epoch sees the training rows in an order that is a function of seed and epoch. Pieces of 16
neighbouring rows are shuffled, those of all files together; so many of them as a window holds are
read, file by file, and their rows are shuffled among themselves. No two epochs have the same
windows, and neighbours in a file, which are often of one class, come apart.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tortie.activations.feature_shards import FeatureShard

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]

WINDOW = 2**24
"""Numbers of a window: 34 MB as float16, 13,107 rows of 1,280."""
_PIECE = 16  # rows that are read together
_KEPT = 2  # windows: a batch may begin in one and end in the next


class Windowed:
    """The features of the rows of files, for steps; a :class:`~tortie.training.feed.Feed`.

    Args:
        shards: the files; rows are counted through all of them.
        train: rows that are trained on, ascending.
        held: rows that are predicted after each epoch, ascending, and their features.
        seed: of the order.
    """

    def __init__(
        self, shards: Sequence[FeatureShard], train: Integers, held: tuple[Integers, Floats],
        seed: int,
    ) -> None:  # fmt: skip
        self._shards, self._train, self._held, self._seed = shards, train, held, seed
        lengths = [len(shard) for shard in shards]
        self._begins = np.cumsum([0, *lengths])
        pieces = np.cumsum([0, *(-(-length // _PIECE) for length in lengths)])
        file = np.searchsorted(self._begins, train, side="right") - 1
        own = pieces[file] + (train - self._begins[file]) // _PIECE
        self._piece: NDArray[np.int32] = own.astype(np.int32)  # of each training row
        self._used = np.unique(self._piece)
        width = int(np.prod(shards[0].shape[1:]))
        self._in_window = max(1, WINDOW // (width * _PIECE))
        self._lock = threading.Lock()
        self._epoch = 0
        self._order: NDArray[np.int32] = self._piece[:0]  # window of each training row
        self._sorted: Integers = train[:0]  # places of training rows, window after window
        self._starts: Integers = train[:0]  # of each window among them
        self._kept: OrderedDict[int, tuple[Integers, NDArray[Any]]] = OrderedDict()

    @property
    def bytes(self) -> int:
        """Of the windows that are held at most."""
        return _KEPT * WINDOW * np.dtype(self._shards[0].header.dtype).itemsize

    def arranged(self, rows: Integers, epoch: int) -> Integers:
        """Training rows in the order in which an epoch sees them, window after window.

        Args:
            rows: as they were drawn; one may come more than once.
            epoch: counted from 1.
        """
        with self._lock:
            self._begin(epoch)
            return rows[np.argsort(self._window_of(rows), kind="stable")]

    def take(self, rows: Sequence[int], epoch: int) -> Tensor:
        """Float32 ``(len(rows), ...)``; in epoch 0 of rows that are predicted."""
        wanted = np.asarray(rows, np.int64)
        if not epoch:
            held, features = self._held
            return torch.from_numpy(features[np.searchsorted(held, wanted)])
        found = np.empty((len(wanted), *self._shards[0].shape[1:]), np.float32)
        with self._lock:
            self._begin(epoch)
            numbers = self._window_of(wanted)
            for number in np.unique(numbers).tolist():
                here = numbers == number
                own, features = self._window(number)
                found[here] = features[np.searchsorted(own, wanted[here])]
        return torch.from_numpy(found)

    def _begin(self, epoch: int) -> None:
        """Lay out the windows of an epoch."""
        if epoch == self._epoch:
            return
        generator = np.random.Generator(np.random.PCG64([self._seed, epoch, 2]))
        numbers = np.zeros(int(self._used.max()) + 1, np.int32)
        shuffled = generator.permutation(self._used)
        numbers[shuffled] = np.arange(len(shuffled), dtype=np.int32) // self._in_window
        self._order = numbers[self._piece]
        self._sorted = np.argsort(self._order, kind="stable")
        windows = np.arange(int(self._order.max()) + 2)
        self._starts = np.searchsorted(self._order[self._sorted], windows)
        self._epoch = epoch
        self._kept.clear()

    def _window_of(self, rows: Integers) -> NDArray[np.int32]:
        return self._order[np.searchsorted(self._train, rows)]

    def _window(self, number: int) -> tuple[Integers, NDArray[Any]]:
        """The rows of a window, ascending, and their features as the files have them."""
        if number not in self._kept:
            while len(self._kept) >= _KEPT:
                self._kept.popitem(last=False)
            self._kept[number] = self._read(number)
        return self._kept[number]

    def _read(self, number: int) -> tuple[Integers, NDArray[Any]]:
        rows = self._train[self._sorted[self._starts[number] : self._starts[number + 1]]]
        dtype = self._shards[0].header.dtype
        features = np.empty((len(rows), *self._shards[0].shape[1:]), dtype)
        ends = np.searchsorted(rows, self._begins)
        for shard, begin, at, to in zip(
            self._shards, self._begins[:-1].tolist(), ends[:-1].tolist(), ends[1:].tolist(),
            strict=True,
        ):  # fmt: skip
            if at < to:
                features[at:to] = shard.features(rows[at:to] - begin, _PIECE, dtype)
        return rows, features
