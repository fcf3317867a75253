"""Pillow's settings for a whole process, changed only while an image is decoded.

Its and libtiff's own words do not reach the terminal, and its limit on pixels does not count.
"""

import contextlib
import ctypes
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

from PIL import Image

from tortie.forks import ForkSafeLock

# Pillow logs a few findings about bad files as errors; without a handler they reach the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_HANDLERS = ("TIFFSetErrorHandler", "TIFFSetWarningHandler")


class _Quiet:
    """Silences Pillow's warnings while any thread decodes, and nobody else's.

    ``warnings.catch_warnings`` restores the filters that it found, which in several threads at
    once leaves the wrong ones behind; so the one filter is put in first and taken out last.
    """

    _FILTER = ("ignore", None, Warning, re.compile(r"(PIL|pillow_heif)\."), 0)

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._inside = 0

    def __enter__(self) -> None:
        filters: Any = warnings.filters
        with self._lock:
            self._inside += 1
            if not filters or filters[0] is not self._FILTER:
                filters.insert(0, self._FILTER)

    def __exit__(self, *_: object) -> None:
        filters: Any = warnings.filters
        with self._lock:
            self._inside -= 1
            if not self._inside:
                filters[:] = [entry for entry in filters if entry is not self._FILTER]


quiet = _Quiet()
"""A context manager: no warnings of Pillow's inside."""


class _QuietLibtiff:
    """Takes out libtiff's handlers, which write to the terminal, while any thread reads a TIFF.

    They are one for the process, and are put back; where Pillow was built in such a way that its
    libtiff cannot be found, they stay.
    """

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._inside = 0
        self._library: Any = None
        self._taken: dict[str, int | None] = {}

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._taken = {name: self._set(name, None) for name in _HANDLERS}

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for name, handler in self._taken.items():
                    self._set(name, handler)

    def _set(self, name: str, handler: int | None) -> int | None:
        """Set a handler of libtiff; the one before."""
        if self._library is None:
            try:
                self._library = ctypes.CDLL(Image.core.__file__)
            except (OSError, TypeError, AttributeError):  # built in another way
                self._library = False
        function = getattr(self._library, name, None) if self._library else None
        if function is None:
            return None
        function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
        previous: int | None = function(handler)
        return previous


quiet_libtiff = _QuietLibtiff()
"""A context manager: no lines of libtiff's inside."""


class _Unlimited:
    """Lifts Pillow's limit on pixels, which is one for the whole process, for a larger image.

    Our own was checked by then. Few images need this: Pillow refuses above 179 megapixels.
    """

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._inside = 0
        self._limit: int | None = None

    @contextlib.contextmanager
    def __call__(self, pixels: int) -> Iterator[None]:
        """Inside, so many pixels may be decoded."""
        with self._lock:
            limit = self._limit if self._inside else Image.MAX_IMAGE_PIXELS
            lift = limit is not None and pixels > limit
            if lift:
                self._inside += 1
                self._limit, Image.MAX_IMAGE_PIXELS = limit, None
        try:
            yield
        finally:
            if lift:
                with self._lock:
                    self._inside -= 1
                    if not self._inside:
                        Image.MAX_IMAGE_PIXELS = self._limit


unlimited = _Unlimited()
"""A context manager that takes the number of pixels."""
