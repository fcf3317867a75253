"""All geometry in one coordinate map: where in the image each pixel of the picture comes from.

The map is one surface of cubic B-splines. Such splines reproduce straight lines exactly, so the
affine part (crop, mirror, scale, shear, rotation, shift) goes into the same few control points as
the warp's displacements, and the whole map costs two small matrix products.

White noise on the control points, read through a cubic B-spline, is white noise smoothed by a
kernel that is a Gaussian but for 4% of its height. Its sigma is spacing / √3, since the cubic
B-spline is the density of the sum of four even draws, whose variance is 4 / 12.
"""

import functools
import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tortie.augment.crop import Window

Linear = tuple[tuple[float, float], tuple[float, float]]

# Mean over a cell of the sum of the squared weights of a cubic B-spline; per axis.
_WEIGHT_POWER = 151 / 315


@dataclass(frozen=True, slots=True)
class Warp:
    """A smooth random displacement of every point (Simard, Steinkraus and Platt 2003).

    Attributes:
        rms: root mean square displacement along each axis, fraction of the shorter side.
        smoothness: sigma of the Gaussian that smooths the field, fraction of the shorter side.
        noise: seed of the field; equal seeds give equal fields on every machine.
    """

    rms: float
    smoothness: float
    noise: bytes

    def displacements(self, rows: int, columns: int) -> NDArray[np.float64]:
        """Displacements of the control points, ``(2, rows, columns)``: across, then down.

        Even draws, so that no point moves further than ``limit``; fraction of the shorter side.
        """
        drawn = hashlib.shake_256(self.noise).digest(4 * 2 * rows * columns)
        even = np.frombuffer(drawn, "<u4").reshape(2, rows, columns) / 2**31 - 1
        return np.asarray(self.limit * even)

    @property
    def limit(self) -> float:
        """The longest displacement along an axis: the variance of an even draw is limit² / 3."""
        return self.rms * math.sqrt(3) / _WEIGHT_POWER


@dataclass(frozen=True, slots=True)
class CoordinateMap:
    """For each pixel of the picture, a place in the image.

    Attributes:
        points: control points, ``(2, rows, columns)``: x, then y in the image, where pixel i
            covers i to i + 1.
        spacing: pixels of the picture between control points; point (1, 1) is its corner.
        steps: pixels of the image from one pixel of the picture to the next, along x and along y.
        reach: least x, least y, greatest x and greatest y that the map can touch.
    """

    points: NDArray[np.float64]
    spacing: float
    steps: tuple[float, float]
    reach: tuple[float, float, float, float]

    def places(
        self,
        height: int,
        width: int,
        *,
        origin: tuple[int, int] = (0, 0),
        unit: tuple[int, int] = (1, 1),
    ) -> NDArray[np.float32]:
        """The map itself, ``(2, height, width)``: x, then y of each pixel, as OpenCV counts.

        For OpenCV pixel i is centred on i: the image's corner is at −0.5.

        Args:
            height: pixels of the picture.
            width: pixels of the picture.
            origin: pixel of the image (x, y) that counts as the first.
            unit: pixels of the image (along x, along y) that count as one.
        """
        points = np.empty(self.points.shape, np.float32)
        for axis in (0, 1):
            points[axis] = (self.points[axis] - origin[axis]) / unit[axis] - 0.5
        across = np.ascontiguousarray(_basis(width, self.spacing).T)  # products go twice as fast
        return np.asarray(_basis(height, self.spacing) @ points @ across, np.float32)


def linear_part(
    *, mirror: bool, scale: float, squeeze: float, shear: float, rotate: float
) -> Linear:
    """What mirror, scale, shear and rotation, in this order, do to offsets from the centre: 2×2.

    Args:
        mirror: exchange left and right.
        scale: enlargement.
        squeeze: width is divided by it, height multiplied.
        shear: degrees by which verticals lean to the right.
        rotate: degrees anticlockwise, as seen.
    """
    lean = math.tan(math.radians(shear))
    cosine, sine = math.cos(math.radians(rotate)), math.sin(math.radians(rotate))
    across = scale / squeeze * (-1 if mirror else 1)
    down = scale * squeeze
    # y points down: anticlockwise as seen is (x, y) to (x cos + y sin, y cos − x sin).
    return (
        (across * cosine, down * (sine - lean * cosine)),
        (-across * sine, down * (cosine + lean * sine)),
    )


def coordinate_map(
    window: Window,
    linear: Linear,
    shift: tuple[float, float],
    warp: Warp | None,
    height: int,
    width: int,
) -> CoordinateMap:
    """The map from a picture of ``height`` by ``width`` pixels back to the image.

    Args:
        window: rectangle of the image that fills the picture when nothing else is drawn.
        linear: 2×2, from :func:`linear_part`.
        shift: pixels of the picture, to the right and down.
        warp: displacements, after everything else.
        height: pixels of the picture.
        width: pixels of the picture.
    """
    side = min(height, width)
    # Without a warp one cell covers the picture: four by four points carry an affine map.
    spacing = max(height, width) if warp is None else math.sqrt(3) * warp.smoothness * side
    across, down = _grid(height, width, spacing) - np.array(shift)[:, None, None]
    if warp is not None:
        displacements = warp.displacements(*across.shape) * side
        across, down = across + displacements[0], down + displacements[1]

    # An affine map reaches furthest at a corner; a warp adds at most its limit along each axis.
    slack = 0.0 if warp is None else warp.limit * side
    points, steps, low, high = np.empty((2, *across.shape)), [], [], []
    for axis, (first, second) in enumerate(_inverse(linear)):
        ratio = window[2] / width if axis == 0 else window[3] / height
        first, second = first * ratio, second * ratio
        centre = window[axis] + window[2 + axis] / 2
        points[axis] = first * across + second * down + centre
        middle = centre - first * shift[0] - second * shift[1]
        half = abs(first) * (width / 2 + slack) + abs(second) * (height / 2 + slack)
        low.append(middle - half)
        high.append(middle + half)
        steps.append(math.hypot(first, second))
    return CoordinateMap(points, spacing, (steps[0], steps[1]), (low[0], low[1], high[0], high[1]))


def _inverse(linear: Linear) -> Linear:
    (a, b), (c, d) = linear
    determinant = a * d - b * c
    return (d / determinant, -b / determinant), (-c / determinant, a / determinant)


@functools.lru_cache(maxsize=64)
def _grid(height: int, width: int, spacing: float) -> NDArray[np.float64]:
    """Offsets of the control points from the picture's centre, ``(2, rows, columns)``: x, y."""
    down = (np.arange(_count(height, spacing)) - 1) * spacing - height / 2
    across = (np.arange(_count(width, spacing)) - 1) * spacing - width / 2
    grid = np.stack(np.meshgrid(across, down))
    grid.setflags(write=False)  # it is shared by all who ask
    return grid


def _count(length: int, spacing: float) -> int:
    """Control points along ``length``: one more than cells on each side, and one between."""
    return math.ceil(length / spacing) + 3


@functools.lru_cache(maxsize=64)
def _basis(length: int, spacing: float) -> NDArray[np.float32]:
    """Weights of the control points at each pixel's centre, ``(length, control points)``."""
    place = (np.arange(length) + 0.5) / spacing
    cell = np.minimum(place.astype(int), _count(length, spacing) - 4)
    t = place - cell
    weights = np.stack(
        [
            (1 - t) ** 3,
            3 * t**3 - 6 * t**2 + 4,
            -3 * t**3 + 3 * t**2 + 3 * t + 1,
            t**3,
        ],
        axis=1,
    )
    basis = np.zeros((length, _count(length, spacing)), np.float32)
    np.put_along_axis(basis, cell[:, None] + np.arange(4), (weights / 6).astype(np.float32), axis=1)
    basis.setflags(write=False)  # it is shared by all who ask
    return basis
