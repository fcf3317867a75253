"""Which rectangle of an image is seen: drawn numbers, resolved when the image's size is known."""

import math
from dataclasses import dataclass

Window = tuple[float, float, float, float]
"""Left, top, width and height, in pixels of the image, not rounded."""


@dataclass(frozen=True, slots=True)
class AreaCrop:
    """A rectangle of given area (Szegedy et al. 2015, section 6), wholly inside.

    Attributes:
        area: fraction of the image.
        aspect: lowest and highest width over height.
        aspect_at: where between them, in logarithms, 0 to 1.
        across: place from left (0) to right (1).
        down: place from top (0) to bottom (1).
    """

    area: float
    aspect: tuple[float, float]
    aspect_at: float
    across: float
    down: float

    def window(self, height: int, width: int) -> Window:
        """The rectangle in an image of ``height`` by ``width`` pixels.

        The usual recipe draws area and aspect again until they fit. Here the aspect is drawn from
        what fits, so that the area stays evenly distributed and one draw is enough. Where nothing
        fits (a panorama), it is the largest rectangle of the nearest aspect.
        """
        low, high = self.aspect
        narrowest = self.area * width / height  # the rectangle is as high as the image
        widest = width / (self.area * height)  # as wide as the image
        if low > widest:
            aspect, wide = low, float(width)
        elif high < narrowest:
            aspect, wide = high, height * high
        else:
            least, most = math.log(max(low, narrowest)), math.log(min(high, widest))
            aspect = math.exp(least + self.aspect_at * (most - least))
            wide = math.sqrt(self.area * height * width * aspect)
        wide = min(wide, width)  # rounding may exceed the image by a hair
        tall = min(wide / aspect, height)
        return (width - wide) * self.across, (height - tall) * self.down, wide, tall


@dataclass(frozen=True, slots=True)
class ScaledCrop:
    """A crop of the output's shape from the image scaled by its shorter side.

    Attributes:
        shorter: the image's shorter side in sides of the crop: 256 / 224 for AlexNet.
        across: place from left (0) to right (1).
        down: place from top (0) to bottom (1).
        central: whether it stays in the central square (AlexNet), or goes anywhere (VGG).
    """

    shorter: float
    across: float
    down: float
    central: bool = False

    def window(self, height: int, width: int, aspect: float) -> Window:
        """The rectangle of ``aspect`` (width over height) in an image of that size."""
        left, top, wide, tall = central_window(height, width, aspect)
        room = (left, top, wide, tall) if self.central else (0.0, 0.0, float(width), float(height))
        wide, tall = wide / self.shorter, tall / self.shorter
        return (
            room[0] + (room[2] - wide) * self.across,
            room[1] + (room[3] - tall) * self.down,
            wide,
            tall,
        )


def central_window(height: int, width: int, aspect: float, frame: float = 1.0) -> Window:
    """The largest centred rectangle of ``aspect`` in the image, shrunk by ``frame``."""
    wide = min(width, height * aspect) * frame
    tall = wide / aspect
    return (width - wide) / 2, (height - tall) / 2, wide, tall
