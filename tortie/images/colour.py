"""From what a decoder gives to RGB, by one rule for each kind of image.

- Alpha, and a palette's or a colour key's transparency, go over white.
- CMYK in a JPEG is taken as inverted, which is how Adobe writes it. ICC profiles are ignored:
  values count as sRGB.
- 16-bit grey is scaled, 65535 to 255, never clipped. Floating point within 0 to 1 is scaled by
  255; any other range of floating point or of 32-bit integers is stretched, minimum to maximum.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_AT_ONCE = 2**22  # pixels that are made RGB at once: less than 100 MB beside the two images


@dataclass(frozen=True, slots=True)
class Grey:
    """How grey levels are stored.

    Attributes:
        full: what white is, of 12 bits, of 16, and of 16 with a sign.
        unsigned: of 32 bits that the decoder takes as signed.
        signed: of 8 bits that the decoder takes as unsigned.
        swapped: bytes of a level that are in the other order; 0 for none.
        inverted: whether 0 is white.
        key: the level that is transparent.
    """

    full: int = 65535
    unsigned: bool = False
    signed: bool = False
    swapped: int = 0
    inverted: bool = False
    key: int | None = None


Span = tuple[int, int, int]
"""Lowest and highest value of an image, and the largest that its kind can hold."""


def to_rgb(image: Image.Image, grey: Grey | None = None) -> tuple[Image.Image, Span | None]:
    """The image in RGB; and the values that it uses, where they had more than 8 bits.

    Args:
        image: as Pillow decoded it, of any mode.
        grey: how its levels are stored, where it is no usual 8-bit image.
    """
    grey = grey or Grey()
    if image.mode.startswith(("I", "F")):
        with np.errstate(all="ignore"):  # of hostile numbers
            return _deep(image, grey)
    if grey.signed:
        image = image.point([(level + 128) % 256 for level in range(256)])
    if grey.inverted:
        image = image.point([255 - level for level in range(256)])
    if image.mode == "RGB" and "transparency" not in image.info:
        return image, None
    whole = Image.new("RGB", image.size, (255, 255, 255))
    rows = max(1, _AT_ONCE // max(image.width, 1))
    if rows >= image.height:
        return _shallow(image), None
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        whole.paste(_shallow(image.crop(box)), box)
    return whole, None


def _shallow(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image)
        return white
    return image.convert("RGB")


def _deep(image: Image.Image, grey: Grey) -> tuple[Image.Image, Span | None]:
    """RGB of grey levels of more than 8 bits, some rows at a time."""
    rows = max(1, _AT_ONCE // image.width)
    bands = [
        (0, top, image.width, min(top + rows, image.height)) for top in range(0, image.height, rows)
    ]
    ranges = [_range(_values(image.crop(box), grey)) for box in bands]
    known = [one for one in ranges if one is not None]
    low, high = (
        (min(one for one, _ in known), max(one for _, one in known)) if known else (0.0, 1.0)
    )
    real = image.mode.startswith("F")
    full = float(grey.full)
    scaled = low >= 0 and high <= (1 if real else full)
    if real and scaled:
        low, high = 0.0, 1.0
    whole = Image.new("RGB", image.size)
    for box in bands:
        values = _values(image.crop(box), grey)
        if scaled and not real:
            levels = ((values.astype(np.uint32) * 255 + int(full) // 2) // int(full)).astype(
                np.uint8
            )
        else:
            levels = _stretched(values, low, high)
        if grey.inverted:
            levels = 255 - levels
        if grey.key is not None:
            levels[values == grey.key] = 255
        whole.paste(Image.fromarray(levels).convert("RGB"), box)
    if not known or not scaled:
        return whole, None
    if real:
        low, high = (min(one for one, _ in known), max(one for _, one in known))
        return whole, (round(low * 65535), round(high * 65535), 65535)
    return whole, (int(low), int(high), int(full))


def _values(image: Image.Image, grey: Grey) -> NDArray[np.generic]:
    values = np.asarray(image)
    if grey.swapped == 2:  # and then made 32 bits
        values = values.astype(np.uint16).byteswap().view(np.int16)
    elif grey.swapped:
        values = values.byteswap()
    return values.view(np.uint32) if grey.unsigned else values


def _range(values: NDArray[np.generic]) -> tuple[float, float] | None:
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else None


def _stretched(values: NDArray[np.generic], low: float, high: float) -> NDArray[np.uint8]:
    numbers = values.astype(np.float64)
    numbers = np.nan_to_num(numbers, nan=low, posinf=high, neginf=low)
    return ((numbers - low) / (high - low or 1.0) * 255 + 0.5).astype(np.uint8)


def colour_keyed(data: bytes) -> Image.Image:
    """A PNG of 16-bit RGB with a transparent colour, over white.

    Pillow drops the lower eight bits before it compares; OpenCV's decoder compares all.
    """
    import cv2

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 4:
        raise ValueError("no pixels")
    levels = (pixels[..., 2::-1].astype(np.uint16) >> 8).astype(np.uint8)
    levels[pixels[..., 3] == 0] = 255
    return Image.fromarray(np.ascontiguousarray(levels))
