"""The boxes of a HEIC or AVIF file (ISO/IEC 14496-12 and 23008-12): is it whole, how is it turned?

Such a file is whole if no box and no item's data ends behind the end of the file, and the data of
every HEVC item is a row of units whose lengths fill it. The decoder does not say so: where a tile
is missing it paints green.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from tortie.images.limits import BOXES, TILE_BYTES
from tortie.images.unreadable import UnreadableImage

# Quarter turns against the clock, then a mirror (0: top and bottom change): EXIF orientation.
_TURNS = {(0, None): 1, (1, None): 8, (2, None): 3, (3, None): 6,
          (0, 0): 4, (1, 0): 5, (2, 0): 2, (3, 0): 7,
          (0, 1): 2, (1, 1): 7, (2, 1): 4, (3, 1): 5}  # fmt: skip


class NoBox(UnreadableImage):
    """Bytes that are no box, or no whole one."""


@dataclass
class Boxes:
    """What the boxes say.

    Attributes:
        primary: the item that is the picture.
        properties: kind and content of each property, in order.
        of_primary: the properties of the primary item, numbered from 1, in order.
        kinds: of each item, such as ``hvc1``.
        extents: of each item: offset and length in the file.
        tiles: the items that grids are made of, each as often as it is shown.
    """

    primary: int = 0
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    of_primary: list[int] = field(default_factory=list)
    kinds: dict[int, bytes] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    tiles: list[int] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture before it is cropped and turned; 0 if not said."""
        for kind, content in self._own():
            if kind == b"ispe" and len(content) >= 12:
                width, height = struct.unpack_from(">II", content, 4)
                return width, height
        return 0, 0

    @property
    def orientation(self) -> int:
        """As EXIF counts: what the decoder does, or has done, to turn the picture upright."""
        turn, mirror = 0, None
        for kind, content in self._own():
            if kind == b"irot" and content:
                turn = content[0] & 3
            elif kind == b"imir" and content:
                mirror = content[0] & 1
        return _TURNS[turn, mirror]

    def clean_aperture(self, width: int, height: int) -> tuple[int, int, int, int] | None:
        """Left, top, right and bottom of what is to be seen; ``None`` for all of it.

        The fractions of ``clap`` are its width, height, and the place of its centre relative to
        the picture's (ISO/IEC 14496-12, 12.1.4).
        """
        for kind, content in self._own():
            if kind != b"clap" or len(content) < 32:
                continue
            numbers = struct.unpack_from(">IIIIiIiI", content)
            if not all(numbers[1::2]):
                return None
            wide, tall, across, down = (
                numerator / denominator
                for numerator, denominator in zip(numbers[::2], numbers[1::2], strict=True)
            )
            left = round(across + (width - 1) / 2 - (wide - 1) / 2)
            top = round(down + (height - 1) / 2 - (tall - 1) / 2)
            box = left, top, left + round(wide), top + round(tall)
            inside = 0 <= left < box[2] <= width and 0 <= top < box[3] <= height
            return box if inside and box != (0, 0, width, height) else None
        return None

    def _own(self) -> Iterator[tuple[bytes, bytes]]:
        for number in self.of_primary:
            if 1 <= number <= len(self.properties):
                yield self.properties[number - 1]


def parse(data: bytes) -> Boxes:
    """Read the boxes that describe pictures.

    Raises:
        UnreadableImage: the file is cut, or damaged.
    """
    found = Boxes()
    try:
        for kind, begin, end in _outer(data, found):
            if kind == b"meta":
                _read_meta(data, begin + 4, end, found)
    except (struct.error, IndexError) as error:
        raise UnreadableImage("damaged") from error
    for item, extents in found.extents.items():
        for at, length in extents:
            if at + length > len(data):
                raise UnreadableImage("truncated")
        if found.kinds.get(item) == b"hvc1":
            _check_units(data, extents)
    sizes = {item: sum(length for _, length in own) for item, own in found.extents.items()}
    if sum(sizes.get(item, 0) for item in found.tiles) > TILE_BYTES:
        raise UnreadableImage(f"more than {TILE_BYTES // 2**20} MB of tiles")
    return found


def _outer(data: bytes, found: Boxes) -> Iterator[tuple[bytes, int, int]]:
    """The boxes of the file itself, up to what is none and lies behind the data of all items.

    What some telephones and editors write there is no part of the picture.
    """
    behind = 0
    try:
        for box in _walk(data, 0, len(data)):
            behind = box[2]
            yield box
    except NoBox:
        ends = [at + length for extents in found.extents.values() for at, length in extents]
        if not ends or max(ends) > behind:
            raise


def _walk(data: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the content of each box in a range."""
    at = begin
    for _ in range(BOXES):
        if at + 8 > end:
            if end == len(data) and at < end:
                raise NoBox("truncated")
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        content = at + 8
        if size == 1:
            if content + 8 > end:
                raise NoBox("truncated")
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        stop = at + size if size else end
        if stop > end:
            raise NoBox("truncated")
        if stop < content:
            raise NoBox("damaged")
        yield kind, content, stop
        at = stop
    raise UnreadableImage(f"more than {BOXES:,} boxes")


def _read_meta(data: bytes, begin: int, end: int, found: Boxes) -> None:
    of_items: list[tuple[int, int]] = []
    for kind, start, stop in _walk(data, begin, end):
        if kind == b"pitm":
            form = ">I" if data[start] else ">H"
            (found.primary,) = struct.unpack_from(form, data, start + 4)
        elif kind == b"iinf":
            first = start + (8 if data[start] else 6)
            for entry, at, _ in _walk(data, first, stop):
                if entry == b"infe" and data[at] >= 2:
                    form = ">H2x4s" if data[at] == 2 else ">I2x4s"
                    item, name = struct.unpack_from(form, data, at + 4)
                    found.kinds[item] = name
        elif kind == b"iloc":
            found.extents = _read_locations(data, start)
        elif kind == b"iref":
            for name, at, _ in _walk(data, start + 4, stop):
                if name == b"dimg":
                    found.tiles += _read_references(data, at, wide=bool(data[start]))
                    if len(found.tiles) > BOXES:
                        raise UnreadableImage(f"more than {BOXES:,} tiles")
        elif kind == b"iprp":
            for inner, at, last in _walk(data, start, stop):
                if inner == b"ipco":
                    found.properties = [
                        (name, data[one:two]) for name, one, two in _walk(data, at, last)
                    ]
                elif inner == b"ipma":
                    of_items += _read_associations(data, at)
    found.of_primary = [number for item, number in of_items if item == found.primary]


def _read_references(data: bytes, at: int, wide: bool) -> tuple[int, ...]:
    """The items that one refers to."""
    size = 4 if wide else 2
    (count,) = struct.unpack_from(">H", data, at + size)
    return struct.unpack_from(f">{count}{'I' if wide else 'H'}", data, at + size + 2)


def _read_associations(data: bytes, at: int) -> list[tuple[int, int]]:
    """Pairs of an item and the number of a property of it."""
    version, flags = data[at], data[at + 3]
    (count,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    pairs: list[tuple[int, int]] = []
    for _ in range(min(count, BOXES)):
        (item,) = struct.unpack_from(">I" if version else ">H", data, at)
        at += 4 if version else 2
        many = data[at]
        at += 1
        for _ in range(many):
            if flags & 1:
                pairs.append((item, struct.unpack_from(">H", data, at)[0] & 0x7FFF))
                at += 2
            else:
                pairs.append((item, data[at] & 0x7F))
                at += 1
    return pairs


def _read_locations(data: bytes, at: int) -> dict[int, list[tuple[int, int]]]:
    """Extents in the file of each item whose data lie in the file itself."""
    version = data[at]
    offset_size, length_size = data[at + 4] >> 4, data[at + 4] & 15
    base_size, index_size = data[at + 5] >> 4, data[at + 5] & 15 if version else 0
    (count,) = struct.unpack_from(">I" if version == 2 else ">H", data, at + 6)
    at += 10 if version == 2 else 8

    def number(size: int) -> int:
        nonlocal at
        if at + size > len(data):
            raise IndexError
        value = int.from_bytes(data[at : at + size], "big")
        at += size
        return value

    places: dict[int, list[tuple[int, int]]] = {}
    left = BOXES
    for _ in range(count):
        item = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else 0
        number(2)  # which file
        base = number(base_size)
        extents = []
        for _ in range(number(2)):
            left -= 1
            if left < 0:
                raise UnreadableImage(f"more than {BOXES:,} pieces")
            number(index_size)
            offset = number(offset_size)
            extents.append((base + offset, number(length_size)))
        if method == 0:
            places[item] = extents
    return places


def _check_units(data: bytes, extents: list[tuple[int, int]]) -> None:
    """Check that an HEVC item's units fill its data: four bytes of length before each.

    What was laid out and never written is zeros: no unit's length is zero, and none holds three
    bytes of zeros in turn (ISO/IEC 23008-2, 7.4.2).
    """
    if any(data.find(bytes(16), at, at + length) >= 0 for at, length in extents):
        raise UnreadableImage("damaged")
    if len(extents) != 1 or not extents[0][1]:
        return
    at, length = extents[0]
    end = at + length
    for _ in range(BOXES):
        if at >= end:
            break
        size = int.from_bytes(data[at : at + 4], "big")
        if not size or at + 4 + size > end:
            raise UnreadableImage("damaged")
        at += 4 + size
