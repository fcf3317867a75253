"""Text from outside, made safe where it is shown or written: a terminal, a CSV, JSON.

File names, class names and cells may hold any bytes. Those of a name that are no UTF-8 come as
surrogates, as Python hands them on (PEP 383).
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from tortie.errors import UsageError

# Zero-width joiners are part of words and of emoji; every other character that is not seen, steers
# a terminal, ends a line or turns its direction has one of these categories.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"
_LIVE = re.compile(r"'*[=+\-@\t\r]")  # what a spreadsheet takes for the beginning of a formula
_GUARDED = re.compile(r"'+[=+\-@\t\r]")
_LINE_ENDS = re.compile("[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")


def shown(text: object) -> str:
    r"""Text as a line of a terminal may carry it: what is not seen is escaped.

    Control characters, ANSI escapes, marks of direction, line separators, invisible characters and
    bytes that are no UTF-8 become ``\x1b``, ``\u202e``, ``\xe9``.
    """
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(one) if _is_unseen(one) else one for one in text)


def shortened(text: str, most: int = 400) -> str:
    """Text of at most about so many characters: of a longer one, its beginning and its end."""
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-(most // 2) :]}"


def quoted(text: object) -> str:
    """Text, :func:`shown` and :func:`shortened`, in quotes: a name in the middle of a sentence."""
    text = shown(shortened(str(text)))
    return f'"{text}"' if "'" in text and '"' not in text else f"'{text}'"


def is_clean(text: str) -> bool:
    """Whether :func:`shown` leaves text as it is."""
    return shown(text) == text


def utf8(text: str) -> bytes:
    r"""Text as UTF-8; a byte of a name that is no UTF-8 becomes ``\xe9``, as in :func:`shown`."""
    return re.sub("[\ud800-\udfff]", lambda found: _escaped(found[0]), text).encode()


def csv_text(rows: Iterable[Sequence[object]], line_end: str = "\n", terminal: bool = False) -> str:
    r"""Rows as CSV (RFC 4180) that a spreadsheet does not run and no reader splits elsewhere.

    A text that a spreadsheet would take for a formula gets an apostrophe in front, which
    :func:`from_cell` takes away; so does one that begins with apostrophes and then such a sign. A
    cell with a character that ends lines anywhere (``\r``, U+0085, U+2028) is quoted.

    Args:
        rows: numbers, texts and ``None``, which is an empty cell.
        line_end: after each row.
        terminal: whether a terminal shows it, which makes every text :func:`shown`.
    """
    return "".join(",".join(_cell(value, terminal) for value in row) + line_end for row in rows)


def from_cell(cell: str) -> str:
    """The text that :func:`csv_text` wrote as this cell."""
    return cell[1:] if _GUARDED.match(cell) else cell


def json_object(text: str | bytes, what: str) -> dict[str, Any]:
    """The fields of a JSON object.

    Args:
        text: JSON.
        what: it is of, for the message.

    Raises:
        UsageError: no JSON, or no object.
    """
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{what}: no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise UsageError(f"{what}: expected a JSON object, not {fields!r}")
    return fields


def json_text(document: Any, indent: int | None = None) -> str:
    """JSON in which nothing is raw that :func:`shown` would escape; it reads back the same.

    A byte of a name that is no UTF-8 is the escape that Python's reader turns into the name again.
    """
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(
        json.dumps(one)[1:-1] if one != "\n" and _is_unseen(one) else one for one in text
    )


def _cell(value: object, terminal: bool) -> str:
    if value is None:
        return ""
    text = str(value)
    if isinstance(value, int | float):
        return text
    if _LIVE.match(text):
        text = "'" + text
    if terminal:
        text = shown(text)
    if any(one in text for one in ',"') or _LINE_ENDS.search(text) or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


def _is_unseen(one: str) -> bool:
    return unicodedata.category(one) in _UNSEEN and one not in _JOINERS


def _escaped(one: str) -> str:
    code = ord(one)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        code -= 0xDC00
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
