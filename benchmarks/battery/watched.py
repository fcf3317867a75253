"""One input after another in a process of its own, watched: what it says, and what it costs.

The process may die, hang or write to the terminal; that is what is to be found out.
"""

import contextlib
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

PATIENCE = 60.0  # seconds, by the clock, after which a decode counts as hanging


@dataclass
class Outcome:
    """What came of one file.

    Attributes:
        kind: ``read``, ``refused``, ``traceback``, ``death``, ``hang``.
        told: the reason, or the error.
        pixels: where they were wanted.
        seconds: of the processor.
        megabytes: by which the process grew at its largest.
        wrote: whether anything reached the terminal.
    """

    kind: str
    told: str = ""
    pixels: NDArray[Any] | None = None
    seconds: float = 0.0
    megabytes: float = 0.0
    wrote: bool = False


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(name):
                return int(line.split()[1])
    return 0


Answer = Callable[..., tuple[str, str, Any]]
"""Tries one input: its kind, what was told, and the result."""


def decoded(data: bytes, at_least: int | None, wanted: bool) -> tuple[str, str, Any]:
    """What comes of decoding the bytes of a file."""
    from tortie.images import UnreadableImage, decode, facts_of

    try:
        image = decode(data, at_least=at_least)
        facts_of(image)
    except UnreadableImage as error:
        return "refused", error.reason, None
    return "read", "", np.asarray(image.image) if wanted else None


def _work(connection: Connection, errors: str, answer: Answer) -> None:
    descriptor = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    while True:
        request = connection.recv()
        before = os.fstat(descriptor).st_size
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the largest size so far is forgotten
        size = _status("VmRSS")
        begin = resource.getrusage(resource.RUSAGE_SELF)
        outcome = Outcome("read")
        try:
            outcome.kind, outcome.told, outcome.pixels = answer(*request)
        except BaseException as error:
            outcome.kind, outcome.told = "traceback", f"{type(error).__name__}: {error}"
        end = resource.getrusage(resource.RUSAGE_SELF)
        outcome.seconds = end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime
        outcome.megabytes = max(0, _status("VmHWM") - size) / 1024
        outcome.wrote = os.fstat(descriptor).st_size > before
        connection.send(outcome)


class Watched:
    """A process that tries inputs, begun anew after a death or a hang."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._context: Any = multiprocessing.get_context("spawn")
        self._folder = tempfile.TemporaryDirectory()
        self._process: Any = None

    def decode(self, data: bytes, at_least: int | None = None, wanted: bool = False) -> Outcome:
        """Decode the bytes of a file.

        Args:
            data: the bytes.
            at_least: as :func:`tortie.images.decode` takes it.
            wanted: whether the pixels are to come back.
        """
        return self.ask(data, at_least, wanted)

    def ask(self, *request: Any) -> Outcome:
        """Try one input, as ``answer`` takes it."""
        if self._process is None or not self._process.is_alive():
            self._connection, theirs = self._context.Pipe()
            errors = os.path.join(self._folder.name, "errors")
            self._process = self._context.Process(
                target=_work, args=(theirs, errors, self._answer), daemon=True
            )
            self._process.start()
            theirs.close()
        begin = time.monotonic()
        try:
            self._connection.send(request)
            if not self._connection.poll(PATIENCE):
                self._process.kill()
                self._process.join()
                return Outcome("hang", seconds=time.monotonic() - begin)
            outcome: Outcome = self._connection.recv()
            return outcome
        except (EOFError, OSError):
            self._process.join()
            return Outcome("death", f"exit status {self._process.exitcode}")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._folder.cleanup()


@contextlib.contextmanager
def watched(answer: Answer = decoded) -> Iterator[Watched]:
    """A process that tries inputs, ended behind the block."""
    one = Watched(answer)
    try:
        yield one
    finally:
        one.close()
