"""Predictions as text: lines of JSON, one JSON document, or CSV with one column a class."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tortie.errors import UsageError
from tortie.text import csv_text, json_text

_FIXED = ("path", "label", "probability", "reason", "rejected", "novelty_percentile", "set")
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
        UsageError: none.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in ("csv", "json", "jsonl"):
        raise UsageError(f"-o {path}: expected a name that ends in .csv, .jsonl or .json")
    return suffix


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
