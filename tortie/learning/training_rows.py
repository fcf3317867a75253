"""Rows that are trained on, gone through block by block.

A product of all features with a few columns is bound by memory. A block that the processor's cache
holds is multiplied twice in little more than the time of once, so that a pass of the features
yields logits, what is made of them, and the product of that with the features.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tortie.learning.axes import Axes, axes_of, leading_axes

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Work = Callable[[Floats, slice], list[NDArray[Any]]]
"""Makes of a block ``(n, D)``, and of where its rows are, some arrays, of the same shapes each
time."""

_BLOCK = 2**17  # numbers of a block: 0.5 MB
_FEW_COLUMNS = 16  # up to which a product is bound by memory
_MANY_ROWS = 1024  # of a block, where it is not
_PARTS = 16  # of the blocks, that are added up side by side
_SUMS, _LARGE_PARTS = 2**23, 2  # fewer where the sums of one have more numbers: 34 MB
_FAR = 4  # deviations that a mean may be from 0 and stay in the rows
_SOME = 4096  # rows that few axes are found on
_FEW = 64  # axes, where a pass takes less time than finding more would
_MANY, _TIMES = 8192, 8  # rows, and rows for each feature, from which on it takes more
_MOST = 1280  # axes that are found then


class TrainingRows:
    """Rows that are trained on, standardised or with the mean and the scale still to be taken out.

    Attributes:
        shape: N and D.
        mean: what is taken out of each feature ``(D,)``.
        scale: and what it is multiplied by then ``(D,)``.
    """

    def __init__(
        self, features: Floats, rows: Integers | None, mean: Floats, scale: Floats, threads: int = 1
    ) -> None:
        """Standardise them where they may be changed.

        Args:
            features: float32 ``(M, D)``; standardised in place, unless ``rows`` are given.
            rows: which of the features they are ``(N,)``: there is no copy of all, and no mean is
                taken out where each is near to zero.
            mean: of each feature ``(D,)``.
            scale: what makes its deviation one ``(D,)``.
            threads: that work through blocks side by side; more than one work well only where
                each product takes one.
        """
        self._features, self._rows, self._threads = features, rows, threads
        self.shape = len(features if rows is None else rows), features.shape[1]
        if rows is None:
            features -= mean
            features *= scale
            self.mean, self.scale = mean, scale
            self._left = np.zeros_like(mean), np.ones_like(scale)
        else:
            is_far = float((np.abs(mean) * scale).max()) > _FAR
            self.mean, self.scale = mean if is_far else np.zeros_like(mean), np.ones_like(scale)
            self._left = mean - self.mean, scale

    def part(self, part: slice, room: Floats | None = None) -> Floats:
        """Some of them ``(n, D)``; not to be changed, and gone with the next in the same room."""
        if self._rows is None:
            return self._features[part]
        rows = self._rows[part]
        room = np.empty((len(rows), self.shape[1]), np.float32) if room is None else room
        found = np.take(self._features, rows, axis=0, out=room[: len(rows)], mode="clip")
        if self.mean.any():
            found -= self.mean
        return found

    def summed(self, columns: int, work: Work) -> list[NDArray[Any]]:
        """What is made of each block, added up in an order that no number of threads changes.

        Args:
            columns: that a block is multiplied with; their number sets the size of a block.
            work: that makes it.
        """
        count, width = self.shape
        least = 64 if columns <= _FEW_COLUMNS else max(_MANY_ROWS, 3 * columns)
        size = max(_BLOCK // width, least) // 64 * 64  # others take longer
        begins = np.arange(0, count, size)
        parts = min(len(begins), _PARTS if width * columns <= _SUMS else _LARGE_PARTS)
        shares = np.array_split(begins, parts)

        def add_up(begins: Integers) -> list[NDArray[Any]]:
            whole: list[NDArray[Any]] = []
            room = np.empty((0 if self._rows is None else size, width), np.float32)
            for begin in begins.tolist():
                part = slice(begin, begin + size)
                _add(whole, work(self.part(part, room), part))
            return whole

        whole: list[NDArray[Any]] = []
        if self._threads == 1:
            for share in shares:
                _add(whole, add_up(share))
        else:
            with ThreadPoolExecutor(self._threads) as workers:
                for found in workers.map(add_up, shares):
                    _add(whole, found)
        return whole

    def axes(self) -> Axes:
        """Axes of the spread of standardised rows: few of some, nearly all of many."""
        (count, width), (mean, scale) = self.shape, self._left
        if count < max(_MANY, _TIMES * width):
            some = self.part(slice(None, None, -(-count // _SOME)))
            if self._rows is not None:  # which is a copy, and not standardised yet
                some -= mean
                some *= scale
            squares = float(np.vdot(some, some)) / len(some)

            def times(basis: Floats) -> Floats:
                found: Floats = some.T @ (some @ basis)
                found /= len(some)
                return found

            return leading_axes(times, width, squares, min(_FEW, *some.shape))
        (spread,) = self.summed(width, lambda rows, _: [rows.T @ rows])
        standard = (spread / count - np.outer(mean, mean)) * np.outer(scale, scale)
        return axes_of(standard.astype(np.float32), min(_MOST, width))


def _add(whole: list[NDArray[Any]], more: list[NDArray[Any]]) -> None:
    """Add arrays to what there is so far, which may be nothing yet."""
    if not whole:
        whole.extend(more)
        return
    for one, other in zip(whole, more, strict=True):
        one += other


def standardisation(features: Floats, rows: Integers) -> tuple[Floats, Floats]:
    """Mean and scale ``(D,)`` of each feature of some rows; the scale of a constant one is 0."""
    sums = np.zeros((2, features.shape[1]))
    around = features[rows[:1]]
    for begin in range(0, len(rows), _SOME):  # no copy of all
        block = features[rows[begin : begin + _SOME]] - around
        sums += block.sum(axis=0, dtype=np.float64), np.einsum("nd,nd->d", block, block)
    shift, squares = sums / len(rows)
    mean = around[0] + shift
    deviation = np.sqrt(np.maximum(squares - shift**2, 0))
    steady = deviation < 1e-6 * (np.abs(mean) + 1e-6)
    scale = np.where(steady, 0, 1 / np.where(steady, 1, deviation))
    return mean.astype(np.float32), scale.astype(np.float32)
