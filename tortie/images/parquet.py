"""Rows of a Parquet file as images, as Hugging Face's data sets write them.

A column holds the images: the bytes of a file, or a struct of ``bytes`` and ``path``. Another holds
the labels: numbers of classes, whose names are in the schema, or the labels themselves.
"""

import json
import threading
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any, NamedTuple

from tortie.errors import TortieError, UsageError
from tortie.forks import ForkSafeLock
from tortie.text import quoted

_IMAGES = ("image", "img", "bytes", "jpg", "png")
_LABELS = ("label", "labels", "class", "cls")
_GROUPS = 4  # groups of rows that are kept: images are read in their order, by several threads
_BYTES = 2**28  # of these, where two are not more
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
    """A Parquet file of images, read a group of rows at a time.

    Args:
        path: of the file.
        file: the file, opened, where it is not on this disk.

    Raises:
        UsageError: pyarrow is not installed, or there is no column of images.
        TortieError: it cannot be read.
    """

    def __init__(self, path: Path, file: IO[bytes] | None = None) -> None:
        check_pyarrow(path)
        import pyarrow.parquet

        self._path = path
        try:
            self._file = pyarrow.parquet.ParquetFile(file or path)
        except (OSError, ValueError) as error:  # of pyarrow, whose errors are both
            reason = str(error).splitlines()[0]
            raise TortieError(f"{quoted(path)} cannot be read as Parquet: {reason}") from None
        self.columns = _columns(path, self._file.schema_arrow)
        self._begins: list[int] = []
        total = 0
        for group in range(self._file.num_row_groups):
            self._begins.append(total)
            total += self._file.metadata.row_group(group).num_rows
        digits = max(_DIGITS, len(str(total)))
        self.rows = [f"{row:0{digits}}" for row in range(total)]
        self._lock = threading.Lock()

    def read(self, row: str) -> bytes:
        """The file that a row holds; empty where it holds none."""
        number = int(row)
        group = sum(begin <= number for begin in self._begins) - 1
        with self._lock:
            column = _kept.get((id(self), group))
            if column is None:
                table = self._file.read_row_group(group, columns=[self.columns.image])
                column = table.column(0)
                _kept.keep((id(self), group), column)
        value = column[number - self._begins[group]].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        return content or b""

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
        _kept.forget(id(self))
        self._file.close()


class _KeptGroups:
    """The groups of rows of all files that were read last."""

    def __init__(self) -> None:
        self._groups: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._lock = ForkSafeLock()

    def get(self, key: tuple[int, int]) -> Any:
        """A group of a file; ``None`` where it is not kept."""
        with self._lock:
            if key in self._groups:
                self._groups.move_to_end(key)
            return self._groups.get(key)

    def keep(self, key: tuple[int, int], column: Any) -> None:
        """Keep a group, and let go of those that were read longest ago."""
        with self._lock:
            self._groups[key] = column
            while len(self._groups) > _GROUPS or (
                len(self._groups) > 2 and sum(one.nbytes for one in self._groups.values()) > _BYTES
            ):
                self._groups.popitem(last=False)

    def forget(self, file: int) -> None:
        """Let go of the groups of a file."""
        with self._lock:
            for key in [key for key in self._groups if key[0] == file]:
                del self._groups[key]


_kept = _KeptGroups()


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
