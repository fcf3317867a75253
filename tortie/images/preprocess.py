"""From an upright image to the pixels that a network was trained on, exactly."""

import json
import math
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

if TYPE_CHECKING:
    from tortie.images.transform import ImageTransform

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
REDUCED = 4
"""From 8 times the size on, a box reduction to this many times or more goes first: it moves grey
levels of photographs by 2 at the most, and halves the time that 12 megapixels take."""

_SUPPORT = 3  # pixels on either side that the wider filter, bicubic, can see, and one to spare


class Preprocessing(BaseModel):
    """Resize the shorter side, cut out the centre, normalise: what a network's weights expect.

    Attributes:
        resize: shorter side after resizing, pixels; the other side keeps the aspect, rounded down.
        height: of the centre crop, pixels; at most ``resize``.
        width: of the centre crop, pixels; at most ``resize``.
        channels: 3 for RGB, 1 for grey (ITU-R 601-2 luma).
        interpolation: of the resizing, which is antialiased.
        mean: subtracted from each channel, grey levels 0 to 255.
        std: each channel is then divided by it, grey levels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    resize: int = Field(gt=0)
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    channels: Literal[1, 3] = 3
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    mean: tuple[FiniteFloat, ...]
    std: tuple[FiniteFloat, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if max(self.height, self.width) > self.resize:
            raise ValueError(
                f"a crop of {self.height}×{self.width} does not fit a shorter side of {self.resize}"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} values for {self.channels} channels")
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive: {self.std}")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(height, width, channels)`` of the pixels."""
        return self.height, self.width, self.channels

    def transform(self) -> "ImageTransform":
        """This preprocessing for a data loader: an image to a tensor, float32 ``(C, H, W)``."""
        from tortie.images.transform import ImageTransform

        return ImageTransform(self)

    @property
    def at_least(self) -> int:
        """The shorter side, in pixels, that a decode at reduced scale must do justice to."""
        return self.resize

    def key(self) -> str:
        """Canonical JSON: equal for equal preprocessing, and for no other."""
        return json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"))

    def resized(self, width: float, height: float) -> tuple[int, int]:
        """Width and height of an image after resizing, pixels."""
        longer = int(self.resize * max(width, height) / min(width, height))
        return (longer, self.resize) if width > height else (self.resize, longer)

    def pixels(
        self,
        image: Image.Image,
        extent: tuple[float, float, float, float] | None = None,
        place: tuple[int, int, int, int] | None = None,
    ) -> NDArray[np.uint8]:
        """The centre crop of the resized image, or another, before normalisation.

        Resizing and cropping are one resampling, of the region that the crop needs: the whole
        resized image, which for a strip of 1×10,000 would be enormous, never exists.

        Args:
            image: mode RGB, any size; one smaller than the crop is enlarged by the same rule.
            extent: left, top, right and bottom of the part of it that counts as the whole, in
                pixels, as a decode tells; ``None`` for all.
            place: left, top, right and bottom of the crop, in pixels of the resized image; brought
                to ``height``×``width`` where it is larger. ``None`` for the centre.

        Returns:
            uint8, ``(height, width, channels)``, C-contiguous, grey levels 0 to 255.
        """
        if self.channels == 1:
            image = image.convert("L")
        extent = extent or (0, 0, *image.size)
        shorter = min(extent[2] - extent[0], extent[3] - extent[1])
        factor = int(shorter / self.resize / REDUCED)
        if factor > 1:
            image = image.reduce(factor)
            left, top, right, bottom = extent
            extent = left / factor, top / factor, right / factor, bottom / factor
        resampled = self._resampled(image, self._box(extent, place))
        array = np.asarray(resampled).reshape(self.height, self.width, self.channels)
        return np.ascontiguousarray(array)

    def _resampled(self, image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
        """The box resampled to the crop's size, across and then down.

        Pillow clips to 8 bits in between, which shows at hard edges, and its newer versions go
        down first where that is cheaper. So the order is set here: the one of older versions, and
        of nearly all that was trained on a resize and a crop of photographs.
        """
        left, top, right, bottom = box
        method = _RESAMPLING[self.interpolation]
        reach = _SUPPORT * max(1, (bottom - top) / self.height)
        first = max(0, math.floor(top - reach))
        last = min(image.height, math.ceil(bottom + reach))
        if 2 * (last - first) < image.height:  # a tall strip: cut out the rows that count
            rows = (0, first, image.width, last)
            image = image.resize((image.width, last - first), Image.Resampling.NEAREST, box=rows)
            top, bottom = top - first, bottom - first
        height = image.height
        strip = image.resize((self.width, height), method, box=(left, 0, right, height))
        box = (0, top, self.width, bottom)
        return strip.resize((self.width, self.height), method, box=box)

    def _box(
        self,
        extent: tuple[float, float, float, float],
        place: tuple[int, int, int, int] | None = None,
    ) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the crop, in pixels of the image.

        Sizes and offsets are rounded as torchvision's ``Resize`` and ``CenterCrop`` do.
        """
        width, height = extent[2] - extent[0], extent[3] - extent[1]
        resized = self.resized(width, height)
        across, down = width / resized[0], height / resized[1]  # source pixels a resized pixel
        if place is None:
            x, y = round((resized[0] - self.width) / 2), round((resized[1] - self.height) / 2)
            place = x, y, x + self.width, y + self.height
        left, top = extent[0] + place[0] * across, extent[1] + place[1] * down
        right = left + (place[2] - place[0]) * across
        bottom = top + (place[3] - place[1]) * down
        return left, top, min(right, extent[2]), min(bottom, extent[3])  # rounding may leave it
