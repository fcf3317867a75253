"""All colour in one 3×4 matrix: what each operation does to (R, G, B, 1).

Grey levels run from 0 to 255. Nothing is clipped or rounded between the operations: values clip
once, at the end, to black and white.
"""

from collections.abc import Iterable
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from tortie.errors import UsageError

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as JPEG has it
MID_GREY = 127.5

Triple = tuple[float, float, float]


class ColourBasis(BaseModel):
    """The principal colours of a set of images (Krizhevsky et al. 2012, section 4.1).

    Attributes:
        axes: three unit vectors (R, G, B), the strongest first.
        spreads: grey levels that a draw of 1 adds along each axis.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    axes: tuple[Triple, Triple, Triple]
    spreads: Triple

    def added(self, draws: Triple) -> Triple:
        """Grey levels that are added to R, G and B: the sum of axis × spread × draw."""
        red, green, blue = np.array(self.axes).T @ (np.array(self.spreads) * draws)
        return float(red), float(green), float(blue)

    @classmethod
    def of(cls, images: Iterable[NDArray[np.uint8]], *, spread: str = "variance") -> Self:
        """The principal colours of ``images``, each uint8 ``(H, W, 3)``, every pixel counted once.

        The paper adds eigenvalue × draw but leaves the unit open. ``variance`` takes eigenvalues
        of the covariance on the scale of 0 to 1 (most frameworks do), ``deviation`` their square
        roots (the author's published code does: about twice as strong); both are then brought to
        grey levels.

        Raises:
            UsageError: no image, an image that is not uint8 ``(H, W, 3)``, or an unknown spread.
        """
        if spread not in ("variance", "deviation"):
            raise UsageError(f"spread: expected 'variance' or 'deviation', not {spread!r}")
        count, total, products = 0, np.zeros(3), np.zeros((3, 3))
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise UsageError(
                    f"principal colours need uint8 (H, W, 3), not {image.dtype} {image.shape}"
                )
            pixels = image.reshape(-1, 3).astype(np.float64) / 255
            count, total = count + len(pixels), total + pixels.sum(axis=0)
            products += pixels.T @ pixels
        if count == 0:
            raise UsageError("principal colours need at least one image")
        mean = total / count
        values, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
        values = np.maximum(values, 0)  # rounding can leave −1e-17 on a grey set
        if spread == "deviation":
            values = np.sqrt(values)
        # A negated axis is as good: the larger side positive makes the answer one.
        axes = [axis * np.sign(axis.sum() or 1) for axis in vectors.T[::-1]]
        return cls.model_validate(
            {"axes": [axis.tolist() for axis in axes], "spreads": (255 * values[::-1]).tolist()}
        )


_IMAGENET_AXES = (
    (-0.5675, -0.5808, -0.5836),
    (0.7192, -0.0045, -0.6948),
    (0.4009, -0.8140, 0.4203),
)
_IMAGENET_VARIANCES = (0.2175, 0.0188, 0.0045)  # eigenvalues, grey levels from 0 to 1

# A draw of 0.1 adds 3.1 grey levels to each channel along the first axis.
IMAGENET_COLOURS = ColourBasis(
    axes=_IMAGENET_AXES,
    spreads=(255 * 0.2175, 255 * 0.0188, 255 * 0.0045),
)
# The author's code (cuda-convnet2) takes standard deviations: a draw of 0.1 adds 6.7.
IMAGENET_COLOURS_DEVIATION = ColourBasis(
    axes=_IMAGENET_AXES,
    spreads=(255 * 0.2175**0.5, 255 * 0.0188**0.5, 255 * 0.0045**0.5),
)


def colour_matrix(
    *, brightness: float, contrast: float, saturation: float, added: Triple
) -> NDArray[np.float64]:
    """The 3×4 matrix of brightness, contrast, saturation and added grey levels, in this order.

    Saturation leaves grey as it is, so the contrast's mid-grey passes through it unchanged.
    """
    gain, offset = brightness * contrast, (1 - contrast) * MID_GREY
    # Plain numbers: numpy takes longer on so few.
    return np.array(
        [
            [
                gain * ((1 - saturation) * LUMA[0] + saturation * (channel == 0)),
                gain * ((1 - saturation) * LUMA[1] + saturation * (channel == 1)),
                gain * ((1 - saturation) * LUMA[2] + saturation * (channel == 2)),
                offset + added[channel],
            ]
            for channel in range(3)
        ]
    )


def recolour(image: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """``matrix`` on uint8 ``(H, W, C)``: rounded and clipped to 0 to 255 once, at the end.

    A matrix for ``C`` channels is ``(C, C + 1)``.
    """
    import cv2  # no prediction needs it

    height, width, channels = image.shape
    return cv2.transform(image, matrix).reshape(height, width, channels)  # type: ignore[return-value]


def recolour_normalised(
    image: NDArray[np.uint8],
    matrix: NDArray[np.float64],
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Colour and ``(x − mean) / std`` in one matrix on uint8 ``(H, W, C)``, into float32 ``out``.

    Values clip once, to what black and white become; nothing is rounded to grey levels after.
    """
    import cv2

    height, width, channels = image.shape
    joined = matrix / std[:, None]
    joined[:, -1] -= mean / std
    np.copyto(out, image)
    cv2.transform(out, joined, dst=out)
    # Bounds as long as a row: numpy is ten times slower on rows of three.
    rows = out.reshape(height, width * channels)
    np.maximum(rows, np.tile((-mean / std).astype(np.float32), width), out=rows)
    np.minimum(rows, np.tile(((255 - mean) / std).astype(np.float32), width), out=rows)
