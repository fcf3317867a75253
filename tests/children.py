"""Processes that a test starts, none of which outlives it, whatever the test finds."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator

HANGS = 900
"""Seconds after which a process is taken to hang: no measure of speed, on a machine under load."""


@contextlib.contextmanager
def children() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """A function like ``subprocess.Popen``; what it started is killed, with all that that started.

    Its pipes are closed too: one that is left open would fail another test, with a warning.
    """
    started: list[subprocess.Popen[str]] = []

    def start(command, **choices):
        process = subprocess.Popen(command, text=True, start_new_session=True, **choices)
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in started:
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def ended(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """What a process wrote, once it has ended by itself."""
    return process.communicate(timeout=HANGS)
