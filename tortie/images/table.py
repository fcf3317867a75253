"""Lists of images as CSV: what is written can be given back, and what spreadsheets write is read.

Written as UTF-8 with commas, and a path below the CSV's folder relative to it. Read with commas,
semicolons or tabs, as UTF-8 with or without its mark, as UTF-16, and as Windows-1252.
"""

import codecs
import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tortie.errors import TortieError, UsageError
from tortie.files import open_regular, replacing
from tortie.images.remote import is_remote, remote_bytes
from tortie.text import csv_text, from_cell, quoted

COLUMNS = ("path", "label", "split", "group")
EXPECTED = "path,label[,split[,group]] with commas between"
_MOST = 2**30  # bytes of a CSV that is not on this disk
_DELIMITERS = ",;\t"
_LIVE = re.compile(r"[=+\-@\t\r']")


def write_table(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]], line_end: str = "\r\n"
) -> None:
    """Write images as CSV (RFC 4180) that :func:`read_table` reads.

    A path below the CSV's folder is written relative to it, any other in full. Bytes of a file's
    name that are no UTF-8 are kept as they are.

    Args:
        path: of the CSV.
        columns: some of ``path``, ``label``, ``split`` and ``group``.
        rows: the cell of each column; that of ``path`` is a :class:`~pathlib.Path`.
        line_end: after each row.

    Raises:
        TortieError: the file cannot be written.
    """
    # ".." is kept: beyond a link it leads elsewhere.
    folder = os.path.join(path.absolute().parent, "")
    table: list[list[object]] = [list(columns)]
    for row in rows:
        cells = [row[column] or "" for column in columns]
        table.append([_shown(c, folder) if isinstance(c, Path) else c for c in cells])
    text = csv_text(table, line_end)
    with replacing(path) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def _shown(image: Path, folder: str) -> str:
    """A path below a folder, whose name ends with a separator, relative to it."""
    if is_remote(image):
        return str(image)
    full = str(image.absolute())
    if not full.startswith(folder):
        return full
    shown = full.removeprefix(folder).replace(os.sep, "/")
    return f"./{shown}" if _LIVE.match(shown) else shown  # no formula, and the same file


def read_table(source: Path, labelled: bool = True) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and cells of a CSV of images, by the names of its columns.

    Args:
        source: the CSV.
        labelled: whether it has labels, and columns of :data:`COLUMNS` alone; otherwise it has a
            column of paths, and any others.

    Raises:
        UsageError: it has other columns, a row of other length, or is no CSV.
        TortieError: it cannot be read.
    """
    lines = io.StringIO(_text(source), newline="")
    reader = csv.reader(lines, strict=True, delimiter=_delimiter(source, lines, labelled))
    try:
        columns = [name.strip().lower() for name in next(reader)]
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(columns):
                raise UsageError(
                    f"{quoted(source)}, line {reader.line_num}: {len(cells)} cells; expected "
                    f"{len(columns)}"
                )
            row = dict(zip(columns, map(from_cell, cells), strict=True))
            if any("\0" in cell for cell in row.values()):
                raise UsageError(f"{quoted(source)}, line {reader.line_num}: a cell holds a null")
            yield reader.line_num, row
    except csv.Error as error:
        raise UsageError(f"{quoted(source)}, line {reader.line_num}: {error}") from error


def windows_text(cell: str) -> str:
    """A cell of which some bytes are no UTF-8, as Windows-1252; other cells as they are."""
    raw = cell.encode("utf-8", "surrogateescape")
    try:
        raw.decode("utf-8")
        return cell
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _text(source: Path) -> str:
    try:
        if is_remote(source):
            content = remote_bytes(source, _MOST)
        else:
            with open_regular(source) as file:
                content = file.read()
    except OSError as error:
        raise TortieError(f"cannot read {quoted(source)}: {error.strerror}") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    return content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def _delimiter(source: Path, lines: io.StringIO, labelled: bool) -> str:
    """What stands between the columns of the header, which comes next in ``lines`` afterwards."""
    begin = 0
    first = lines.readline()
    if re.fullmatch(r"sep=(.)\s*", first):  # a line that Excel writes before the header
        begin = lines.tell()
        first = lines.readline()
    lines.seek(begin)
    for delimiter in _DELIMITERS:
        columns = [one.strip(' "\r\n').lower() for one in first.split(delimiter)]
        known = {"path", "label"} <= set(columns) <= set(COLUMNS) if labelled else "path" in columns
        if known and len(set(columns)) == len(columns):
            return delimiter
    expected = EXPECTED if labelled else "one of them to be path"
    raise UsageError(
        f"{quoted(source)}, line 1: the columns are {quoted(first.strip()[:200])}; expected "
        f"{expected}, in UTF-8"
    )
