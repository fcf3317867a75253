"""How the commands speak: results on stdout, progress, plan and notes on stderr."""

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from tortie.errors import TortieError, TortieWarning
from tortie.text import csv_text, json_text, shown

if TYPE_CHECKING:
    from tortie.evaluation.metrics import Scores
    from tortie.learning.plan import Plan
    from tortie.weights.classifier_metadata import Metadata

_SECONDS_BETWEEN_LINES = 10.0
_state = {"json": False, "quiet": False, "printed": False}


def begin(as_json: bool, quiet: bool = False) -> None:
    """Say how this command is to speak; of several processes the first alone does."""
    from tortie.processes import rank

    _state.update(json=as_json, quiet=quiet or rank() > 0, printed=False)


def result(document: Any, lines: list[str]) -> None:
    """The result: one JSON document, or lines for a person."""
    from tortie.processes import rank

    _state["printed"] = True
    if rank():
        return
    if _state["json"]:
        _print(sys.stdout, json_text(document, indent=2))
    elif lines:
        _print(sys.stdout, "\n".join(map(shown, lines)))


def table(rows: Iterable[Sequence[object]]) -> None:
    """A result as CSV: names as they are, unless a terminal shows them."""
    _state["printed"] = True
    text = csv_text(rows, terminal=sys.stdout.isatty())
    _print(sys.stdout, text.removesuffix("\n"))


def raw(content: bytes) -> None:
    """A part of a result in a format of its own, as it is."""
    _state["printed"] = True
    _write_result(content)


def _print(stream: TextIO, text: str) -> None:
    """A text and the end of its line; a stderr that cannot be written costs no work."""
    content = text.encode("utf-8", "surrogateescape") + b"\n"
    if stream is sys.stdout:
        _write_result(content)
        return
    with contextlib.suppress(OSError):
        stream.buffer.write(content)
        stream.flush()


def _write_result(content: bytes) -> None:
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise TortieError(f"cannot write to standard output: {error.strerror}") from error


def part(line: str) -> None:
    """A line of a result whose other lines take a while yet; on stderr with ``--json``."""
    if _state["json"]:
        say(line)
    else:
        result(None, [line])


def failure(message: str, code: int) -> int:
    """One line on stderr, and with ``--json`` the one document on stdout; returns the code.

    Of several processes each speaks of its own failure, and one a machine of a wrong use.
    """
    from tortie.processes import local_rank, rank, world_size

    line = " ".join(message.split())
    if code != 2 or not local_rank():
        name = f"tortie, process {rank()} of {world_size()}" if rank() else "tortie"
        say(f"{name}: {line}", always=True)
    if _state["json"] and not _state["printed"]:
        result({"error": line}, [])
    return code


@contextmanager
def warnings() -> Iterator[None]:
    """A block in which tortie's warnings are notes; those of others are shown as Python does."""
    import warnings as all_warnings

    with all_warnings.catch_warnings():
        usual = all_warnings.showwarning

        def show_one(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, TortieWarning):
                say(f"note: {message}")
            else:
                usual(message, category, *where, **more)

        all_warnings.showwarning = show_one
        yield


def say(line: str, always: bool = False) -> None:
    """A line on stderr, unless ``--quiet``; what it quotes cannot end it or steer a terminal."""
    if always or not _state["quiet"]:
        _print(sys.stderr, shown(line))


def plan(planned: "Plan") -> None:
    """The plan, on stderr."""
    for heading, line in planned.lines():
        say(f"{heading:>12}  {line}")
    for note in planned.notes:
        say(f"{'note':>12}  {note}")


def accuracy(scores: "Scores | None", reason: str | None, on: str) -> list[str]:
    """An accuracy as lines, never bare: with its interval, its baseline, and what warns of it.

    Args:
        scores: every figure, or ``None`` where there was too little to tell.
        reason: why there are none.
        on: which photographs were counted.
    """
    from tortie.evaluation.advice import beside, warnings
    from tortie.evaluation.metrics import counted_on

    if scores is None:
        return [f"accuracy unknown: {reason}"]
    right = scores.accuracy
    return [
        f"accuracy {right.value:.1%} (95% interval {right.low:.1%} to {right.high:.1%}) "
        f"on {counted_on(right.n, right.photographs, on)}; {beside(scores)}",
        *(f"warning: {one}" for one in warnings(scores)),
    ]


def prediction_cost(metadata: "Metadata", crops: int) -> None:
    """A word on what several crops or networks cost."""
    from tortie.evaluation.crops import prediction_cost as cost
    from tortie.networks.arguments import network_of

    entries = [network_of(member) for member in metadata.members]
    counted = [
        entry.multiplications if entry.preprocessing.shape == member.preprocessing.shape else None
        for entry, member in zip(entries, metadata.members, strict=True)
    ]
    networks = [
        (member.preprocessing, entry.mirror)
        for entry, member in zip(entries, metadata.members, strict=True)
    ]
    said = cost(networks, counted, crops)  # type: ignore[arg-type]
    if said and crops > 1:
        say(f"note: {said}")


def no_temperature(metadata: "Metadata", crops: int) -> None:
    """A word where a classifier has no temperature for so many crops."""
    if str(crops) not in metadata.temperature and metadata.training:
        say(
            f"note: no temperature was fitted for {crops} crops, so that of one crop is taken: "
            f"tortie fit --crops {crops} fits it"
        )


class Progress:
    """Images done of images in all: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, what: str, silent: bool = False) -> None:
        self._what = what
        self._silent = silent
        self._begin = self._last = 0.0  # of the first call; several may wait for their turn
        self._bar: Any = None
        self._task: Any = None

    def __call__(self, done: int, total: int | None) -> None:
        """Tell how far the work is; ``None`` where nobody knows how much there is."""
        if _state["quiet"] or self._silent:
            return
        if not self._begin:
            self._begin = self._last = time.monotonic()
        if sys.stderr.isatty():
            self._draw(done, total)
        elif time.monotonic() - self._last > _SECONDS_BETWEEN_LINES and done and done != total:
            self._last = time.monotonic()
            rate = done / (self._last - self._begin)
            pace = f"{rate:,.0f} a second" if rate >= 2 else f"{60 * rate:,.0f} a minute"
            of = "" if total is None else f" of {total:,}"
            say(f"{self._what}: {done:,}{of}, {pace}")

    def _draw(self, done: int, total: int | None) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import Progress as Bar

            self._bar = Bar(console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=total)
        self._bar.update(self._task, completed=done, total=total)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def progress(what: str, beside_results: bool = False) -> Iterator[Progress]:
    """A bar that is gone when the block ends.

    Args:
        what: is counted.
        beside_results: whether results are printed meanwhile; on a terminal they tell enough.
    """
    bar = Progress(what, silent=beside_results and sys.stdout.isatty())
    try:
        yield bar
    finally:
        bar.close()
