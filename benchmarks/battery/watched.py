"""One decode after another in a process of its own, watched: what it says, and what it costs.

The process may die, hang or write to the terminal; that is what is to be found out.
"""

import contextlib
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
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
    pixels: NDArray[np.uint8] | None = None
    seconds: float = 0.0
    megabytes: float = 0.0
    wrote: bool = False


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(name):
                return int(line.split()[1])
    return 0


def _work(connection: Connection, errors: str) -> None:
    descriptor = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    from tortie.images import UnreadableImage, decode, facts_of

    while True:
        data, at_least, wanted = connection.recv()
        before = os.fstat(descriptor).st_size
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the largest size so far is forgotten
        size = _status("VmRSS")
        begin = resource.getrusage(resource.RUSAGE_SELF)
        outcome = Outcome("read")
        try:
            decoded = decode(data, at_least=at_least)
            facts_of(decoded)
            outcome.pixels = np.asarray(decoded.image) if wanted else None
            del decoded
        except UnreadableImage as error:
            outcome.kind, outcome.told = "refused", error.reason
        except BaseException as error:
            outcome.kind, outcome.told = "traceback", f"{type(error).__name__}: {error}"
        end = resource.getrusage(resource.RUSAGE_SELF)
        outcome.seconds = end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime
        outcome.megabytes = max(0, _status("VmHWM") - size) / 1024
        outcome.wrote = os.fstat(descriptor).st_size > before
        connection.send(outcome)


class Watched:
    """A process that decodes, begun anew after a death or a hang."""

    def __init__(self) -> None:
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
        if self._process is None or not self._process.is_alive():
            self._connection, theirs = self._context.Pipe()
            errors = os.path.join(self._folder.name, "errors")
            self._process = self._context.Process(target=_work, args=(theirs, errors), daemon=True)
            self._process.start()
            theirs.close()
        begin = time.monotonic()
        try:
            self._connection.send((data, at_least, wanted))
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
def watched() -> Iterator[Watched]:
    """A process that decodes, ended behind the block."""
    one = Watched()
    try:
        yield one
    finally:
        one.close()
