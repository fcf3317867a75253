"""Threads that a forked child does not have: locks they held, and what they shared out.

A child of ``os.fork`` (``multiprocessing`` by fork, ``gunicorn --preload``) goes on with the thread
that forked alone. A lock that another thread held stays held in it for ever, and a team of OpenMP's
threads is waited for that is not there.
"""

import os
import sys
import threading
import weakref
from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol, Self, TypeVar, overload

_T = TypeVar("_T")


class Resettable(Protocol):
    """What begins anew in a forked child."""

    def reset(self) -> None:
        """Forget what other threads held or had begun."""
        ...


_resettable: "weakref.WeakSet[Resettable]" = weakref.WeakSet()
_after_torch: list[int] = []


def reset_in_child(one: Resettable) -> None:
    """Have ``one`` begin anew in forked children, as long as it lives."""
    _resettable.add(one)


def usable_torch_threads(wanted: int) -> int:
    """How many threads PyTorch may multiply with here: one in a child forked after its import.

    Its team of threads stayed in the parent, and a second thread would be waited for for ever.
    """
    return 1 if _after_torch else wanted


class ForkSafeLock:
    """A reentrant lock that is free in a forked child, whichever thread of the parent had it."""

    def __init__(self) -> None:
        self.reset()
        reset_in_child(self)

    def reset(self) -> None:
        """A lock that nobody holds."""
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class computed_once(cached_property[_T]):
    """An attribute computed at its first use, once, whichever threads ask for it at a time.

    ``functools.cached_property`` computes it in each of them since Python 3.12, and before had a
    lock that a fork may leave held.
    """

    def __init__(self, function: Callable[[Any], _T]) -> None:
        super().__init__(function)
        self.lock: Any = ForkSafeLock()  # Python 3.11 has such an attribute, and takes it as well

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> _T: ...
    def __get__(self, instance: object | None, owner: type[Any] | None = None) -> Self | _T:
        if instance is None:
            return self
        with self.lock:
            if self.attrname in instance.__dict__:  # another thread was there first
                found: _T = instance.__dict__[self.attrname]
                return found
            return super().__get__(instance, owner)


def _in_child() -> None:
    for one in list(_resettable):
        one.reset()
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads"):
        _after_torch.append(os.getpid())
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
