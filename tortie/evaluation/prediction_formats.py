"""Predictions as files: JSON, lines of it, and CSV or Parquet with one column a class."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tortie.errors import UsageError
from tortie.images.parquet import check_pyarrow
from tortie.text import csv_text, json_text, utf8

_FIXED = ("path", "label", "probability", "reason", "rejected", "novelty_percentile", "set")
_CELLS = 2**20  # of a group of rows in Parquet, which is in memory while it is written
_ROWS = 10_000  # of such a group, at most
OF_CLASS = "probability_"
"""What stands before the name of a class in the name of its column."""


@dataclass(frozen=True)
class PredictionWriter:
    """How predictions become a file.

    Attributes:
        begin: of the file.
        each: a prediction's document and its number, from 0, as bytes.
        end: of the file.
    """

    begin: bytes
    each: Callable[[Mapping[str, Any], int], bytes]
    end: bytes


def writer(format: str, classes: Sequence[str], terminal: bool = False) -> PredictionWriter:
    """The writer of a format: ``csv``, ``json`` or ``jsonl``.

    Args:
        format: its name.
        classes: names of the classes, in order.
        terminal: whether a terminal shows it.
    """
    if format == "csv":
        names = (*_FIXED, *(f"{OF_CLASS}{name}" for name in classes))
        return PredictionWriter(
            _encoded(csv_text([names], terminal=terminal)),
            lambda one, _: _encoded(csv_text([row(one, classes)], terminal=terminal)),
            b"",
        )
    if format == "jsonl":
        return PredictionWriter(b"", lambda one, _: _encoded(json_text(one) + "\n"), b"")
    return PredictionWriter(
        b"[", lambda one, number: _encoded((",\n " if number else "\n ") + json_text(one)), b"\n]\n"
    )


def format_of(path: Path) -> str:
    """The format that a file's suffix names.

    Raises:
        UsageError: none, or Parquet, and pyarrow is not installed.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in ("csv", "json", "jsonl", "parquet"):
        raise UsageError(f"-o {path}: expected a name that ends in .csv, .parquet, .jsonl or .json")
    if suffix == "parquet":
        check_pyarrow(path)
    return suffix


def write_predictions(
    file: BinaryIO, format: str, classes: Sequence[str], documents: Iterable[Mapping[str, Any]]
) -> None:
    """Write predictions as they come: ``csv``, ``json``, ``jsonl`` or ``parquet``.

    Args:
        file: to write to.
        format: its name.
        classes: names of the classes, in order.
        documents: of the predictions, in order; a few are in memory at a time.
    """
    if format == "parquet":
        _write_parquet(file, classes, documents)
        return
    text = writer(format, classes)
    file.write(text.begin)
    for number, one in enumerate(documents):
        file.write(text.each(one, number))
    file.write(text.end)


def _write_parquet(
    file: BinaryIO, classes: Sequence[str], documents: Iterable[Mapping[str, Any]]
) -> None:
    """Groups of rows, with the columns of the CSV; what is not said is null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        "path": pa.string(), "label": pa.string(), "probability": pa.float32(),
        "reason": pa.string(), "rejected": pa.bool_(), "novelty_percentile": pa.float32(),
        "set": pa.list_(pa.string()),
    }  # fmt: skip
    columns = [(name, kinds[name]) for name in _FIXED]
    columns += [(_text(f"{OF_CLASS}{name}"), pa.float32()) for name in classes]
    schema, left = pa.schema(columns), iter(documents)
    rows = max(1, min(_ROWS, _CELLS // len(columns)))
    with pq.ParquetWriter(file, schema) as table:
        while group := [_cells(one, classes) for one in itertools.islice(left, rows)]:
            values = zip(*group, strict=True)
            arrays = [pa.array(v, kind) for v, (_, kind) in zip(values, columns, strict=True)]
            table.write_batch(pa.record_batch(arrays, schema=schema))


def _cells(document: Mapping[str, Any], classes: Sequence[str]) -> tuple[object, ...]:
    """A prediction's document as a row of Parquet."""
    label, reason = document.get("label"), document.get("reason")
    within, found = document.get("prediction_set"), document.get("probabilities", {})
    return (
        _text(document["path"]), None if label is None else _text(label),
        document.get("probability"), None if reason is None else _text(reason),
        document.get("rejected"), document.get("novelty_percentile"),
        None if within is None else list(map(_text, within)),
        *(found.get(name) for name in classes),
    )  # fmt: skip


def _text(value: object) -> str:
    """Text that is UTF-8: a byte of a name that is none is escaped, as in a CSV."""
    return utf8(str(value)).decode()


def row(document: Mapping[str, Any], classes: Sequence[str]) -> tuple[object, ...]:
    """A prediction's document as a row of a CSV."""
    rejected, far = document.get("rejected"), document.get("novelty_percentile")
    within, found = document.get("prediction_set"), document.get("probabilities", {})
    return (
        document["path"], document.get("label"), document.get("probability"),
        document.get("reason"), None if rejected is None else str(rejected).lower(),
        None if far is None else round(far, 1), None if within is None else "; ".join(within),
        *(found.get(name) for name in classes),
    )  # fmt: skip


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
