"""The one decode: from a file's bytes to an upright RGB image, or to the reason why not.

The rules, the same for every verb:

- JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC and AVIF are known by their first bytes, whatever the
  suffix; no other decoder is ever tried, so nothing that runs an interpreter can be.
- The number of pixels is read from the header and checked before any pixel is decoded.
- The EXIF orientation is applied; one that is malformed counts as upright.
- Alpha, and a palette's or a colour key's transparency, go over white. CMYK in a JPEG is taken
  as inverted, which is how Adobe writes it. ICC profiles are ignored: values count as sRGB.
- 16-bit grey is scaled, 65535 to 255, never clipped. Floating point within 0 to 1 is scaled by
  255; any other range of floating point or of 32-bit integers is stretched, minimum to maximum.
- Of an animation, or of several pages, the first counts.
- The whole image is decoded, so that a file cut short is found. What a decoder conceals cannot
  be: a JPEG or WebP whose tail was overwritten, not cut off, may pass.
"""

import importlib
import io
import logging
import os
import re
import stat
import struct
import threading
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from tortie.errors import TortieError

Source = Path | Image.Image | NDArray[Any]
"""An image: a file, or one in memory. Arrays are uint8, ``(H, W)`` or ``(H, W, 1)`` for grey,
``(H, W, 3)`` for RGB, ``(H, W, 4)`` for RGB and alpha."""

DECODER_VERSION = 1
"""Raised whenever the same bytes may decode to other pixels: it is part of the store's key."""

MAX_PIXELS = 200_000_000
"""The default size limit, in pixels: phones make 50 megapixels."""

_MAX_BYTES = 2**31  # 200 megapixels of 16-bit RGB are 1.2 GB: a larger file is no photograph

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {  # EXIF orientation: what makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_PLUGINS: dict[str, Any] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
_OPTIONAL_PLUGINS = {  # format: where its decoder may be, in order
    "HEIF": (("pillow_heif", "HeifImageFile"),),
    "AVIF": (("PIL.AvifImagePlugin", "AvifImageFile"), ("pillow_heif", "AvifImageFile")),
}
_WAY_OUT = {
    "HEIF": "HEIC: install tortie[heic]",
    "AVIF": "AVIF: install tortie[heic] and pillow 11.3 or newer",
}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1"}
_AVIF_BRANDS = {b"avif", b"avis"}

# Pillow logs a few findings about bad files as errors; without a handler they reach the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class UnreadableImage(TortieError):
    """An image that cannot be read.

    Attributes:
        reason: why, in a few words, without the file's name.
    """

    def __init__(self, reason: str, source: Path | None = None) -> None:
        self.reason = reason
        super().__init__(reason if source is None else f"cannot read {str(source)!r}: {reason}")


@dataclass(frozen=True, slots=True)
class Decoded:
    """An upright image.

    Attributes:
        image: mode RGB; smaller than ``width``×``height`` where it was decoded at reduced scale.
        width: pixels of the full image, after the orientation is applied.
        height: pixels of the full image, after the orientation is applied.
        format: JPEG, PNG, WEBP, GIF, BMP, TIFF, HEIF or AVIF, by the file's content.
        orientation: EXIF orientation found, 1 to 8; 1 is upright.
        extent: left, top, right and bottom of the full image, in pixels of ``image``: all of it,
            but for a fraction of a row or a column where a reduced scale does not divide the size.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    orientation: int
    extent: tuple[float, float, float, float]


def decode(
    source: Source | bytes, *, at_least: int | None = None, max_pixels: int = MAX_PIXELS
) -> Decoded:
    """The image in a file, upright and in RGB, by the rules of this module.

    Args:
        source: a path, the bytes of a file, or an image in memory, which the same rules make RGB.
        at_least: the shorter side, in pixels, to which the image will be resized. A JPEG may then
            be decoded at 1/2, 1/4 or 1/8 in the DCT, as long as its shorter side stays at least
            twice this, so that the resampling that follows still has something to average.
        max_pixels: the largest width × height that is decoded.

    Raises:
        UnreadableImage: whatever is wrong with the file, with the reason; nothing else is raised.
    """
    path = source if isinstance(source, Path) else None
    if isinstance(source, Image.Image | np.ndarray):
        return _from_memory(source, max_pixels)
    data = source if isinstance(source, bytes) else file_bytes(source)
    if not data:
        raise UnreadableImage("empty file", path)
    format = _format_of(data)
    if format is None:
        raise UnreadableImage("not an image", path)
    try:
        with _quiet:
            return _decoded(data, format, at_least, max_pixels)
    except UnreadableImage as error:
        raise UnreadableImage(error.reason, path) from None
    except Exception as error:  # decoders of hostile bytes raise nearly anything
        raise UnreadableImage(_reason(error, format, data), path) from error


def _from_memory(source: Image.Image | NDArray[Any], max_pixels: int) -> Decoded:
    if isinstance(source, np.ndarray):
        shape = source.shape
        known = source.ndim == 2 or (source.ndim == 3 and shape[2] in (1, 3, 4))
        if source.dtype != np.uint8 or not known or 0 in shape:
            raise UnreadableImage(
                f"an array of {source.dtype} {shape}: expected uint8 (H, W), (H, W, 3) or (H, W, 4)"
            )
        source = Image.fromarray(source[:, :, 0] if shape[2:] == (1,) else source)
    if source.width * source.height > max_pixels:
        raise UnreadableImage(
            f"{source.width}×{source.height} pixels is over the limit of "
            f"{max_pixels / 1e6:g} megapixels"
        )
    orientation = _orientation(source)
    image = _rgb(source)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    whole = (0.0, 0.0, float(image.width), float(image.height))
    return Decoded(image, image.width, image.height, "memory", orientation, whole)


def file_bytes(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        UnreadableImage: it cannot be opened, is no regular file (reading a pipe would hang), or is
            over 2 GiB.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise UnreadableImage(kind, path)
        if status.st_size > _MAX_BYTES:
            raise UnreadableImage(f"{status.st_size / 2**30:.1f} GiB is over the limit of 2", path)
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UnreadableImage(f"cannot be opened: {reason}", path) from error


def _format_of(data: bytes) -> str | None:
    """The format that the first bytes announce."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"BM"):
        return "BMP"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if data[4:8] == b"ftyp":
        length = min(int.from_bytes(data[:4], "big"), 256)  # of the box; its brands follow
        brands = {data[start : start + 4] for start in (8, *range(16, length, 4))}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
    return None


def _plugin(format: str) -> Any:
    """Pillow's decoder of a format, or of HEIF and AVIF whatever is installed."""
    for module, name in _OPTIONAL_PLUGINS.get(format, ()):
        try:
            plugin = getattr(importlib.import_module(module), name, None)
        except ImportError:
            continue
        if plugin is not None and not (format == "AVIF" and _lacks_avif(module)):
            _PLUGINS[format] = plugin
            return plugin
    raise UnreadableImage(_WAY_OUT[format])


def _lacks_avif(module: str) -> bool:
    """Whether Pillow's plugin is there, but was built without its codec."""
    return module.startswith("PIL") and not importlib.import_module(module).SUPPORTED


def _decoded(data: bytes, format: str, at_least: int | None, max_pixels: int) -> Decoded:
    # The plugin itself, not Image.open: that has a limit of its own, half of ours and global.
    opened = (_PLUGINS.get(format) or _plugin(format))(io.BytesIO(data))
    width, height = opened.size
    if width * height > max_pixels:
        raise UnreadableImage(
            f"{width}×{height} pixels is over the limit of {max_pixels / 1e6:g} megapixels"
        )
    orientation = _orientation(opened)
    if format == "PNG":
        _check_png(data)
    reduced = None
    if format == "JPEG" and at_least is not None:
        reduced = opened.draft(None, (2 * at_least, 2 * at_least))
    opened.load()
    # The plugins of TIFF and HEIF turn the image themselves; a PNG's EXIF may follow its pixels.
    remaining = orientation if format == "JPEG" else _orientation(opened)
    image = _rgb(opened)
    if reduced is None:
        width, height = covered = image.size
    else:
        covered = reduced[1][2:]
    extent = _upright(image.size, covered, remaining)
    if remaining >= 5:
        width, height = height, width
    if remaining in _UPRIGHT:
        image = image.transpose(_UPRIGHT[remaining])
    return Decoded(image, width, height, format, max(orientation, remaining), extent)


def _upright(
    size: tuple[int, int], covered: tuple[float, float], orientation: int
) -> tuple[float, float, float, float]:
    """Where the part ``covered``, from the top left, of an image lies once that is upright."""
    if orientation >= 5:
        size, covered = size[::-1], covered[::-1]
    left = size[0] - covered[0] if orientation in (2, 3, 6, 7) else 0.0
    top = size[1] - covered[1] if orientation in (3, 4, 7, 8) else 0.0
    return left, top, left + covered[0], top + covered[1]


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none, or none that can be understood."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # malformed EXIF must not cost the photograph
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_grey_levels(np.asarray(image))).convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image)
        return white
    return image.convert("RGB")


def _grey_levels(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey levels 0 to 255 of 16-bit, 32-bit or floating-point ones."""
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 65535:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    numbers = values.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    span = high - low or 1.0
    numbers = np.nan_to_num(numbers, nan=low, posinf=high, neginf=low)
    return ((numbers - low) / span * 255 + 0.5).astype(np.uint8)


def _check_png(data: bytes) -> None:
    """Check the pixels' own checksums: Pillow passes over them, and over data that is damaged."""
    view, start = memoryview(data), 8
    while start + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 8 + length
        if end + 4 > len(data):
            return  # cut short: the decoder says so
        if kind == b"IDAT" and zlib.crc32(view[start + 4 : end]) != int.from_bytes(
            view[end : end + 4], "big"
        ):
            raise UnreadableImage("broken PNG: wrong checksum")
        if kind == b"IEND":
            return
        start = end + 4


def _reason(error: Exception, format: str, data: bytes) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    text = " ".join(str(error).split())
    cut_short = ("truncated", "end of file", "not enough image data", "cannot read full")
    if any(words in text.lower() for words in cut_short):
        return "truncated"
    end = 0  # of the file, at least, by its own account
    if format == "WEBP":
        end = 8 + int.from_bytes(data[4:8], "little")
    elif format == "TIFF":  # where its directory begins, often behind the pixels
        end = int.from_bytes(data[4:8], "little" if data.startswith(b"II") else "big")
    if len(data) < end:
        return "truncated"
    return f"broken {format}: {text[:100]}" if text else f"broken {format}"


class _Quiet:
    """Silences Pillow's warnings while any thread decodes, and nobody else's.

    ``warnings.catch_warnings`` restores the filters that it found, which in several threads at
    once leaves the wrong ones behind; so the one filter is put in first and taken out last.
    """

    _FILTER = ("ignore", None, Warning, re.compile(r"(PIL|pillow_heif)\."), 0)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        filters: Any = warnings.filters
        with self._lock:
            self._inside += 1
            if not filters or filters[0] is not self._FILTER:
                filters.insert(0, self._FILTER)

    def __exit__(self, *_: object) -> None:
        filters: Any = warnings.filters
        with self._lock:
            self._inside -= 1
            if not self._inside:
                filters[:] = [entry for entry in filters if entry is not self._FILTER]


_quiet = _Quiet()
