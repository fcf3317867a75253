"""A network's preprocessing for PyTorch's data loaders: an image to a tensor."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from PIL import Image

from tortie.errors import UsageError, short_traceback
from tortie.images.decode import Source, decode
from tortie.images.given import given_images
from tortie.images.preprocess import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ImageTransform:
    """An image to a network's input; it can be pickled, as workers of a data loader need.

    Attributes:
        preprocessing: resizes, cuts out the centre, normalises.
    """

    preprocessing: Preprocessing

    @short_traceback
    def __call__(self, image: Source | str) -> "Tensor":
        """Float32 ``(channels, height, width)``, normalised.

        Args:
            image: a path, the bytes of a file, an open file, a PIL image, or a uint8 array
                ``(H, W, 3)`` or tensor.

        Raises:
            UnreadableImage: it cannot be read.
            UsageError: something that is no image, or several.
        """
        sources = given_images([image] if isinstance(image, str | Path) else image).sources
        if len(sources) != 1:
            raise UsageError(f"expected one image, got {len(sources)}")
        decoded = decode(sources[0], at_least=self.preprocessing.at_least)
        return self.tensor(self.preprocessing.pixels(decoded.image, decoded.extent))

    def tensor(self, pixels: NDArray[Any]) -> "Tensor":
        """The tensor of pixels uint8 ``(height, width, channels)``."""
        import torch

        wanted = self.preprocessing
        mean = torch.tensor(wanted.mean).view(-1, 1, 1)
        std = torch.tensor(wanted.std).view(-1, 1, 1)
        return (torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() - mean) / std


def rgb(source: Source) -> Image.Image:
    """The upright RGB image, as every verb of tortie decodes it.

    Raises:
        UnreadableImage: it cannot be read.
    """
    return decode(source).image
