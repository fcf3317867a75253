"""Reading images in threads, beside the network: hash, decode, facts and pixels.

Pillow decodes and resamples without holding the interpreter's lock, so threads share the work as
processes would, and copy nothing.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tortie.errors import UsageError
from tortie.images.decode import MAX_PIXELS, UnreadableImage, decode, file_bytes
from tortie.images.facts import Facts, facts_of
from tortie.images.preprocess import Preprocessing


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What reading one file gave.

    Attributes:
        index: the file's place among the paths, from 0.
        path: the file.
        sha256: of the file's bytes, hexadecimal; ``None`` where they cannot be read.
        facts: of the image, where it was wanted and can be read.
        pixels: uint8 ``(height, width, channels)``, where it was wanted and can be read.
        reason: why it cannot be read; ``None`` where it can, and where it was not wanted.
    """

    index: int
    path: Path
    sha256: str | None
    facts: Facts | None
    pixels: NDArray[np.uint8] | None
    reason: str | None


class Reading(Iterator[Read]):
    """Files being read: an iterator in the order of the paths, which can be closed early.

    At most ``ahead`` files are read before their turn, whatever the number of paths. An error,
    Ctrl-C included, ends the threads as soon as the files in hand are done.
    """

    def __init__(self, work: Callable[[int], Read], count: int, threads: int, ahead: int) -> None:
        self._work = work
        self._left = iter(range(count))
        self._ahead = ahead
        self._pending: deque[Future[Read]] = deque()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="tortie-read")
        self._fill()

    def _fill(self) -> None:
        while len(self._pending) < self._ahead:
            index = next(self._left, None)
            if index is None:
                return
            self._pending.append(self._executor.submit(self._work, index))

    def __next__(self) -> Read:
        if not self._pending:
            self.close()
            raise StopIteration
        try:
            result = self._pending[0].result()
            self._pending.popleft()
            self._fill()
        except BaseException:
            self.close()
            raise
        return result

    def close(self) -> None:
        """Drop what was not begun, and wait for the files in hand."""
        self._left = iter(range(0))
        self._pending.clear()
        self._executor.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        executor = getattr(self, "_executor", None)
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)


def read(
    paths: Sequence[Path],
    *,
    wanted: Callable[[str], bool],
    preprocessing: Preprocessing,
    threads: int,
    max_pixels: int = MAX_PIXELS,
    ahead: int = 96,
) -> Reading:
    """Read files in threads, in order; the work begins at once, not at the first ``next``.

    Each file is read and hashed; only where ``wanted`` says so is it decoded. A file that cannot
    be read yields its reason.

    Args:
        paths: files, in the order in which they are wanted.
        wanted: asked in a thread with the SHA-256 of a file's bytes; an error that it raises comes
            out of the iteration.
        preprocessing: what the pixels are made by.
        threads: how many files are read at once, 1 or more.
        max_pixels: the largest image that is decoded, width × height.
        ahead: how many files may be read before their turn: the bound on memory.

    Raises:
        UsageError: fewer than one thread, or than one file ahead.
    """
    if threads < 1 or ahead < 1:
        raise UsageError(f"cannot read with {threads} threads, {ahead} files ahead: at least 1")

    def work(index: int) -> Read:
        return _read(index, paths[index], wanted, preprocessing, max_pixels)

    return Reading(work, len(paths), threads, ahead)


def _read(
    index: int,
    path: Path,
    wanted: Callable[[str], bool],
    preprocessing: Preprocessing,
    max_pixels: int,
) -> Read:
    sha256 = None
    try:
        data = file_bytes(path)
        sha256 = hashlib.sha256(data).hexdigest()
        if not wanted(sha256):
            return Read(index, path, sha256, None, None, None)
        decoded = decode(data, at_least=preprocessing.at_least, max_pixels=max_pixels)
    except UnreadableImage as error:
        return Read(index, path, sha256, None, None, error.reason)
    pixels = preprocessing.pixels(decoded.image, decoded.extent)
    return Read(index, path, sha256, facts_of(decoded), pixels, None)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal.

    Raises:
        UnreadableImage: the file cannot be opened.
    """
    return hashlib.sha256(file_bytes(path)).hexdigest()
