"""A TIFF's first directory: its entries, and the whole numbers that they hold."""

import struct

from tortie.images.limits import TIFF_ENTRIES, TIFF_NUMBERS
from tortie.images.unreadable import HeaderGoesOn, UnreadableImage

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip
CODES = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""Types of whole numbers, as ``struct`` calls them."""


Entry = tuple[int, int, bytes]
"""Type, count, and the four or eight bytes of value or offset."""


def directory(data: bytes, order: str, big: bool) -> dict[int, Entry]:
    """The entries by tag; of a tag that is there twice, the first.

    Args:
        data: the file, or its beginning.
        order: ``<`` or ``>``.
        big: whether it is a BigTIFF.

    Raises:
        UnreadableImage: it has none, or too many.
        HeaderGoesOn: the bytes end before it does.
    """
    number, inline, head = ("Q", 8, "Q") if big else ("I", 4, "H")
    try:
        (start,) = struct.unpack_from(order + number, data, 8 if big else 4)
        (count,) = struct.unpack_from(order + head, data, start)
        if not 0 < count <= TIFF_ENTRIES:
            raise UnreadableImage("damaged")
        entries: dict[int, Entry] = {}
        at = start + struct.calcsize(order + head)
        for _ in range(count):
            tag, kind, many = struct.unpack_from(f"{order}HH{number}", data, at)
            at += 4 + inline
            if at + inline > len(data):
                raise HeaderGoesOn
            entries.setdefault(tag, (kind, many, data[at : at + inline]))
            at += inline
    except struct.error as error:
        raise HeaderGoesOn from error
    return entries


def classic(data: bytes, order: str, big: bool, entry: Entry) -> Entry:
    """An entry of a classic TIFF's directory: numbers and offsets of 32 bits."""
    kind, count, value = entry
    if not big:
        return entry
    if kind == 16:
        values = values_of(data, order, big, entry)
        return 4, count, struct.pack(f"{order}{len(values)}I", *(min(v, 2**32 - 1) for v in values))
    size = _SIZES.get(kind, 0) * count
    if size <= 8:
        return kind, count, value[: max(size, 1)]
    return (
        kind,
        count,
        struct.pack(order + "I", min(struct.unpack(order + "Q", value)[0], 2**32 - 1)),
    )


def values_of(data: bytes, order: str, big: bool, entry: Entry) -> tuple[int, ...]:
    """The whole numbers of an entry; none where it holds something else."""
    kind, count, value = entry
    size = _SIZES.get(kind, 0) * count
    if kind not in CODES or count > TIFF_NUMBERS:
        return ()
    if size <= (8 if big else 4):
        return struct.unpack_from(f"{order}{count}{CODES[kind]}", value)
    (start,) = struct.unpack(order + ("Q" if big else "I"), value[: 8 if big else 4])
    if start + size > len(data):
        raise HeaderGoesOn
    return struct.unpack_from(f"{order}{count}{CODES[kind]}", data, start)
