"""What a TIFF's first directory says, and which kinds of it are read, and how.

A TIFF is whole if all its strips or tiles lie within the file. A decoder is given a directory with
no other tags than those that say how pixels are stored. What Pillow would take for another picture
is put right here: planes of 16 bits, white as zero, unsigned 32 bits, signed 8 bits, colour maps
of 8 bits. What it cannot read is refused by its header, with the reason.
"""

import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from tortie.images.header import DEEP, WHOLE, Header, joined
from tortie.images.unreadable import HeaderGoesOn, UnreadableImage

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip
_CODES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # types of whole numbers
_ENTRIES = 4096  # of a directory: some 20 are usual
_STRIPS = 200_000

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _PLANAR, _COLOUR_MAP, _EXTRA, _FORMAT = 274, 277, 284, 320, 338, 339
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_OFFSETS, _COUNTS = (273, 324), (279, 325)  # of strips; of tiles
_DNG = 50706
_NEEDED = {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, 266, _SAMPLES, 278, _PLANAR, 292, 293),
    *(317, _COLOUR_MAP, _TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _FORMAT, 347, 529, 530, 531, 532),
    *(512, 513, 514, 515, 517, 518, 519, 520, 521, 50674, *_OFFSETS, *_COUNTS),
}
_CHANNELS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # of each photometric interpretation
_COLOURS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "CIELAB"}
_OTHER_COLOURS = {
    4: "a mask", 9: "ICC CIELAB", 10: "ITU CIELAB", 32803: "camera raw", 34892: "camera raw",
    32844: "LogL", 32845: "LogLuv",
}  # fmt: skip
_FORMATS = {1: "", 2: "signed ", 3: "floating-point "}

Entry = tuple[int, int, bytes]  # type, count, and the four or eight bytes of value or offset


@dataclass(frozen=True, slots=True)
class Tiff:
    """How the first image of a TIFF is stored.

    Attributes:
        header: its size and orientation.
        order: ``<`` or ``>``.
        big: whether it is a BigTIFF.
        entries: of its directory, by tag.
        photometric: 0 white is zero, 1 grey, 2 RGB, 3 palette, 5 CMYK, 6 YCbCr, 8 CIELAB.
        bits: of a sample.
        format: 1 unsigned, 2 signed, 3 floating point.
        samples: a pixel.
        extra: what the samples behind the colour are: 0 nothing, 1 and 2 alpha.
        planar: whether each sample lies in a plane of its own.
        compressed: whether libtiff decodes it.
    """

    header: Header
    order: str
    big: bool
    entries: Mapping[int, Entry]
    photometric: int
    bits: int
    format: int
    samples: int
    extra: tuple[int, ...]
    planar: bool
    compressed: bool

    @property
    def swapped(self) -> bool:
        """Whether libtiff gives bytes in another order than Pillow then takes them in."""
        native = "<" if sys.byteorder == "little" else ">"
        deep = self.bits == 32 or (self.bits == 16 and self.format == 2)
        return self.compressed and deep and self.order != native

    @property
    def planes(self) -> int:
        """How many planes must be read one by one; 0 where Pillow reads them rightly."""
        return self.samples if self.planar and self.bits == 16 and self.samples > 1 else 0

    def stream(self, data: bytes, plane: int | None = None) -> BinaryIO:
        """What a decoder is given: the file with another directory, that of a classic TIFF.

        Args:
            data: the whole file.
            plane: which plane, as a grey image; ``None`` for the image.
        """
        entries = {
            tag: _classic(data, self.order, self.big, entry)
            for tag, entry in self.entries.items()
            if tag in _NEEDED
        }
        if plane is not None:
            for tag in (*_OFFSETS, *_COUNTS):
                if tag in entries:
                    values = _values(data, self.order, self.big, self.entries[tag])
                    each = len(values) // self.samples
                    entries[tag] = self._entry(4, values[plane * each :][:each])
            entries.pop(_EXTRA, None)
            entries[_BITS] = self._entry(3, [self.bits])
            entries[_SAMPLES] = entries[_PLANAR] = self._entry(3, [1])
        if plane is not None or (self.photometric == 0 and self.bits > 8):
            entries[_PHOTOMETRIC] = self._entry(3, [1])
        if self.format == 2 and self.bits == 8:
            entries.pop(_FORMAT, None)
        if self.format == 1 and self.bits == 32:  # Pillow has no unsigned 32 bits
            entries[_FORMAT] = self._entry(3, [2])
        return joined(self._with(data, entries))

    def _entry(self, kind: int, values: Sequence[int]) -> Entry:
        return kind, len(values), struct.pack(f"{self.order}{len(values)}{_CODES[kind]}", *values)

    def _with(self, data: bytes, entries: Mapping[int, Entry]) -> list[bytes | memoryview]:
        """The file, with a directory of these entries behind its end."""
        behind = bytearray(-len(data) % 8)
        directory = struct.pack(self.order + "H", len(entries))
        for tag in sorted(entries):
            kind, count, value = entries[tag]
            if len(value) > 4:
                place = struct.pack(self.order + "I", len(data) + len(behind))
                behind += value + b"\0" * (-len(value) % 8)
                value = place
            directory += struct.pack(self.order + "HHI", tag, kind, count) + value.ljust(4, b"\0")
        start = struct.pack(self.order + "I", len(data) + len(behind))
        magic = data[:2] + struct.pack(self.order + "H", 42)
        return [magic + start, memoryview(data)[8:], bytes(behind) + directory + bytes(4)]


def parse(data: bytes) -> Tiff:
    """Read the first directory.

    Raises:
        UnreadableImage: it is damaged, or of a kind that is not supported.
        HeaderGoesOn: the bytes end before the directory does.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    entries = _directory(data, order, big)

    def numbers(tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
        return _values(data, order, big, entries[tag]) if tag in entries else default

    def number(tag: int, default: int) -> int:
        return (numbers(tag, (default,)) or (default,))[0]

    if _WIDTH not in entries or _HEIGHT not in entries:
        raise UnreadableImage("damaged")
    if _DNG in entries:
        raise UnreadableImage("not supported (camera raw, DNG)")
    compression = number(_COMPRESSION, 1)
    photometric = number(_PHOTOMETRIC, 0)
    if photometric not in _CHANNELS:
        what = _OTHER_COLOURS.get(photometric, f"colour space {photometric}")
        raise UnreadableImage(f"not supported (TIFF of {what})")
    samples = number(_SAMPLES, _CHANNELS[photometric] if compression in (6, 7) else 1)
    bits, formats = set(numbers(_BITS, (1,))), set(numbers(_FORMAT, (1,)))
    if len(bits) != 1 or len(formats) != 1:
        raise UnreadableImage("not supported (TIFF with samples of several kinds)")
    depth, format = bits.pop(), formats.pop()
    deep = depth > 8 and samples > 1
    header = Header(
        number(_WIDTH, 0),
        number(_HEIGHT, 0),
        "TIFF of 16 bits" if deep else "TIFF",
        DEEP if deep else WHOLE,
        value if 1 <= (value := number(_ORIENTATION, 1)) <= 8 else 1,
        memory=4
        if photometric in (2, 6) and samples == 3
        else 8
        if samples > 1
        else 4 + depth // 8,
    )
    tiff = Tiff(
        header, order, big, entries, photometric, depth, 1 if format == 4 else format, samples,
        numbers(_EXTRA, ()), number(_PLANAR, 1) == 2, compression != 1,
    )  # fmt: skip
    _check_kind(tiff)
    if number(_TILE_WIDTH, 1) * number(_TILE_HEIGHT, 1) > header.most:
        raise UnreadableImage("damaged: tiles larger than any image")
    return tiff


def _check_kind(tiff: Tiff) -> None:
    """Refuse what Pillow does not read, or takes for something else."""
    colour, format, bits = tiff.photometric, tiff.format, tiff.bits
    if colour == 3:
        known = format == 1 and bits in (1, 2, 4, 8)
    elif colour in (0, 1):
        known = (
            bits in {1: (1, 2, 4, 8, 16, 32), 2: (8, 16, 32), 3: (32,)}.get(format, ())
            or (bits == 12 and format == 1 and tiff.order == "<" and colour == 1)
        ) and (tiff.samples == 1 or bits == 8)
    else:
        known = format == 1 and bits in ((8, 16) if colour in (2, 5) else (8,))
    if colour == 8 and tiff.planar:
        known = False
    if not known:
        raise UnreadableImage(not_supported(tiff).reason)


def not_supported(tiff: Tiff) -> UnreadableImage:
    """The error for a kind of TIFF that is not read."""
    kind = f"{tiff.bits}-bit {_FORMATS.get(tiff.format, 'complex ')}{_COLOURS[tiff.photometric]}"
    channels = _CHANNELS[tiff.photometric]
    more = f" with {tiff.samples} samples a pixel" if tiff.samples != channels else ""
    planes = " in planes" if tiff.planar and tiff.samples > 1 else ""
    return UnreadableImage(f"not supported (TIFF of {kind}{more}{planes})")


def check_whole(tiff: Tiff, data: bytes) -> None:
    """Check that all strips or tiles lie within the file.

    Raises:
        UnreadableImage: they do not, or there are too many.
    """
    for at, count in zip(_OFFSETS, _COUNTS, strict=True):
        if at not in tiff.entries:
            continue
        offsets = _values(data, tiff.order, tiff.big, tiff.entries[at])
        if len(offsets) > _STRIPS:
            raise UnreadableImage(f"more than {_STRIPS:,} strips")
        if not offsets:
            raise UnreadableImage("damaged")
        sizes: Sequence[int] = [0] * len(offsets)
        if count in tiff.entries:
            sizes = _values(data, tiff.order, tiff.big, tiff.entries[count])
        if any(one + size > len(data) for one, size in zip(offsets, sizes, strict=False)):
            raise UnreadableImage("truncated")


def colour_map(tiff: Tiff, data: bytes) -> tuple[int, ...]:
    """The palette as 8-bit levels, all reds, then all greens, then all blues.

    The standard has 16 bits; some writers put 8 into them (libtiff's own tools know of it).
    """
    if _COLOUR_MAP not in tiff.entries:
        raise UnreadableImage("damaged: no palette")
    values = _values(data, tiff.order, tiff.big, tiff.entries[_COLOUR_MAP])
    return values if max(values, default=0) < 256 else tuple(value >> 8 for value in values)


def _directory(data: bytes, order: str, big: bool) -> dict[int, Entry]:
    number, inline, head = ("Q", 8, "Q") if big else ("I", 4, "H")
    try:
        (start,) = struct.unpack_from(order + number, data, 8 if big else 4)
        (count,) = struct.unpack_from(order + head, data, start)
        if not 0 < count <= _ENTRIES:
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


def _classic(data: bytes, order: str, big: bool, entry: Entry) -> Entry:
    """An entry of a classic TIFF's directory: numbers and offsets of 32 bits."""
    kind, count, value = entry
    if not big:
        return entry
    if kind == 16:
        values = _values(data, order, big, entry)
        return 4, count, struct.pack(f"{order}{len(values)}I", *(min(v, 2**32 - 1) for v in values))
    size = _SIZES.get(kind, 0) * count
    if size <= 8:
        return kind, count, value[: max(size, 1)]
    return (
        kind,
        count,
        struct.pack(order + "I", min(struct.unpack(order + "Q", value)[0], 2**32 - 1)),
    )


def _values(data: bytes, order: str, big: bool, entry: Entry) -> tuple[int, ...]:
    """The whole numbers of an entry; none where it holds something else."""
    kind, count, value = entry
    size = _SIZES.get(kind, 0) * count
    if kind not in _CODES or count > 4 * _STRIPS:
        return ()
    if size <= (8 if big else 4):
        return struct.unpack_from(f"{order}{count}{_CODES[kind]}", value)
    (start,) = struct.unpack(order + ("Q" if big else "I"), value[: 8 if big else 4])
    if start + size > len(data):
        raise HeaderGoesOn
    return struct.unpack_from(f"{order}{count}{_CODES[kind]}", data, start)
