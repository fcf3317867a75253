"""Tables and shapes as text."""

import re
from collections.abc import Sequence

from tortie.errors import UsageError

_MOST = 10**6


def columns(
    heading: Sequence[str], rows: Sequence[Sequence[str | int]], right: Sequence[int] = ()
) -> list[str]:
    """Lines of a table: words to the left, numbers to the right with their thousands parted.

    Args:
        heading: of each column.
        rows: as many values each.
        right: columns of words that hang to the right too.
    """
    numbers = [
        i in right or (bool(rows) and all(isinstance(row[i], int) or not row[i] for row in rows))
        for i in range(len(heading))
    ]
    cells = [list(heading)] + [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heading))]
    lines = []
    for line in cells:
        aligned = [
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(line, widths, numbers, strict=True)
        ]
        lines.append("  ".join(aligned).rstrip())
    return lines


def _cell(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def short_count(value: int) -> str:
    """Four digits and a unit: ``4.652 M``."""
    for limit, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= limit:
            return f"{value / limit:#.4g} {unit}"
    return str(value)


def letter(number: int) -> str:
    """``a`` for 0: what stands in a table for words below it."""
    return chr(ord("a") + number)


def shape(sides: Sequence[int]) -> str:
    """``224×224×3``."""
    return "×".join(map(str, sides))


def activations(before: str | None, after: str | None) -> str:
    """The non-linearities before a layer and after it."""
    return ", ".join(filter(None, (before and f"{before} before", after)))


def side(pair: Sequence[int] | str | None) -> str:
    """One number where both directions have it; words as they are."""
    if pair is None or isinstance(pair, str):
        return pair or ""
    return str(pair[0]) if pair[0] == pair[1] else shape(pair)


def parse_shape(text: str) -> tuple[int, int, int]:
    """Height, width and channels of a text such as ``224x224x3``.

    Raises:
        UsageError: another form, or a side below 1 or above a million.
    """
    parts = re.split("[x×]", text.strip().lower())
    if len(parts) != 3 or not all(re.fullmatch(r"\d{1,9}", part) for part in parts):
        raise UsageError(f"--input {text!r}: expected HEIGHTxWIDTHxCHANNELS, such as 224x224x3")
    height, width, channels = map(int, parts)
    if not all(1 <= side <= _MOST for side in (height, width, channels)):
        raise UsageError(f"--input {text!r}: expected sides and channels from 1 to {_MOST:,}")
    return height, width, channels
