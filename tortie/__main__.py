"""``tortie`` and ``python -m tortie``: Ctrl-C and closed streams, before anything is imported."""

import contextlib
import ctypes
import gc
import os
import signal
import sys

_M_ARENA_MAX = -8  # of malloc.h
_OBJECTS = 10_000  # made before the collector looks: at Python's 700, imports take 7% longer


def run() -> None:
    """Run the command line in a process of its own."""
    _open_streams()
    gc.set_threshold(_OBJECTS)
    _share_memory()
    _multiply_alone()
    # A shell that runs commands in the background has its reasons to ignore Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)
    try:
        os.getcwd()
    except OSError:  # PyTorch's library ends the process there, in words of its own
        os.write(2, b"tortie: the working folder is gone: change into another one\n")
        sys.exit(2)
    from tortie.cli.main import interrupt, main

    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, interrupt)
    try:
        main()
    except KeyboardInterrupt:  # between the command's last line and the process's end
        sys.exit(1)
    finally:
        gc.freeze()  # the end would look through all of them several times, 0.08 s of a prediction
        if signal.getsignal(signal.SIGINT) is interrupt:  # Python's own end would be by the signal
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _stop(number: int, frame: object) -> None:
    """Ctrl-C while modules are imported: nothing was begun that could be lost."""
    os.write(2, b"tortie: stopped\n")
    os._exit(1)


def _share_memory() -> None:
    """Let threads share what was freed: glibc gives each a part of its own, 60 MB of a fit.

    A part for each core is enough for all of them to allocate at once.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another library than glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, max(2, os.cpu_count() or 2))


def _multiply_alone() -> None:
    """One thread for numpy's matrix products: waiting threads spin, a tenth of a short fit's work.

    Where a product is large, :func:`tortie.learning.softmax.few_threads` takes all cores.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _open_streams() -> None:
    """Put the null device where a stream is closed, as ``2>&-`` and pythonw leave it.

    Otherwise the next file that is opened would take the stream's number, and what a library
    writes to the terminal would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


if __name__ == "__main__":
    run()
