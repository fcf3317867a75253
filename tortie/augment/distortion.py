"""One drawn distortion, and its application to an image: one resampling, one matrix."""

from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tortie.augment.colour import MID_GREY, Triple, colour_matrix, recolour, recolour_normalised
from tortie.augment.crop import AreaCrop, ScaledCrop, Window, central_window
from tortie.augment.geometry import Warp, coordinate_map, linear_part
from tortie.errors import UsageError

_Value = TypeVar("_Value", np.uint8, np.float32)


@dataclass(frozen=True, slots=True)
class Distortion:
    """What is done to one image, in this order; ``Distortion()`` leaves it as it is.

    Attributes:
        crop: which rectangle is seen; ``None`` is the centre, as without augmentation.
        mirror: exchange left and right.
        scale: enlargement about the centre, factor.
        squeeze: width is divided by it, height multiplied.
        shear: degrees by which verticals lean to the right.
        rotate: degrees anticlockwise.
        shift: to the right and down, fraction of the picture's width and height.
        whole_pixels: whether the shift is rounded to whole pixels of the picture.
        warp: smooth local displacement.
        brightness: factor on every grey level.
        contrast: factor on the distance from mid-grey, 127.5.
        saturation: factor on the distance from luma.
        channel_shift: added to R, G and B, grey levels.
        pca_shift: added to R, G and B along the principal colours, grey levels.
        erase: rectangle of the picture that is erased.
        erase_grey: grey level that it takes.
    """

    crop: AreaCrop | ScaledCrop | None = None
    mirror: bool = False
    scale: float = 1.0
    squeeze: float = 1.0
    shear: float = 0.0
    rotate: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    whole_pixels: bool = False
    warp: Warp | None = None
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    channel_shift: Triple = (0.0, 0.0, 0.0)
    pca_shift: Triple = (0.0, 0.0, 0.0)
    erase: AreaCrop | None = None
    erase_grey: int = 127

    def apply(
        self, image: NDArray[np.uint8], height: int, width: int, *, frame: float = 1.0
    ) -> NDArray[np.uint8]:
        """The distorted picture. Values are rounded and clipped to 0 to 255 once, at the end.

        Args:
            image: uint8 ``(H, W, C)``; C is 3 (RGB) or 1 (grey).
            height: pixels of the picture.
            width: pixels of the picture.
            frame: what the picture shows of the largest centred rectangle of its shape, where no
                crop is drawn: 224 / 256 for a network that scales to 256 and crops 224.

        Returns:
            uint8 ``(height, width, C)``.

        Raises:
            UsageError: not such an image, or colour asked for on grey.
        """
        picture = self._resample(image, height, width, frame)
        matrix = self._matrix(picture.shape[2])
        if not np.array_equal(matrix, np.eye(*matrix.shape)):
            picture = recolour(picture, matrix)
        return self._erased(picture, np.full(picture.shape[2], self.erase_grey))

    def apply_normalised(
        self,
        image: NDArray[np.uint8],
        height: int,
        width: int,
        *,
        mean: ArrayLike,
        std: ArrayLike,
        frame: float = 1.0,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """The distorted picture as a network takes it: colour and normalisation in one matrix.

        Values clip once, to what black and white become, and are not rounded to grey levels.

        Args:
            image: uint8 ``(H, W, C)``; C is 3 (RGB) or 1 (grey).
            height: pixels of the picture.
            width: pixels of the picture.
            mean: grey levels, one number or one a channel.
            std: grey levels, one number or one a channel.
            frame: as for :meth:`apply`.
            out: float32 ``(height, width, C)``, contiguous, to write into: a place in a batch.

        Returns:
            ``out``, or a new array like it: ``(grey level − mean) / std``.

        Raises:
            UsageError: not such an image or ``out``, or colour asked for on grey.
        """
        picture = self._resample(image, height, width, frame)
        channels = picture.shape[2]
        means = np.broadcast_to(np.asarray(mean, np.float64), channels)
        stds = np.broadcast_to(np.asarray(std, np.float64), channels)
        values = np.empty(picture.shape, np.float32) if out is None else out
        _check_out(values, picture.shape)
        recolour_normalised(picture, self._matrix(channels), means, stds, values)
        return self._erased(values, (self.erase_grey - means) / stds)

    def with_grey(self) -> Self:
        """This distortion without what means nothing on grey images."""
        none = (0.0, 0.0, 0.0)
        return replace(self, saturation=1.0, channel_shift=none, pca_shift=none)

    def _window(self, height: int, width: int, aspect: float, frame: float) -> Window:
        if isinstance(self.crop, AreaCrop):
            return self.crop.window(height, width)
        if isinstance(self.crop, ScaledCrop):
            return self.crop.window(height, width, aspect)
        return central_window(height, width, aspect, frame)

    def _resample(
        self, image: NDArray[np.uint8], height: int, width: int, frame: float
    ) -> NDArray[np.uint8]:
        _check_image(image)
        if height < 1 or width < 1:
            raise UsageError(f"expected a picture of at least 1×1, not {height}×{width}")
        across, down = self.shift[0] * width, self.shift[1] * height
        places = coordinate_map(
            self._window(image.shape[0], image.shape[1], width / height, frame),
            linear_part(
                mirror=self.mirror,
                scale=self.scale,
                squeeze=self.squeeze,
                shear=self.shear,
                rotate=self.rotate,
            ),
            (round(across), round(down)) if self.whole_pixels else (across, down),
            self.warp,
            height,
            width,
        )
        from tortie.augment.resample import resample  # which loads OpenCV

        return resample(image, places, height, width)

    def _matrix(self, channels: int) -> NDArray[np.float64]:
        """The colour matrix, ``(C, C + 1)``."""
        if channels == 1:
            if self != self.with_grey():
                raise UsageError(
                    "saturation, channel shift and PCA colour mean nothing on a grey image: "
                    "leave them out with Policy.for_grey()"
                )
            offset = (1 - self.contrast) * MID_GREY
            return np.array([[self.brightness * self.contrast, offset]])
        red, green, blue = self.channel_shift
        added = self.pca_shift
        return colour_matrix(
            brightness=self.brightness,
            contrast=self.contrast,
            saturation=self.saturation,
            added=(red + added[0], green + added[1], blue + added[2]),
        )

    def _erased(self, picture: NDArray[_Value], fill: NDArray[np.float64]) -> NDArray[_Value]:
        if self.erase is not None:
            left, top, wide, tall = self.erase.window(*picture.shape[:2])
            rows = slice(round(top), max(round(top + tall), round(top) + 1))
            picture[rows, round(left) : max(round(left + wide), round(left) + 1)] = fill
        return picture


def _check_image(image: NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise UsageError(
            f"expected an image of uint8 (H, W, 3) or (H, W, 1), not {image.dtype} {image.shape}"
        )
    if 0 in image.shape:
        raise UsageError(f"expected an image with pixels, not of shape {image.shape}")


def _check_out(out: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    if out.dtype != np.float32 or out.shape != shape or not out.flags.c_contiguous:
        contiguous = "" if out.flags.c_contiguous else ", not contiguous"
        raise UsageError(
            f"out: expected contiguous float32 {shape}, not {out.dtype} {out.shape}{contiguous}"
        )
