"""Files that were good, and what may have happened to them; and files made to cost much."""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from battery.truths import chunk


class Mutation(NamedTuple):
    """A file, what was done to it, and whether nothing but its end was taken away."""

    name: str
    data: bytes
    cut: bool = False


EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\1")


def mutations(name: str, data: bytes, seed: int, count: int) -> Iterator[Mutation]:
    """A number of mutations of a file, in an order that the seed fixes."""
    rng = random.Random(f"{seed} {name}")
    for number in range(count):
        kind = number % 8
        changed = bytearray(data)
        place = rng.randrange(len(data))
        if kind == 0:
            yield Mutation(f"{name} cut at {place}", data[:place], cut=True)
            continue
        if kind == 1:
            changed[place:] = bytes(len(data) - place)
        elif kind == 2:
            for _ in range(rng.choice((1, 1, 2, 8, 64))):
                changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif kind == 3:
            place = rng.randrange(min(len(data), 256))
            changed[place : place + 4] = rng.choice(EXTREMES)
        elif kind == 4:
            length = rng.randrange(1, 1 + min(512, len(data)))
            changed[place : place + length] = rng.randbytes(length)
        elif kind == 5:
            del changed[place : place + rng.randrange(1, 64)]
        elif kind == 6:
            length = rng.randrange(1, 1 + min(4096, len(data)))
            changed[place:place] = data[:length]
        else:
            place = rng.randrange(min(len(data), 128))
            changed[place] = rng.randrange(256)
        yield Mutation(f"{name} mutation {kind}/{number}", bytes(changed))


def bombs() -> Iterator[Mutation]:
    """Files whose cost is out of all proportion to their size, at or over the limits."""
    for width, height in ((10_000, 10_000), (65_535, 1_600), (1, 65_535), (1, 199_999_999)):
        for depth, colour, channels in ((1, 0, 1), (8, 2, 3), (8, 6, 4), (16, 6, 4)):
            yield Mutation(f"png bomb {width}×{height} {depth}/{colour}",
                           _png_of_zeros(width, height, depth, colour, channels))  # fmt: skip
    for scans in (100, 400, 1000, 100_000):
        for side in (64, 4096, 16_384):
            yield Mutation(f"jpeg of {scans} scans {side}", progressive(side, side, scans))
    whole = _saved(Image.effect_noise((64, 64), 50), "JPEG")
    yield Mutation("jpeg of a million segments", whole[:2] + b"\xff\xfe\0\2" * 10**6 + whole[2:])
    yield Mutation("jpeg of 30 MB junk", whole[:20] + bytes(30 * 2**20) + whole[20:])
    yield Mutation("jpeg of 30 MB fill", whole[:20] + b"\xff" * (30 * 2**20) + whole[20:])
    png = _saved(Image.effect_noise((64, 64), 50), "PNG")
    yield Mutation("png of a million chunks", png[:33] + chunk(b"prVt", b"") * 10**6 + png[33:])
    text = chunk(b"zTXt", b"c\0\0" + zlib.compress(bytes(2**24)))
    yield Mutation("png of 2 GB text", png[:33] + text * 128 + png[33:])
    gif = _saved(Image.effect_noise((64, 64), 50), "GIF")
    start = 13 + 3 * (2 << (gif[10] & 7))
    yield Mutation("gif of a million comments", gif[:start] + b"!\xfe\1c\0" * 10**6 + gif[start:])
    for width, height in ((10_000, 10_000), (65_535, 1_600), (65_535, 65_535)):
        yield Mutation(f"gif bomb {width}×{height}",
                       gif[:6] + struct.pack("<HH", width, height) + gif[10:])  # fmt: skip
        head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
        body = b"\xff\0" * (width * height // 255) + b"\0\1"
        start = b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078)
        yield Mutation(f"bmp of run lengths {width}×{height}", start + head + bytes(1024) + body)
    for side in (7_700, 10_000):
        tiff = _saved(Image.new("RGB", (side, side)), "TIFF", compression="tiff_adobe_deflate")
        yield Mutation(f"tiff bomb {side}", tiff)
        yield Mutation(f"webp bomb {side}", _saved(Image.new("RGB", (side, side)), "WEBP",
                                                   lossless=True, method=0))  # fmt: skip


def progressive(width: int, height: int, scans: int) -> bytes:
    """A grey progressive JPEG of empty refinement scans."""
    blocks = ((width + 7) // 8) * ((height + 7) // 8)
    out = bytearray(b"\xff\xd8\xff\xdb\0\x43\0" + bytes([1] * 64) + b"\xff\xc2")
    out += struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    for table, symbol in ((0, 0), (16, 0xE0)):
        out += b"\xff\xc4" + struct.pack(">HB", 20, table) + bytes([1] + [0] * 15) + bytes([symbol])
    out += b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 0, 0, 1) + bytes((blocks + 7) // 8)
    bits, left = "", blocks
    while left > 0:
        run = max(0, min(left, 32767) - 16384)
        bits += "0" + format(run, "014b")
        left -= 16384 + run
    bits += "1" * (-len(bits) % 8)
    empty = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    empty = empty.replace(b"\xff", b"\xff\0")
    out += b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 63, 1) + empty
    again = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 63, 16) + empty
    return bytes(out + again * scans + b"\xff\xd9")


def _png_of_zeros(width: int, height: int, depth: int, colour: int, channels: int) -> bytes:
    row = b"\0" + bytes((width * depth * channels + 7) // 8)
    squeeze = zlib.compressobj(1)
    body = bytearray()
    for start in range(0, height, 1000):
        body += squeeze.compress(row * min(1000, height - start))
    body += squeeze.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join((b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), chunk(b"IDAT", bytes(body)),
                     chunk(b"IEND", b"")))  # fmt: skip


def _saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()
