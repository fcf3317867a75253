"""Reading images in threads, beside the network: hash, decode, facts and pixels.

Pillow decodes and resamples without holding the interpreter's lock, so threads share the work as
processes would, and copy nothing.
"""

import hashlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tortie.errors import UsageError
from tortie.forks import reset_in_child
from tortie.images.content import file_bytes, file_digest
from tortie.images.decode import Decoded, Source, decode
from tortie.images.facts import Facts, facts_of
from tortie.images.limits import MAX_PIXELS
from tortie.images.preprocess import Preprocessing
from tortie.images.unreadable import UnreadableImage, reason_of

_SWITCH_INTERVAL = 2e-4
# Seconds. A decode gives Python's lock back and asks for it again a dozen times; at the usual 5 ms
# it would wait for a thread that imports torch longer than it decodes (a tenth of a fit).


class _Hurry:
    """The interpreter's switch interval, short from the first reading's begin to the last's end.

    It is the process's: readings that overlap would otherwise put back what the other had set.
    """

    def __init__(self) -> None:
        self._readings = 0
        self._before = 0.0
        self.reset()
        reset_in_child(self)

    def reset(self) -> None:
        """No reading goes on."""
        self._lock = threading.RLock()  # a reading may be collected, and so end, within begin
        if self._readings:
            sys.setswitchinterval(self._before)
        self._readings = 0

    def begin(self) -> None:
        with self._lock:
            if self._readings <= 0:  # below it where a child collects its parent's
                self._readings = 0
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(min(_SWITCH_INTERVAL, self._before))
            self._readings += 1

    def end(self) -> None:
        with self._lock:
            self._readings -= 1
            if self._readings == 0:
                sys.setswitchinterval(self._before)


_hurry = _Hurry()

Render = Callable[[Decoded, str], NDArray[np.uint8]]
"""One view of an image, from its decode and the SHA-256 of its content: uint8
``(height, width, channels)``."""


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What reading one image gave.

    Attributes:
        index: its place among the sources, from 0.
        sha256: of its content, hexadecimal; ``None`` where it cannot be opened.
        facts: ``None`` where it cannot be read.
        pixels: uint8 ``(views, height, width, channels)``; ``None`` where it cannot be read.
        reason: why it cannot be read; ``None`` where it can.
        seconds: that reading took in its thread.
    """

    index: int
    sha256: str | None
    facts: Facts | None
    pixels: NDArray[np.uint8] | None
    reason: str | None
    seconds: float


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
        self._hurries = True
        _hurry.begin()
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
        self._end_hurry()
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

    def _end_hurry(self) -> None:
        if self._hurries:
            self._hurries = False
            _hurry.end()

    def __del__(self) -> None:
        executor = getattr(self, "_executor", None)
        if executor is not None:
            self._end_hurry()
            executor.shutdown(wait=False, cancel_futures=True)


def read(
    sources: Sequence[Source],
    *,
    preprocessing: Preprocessing,
    threads: int,
    max_pixels: int = MAX_PIXELS,
    ahead: int = 512,
    renders: Sequence[Render] = (),
) -> Reading:
    """Read images in threads, in order; the work begins at once, not at the first ``next``.

    An image that cannot be read yields its reason.

    Args:
        sources: files or images in memory, in the order in which they are wanted.
        preprocessing: what the pixels are made by.
        threads: how many images are read at once, 1 or more.
        max_pixels: the largest image that is decoded, width × height.
        ahead: how many images may be read before their turn: the bound on memory, 77 MB at
            224×224×3 for each view.
        renders: the views that are made of each image; by default the undistorted one.

    Raises:
        UsageError: fewer than one thread, or than one image ahead.
    """
    if threads < 1 or ahead < 1:
        raise UsageError(f"cannot read with {threads} threads, {ahead} images ahead: at least 1")

    views = renders or (lambda decoded, _: preprocessing.pixels(decoded.image, decoded.extent),)

    def work(index: int) -> Read:
        return _read(index, sources[index], views, preprocessing.at_least, max_pixels)

    return Reading(work, len(sources), threads, ahead)


def _read(
    index: int, source: Source, renders: Sequence[Render], at_least: int, max_pixels: int
) -> Read:
    begin = time.perf_counter()
    sha256 = reason = None
    try:
        content = file_bytes(source, max_pixels) if isinstance(source, Path) else source
        sha256 = digest_of(content)
        decoded = decode(content, at_least=at_least, max_pixels=max_pixels)
        facts = facts_of(decoded)
        pixels = np.stack([render(decoded, sha256) for render in renders])
    except (UnreadableImage, MemoryError) as error:
        facts, pixels, reason = None, None, reason_of(error)
    seconds = time.perf_counter() - begin
    return Read(index, sha256, facts, pixels, reason=reason, seconds=seconds)


def hash_all(sources: Sequence[Source], threads: int) -> list[str | None]:
    """SHA-256 of the content of each source, hexadecimal; ``None`` where it cannot be opened.

    Of a file, the content is its bytes; of an image in memory, its type, shape and pixels.
    """

    def work(source: Source) -> str | None:
        try:
            return file_digest(source) if isinstance(source, Path) else digest_of(source)
        except UnreadableImage:
            return None

    if len(sources) < 2:
        return [work(source) for source in sources]
    with ThreadPoolExecutor(threads, thread_name_prefix="tortie-hash") as executor:
        return list(executor.map(work, sources))


def digest_of(content: bytes | Image.Image | NDArray[Any]) -> str:
    """SHA-256 of the bytes of a file, or of an image's type, shape and pixels; hexadecimal."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    array = np.ascontiguousarray(content)
    kind = content.mode if isinstance(content, Image.Image) else "array"
    digest = hashlib.sha256(f"{kind} {array.dtype.str} {array.shape}\n".encode())
    digest.update(array.data)
    return digest.hexdigest()
