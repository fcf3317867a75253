"""Progress and notes where a person watches Python: in a notebook, or at a terminal.

The command line shows its own. A script whose output goes to a file gets no bars and no notes, but
a warning where files were left out.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tortie.errors import TortieWarning
from tortie.text import quoted, shown

_DELAY = 1.0  # seconds, before which no bar is drawn
_MOST = 10  # files that are named


def is_notebook() -> bool:
    """Whether this runs in a kernel of Jupyter."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def is_watched() -> bool:
    """Whether somebody sees what is written to stderr, and the command line does not write it."""
    if "tortie.cli.main" in sys.modules:
        return False
    return is_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def say(line: str) -> None:
    """A line on stderr."""
    from tqdm import tqdm

    tqdm.write(shown(line), file=sys.stderr)  # above a bar that is drawn meanwhile


def say_outcome(left_out: list[tuple[str, str]], notes: list[str]) -> None:
    """The files that took no part, and what the user should know, a line each."""
    for path, reason in left_out[:_MOST]:
        say(f"left out: {path}: {reason}")
    if len(left_out) > _MOST:
        say(f"left out: {len(left_out) - _MOST:,} more files")
    for note in notes:
        say(f"note: {note}")


def warn_left_out(left_out: list[tuple[str, str]]) -> None:
    """A warning that names the first of the files that took no part."""
    if left_out and "tortie.cli.main" not in sys.modules:
        path, reason = left_out[0]
        more = f"; {len(left_out) - 1:,} more in fitted_.data.skipped" if left_out[1:] else ""
        told = f"left out: {quoted(path)}: {reason}{more}"
        warnings.warn(told, TortieWarning, stacklevel=5)  # where fit was called


class ProgressBar:
    """Images done of images in all, as tqdm draws it; nothing for what is done within a second."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        """Tell how far the work is; another total begins another bar."""
        if self._bar is not None and self._bar.total != total:
            self.close()
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, desc=self._what, file=sys.stderr, delay=_DELAY, dynamic_ncols=True
            )
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None


@contextmanager
def progress_of(what: str, asked: Callable[[int, int], None] | None) -> Iterator[Any]:
    """The progress that was asked for; where none was, a bar if somebody watches.

    Args:
        what: is counted.
        asked: by the caller; ``None`` for a bar.
    """
    if asked is not None:
        yield asked
    elif not is_watched():
        yield lambda done, total: None
    else:
        bar = ProgressBar(what)
        try:
            yield bar
        finally:
            bar.close()
