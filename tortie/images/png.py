"""What a PNG's chunks say, what proves it whole, and what of it a decoder is given.

A PNG is whole if every chunk that its pixels are made of is there with the right checksum and
their stream fills every row. Text, profiles and other metadata are never looked at, so that no
size or damage of theirs costs the picture.
"""

import struct
import zlib
from dataclasses import dataclass, replace
from typing import BinaryIO

from tortie.images.exif import orientation_of
from tortie.images.header import Header, joined
from tortie.images.limits import DEEP, PNG_CHUNKS, WHOLE
from tortie.images.unreadable import HeaderGoesOn, UnreadableImage

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each colour type
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_INFLATED = 2**20  # bytes at once
_SPANS = 32  # pieces with other chunks between: the pixels are one piece, by the standard
_END = b"\0\0\0\0IEND\xaeB`\x82"


@dataclass(frozen=True, slots=True)
class Png:
    """A PNG's parts.

    Attributes:
        header: its size and orientation.
        depth: bits a sample.
        colour: its colour type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
        key: the colour that is transparent, as stored: a sample a channel; ``None`` for none.
        stream: what a decoder is given.
        compressed: begin and end of the pixels' data in the file, chunk by chunk.
    """

    header: Header
    depth: int
    colour: int
    key: tuple[int, ...] | None
    stream: BinaryIO
    compressed: tuple[tuple[int, int], ...]


def read_header(data: bytes) -> Header:
    """The size, from the first chunk.

    Raises:
        UnreadableImage: no PNG that the standard knows.
        HeaderGoesOn: the bytes end before it.
    """
    if data[12:16] == b"CgBI":
        raise UnreadableImage("not supported (Apple's own kind of PNG)")
    if len(data) < 33:
        raise HeaderGoesOn
    width, height, depth, colour, packed, filtered, laced = struct.unpack_from(">IIBBBBB", data, 16)
    if data[8:16] != b"\0\0\0\rIHDR" or depth not in _DEPTHS.get(colour, ()):
        raise UnreadableImage("damaged")
    if packed or filtered or laced > 1:
        raise UnreadableImage("damaged")
    memory = 4 if colour == 2 else 8 if colour in (4, 6) else 6
    if depth == 16 and colour != 0:
        return Header(width, height, "PNG of 16 bits", DEEP, memory=memory)
    return Header(width, height, "PNG", WHOLE, memory=memory)


def parse(data: bytes) -> Png:
    """Read all chunks; check those that matter.

    Raises:
        UnreadableImage: one that matters is damaged, or there are too many.
    """
    header = read_header(data)
    depth, colour = data[24], data[25]
    exif = key = None
    whole = palette = False
    compressed = []
    spans = [(0, 8)]  # of what the decoder is given
    at = 8
    for _ in range(PNG_CHUNKS):
        if at + 12 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            if kind == b"IDAT":  # the decoder says what is missing
                _extend(spans, at, len(data))
            break
        matters = not kind[0] & 0x20  # "critical", in the standard's words
        if matters or kind in (b"tRNS", b"eXIf"):
            sound = zlib.crc32(memoryview(data)[at + 4 : end - 4]) == int.from_bytes(
                data[end - 4 : end], "big"
            )
            if matters and not sound:
                raise UnreadableImage("damaged: wrong checksum")
            if kind == b"IEND":
                whole = True
                break
            if kind in (b"IHDR", b"PLTE", b"IDAT") or (kind == b"tRNS" and sound and colour == 3):
                _extend(spans, at, end)
                palette |= kind == b"PLTE"
                if kind == b"IDAT":
                    compressed.append((at + 8, end - 4))
            elif kind == b"tRNS" and sound:
                key = _key(data[at + 8 : end - 4], _CHANNELS[colour])
            elif kind == b"eXIf" and sound:
                exif = data[at + 8 : end - 4]
        at = end
    else:
        raise UnreadableImage(f"more than {PNG_CHUNKS:,} chunks")
    if colour == 3 and not palette:
        raise UnreadableImage("damaged: no palette" if whole else "truncated")
    header = replace(header, orientation=orientation_of(exif))
    view = memoryview(data)
    pieces = [view[begin:end] for begin, end in spans[:_SPANS]]
    stream = joined([*pieces, *([_END] if whole else [])])
    return Png(header, depth, colour, key, stream=stream, compressed=tuple(compressed))


def lacks_rows(png: Png, data: bytes) -> bool:
    """Whether the pixels' stream ends before their last row, which no decoder may notice."""
    needed = sum(tall * (1 + (wide * _CHANNELS[png.colour] * png.depth + 7) // 8)
                 for wide, tall in _passes(png, data[28]))  # fmt: skip
    stream = zlib.decompressobj()
    for begin, end in png.compressed:
        piece = data[begin:end]
        while piece and needed > 0:
            needed -= len(stream.decompress(piece, _INFLATED))
            piece = stream.unconsumed_tail
        if needed <= 0 or stream.eof:
            break
    return needed > 0


def with_key(png: Png, data: bytes) -> bytes:
    """A PNG of nothing but the header, the transparent colour and the pixels."""
    key = struct.pack(f">{len(png.key or ())}H", *(png.key or ()))
    pixels = b"".join(data[begin:end] for begin, end in png.compressed)
    return data[:33] + _chunk(b"tRNS", key) + _chunk(b"IDAT", pixels) + _END


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def _passes(png: Png, interlaced: int) -> list[tuple[int, int]]:
    """Width and height of each pass that has pixels: one, or the seven of Adam7."""
    width, height = png.header.width, png.header.height
    if not interlaced:
        return [(width, height)]
    steps = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
             (0, 1, 1, 2))  # fmt: skip
    sizes = [(-((x - width) // dx), -((y - height) // dy)) for x, y, dx, dy in steps]
    return [(wide, tall) for wide, tall in sizes if wide > 0 and tall > 0]


def _extend(spans: list[tuple[int, int]], begin: int, end: int) -> None:
    """Add a piece of the file; pieces that touch become one."""
    if spans[-1][1] == begin:
        spans[-1] = spans[-1][0], end
    else:
        spans.append((begin, end))


def _key(body: bytes, channels: int) -> tuple[int, ...] | None:
    if channels not in (1, 3) or len(body) < 2 * channels:
        return None
    return struct.unpack_from(f">{channels}H", body)
