"""Several crops of a photograph, whose probabilities are averaged.

Ten: Krizhevsky, Sutskever and Hinton 2012, sections 2 and 4.1. The image is resized to a shorter
side of 256, its central square of 256×256 is kept; four corners and the centre, 224×224 each, and
their mirror images.

144: Szegedy et al. 2015, section 7. Shorter sides of 256, 288, 320 and 352; of each the left,
central and right square (top, central and bottom of an upright image); of each the four corners,
the centre, and the whole square resized to 224×224; and their mirror images.

Declared departures: a network of another size keeps these proportions to its own resizing. Where
its preprocessing leaves no margin around the centre crop (the networks for digits and for CIFAR),
the crops are taken from the image enlarged by 256 / 224, and the centre stays the whole image.
Where a mirrored image changes its class (digits), mirror images are left out: 5 and 72 crops.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tortie.activations.views import Undistorted, View
from tortie.errors import UsageError
from tortie.images import Decoded
from tortie.images.preprocess import Preprocessing

Crops = Literal[1, 10, 144]
"""How many crops of a photograph are averaged."""

CropPosition = Literal["centre", "top left", "top right", "bottom left", "bottom right", "whole"]

_SIDES = (256, 288, 320, 352)  # shorter sides, of which the first is the network's own
_CORNERS: tuple[CropPosition, ...] = ("top left", "top right", "bottom left", "bottom right")
_SIX: tuple[CropPosition, ...] = ("centre", *_CORNERS, "whole")
_CENTRAL = 1
_Part = tuple[int, int, CropPosition]  # shorter side, square, place


@dataclass(frozen=True)
class Crop:
    """A part of one of the three squares of the resized photograph.

    Attributes:
        preprocessing: of the network; its ``resize`` gives way to ``shorter``.
        shorter: side of the photograph after resizing, pixels.
        square: 0 is the left or top one, 1 the central, 2 the right or bottom one.
        place: in the square.
        mirrored: left and right changed over.
    """

    preprocessing: Preprocessing
    shorter: int
    square: int
    place: CropPosition
    mirrored: bool

    @property
    def name(self) -> str:
        """All that tells it from another crop of the same preprocessing."""
        mirrored = ", mirrored" if self.mirrored else ""
        return f"crop of {self.shorter}, square {self.square}, {self.place}{mirrored}"

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, in pixels of the photograph resized to ``width×height``."""
        side = min(width, height)
        slack = max(width, height) - side
        along = (0, round(slack / 2), slack)[self.square]
        x, y = (along, 0) if width > height else (0, along)
        if self.place == "whole":
            return x, y, x + side, y + side
        wide, tall = self.preprocessing.width, self.preprocessing.height
        if self.place == "centre":
            x, y = x + round((side - wide) / 2), y + round((side - tall) / 2)
        else:
            x += side - wide if "right" in self.place else 0
            y += side - tall if "bottom" in self.place else 0
        return x, y, x + wide, y + tall

    def pixels(self, decoded: Decoded, sha256: str) -> NDArray[np.uint8]:
        """The crop, uint8 ``(height, width, channels)``."""
        resizing = self.preprocessing.model_copy(update={"resize": self.shorter})
        left, top, right, bottom = decoded.extent
        place = self.box(*resizing.resized(right - left, bottom - top))
        pixels = resizing.pixels(decoded.image, decoded.extent, place)
        return np.ascontiguousarray(pixels[:, ::-1]) if self.mirrored else pixels


def crop_views(preprocessing: Preprocessing, crops: Crops, mirror: bool = True) -> list[View]:
    """The crops of a photograph, the undistorted view first.

    Args:
        preprocessing: of the network.
        crops: 1, 10 or 144.
        mirror: whether a mirrored photograph keeps its class; without, half as many are returned.

    Raises:
        UsageError: another number of crops.
    """
    if crops not in get_args(Crops):
        raise UsageError(f"{crops} crops: expected 1, 10 or 144")
    centre: _Part = (preprocessing.resize, _CENTRAL, "centre")
    others: list[_Part] = []
    own = _own_side(preprocessing)
    if crops == 10:
        others = [(own, _CENTRAL, place) for place in _CORNERS]
    elif crops == 144:
        for side in _SIDES:
            shorter = round(own * side / _SIDES[0])
            others += [(shorter, square, place) for square in range(3) for place in _SIX]
        others.remove((own, _CENTRAL, "centre"))
    views: list[View] = [Undistorted(preprocessing)]
    views += [Crop(preprocessing, *one, mirrored=False) for one in others]
    if mirror and crops > 1:
        views += [Crop(preprocessing, *one, mirrored=True) for one in (centre, *others)]
    return views


def prediction_cost(
    networks: Sequence[tuple[Preprocessing, bool]],
    multiplications: Sequence[int | None],
    crops: Crops,
) -> str | None:
    """What several networks or crops cost a prediction, in words; ``None`` for one of each.

    Args:
        networks: preprocessing of each, and whether a mirrored image keeps its class.
        multiplications: of each for one crop; ``None`` where it is not known.
        crops: of each photograph.
    """
    views = [len(crop_views(one, crops, mirror)) for one, mirror in networks]
    if sum(views) == 1:
        return None
    parts = [f"{len(networks)} networks"] if len(networks) > 1 else []
    parts += [f"{max(views)} crops"] if crops > 1 else []
    known = [each for each in multiplications if each is not None]
    figure = ""
    if len(known) == len(views):
        total = sum(each * number for each, number in zip(known, views, strict=True))
        figure = f", {total:,} multiplications"
    worth = "; for benchmarks, seldom for production" if crops > 1 else ""
    return f"{' of '.join(parts[::-1])}: {sum(views)} forward passes a photograph{figure}{worth}"


def _own_side(preprocessing: Preprocessing) -> int:
    """The shorter side that crops are taken from: the network's own, unless there is no margin."""
    if preprocessing.resize > max(preprocessing.height, preprocessing.width):
        return preprocessing.resize
    return round(preprocessing.resize * 256 / 224)
