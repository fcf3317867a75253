"""Rows of a Parquet file as images, as Hugging Face's data sets write them.

A column holds the images: the bytes of a file, or a struct of ``bytes`` and ``path``. Another holds
the labels: numbers of classes, whose names are in the schema, or the labels themselves.
"""

import bisect
import json
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any, NamedTuple

from tortie.errors import TortieError, UsageError
from tortie.files import open_regular
from tortie.forks import ForkSafeLock
from tortie.images.unreadable import UnreadableArchive, UnreadableImage
from tortie.text import quoted

_IMAGES = ("image", "img", "bytes", "jpg", "png")
_LABELS = ("label", "labels", "class", "cls")
_ROWS = 32  # that are decoded together
_KEPT = 8  # of these: images are read nearly in their order, by several threads
_BYTES = 2**26  # of them, where two are not more
_BUFFER = 2**20  # bytes read at once; by default pyarrow reads all of a group's column
_DIGITS = 6


class Columns(NamedTuple):
    """Which columns hold what.

    Attributes:
        image: name of the column of images.
        label: of the column of labels; ``None`` where there is none.
        classes: names of the classes that the labels number; ``None`` where they are labels.
        all: names of all columns.
    """

    image: str
    label: str | None
    classes: list[str] | None
    all: list[str]


def check_pyarrow(path: Path) -> None:
    """See that Parquet can be read and written.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise UsageError(f"{path}: Parquet needs pyarrow: pip install 'tortie[parquet]'") from None
    assert pyarrow.parquet


class ParquetFile:
    """A Parquet file of images, read a few rows at a time.

    A page of a column is the least that can be decoded: up to a hundred images of a file that
    ``datasets`` wrote. Rows are read on from the last; one before that, from its group's begin.

    Args:
        path: of the file.
        file: the file, opened, where it is not on this disk.

    Raises:
        UsageError: pyarrow is not installed, or there is no column of images.
        UnreadableArchive: it is damaged, or none.
        TortieError: it cannot be read.
    """

    def __init__(self, path: Path, file: IO[bytes] | None = None) -> None:
        check_pyarrow(path)
        import pyarrow.parquet

        self._path = path
        try:
            self._file = pyarrow.parquet.ParquetFile(
                file or path, buffer_size=_BUFFER, pre_buffer=False
            )
        except (OSError, ValueError) as error:  # of pyarrow, whose errors are both
            reason = str(error).splitlines()[0]
            if isinstance(error, OSError) and error.errno:
                raise TortieError(f"{quoted(path)} cannot be read as Parquet: {reason}") from None
            raise UnreadableArchive(path, _reason(path, file) or reason, "Parquet") from None
        self.columns = _columns(path, self._file.schema_arrow)
        self._check_images()
        self._begins: list[int] = []
        total = 0
        for group in range(self._file.num_row_groups):
            self._begins.append(total)
            total += self._file.metadata.row_group(group).num_rows
        digits = max(_DIGITS, len(str(total)))
        self.rows = [f"{row:0{digits}}" for row in range(total)]
        self._lock = threading.Lock()
        self._group = -1  # that is read, up to the row
        self._next = 0
        self._batches: Iterator[Any] = iter(())

    def _check_images(self) -> None:
        """Refuse a column of anything else than the bytes of files, such as of paths alone.

        Files of a path elsewhere on this disk are not read for it: who made the table would choose.
        """
        import pyarrow

        name, kind = self.columns.image, self._file.schema_arrow.field(self.columns.image).type
        place = name
        if pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            place, kind = f"{name}.bytes", kind.field("bytes").type
        if "binary" not in str(kind):
            raise UsageError(
                f"{quoted(self._path)}: the column {quoted(name)} is of {kind!s:.60}: expected "
                "binary, the bytes of image files"
            )
        if place != name and self._are_all_null(place):
            batch = next(self._file.iter_batches(1, columns=[name]))
            first = batch.column(0)[0].as_py() or {}
            raise UsageError(
                f"{quoted(self._path)} holds no images, only paths such as "
                f"{quoted(first.get('path'))}: give these files, or write the table after "
                "dataset.with_format('arrow').map(datasets.table.embed_table_storage, batched=True)"
            )

    def _are_all_null(self, place: str) -> bool:
        """Whether the statistics of a column say that there are rows and all of them are null."""
        metadata = self._file.metadata
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            for column in map(group.column, range(group.num_columns)):
                known = column.statistics if column.path_in_schema == place else None
                if column.path_in_schema == place and not (
                    known and known.has_null_count and known.null_count == group.num_rows
                ):
                    return False
        return metadata.num_rows > 0

    def read(self, row: str) -> bytes:
        """The file that a row holds; empty where it holds none.

        Raises:
            UnreadableImage: it holds the path of a file alone.
        """
        number = int(row)
        with self._lock:
            column = _kept.get(id(self), number) or self._read_on(number)
        value = column.values[number - column.begin].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if not content and isinstance(value, dict) and value.get("path"):
            raise UnreadableImage(
                f"its row has no bytes, only the path {quoted(value['path'])}",
                Path(f"{self._path}:{row}"),
            )
        return content or b""

    def _read_on(self, number: int) -> "_Column":
        """The rows that a row is among, read on from the last ones or from its group's begin."""
        group = bisect.bisect_right(self._begins, number) - 1
        if self._group != group or number < self._next:
            self._group, self._next = group, self._begins[group]
            self._batches = self._file.iter_batches(
                _ROWS, row_groups=[group], columns=[self.columns.image], use_threads=False
            )
        while True:
            self._group = -1  # where this fails, nothing can be read on
            batch = next(self._batches, None)
            if batch is None:
                raise OSError(f"row {number} is not there")
            column = _Column(id(self), self._next, batch.column(0))
            self._group, self._next = group, column.end
            _kept.keep(column)
            if number < column.end:
                return column

    def labels(self) -> list[Any]:
        """The label of each row: a class's name where they are known; ``None`` where it has none.

        Raises:
            UsageError: no column of labels, or a number that is no class's; -1 is no label.
        """
        name, classes = self.columns.label, self.columns.classes
        if name is None:
            raise UsageError(
                f"{quoted(self._path)} has no column of labels, but {', '.join(self.columns.all)}: "
                f"expected {' or '.join(_LABELS[:2])}"
            )
        values = self._file.read(columns=[name]).column(0).to_pylist()
        if classes is None:
            return values
        for row, value in enumerate(values):
            if value is not None and not (isinstance(value, int) and -1 <= value < len(classes)):
                raise UsageError(
                    f"{quoted(self._path)}, row {row}: label {value!r:.60} is none of its "
                    f"{len(classes):,} classes"
                )
        return [None if value is None or value < 0 else classes[value] for value in values]

    def close(self) -> None:
        """Close the file."""
        self._batches = iter(())
        _kept.forget(id(self))
        self._file.close()


class _Column(NamedTuple):
    """The images of some rows.

    Attributes:
        file: that they are of, by its identity.
        begin: the first row.
        values: of pyarrow.
    """

    file: int
    begin: int
    values: Any

    @property
    def end(self) -> int:
        """The row after the last."""
        return self.begin + len(self.values)


class _KeptRows:
    """The rows of all files that were read last."""

    def __init__(self) -> None:
        self._columns: list[_Column] = []
        self._lock = ForkSafeLock()

    def get(self, file: int, row: int) -> _Column | None:
        """The rows that a row of a file is among; ``None`` where they are not kept."""
        with self._lock:
            for column in self._columns:
                if column.file == file and column.begin <= row < column.end:
                    return column
        return None

    def keep(self, column: _Column) -> None:
        """Keep rows, and let go of those that were read longest ago."""
        with self._lock:
            self._columns.append(column)
            while len(self._columns) > _KEPT or (
                len(self._columns) > 2 and sum(one.values.nbytes for one in self._columns) > _BYTES
            ):
                self._columns.pop(0)

    def forget(self, file: int) -> None:
        """Let go of the rows of a file."""
        with self._lock:
            self._columns = [column for column in self._columns if column.file != file]


_kept = _KeptRows()


def _reason(path: Path, file: IO[bytes] | None) -> str | None:
    """What is wrong with a file that is no Parquet, where its first bytes tell."""
    try:
        with open_regular(path) if file is None else nullcontext(file) as opened:
            opened.seek(0)
            begin = opened.read(4)
    except (OSError, ValueError):
        return None
    if begin == b"PAR1":
        return "damaged or cut short (its end, which tells where its rows are, is missing)"
    return None if begin else "empty file"


def _columns(path: Path, schema: Any) -> Columns:
    """The columns by what the schema says of them, else by their names."""
    names = list(schema.names)
    features: dict[str, Any] = {}
    try:
        said = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = said["info"]["features"]
    except (ValueError, KeyError, TypeError):  # not written by datasets
        pass
    kinds = {
        name: feature.get("_type")
        for name, feature in features.items()
        if isinstance(feature, dict)
    }
    image = _first(names, kinds, "Image", _IMAGES)
    if image is None:
        raise UsageError(f"{quoted(path)} has no column of images: it has {', '.join(names)}")
    label = _first(names, kinds, "ClassLabel", _LABELS)
    classes = features[label].get("names") if label and kinds.get(label) == "ClassLabel" else None
    if isinstance(classes, dict):  # as older versions wrote them
        classes = [classes[str(number)] for number in range(len(classes))]
    return Columns(image, label, classes, names)


def _first(
    names: list[str], kinds: dict[str, str | None], kind: str, usual: tuple[str, ...]
) -> str | None:
    found = [name for name in names if kinds.get(name) == kind]
    return next(iter(found), next((name for name in usual if name in names), None))
