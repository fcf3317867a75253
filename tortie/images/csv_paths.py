"""Which files the cells of a CSV name: as written, as Windows writes, or of another machine.

A CSV that was made on another machine may hold full paths of that machine. Where all of them begin
with one folder, and the rest of the first path leads to a file from the CSV's own folder, that is
the file which is meant.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tortie.errors import UsageError
from tortie.images.remote import is_remote, is_remote_file, located
from tortie.images.table import read_table, windows_text
from tortie.text import quoted

_FULL = re.compile(r"[A-Za-z]:[\\/]|[\\/]")  # a path that begins at a drive, a server or the root
_WINDOWS = re.compile(r"[A-Za-z]:/|.*\\")  # a path as Windows writes it


def is_list(path: Path) -> bool:
    """Whether a path is a CSV by its name, and there."""
    if path.suffix.lower() != ".csv":
        return False
    return is_remote_file(path) if is_remote(path) else os.path.isfile(path)


def csv_files(source: Path) -> Iterator[Path]:
    """The files that the column ``path`` of a CSV names, in its order, whatever else it has.

    Raises:
        UsageError: no such column, a row without a path, or paths of another machine alone.
        TortieError: it cannot be read.
    """
    cells = []
    for line, row in read_table(source, labelled=False):
        cells.append(row["path"])
        if not cells[-1].strip():
            raise UsageError(f"{quoted(source)}, line {line}: no path")
    paths = CsvPaths(source, cells)
    files = [paths.path(cell) for cell in cells]
    paths.check(files)
    yield from files


class CsvPaths:
    """The files of a CSV's cells.

    Args:
        source: the CSV.
        cells: its column of paths.
    """

    def __init__(self, source: Path, cells: Sequence[str]) -> None:
        self._source, self._folder, self._cells = source, source.parent, cells
        self._elsewhere = self._begin_elsewhere()

    def path(self, cell: str) -> Path:
        """The file that a cell names; one that is not there as it is written."""
        if is_remote(Path(cell)):
            return located(Path(cell))
        found = next(filter(os.path.lexists, self._candidates(cell)), None)
        return self._folder / cell if found is None else found

    def notes(self) -> Iterator[str]:
        """Where paths of another machine were found."""
        if self._elsewhere:
            yield (
                f"paths begin with {quoted(self._elsewhere)}, which is not here: taken from "
                f"{quoted(self._folder)}"
            )

    def check(self, paths: Sequence[Path]) -> None:
        """Refuse paths as Windows writes them where none leads to a file.

        Raises:
            UsageError: with the first of them, as it was tried.
        """
        foreign = next((cell for cell in self._cells if _WINDOWS.match(cell)), None)
        if foreign is not None and not any(map(os.path.lexists, paths)):
            raise UsageError(
                f"{quoted(self._source)}: none of its {len(paths):,} images is here; one would be "
                f"{quoted(self._folder / foreign)}, also tried with /: make the paths relative to "
                "the CSV's folder"
            )

    def _candidates(self, cell: str) -> Iterator[Path]:
        yield self._folder / cell
        if "\\" in cell or not _is_utf8(cell):
            text = windows_text(cell)
            for other in (cell.replace("\\", "/"), text, text.replace("\\", "/")):
                yield self._folder / other
        if self._elsewhere:
            rest = windows_text(cell)[len(self._elsewhere) :]
            yield self._folder.joinpath(*re.split(r"[\\/]+", rest))

    def _begin_elsewhere(self) -> str:
        """What all of the cells begin with, where that is a folder of another machine."""
        texts = [windows_text(cell) for cell in self._cells]
        if not texts or os.path.lexists(self._folder / self._cells[0]):
            return ""
        if not all(map(_FULL.match, texts)):
            return ""
        first = texts[0]
        for end in [match.end() for match in re.finditer(r"[\\/]+", first)]:
            rest = re.split(r"[\\/]+", first[end:])
            if rest != [""] and os.path.isfile(self._folder.joinpath(*rest)):
                begin = first[:end]
                return begin if all(text.startswith(begin) for text in texts) else ""
        return ""


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= one <= "\udfff" for one in text)
