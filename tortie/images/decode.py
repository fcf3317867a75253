"""The one decode: from a file's bytes to an upright RGB image, or to the reason why not.

The rules, the same for every verb:

- JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, HEIC and AVIF are known by their first bytes, whatever the
  suffix; no other decoder is ever tried, so nothing that runs an interpreter can be.
- Sizes, scans, chunks and strips are read from the header and checked before any pixel is decoded;
  a decoder is given only what the pixels need, so that nothing else in the file can cost them.
- The orientation is applied: EXIF's, or the container's own in HEIC and AVIF; one that is malformed
  counts as upright, and XMP's never counts.
- Colours are made RGB by the rules of ``colour.py``.
- Of an animation, or of several pages, the first counts.
- The whole image is decoded, and each format's own proof asked that the file is whole. A JPEG's
  or WebP's pixels that were overwritten, not cut off, may pass.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tortie.images.colour import Span, to_rgb
from tortie.images.content import file_bytes
from tortie.images.exif import orientation_of
from tortie.images.formats import format_of, refuse
from tortie.images.header import Header, check_size
from tortie.images.limits import MAX_PIXELS
from tortie.images.pixels import READERS, examine
from tortie.images.quiet import quiet, unlimited
from tortie.images.room import Room
from tortie.images.unreadable import HeaderGoesOn, UnreadableImage

Source = Path | bytes | Image.Image | NDArray[Any]
"""An image: a file, the bytes of one, or one in memory. Arrays are uint8, ``(H, W)`` or
``(H, W, 1)`` for grey, ``(H, W, 3)`` for RGB, ``(H, W, 4)`` for RGB and alpha."""

DECODER_VERSION = 2
"""Raised whenever the same bytes may decode to other pixels: it is part of the store's key."""

_UPRIGHT = {  # EXIF orientation: what makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_ORIENTATION = 0x0112

_room = Room(50_000_000)  # pixels that are decoded side by side


@dataclass(frozen=True, slots=True)
class Decoded:
    """An upright image.

    Attributes:
        image: mode RGB; smaller than ``width``×``height`` where it was decoded at reduced scale.
        width: pixels of the full image, after the orientation is applied.
        height: pixels of the full image, after the orientation is applied.
        format: JPEG, PNG, WEBP, GIF, BMP, TIFF, PPM, HEIF or AVIF, by the file's content.
        orientation: EXIF orientation found, 1 to 8; 1 is upright.
        extent: left, top, right and bottom of the full image, in pixels of ``image``: all of it,
            but for a fraction of a row or a column where a reduced scale does not divide the size.
        span: lowest, highest and largest possible value, where there are more than 8 bits and no
            stretching; else ``None``.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    orientation: int
    extent: tuple[float, float, float, float]
    span: Span | None = None


def decode(source: Source, *, at_least: int | None = None, max_pixels: int = MAX_PIXELS) -> Decoded:
    """The image in a file, upright and in RGB, by the rules of this module.

    Args:
        source: a path, the bytes of a file, or an image in memory, which the same rules make RGB.
        at_least: the shorter side, in pixels, to which the image will be resized. A JPEG may then
            be decoded at 1/2, 1/4 or 1/8 in the DCT, as long as its shorter side stays at least
            twice this, so that the resampling that follows still has something to average.
        max_pixels: the largest width × height that is decoded; where the decoder needs the whole
            image in memory, half of it, or what each format allows by default if that is more.

    Raises:
        UnreadableImage: whatever is wrong with the file, with the reason; nothing else is raised.
    """
    path = source if isinstance(source, Path) else None
    if isinstance(source, Image.Image | np.ndarray):
        return _from_memory(source, max_pixels)
    data = source if isinstance(source, bytes) else file_bytes(source, max_pixels)
    format = format_of(data)
    try:
        if format is None:
            raise refuse(data)
        with quiet:
            return _decoded(data, format, at_least, max_pixels)
    except HeaderGoesOn:
        raise UnreadableImage("truncated", path) from None
    except UnreadableImage as error:
        raise UnreadableImage(error.reason, path) from None
    except MemoryError as error:
        raise UnreadableImage("not enough memory to decode it", path) from error
    except Exception as error:  # decoders of hostile bytes raise nearly anything
        raise UnreadableImage(_reason(error), path) from error


def _from_memory(source: Image.Image | NDArray[Any], max_pixels: int) -> Decoded:
    if isinstance(source, np.ndarray):
        shape = source.shape
        known = source.ndim == 2 or (source.ndim == 3 and shape[2] in (1, 3, 4))
        if source.dtype != np.uint8 or not known or 0 in shape:
            raise UnreadableImage(
                f"an array of {source.dtype} {shape}: expected uint8 (H, W), (H, W, 3) or (H, W, 4)"
            )
        source = Image.fromarray(source[:, :, 0] if shape[2:] == (1,) else source)
    check_size(Header(source.width, source.height, "memory", max_pixels), max_pixels)
    try:
        source.load()  # which turns a TIFF
        image, span = to_rgb(source)
    except Exception as error:  # a file that was opened, and is read only now
        raise UnreadableImage(_reason(error)) from error
    orientation = _orientation(source)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    whole = (0.0, 0.0, float(image.width), float(image.height))
    return Decoded(image, image.width, image.height, "memory", orientation, extent=whole, span=span)


def _orientation(image: Image.Image) -> int:
    """EXIF's, of an image in memory; Pillow would take XMP's where there is none."""
    exif = image.info.get("exif")
    if isinstance(exif, bytes):
        return orientation_of(exif)
    if "xmp" in image.info or "XML:com.adobe.xmp" in image.info:
        return 1
    value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _decoded(data: bytes, format: str, at_least: int | None, max_pixels: int) -> Decoded:
    header, found = examine(data, format, len(data), max_pixels)
    with _room.taken(header.pixels), unlimited(header.pixels):
        raw = READERS[format](data, found, at_least, max_pixels)
        image, covered = raw.image, raw.covered or raw.image.size
        width, height = raw.size or image.size
        remaining = 1 if raw.turned else raw.orientation
        orientation, span = raw.orientation, raw.span
        del raw  # an image in another mode, perhaps, that would lie beside the upright one
        extent = _upright(image.size, covered, remaining)
        if remaining >= 5:
            width, height = height, width
        if remaining in _UPRIGHT:
            image = image.transpose(_UPRIGHT[remaining])
    return Decoded(image, width, height, format, orientation, extent=extent, span=span)


def _upright(
    size: tuple[int, int], covered: tuple[float, float], orientation: int
) -> tuple[float, float, float, float]:
    """Where the part ``covered``, from the top left, of an image lies once that is upright."""
    if orientation >= 5:
        size, covered = size[::-1], covered[::-1]
    left = size[0] - covered[0] if orientation in (2, 3, 6, 7) else 0.0
    top = size[1] - covered[1] if orientation in (3, 4, 7, 8) else 0.0
    return left, top, left + covered[0], top + covered[1]


def _reason(error: Exception) -> str:
    """Why, in two words: what a decoder says is for its authors."""
    text = str(error).lower()
    cut_short = ("truncated", "end of file", "not enough image data", "cannot read full")
    return "truncated" if any(words in text for words in cut_short) else "damaged"
