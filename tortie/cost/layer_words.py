"""A layer in a few words, as a drawing has room for them."""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]  # a layer, as tortie.cost.describe tells it


def short_name(name: str) -> str:
    """A stage's name, cut to the room of a margin."""
    return name if len(name) <= 12 else f"{name[:11]}…"


def gates(row: Row) -> bool:
    """Whether a layer sees the mean of each map, as those of a gate do."""
    return row["receptive_field"] is None and tuple(row["output"][:-1]) == (1, 1)


def kind_of(row: Row) -> str:
    """``convolution``, ``pooling``, ``linear`` or ``other``."""
    if "Pool" in row["kind"]:
        return "pooling"
    if "Norm" in row["kind"]:
        return "other"
    if gates(row):
        return "other"
    return "convolution" if row["kernel"] else "linear"


def _side(pair: Sequence[int] | str | None) -> str:
    if pair is None or isinstance(pair, str):
        return pair or ""
    return str(pair[0]) if pair[0] == pair[1] else "×".join(map(str, pair))


def window(row: Row) -> str:
    """``3×3``."""
    height, width = row["kernel"]
    return f"{height}×{width}"


def words(row: Row, parts: int) -> str:
    """A layer in one line: window, filters (of one of ``parts``), activation."""
    filters, act = row["output"][-1] // parts, row["activation"]
    end = f", {act}" if act else ""
    start = f"{row['preactivation']}, " if row["preactivation"] else ""
    if "Norm" in row["kind"]:
        return "normalised across maps" if row["kind"] == "LocalResponseNorm" else row["kind"]
    if gates(row) and row["kernel"]:
        return f"{'gate' if act == 'sigmoid' else 'of the means'}: {filters}{end}"
    if not row["kernel"]:
        if "Pool" in row["kind"] or not row["multiplications"]:
            return "mean of each map" if "Pool" in row["kind"] else row["name"]
        return f"{filters:,} units{end}"
    numbers = f"f={_side(row['kernel'])} s={_side(row['stride'])} p={_side(row['padding'])}"
    if "Pool" in row["kind"]:
        return f"{'max' if 'Max' in row['kind'] else 'average'} {numbers}{end}"
    groups = row["groups"] // parts if row["groups"] > parts else 1
    parted = "" if groups == 1 else ", depthwise" if groups == filters else f", {groups} groups"
    return f"{start}{numbers}, {filters}{parted}{end}"


def column_words(row: Row) -> str:
    """A layer of a narrow branch, in two lines."""
    numbers = f"s={_side(row['stride'])} p={_side(row['padding'])}" if row["kernel"] else ""
    if "Pool" in row["kind"]:
        return f"max {window(row)}\n{numbers}"
    return f"{window(row)}, {row['output'][-1]}\n{numbers}"
