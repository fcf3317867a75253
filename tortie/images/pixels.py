"""From the bytes of a file of each format to its pixels in RGB, as they are stored."""

import importlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImagePalette

from tortie.images import bmp, boxes, gif, jpeg, png, ppm, tiff, webp
from tortie.images.colour import Grey, Span, colour_keyed, to_rgb
from tortie.images.header import Header, check_size
from tortie.images.limits import DEEP
from tortie.images.quiet import quiet_libtiff
from tortie.images.unreadable import HeaderGoesOn, UnreadableImage

_PLUGINS: dict[str, Any] = {}  # those that were needed
_HOMES = {  # format: where its decoder may be, in order
    "JPEG": (("PIL.JpegImagePlugin", "JpegImageFile"),),
    "PNG": (("PIL.PngImagePlugin", "PngImageFile"),),
    "WEBP": (("PIL.WebPImagePlugin", "WebPImageFile"),),
    "GIF": (("PIL.GifImagePlugin", "GifImageFile"),),
    "BMP": (("PIL.BmpImagePlugin", "BmpImageFile"),),
    "TIFF": (("PIL.TiffImagePlugin", "TiffImageFile"),),
    "HEIF": (("pillow_heif", "HeifImageFile"),),
    "AVIF": (("PIL.AvifImagePlugin", "AvifImageFile"), ("pillow_heif", "AvifImageFile")),
}
_WAY_OUT = {
    "HEIF": "HEIC: install tortie[heic]",
    "AVIF": "AVIF: install tortie[heic] and pillow 11.3 or newer",
}
_NAMES = {"HEIF": "HEIC", "AVIF": "AVIF"}
_MOST = {"HEIF": DEEP, "AVIF": DEEP}  # pixels: their decoders keep several copies


@dataclass(frozen=True, slots=True)
class Raw:
    """An image as it is stored.

    Attributes:
        image: mode RGB.
        orientation: EXIF orientation found, 1 to 8.
        turned: whether the decoder has made it upright already.
        size: width and height of the full image; ``None`` where they are the image's.
        covered: the part of ``image`` that is the full image, where it is at reduced scale.
        span: values that are used, of more than 8 bits.
    """

    image: Image.Image
    orientation: int = 1
    turned: bool = False
    size: tuple[int, int] | None = None
    covered: tuple[float, float] | None = None
    span: Span | None = None


def examine(data: bytes, format: str, size: int, max_pixels: int) -> tuple[Header, Any]:
    """Read a file's header and check it against the limits, before any pixel is decoded.

    Args:
        data: the first bytes of a file, or all.
        format: that they announce.
        size: of the file, bytes.
        max_pixels: as :func:`tortie.images.decode` takes it.

    Returns:
        the header, and what its format's reader wants to know besides.

    Raises:
        UnreadableImage: it is damaged, not supported, or over a limit.
        HeaderGoesOn: the bytes end before the header does.
    """
    found: Any = None
    if format in _WAY_OUT:
        _plugin(format)
        if len(data) < size:
            raise HeaderGoesOn  # its boxes may be anywhere
        found = boxes.parse(data)
        width, height = found.size
        header = Header(width, height, _NAMES[format], _MOST[format], found.orientation)
        if not width:
            return header, found  # the decoder says why
    elif format in ("JPEG", "TIFF", "GIF"):
        found = {"JPEG": jpeg.parse, "TIFF": tiff.parse, "GIF": gif.parse}[format](data)
        header = found.header
    elif format == "BMP":
        header = bmp.read_header(data, size)
    else:
        header = {"PNG": png, "WEBP": webp, "PPM": ppm}[format].read_header(data)
    check_size(header, max_pixels, size)
    return header, found


def _plugin(format: str) -> Any:
    """Pillow's decoder of a format, or of HEIF and AVIF whatever is installed."""
    if format in _PLUGINS:
        return _PLUGINS[format]
    for module, name in _HOMES.get(format, ()):
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


def _read_jpeg(data: bytes, found: jpeg.Jpeg, at_least: int | None, max_pixels: int) -> Raw:
    jpeg.check_scans(found, data)
    opened = _plugin("JPEG")(found.stream(data))
    reduced = None
    if at_least is not None:
        reduced = opened.draft(None, (2 * at_least, 2 * at_least))
    opened.load()
    if jpeg.lacks_end(found, data):
        raise UnreadableImage("truncated")
    image, _ = to_rgb(opened)
    size = found.header.width, found.header.height
    return Raw(image, found.header.orientation, False, size, reduced[1][2:] if reduced else None)


def _read_png(data: bytes, found: None, at_least: int | None, max_pixels: int) -> Raw:
    parsed = png.parse(data)
    opened = _loaded(_plugin("PNG")(parsed.stream))
    # What was not decoded is zeros; of an interlaced image that is not to be seen in its last row.
    last = opened.crop((0, opened.height - 1, opened.width, opened.height))
    if (data[28] or last.getbbox() is None) and png.lacks_rows(parsed, data):
        raise UnreadableImage("truncated")
    grey = None
    if parsed.key is not None:
        if parsed.colour == 2 and parsed.depth == 16:
            if png.lacks_rows(parsed, data):
                raise UnreadableImage("truncated")
            return Raw(colour_keyed(png.with_key(parsed, data)), parsed.header.orientation)
        if parsed.depth == 16:
            grey = Grey(key=parsed.key[0])
        elif parsed.colour == 2:
            opened.info["transparency"] = parsed.key
        else:  # Pillow has scaled the levels, and not the key
            levels = 2**parsed.depth - 1
            opened.info["transparency"] = (parsed.key[0] & levels) * 255 // levels
    image, span = to_rgb(opened, grey)
    return Raw(image, parsed.header.orientation, span=span)


def _read_webp(data: bytes, found: None, at_least: int | None, max_pixels: int) -> Raw:
    orientation = webp.check_whole(data)
    image, _ = to_rgb(_loaded(_plugin("WEBP")(io.BytesIO(data))))
    return Raw(image, orientation)


def _read_gif(data: bytes, found: gif.Gif, at_least: int | None, max_pixels: int) -> Raw:
    image, _ = to_rgb(_loaded(_plugin("GIF")(found.stream(data))))
    if found.frame != (0, 0, *image.size):
        frame = image.crop(found.frame)
        image = Image.new("RGB", image.size, (255, 255, 255))
        image.paste(frame, found.frame)
    return Raw(image)


def _read_bmp(data: bytes, found: None, at_least: int | None, max_pixels: int) -> Raw:
    opened = _loaded(_plugin("BMP")(io.BytesIO(data)))
    if opened.mode == "RGBA" and opened.getextrema()[3] == (0, 0):
        opened = opened.convert("RGB")  # no alpha was written, as several programs do
    return Raw(to_rgb(opened)[0])


def _read_ppm(data: bytes, found: None, at_least: int | None, max_pixels: int) -> Raw:
    image, span = ppm.decode(data)
    return Raw(to_rgb(image)[0], span=span if span[2] > 255 else None)


def _read_tiff(data: bytes, found: tiff.Tiff, at_least: int | None, max_pixels: int) -> Raw:
    tiff.check_whole(found, data)
    plugin = _plugin("TIFF")
    try:
        if found.planes:
            image, span = to_rgb(_merged(found, data, plugin))
        else:
            with quiet_libtiff:
                opened = _loaded(plugin(found.stream(data)))
            if found.photometric == 3:
                levels = bytes(tiff.colour_map(found, data))
                opened.putpalette(ImagePalette.raw("RGB;L", levels))
            image, span = to_rgb(opened, _levels_of(found))
    except SyntaxError as error:  # a kind that Pillow does not know
        raise tiff.not_supported(found) from error
    return Raw(image, found.header.orientation, span=span)


def _levels_of(found: tiff.Tiff) -> Grey:
    """What Pillow does not do to a TIFF's levels."""
    signed16 = found.format == 2 and found.bits == 16
    return Grey(
        full=4095 if found.bits == 12 else 32767 if signed16 else 65535,
        unsigned=found.format == 1 and found.bits == 32,
        signed=found.format == 2 and found.bits == 8,
        inverted=found.photometric == 0 and found.bits > 8,
        swapped=found.bits // 8 if found.swapped else 0,
    )


def _merged(found: tiff.Tiff, data: bytes, plugin: Any) -> Image.Image:
    """16-bit planes, read one by one, of which the upper eight bits count, as in other TIFFs."""
    mode = {2: "RGB", 5: "CMYK"}[found.photometric]
    if found.photometric == 2 and found.samples > 3 and found.extra[:1] != (0,):
        mode = "RGBa" if found.extra[:1] == (1,) else "RGBA"
    planes = []
    for place in range(len(mode)):
        with quiet_libtiff:
            values = np.asarray(_loaded(plugin(found.stream(data, place))))
        planes.append(Image.fromarray((values >> 8).astype(np.uint8)))
    return Image.merge(mode, planes)


def _read_heif(data: bytes, found: boxes.Boxes, at_least: int | None, max_pixels: int) -> Raw:
    return _read_boxed("HEIF", data, found, max_pixels)


def _read_avif(data: bytes, found: boxes.Boxes, at_least: int | None, max_pixels: int) -> Raw:
    return _read_boxed("AVIF", data, found, max_pixels)


def _read_boxed(format: str, data: bytes, found: boxes.Boxes, max_pixels: int) -> Raw:
    plugin = _plugin(format)
    opened = plugin(io.BytesIO(data))
    check_size(Header(opened.width, opened.height, _NAMES[format], _MOST[format]), max_pixels)
    image, _ = to_rgb(_loaded(opened))
    by_libheif = plugin.__module__.startswith("pillow_heif")  # which crops and turns
    if not by_libheif and (box := found.clean_aperture(*image.size)):
        image = image.crop(box)
    return Raw(image, found.orientation, by_libheif)


def _loaded(opened: Any) -> Any:
    opened.load()
    return opened


READERS: Mapping[str, Callable[[bytes, Any, int | None, int], Raw]] = {
    "JPEG": _read_jpeg,
    "PNG": _read_png,
    "WEBP": _read_webp,
    "GIF": _read_gif,
    "BMP": _read_bmp,
    "TIFF": _read_tiff,
    "PPM": _read_ppm,
    "HEIF": _read_heif,
    "AVIF": _read_avif,
}
"""Of each format: bytes, what :func:`examine` found, the side that is wanted, the limit."""
