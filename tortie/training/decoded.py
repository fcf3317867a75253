"""Photographs that are seen many times: decoded once, as far as memory allows."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tortie.activations.views import Undistorted, View
from tortie.errors import TortieError
from tortie.images import (
    Decoded,
    Facts,
    Read,
    Reading,
    Source,
    UnreadableImage,
    decode,
    facts_of,
    file_bytes,
)
from tortie.images.inputs import named
from tortie.images.preprocess import Preprocessing
from tortie.images.read import digest_of
from tortie.images.unreadable import reason_of
from tortie.processes import local_count

_RGBX = 4  # bytes of a pixel in Pillow
_VIEWS_AHEAD = 512  # made before their turn: 77 MB at 224×224×3
_OBJECT = 2000  # bytes of an image beside its pixels


def free_memory() -> int:
    """Bytes of memory that are free now for this process, at a careful guess."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // local_count()
    except (ValueError, OSError, AttributeError):  # not every system tells
        return 2_000_000_000


class DecodedPhotographs:
    """Decoded photographs, kept in memory up to a number of bytes and decoded anew beyond it.

    Attributes:
        sources: what to read.
        sha256: of each one's content; ``None`` where it cannot be opened.
        facts: of each one after :meth:`load`; ``None`` where it cannot be read.
        reasons: why one cannot be read, by its position.
        bytes: that the decoded photographs in memory take.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        sha256: Sequence[str | None],
        preprocessing: Preprocessing,
        max_pixels: int,
        limit: int,
    ) -> None:
        """Nothing is read yet.

        Args:
            sources: files or images in memory.
            sha256: of each source's content.
            preprocessing: how they become the network's input.
            max_pixels: an image with more is left out.
            limit: bytes of decoded photographs to keep.
        """
        self.sources = sources
        self.sha256 = sha256
        self.facts: list[Facts | None] = [None] * len(sources)
        self.reasons: dict[int, str] = {}
        self.bytes = 0
        self._preprocessing = preprocessing
        self._max_pixels = max_pixels
        self._limit = limit
        self._kept: dict[int, Decoded] = {}
        self._plain: dict[int, NDArray[np.uint8]] = {}  # undistorted: the same in every epoch

    def load(self, threads: int, progress: Callable[[int, int], None]) -> None:
        """Read all of them once: their facts, and why one cannot be read."""
        with ThreadPoolExecutor(threads, "tortie-read") as executor:
            try:
                work = executor.map(self._first_look, range(len(self.sources)))
                for done, reason in enumerate(work, 1):
                    if reason is not None:
                        self.reasons[done - 1] = reason
                    progress(done, len(self.sources))
            except BaseException:
                executor.shutdown(wait=False, cancel_futures=True)
                raise

    def _first_look(self, index: int) -> str | None:
        try:
            decoded = self._read(index)
            self.facts[index] = facts_of(decoded)
        except (UnreadableImage, MemoryError) as error:
            return reason_of(error)
        size = decoded.image.width * decoded.image.height * _RGBX + _OBJECT
        if self.bytes + size <= self._limit:
            self.bytes += size
            self._kept[index] = decoded
        return None

    def _read(self, index: int) -> Decoded:
        source = self.sources[index]
        content = file_bytes(source, self._max_pixels) if isinstance(source, Path) else source
        if digest_of(content) != self.sha256[index]:
            raise UnreadableImage("it has changed since the fit began")
        at_least = self._preprocessing.at_least
        return decode(content, at_least=at_least, max_pixels=self._max_pixels)

    def only(self, rows: Sequence[int]) -> "DecodedPhotographs":
        """Some of them, counted anew; what is decoded is shared."""
        own = DecodedPhotographs(
            [self.sources[row] for row in rows], [self.sha256[row] for row in rows],
            self._preprocessing, self._max_pixels, self._limit,
        )  # fmt: skip
        own.facts = [self.facts[row] for row in rows]
        own.bytes = self.bytes
        own._kept = {new: self._kept[row] for new, row in enumerate(rows) if row in self._kept}
        return own

    def reading(self, positions: Sequence[int], views: Sequence[View], threads: int) -> Reading:
        """Views of some of them, as :func:`tortie.images.read` gives those of files.

        Args:
            positions: which photographs, in the order in which they are wanted.
            views: of each.
            threads: that make the views.
        """

        def work(number: int) -> Read:
            index = positions[number]
            begin = time.perf_counter()
            sha256, reason, pixels = self.sha256[index], self.reasons.get(index), None
            if reason is None:
                pixels = np.stack([self.pixels(index, view) for view in views])
            seconds = time.perf_counter() - begin
            return Read(
                index=number, sha256=sha256, facts=self.facts[index], pixels=pixels,
                reason=reason, seconds=seconds,
            )  # fmt: skip

        ahead = max(threads, _VIEWS_AHEAD // len(views))
        return Reading(work, len(positions), threads, ahead)

    def pixels(self, index: int, view: View) -> NDArray[np.uint8]:
        """One view of one photograph: uint8 ``(height, width, channels)``.

        Raises:
            TortieError: its file is gone, or has other content than when the fit began.
        """
        plain = isinstance(view, Undistorted)
        if plain and index in self._plain:
            return self._plain[index]
        decoded = self._kept.get(index)
        if decoded is None:
            try:
                decoded = self._read(index)
            except UnreadableImage as error:
                name = named(self.sources[index], index)
                raise TortieError(f"{name}: {error.reason}; put it back and go on") from None
        pixels = view.pixels(decoded, self.sha256[index] or "")
        if plain and self.bytes + pixels.nbytes <= self._limit:
            self._plain[index] = pixels
            self.bytes += pixels.nbytes
        return pixels
