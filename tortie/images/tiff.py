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

from tortie.images.header import Header, joined
from tortie.images.limits import DEEP, TIFF_STRIPS, WHOLE
from tortie.images.tiff_directory import CODES, Entry, classic, directory, values_of
from tortie.images.unreadable import UnreadableImage

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _PLANAR, _COLOUR_MAP, _EXTRA, _FORMAT = 274, 277, 284, 320, 338, 339
_ROWS, _TILE_WIDTH, _TILE_HEIGHT = 278, 322, 323
_OFFSETS, _COUNTS = (273, 324), (279, 325)  # of strips; of tiles
_JPEG_TABLES = 347
_DNG = 50706
_NEEDED = {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, 266, _SAMPLES, _ROWS, _PLANAR, 292, 293),
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
        rows: of a strip; 0 for all.
        tile: width and height of a tile, if it has them.
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
    rows: int
    tile: tuple[int, int]

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
            tag: classic(data, self.order, self.big, entry)
            for tag, entry in self.entries.items()
            if tag in _NEEDED
        }
        if plane is not None:
            for tag in (*_OFFSETS, *_COUNTS):
                if tag in entries:
                    values = values_of(data, self.order, self.big, self.entries[tag])
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
        return kind, len(values), struct.pack(f"{self.order}{len(values)}{CODES[kind]}", *values)

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
    entries = directory(data, order, big)

    def numbers(tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
        return values_of(data, order, big, entries[tag]) if tag in entries else default

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
    bits, formats = (set(numbers(tag, (1,))[:samples]) for tag in (_BITS, _FORMAT))
    if len(bits) != 1 or len(formats) != 1:
        raise UnreadableImage("not supported (TIFF with samples of several kinds)")
    depth, format = bits.pop(), formats.pop()
    kind, most = "TIFF", WHOLE
    if depth > 8 and samples > 1:
        kind, most = "TIFF of 16 bits", DEEP
    if compression == 34925:  # 80 ns a pixel of three channels
        kind, most = "TIFF with LZMA", 50_000_000
    header = Header(
        number(_WIDTH, 0),
        number(_HEIGHT, 0),
        kind,
        most,
        value if 1 <= (value := number(_ORIENTATION, 1)) <= 8 else 1,
        memory=4
        if photometric in (2, 6) and samples == 3
        else 8
        if samples > 1
        else 4 + depth // 8,
    )
    tiff = Tiff(
        header=header, order=order, big=big, entries=entries, photometric=photometric,
        bits=depth, format=1 if format == 4 else format, samples=samples,
        extra=numbers(_EXTRA, ()), planar=number(_PLANAR, 1) == 2, compressed=compression != 1,
        rows=number(_ROWS, 0), tile=(number(_TILE_WIDTH, 1), number(_TILE_HEIGHT, 1)),
    )  # fmt: skip
    _check_kind(tiff)
    if tiff.tile[0] * tiff.tile[1] > header.most:
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
    """Check that all strips or tiles lie within the file, and the tables that JPEG data need.

    Raises:
        UnreadableImage: they do not, or there are too many.
    """
    if _JPEG_TABLES in tiff.entries:
        _, count, value = tiff.entries[_JPEG_TABLES]
        at = int.from_bytes(value, "little" if tiff.order == "<" else "big")
        if count > len(value) and at + count > len(data):
            raise UnreadableImage("truncated")
    for at, count in zip(_OFFSETS, _COUNTS, strict=True):
        if at not in tiff.entries:
            continue
        offsets = values_of(data, tiff.order, tiff.big, tiff.entries[at])
        if len(offsets) > TIFF_STRIPS:
            raise UnreadableImage(f"more than {TIFF_STRIPS:,} strips")
        if not offsets:
            raise UnreadableImage("damaged")
        sizes: Sequence[int] = [0] * len(offsets)
        if not tiff.compressed and tiff.photometric != 6:  # whatever their counts say
            sizes = [_stored(tiff, number, len(offsets)) for number in range(len(offsets))]
        elif count in tiff.entries:
            sizes = values_of(data, tiff.order, tiff.big, tiff.entries[count])
        if any(one + size > len(data) for one, size in zip(offsets, sizes, strict=False)):
            raise UnreadableImage("truncated")


def _stored(tiff: Tiff, number: int, count: int) -> int:
    """Bytes of a strip or tile that is not compressed."""
    planes = tiff.samples if tiff.planar else 1
    width, rows = tiff.header.width, tiff.header.height
    if _TILE_WIDTH in tiff.entries:
        width, rows = tiff.tile
    elif tiff.rows:
        rows = max(0, min(tiff.rows, rows - number % max(count // planes, 1) * tiff.rows))
    return (width * tiff.bits * (1 if tiff.planar else tiff.samples) + 7) // 8 * rows


def colour_map(tiff: Tiff, data: bytes) -> tuple[int, ...]:
    """The palette as 8-bit levels, all reds, then all greens, then all blues.

    The standard has 16 bits; some writers put 8 into them (libtiff's own tools know of it).
    """
    if _COLOUR_MAP not in tiff.entries:
        raise UnreadableImage("damaged: no palette")
    values = values_of(data, tiff.order, tiff.big, tiff.entries[_COLOUR_MAP])
    return values if max(values, default=0) < 256 else tuple(value >> 8 for value in values)
