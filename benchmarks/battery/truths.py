"""Images whose every pixel is known: written here or by other programs' writers, and read back.

Each is a name, the bytes of a file, the picture that it holds and by how much a level may differ.
PNG, BMP, GIF and PPM are written by hand, so that no reader is judged by its own writer.
"""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZES = ((1, 1), (1, 9), (3, 5), (8, 8), (17, 33), (48, 64))  # height, width


class Truth(NamedTuple):
    """A file, and what is on it: uint8 ``(H, W, 3)``; ``within`` is the largest difference."""

    name: str
    data: bytes
    picture: NDArray[np.float64]
    within: float


def truths(seed: int = 0) -> Iterator[Truth]:
    """All of them, in an order that the seed fixes."""
    rng = np.random.default_rng(seed)
    for make in (_pngs, _tiffs, _bmps, _gifs, _ppms, _turned):
        yield from make(rng)


def _rgb(grey: NDArray[Any]) -> NDArray[np.float64]:
    return np.repeat(np.asarray(grey, np.float64)[..., None], 3, 2)


def _over_white(colour: NDArray[Any], alpha: NDArray[Any]) -> NDArray[np.float64]:
    share = np.asarray(alpha, np.float64)[..., None] / 255
    return np.asarray(colour, np.float64) * share + 255 * (1 - share)


# PNG --------------------------------------------------------------------------------------------

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2))  # fmt: skip


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG's chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _packed(samples: NDArray[Any], depth: int) -> list[bytes]:
    """Rows of bytes of ``(H, W * channels)`` samples."""
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in samples]
    if depth == 8:
        return [row.astype(np.uint8).tobytes() for row in samples]
    bits = (samples[..., None] >> np.arange(depth)[::-1]) & 1
    packed = np.packbits(bits.reshape(len(samples), -1).astype(np.uint8), axis=1)
    return [row.tobytes() for row in packed]


def _filtered(rows: list[bytes], pixel: int, kinds: Iterator[int]) -> bytes:
    """Rows with PNG's filters 0 to 4, in turn."""
    out, above = bytearray(), bytes(len(rows[0]))
    for row in rows:
        kind = next(kinds)
        left = bytes(pixel) + row[:-pixel] if len(row) > pixel else bytes(len(row))
        corner = bytes(pixel) + above[:-pixel] if len(row) > pixel else bytes(len(row))
        a, b, c = (np.frombuffer(part[: len(row)], np.uint8).astype(int)
                   for part in (left, above, corner))  # fmt: skip
        guess = a + b - c
        far = np.abs([guess - a, guess - b, guess - c])
        paeth = np.where((far[0] <= far[1]) & (far[0] <= far[2]), a,
                         np.where(far[1] <= far[2], b, c))  # fmt: skip
        taken = (np.zeros_like(a), a, b, (a + b) // 2, paeth)[kind]
        out += (
            bytes([kind])
            + ((np.frombuffer(row, np.uint8) - taken) % 256).astype(np.uint8).tobytes()
        )
        above = row
    return bytes(out)


def _png(samples: NDArray[Any], depth: int, colour: int, laced: int, *before: bytes) -> bytes:
    height, width, channels = samples.shape
    kinds = itertools.cycle((0, 1, 2, 3, 4))
    pixel = max(1, depth * channels // 8)
    body = b""
    for x, y, dx, dy in ADAM7 if laced else ((0, 0, 1, 1),):
        part = samples[y::dy, x::dx]
        if part.size:
            body += _filtered(_packed(part.reshape(len(part), -1), depth), pixel, kinds)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, laced)
    squeezed = zlib.compress(body)
    half = len(squeezed) // 2
    return b"".join(
        (b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *before, chunk(b"IDAT", squeezed[:half]),
         chunk(b"IDAT", squeezed[half:]), chunk(b"IEND", b""))
    )  # fmt: skip


def _pngs(rng: np.random.Generator) -> Iterator[Truth]:
    kinds = [(0, d) for d in (1, 2, 4, 8, 16)] + [(3, d) for d in (1, 2, 4, 8)]
    kinds += [(c, d) for c in (2, 4, 6) for d in (8, 16)]
    for (colour, depth), size, laced, keyed in itertools.product(kinds, SIZES, (0, 1), (0, 1)):
        most = 2**depth - 1
        samples = rng.integers(0, most + 1, (*size, CHANNELS[colour]))
        scaled = (
            np.floor(samples * 255 / most + 0.5) if colour == 0 else samples >> max(depth - 8, 0)
        )
        before: list[bytes] = []
        within = 1.0 if colour in (4, 6) or (colour == 3 and keyed) else 0.0
        if colour == 3:
            palette = rng.integers(0, 256, (most + 1, 3), np.uint8)
            before.append(chunk(b"PLTE", palette.tobytes()))
            picture = palette[samples[..., 0]].astype(np.float64)
            if keyed:
                alpha = rng.integers(0, 256, most + 1, np.uint8)
                before.append(chunk(b"tRNS", alpha.tobytes()))
                picture = _over_white(picture, alpha[samples[..., 0]])
        elif colour in (4, 6):
            shown = scaled[..., :-1] if colour == 6 else np.repeat(scaled[..., :1], 3, 2)
            picture = _over_white(shown, scaled[..., -1])
        else:
            picture = _rgb(scaled[..., 0]) if colour == 0 else scaled.astype(np.float64)
            if keyed:
                key = samples[0, 0]
                before.append(chunk(b"tRNS", struct.pack(f">{len(key)}H", *map(int, key))))
                picture = np.where((samples == key).all(-1)[..., None], 255.0, picture)
        name = f"png {colour}/{depth} {size} laced {laced} keyed {keyed}"
        yield Truth(name, _png(samples, depth, colour, laced, *before), picture, within)


# TIFF -------------------------------------------------------------------------------------------


def _tiffs(rng: np.random.Generator) -> Iterator[Truth]:
    import tifffile

    layouts: list[dict[str, Any]] = [
        {}, {"byteorder": ">"}, {"bigtiff": True}, {"bigtiff": True, "byteorder": ">"},
        {"tile": (16, 16)}, {"rowsperstrip": 3}, {"compression": "zlib"},
        {"compression": "zlib", "byteorder": ">"}, {"compression": "zlib", "tile": (16, 32)},
    ]  # fmt: skip

    def written(array: NDArray[Any], **options: Any) -> bytes:
        file = io.BytesIO()
        tifffile.imwrite(file, array, **options)
        return file.getvalue()

    for number, layout in enumerate(layouts):
        for size in ((17, 33), (48, 64)):
            for kind, white_is in itertools.product(
                ("u1", "u2", "u4", "i2", "i4", "f4"), ("minisblack", "miniswhite")
            ):
                whole = np.dtype(kind).kind != "f"
                low, high = (np.iinfo(kind).min, np.iinfo(kind).max) if whole else (0.0, 1.0)
                values = (low + (high - low) * rng.random(size)).astype(kind)
                values.reshape(-1)[:2] = low, high
                levels = (values.astype(np.float64) - low) / (high - float(low)) * 255
                levels = 255 - levels if white_is == "miniswhite" else levels
                yield Truth(
                    f"tiff {kind} {white_is} {size} layout {number}",
                    written(values, photometric=white_is, **layout), _rgb(levels), 1.0,
                )  # fmt: skip
            for kind, planar, count in itertools.product(
                ("u1", "u2"), ("contig", "separate"), (3, 4)
            ):
                values = rng.integers(0, np.iinfo(kind).max + 1, (*size, count)).astype(kind)
                shown = (values >> (8 if kind == "u2" else 0)).astype(np.float64)
                picture = shown[..., :3]
                options: dict[str, Any] = {"photometric": "rgb", "planarconfig": planar, **layout}
                if count == 4:
                    options |= {"extrasamples": ["unassalpha"]}
                    picture = _over_white(picture, shown[..., 3])
                stored = np.moveaxis(values, 2, 0) if planar == "separate" else values
                yield Truth(
                    f"tiff {kind} {count} {planar} {size} layout {number}",
                    written(stored, **options), picture, 1.0 if count == 4 else 0.0,
                )  # fmt: skip


# BMP, GIF, PPM ------------------------------------------------------------------------------------


def _bmp(rows: list[bytes], size: tuple[int, int], bits: int, *, down: bool = False,
         header: int = 40, masks: tuple[int, ...] = (), palette: bytes = b"") -> bytes:  # fmt: skip
    padded = [row + bytes(-len(row) % 4) for row in rows]
    body = b"".join(padded if down else padded[::-1])
    info = struct.pack("<IiiHHIIiiII", header, size[1], -size[0] if down else size[0], 1, bits,
                       3 if masks else 0, len(body), 0, 0, len(palette) // 4, 0)  # fmt: skip
    extra = b"".join(struct.pack("<I", mask) for mask in masks)
    info = (info + extra).ljust(header, b"\0") if header > 40 else info + extra
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + palette + body


def _bmps(rng: np.random.Generator) -> Iterator[Truth]:
    for size, down in itertools.product(SIZES, (False, True)):
        rgb = rng.integers(0, 256, (*size, 3), np.uint8)
        yield Truth(
            f"bmp 24 {size} {down}",
            _bmp([row.tobytes() for row in rgb[..., ::-1]], size, 24, down=down),
            rgb.astype(np.float64), 0.0,
        )  # fmt: skip
        for header, level in itertools.product((108, 124), (0, 255, 128)):
            alpha = np.full(size, level, np.uint8)
            rows = [row.tobytes() for row in np.dstack([rgb[..., ::-1], alpha])]
            masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
            picture = rgb.astype(np.float64) if level == 0 else _over_white(rgb, alpha)
            data = _bmp(rows, size, 32, down=down, header=header, masks=masks)
            yield Truth(f"bmp 32 {size} {down} V{header} alpha {level}", data, picture, 1.0)
        for bits in (1, 4, 8):
            indices = rng.integers(0, 2**bits, size)
            palette = rng.integers(0, 256, (2**bits, 4), np.uint8)
            data = _bmp(_packed(indices, bits), size, bits, down=down, palette=palette.tobytes())
            picture = palette[indices][..., 2::-1].astype(np.float64)
            yield Truth(f"bmp {bits} {size} {down}", data, picture, 0.0)


def gif(indices: NDArray[Any], palette: NDArray[Any], *, screen: tuple[int, int] | None = None,
        place: tuple[int, int] = (0, 0), key: int | None = None) -> bytes:  # fmt: skip
    """A GIF of up to 128 colours, its codes of 8 bits and the table cleared every 100."""
    height, width = indices.shape
    screen = screen or (height, width)
    head = b"GIF89a" + struct.pack("<HHBBB", screen[1], screen[0], 0xF6, 0, 0)
    head += np.resize(palette.astype(np.uint8), (128, 3)).tobytes()
    if key is not None:
        head += b"!\xf9\4\1\0\0" + bytes([key]) + b"\0"
    pixels, codes = indices.astype(np.uint8).tobytes(), bytearray()
    for start in range(0, len(pixels), 100):
        codes += b"\x80" + pixels[start : start + 100]
    codes += b"\x81"
    blocks = b"".join(
        bytes([len(codes[i : i + 255])]) + codes[i : i + 255] for i in range(0, len(codes), 255)
    )
    where = struct.pack("<HHHHB", place[1], place[0], width, height, 0)
    return head + b"," + where + b"\7" + blocks + b"\0;"


def _gifs(rng: np.random.Generator) -> Iterator[Truth]:
    for size, keyed, framed in itertools.product(SIZES, (False, True), (False, True)):
        indices = rng.integers(0, 128, size)
        palette = rng.integers(0, 256, (128, 3))
        picture = palette[indices].astype(np.float64)
        key = int(indices[0, 0]) if keyed else None
        if key is not None:
            picture[indices == key] = 255
        screen = (size[0] + 7, size[1] + 4) if framed else size
        place = (3, 2) if framed else (0, 0)
        whole = np.full((*screen, 3), 255.0)
        whole[place[0] : place[0] + size[0], place[1] : place[1] + size[1]] = picture
        data = gif(indices, palette, screen=screen, place=place, key=key)
        yield Truth(f"gif {size} keyed {keyed} framed {framed}", data, whole, 0.0)


def _ppms(rng: np.random.Generator) -> Iterator[Truth]:
    for size, most, kind in itertools.product(SIZES, (1, 200, 255, 1023, 4095, 65535), "56"):
        values = rng.integers(0, most + 1, (*size, 3 if kind == "6" else 1))
        body = values.astype(">u2" if most > 255 else np.uint8).tobytes()
        head = f"P{kind}\n# made\n{size[1]} {size[0]}\n{most}\n".encode()
        levels = values * 255 / most
        picture = np.repeat(levels, 3, 2) if kind == "5" else levels
        yield Truth(f"ppm P{kind} {most} {size}", head + body, picture, 0.51)


# Orientation --------------------------------------------------------------------------------------

SEEN = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: a[:, ::-1].swapaxes(0, 1),
}  # fmt: skip
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def _turned(rng: np.random.Generator) -> Iterator[Truth]:
    """EXIF's eight orientations in every container that has them, with stale XMP beside."""
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 100, "subsampling": 0}, "PNG": {}, "TIFF": {},
        "WEBP": {"lossless": True},
    }  # fmt: skip
    for format, orientation, size in itertools.product(options, SEEN, ((8, 8), (17, 33), (48, 64))):
        coarse = rng.integers(0, 256, (3, 4, 3), np.uint8)
        image = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)
        for stale in (False, True):
            exif = Image.Exif()
            exif[0x0112] = orientation
            extra: dict[str, Any] = {"exif": exif.tobytes()}
            if stale and format in ("JPEG", "WEBP"):
                extra["xmp"] = XMP
            file = io.BytesIO()
            image.save(file, format, **options[format], **extra)
            picture = SEEN[orientation](np.asarray(image)).astype(np.float64)
            yield Truth(
                f"{format} turned {orientation} {size} xmp {stale}", file.getvalue(), picture,
                5.0 if format == "JPEG" else 0.0,
            )  # fmt: skip
