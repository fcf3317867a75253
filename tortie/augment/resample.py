"""One interpolation: the picture that a coordinate map takes from an image.

Bilinear, at positions rounded to 1/32 pixel. What lies outside the image is its mirror image. Where
the picture shrinks, so that bare interpolation would skip pixels and alias, two things come before:
a box reduction by a power of two where the factor is 3 or more, and for the rest, up to 3, a filter
of three taps, just strong enough for the picture's Nyquist frequency.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tortie.augment.geometry import CoordinateMap

_MARGIN = 3  # pixels around the region: one for interpolation, one for the filter, one for rounding
_AT_NYQUIST = 0.54


def resample(
    image: NDArray[np.uint8], places: CoordinateMap, height: int, width: int
) -> NDArray[np.uint8]:
    """The picture, uint8 ``(height, width, C)``, of an image, uint8 ``(H, W, C)``."""
    across, down = _factors(places.steps, image.shape[1], image.shape[0])
    x0, x1 = _span(places.reach[0], places.reach[2], image.shape[1], across)
    y0, y1 = _span(places.reach[1], places.reach[3], image.shape[0], down)
    region = _filtered(
        _reduced(image[y0:y1, x0:x1], across, down),
        _outer_tap(places.steps[0] / across),
        _outer_tap(places.steps[1] / down),
    )
    x, y = places.places(height, width, origin=(x0, y0), unit=(across, down))
    # Remapping by fixed point takes a third less time than by floats.
    fixed, fraction = cv2.convertMaps(x, y, cv2.CV_16SC2)
    picture = cv2.remap(region, fixed, fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(picture, np.uint8).reshape(height, width, image.shape[2])


def _factors(steps: tuple[float, float], width: int, height: int) -> tuple[int, int]:
    """By how much to reduce along x and along y: powers of two, equal unless steps differ a lot.

    Equal halvings are ten times faster than any other reduction, so a picture that is stretched a
    little is reduced by what suits the mean of both axes. A step of 1.5 to 3 is left over: a box
    just large enough would take more of the sharpness than the filter does.
    """
    both = 1
    while steps[0] * steps[1] >= (3 * both) ** 2:
        both *= 2
    across, down = (both * max(1, int((step / both + 1) / 2)) for step in steps)
    return min(across, width), min(down, height)


def _reduced(region: NDArray[np.uint8], across: int, down: int) -> NDArray[np.uint8]:
    """Means of blocks of ``down`` by ``across`` pixels; ``region`` is a whole number of blocks."""
    while across % 2 == 0 and down % 2 == 0:
        region = _resized(region, 2, 2)
        across, down = across // 2, down // 2
    return region if across == down == 1 else _resized(region, across, down)


def _resized(region: NDArray[np.uint8], across: int, down: int) -> NDArray[np.uint8]:
    size = (region.shape[1] // across, region.shape[0] // down)
    return np.asarray(cv2.resize(region, size, interpolation=cv2.INTER_AREA), np.uint8)


def _filtered(region: NDArray[np.uint8], across: float, down: float) -> NDArray[np.uint8]:
    """The filter (a, 1 − 2a, a) along x and along y; taps of 3% are not worth the time."""
    if max(across, down) < 0.03:
        return region
    x_kernel, y_kernel = (np.array([a, 1 - 2 * a, a], np.float32) for a in (across, down))
    filtered = cv2.sepFilter2D(region, -1, x_kernel, y_kernel, borderType=cv2.BORDER_REFLECT)
    return np.asarray(filtered, np.uint8)


def _span(low: float, high: float, size: int, factor: int) -> tuple[int, int]:
    """First pixel that is read along one axis, and the one after the last: whole blocks.

    What is reached beyond an edge is read as far within it. The rest of a block at the right or
    lower edge, less than one pixel of the picture, is left out where both edges are reached.
    """
    first = math.floor(low) - _MARGIN * factor
    last = math.ceil(high) + _MARGIN * factor
    if first < 0:
        last = max(last, -first)
    if last > size:
        first = min(first, 2 * size - last)
    first, last = max(first, 0), min(last, size)
    whole = min(-((first - last) // factor), size // factor) * factor
    if first + whole > size or (last == size and first > 0):
        first = size - whole
    return first, first + whole


def _outer_tap(step: float) -> float:
    """The outer tap a of the filter (a, 1 − 2a, a) before interpolation at ``step``.

    Bilinear interpolation leaves sinc²(f) at f cycles a pixel, the filter 1 − 2a (1 − cos 2πf). At
    the picture's Nyquist frequency, f = 1 / (2 step), their product is to be no more than 0.54:
    on photographs that comes closest to an antialiased bicubic reduction, for all steps to 2.4. It
    needs a = 0 up to step 1.19, 1/6 at step 2 and 1/4, the most that is of use, at step 2.36.
    """
    angle = math.pi / (2 * max(step, 1.0))  # π times the frequency
    left = (math.sin(angle) / angle) ** 2
    return min(max(0.0, (1 - _AT_NYQUIST / left) / (2 * (1 - math.cos(2 * angle)))), 0.25)
