"""The views of a photograph that a frozen network sees: as it is, or drawn by a policy."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tortie.images import Decoded
from tortie.images.preprocess import Preprocessing

if TYPE_CHECKING:
    from tortie.augment import Policy


class View(Protocol):
    """One way to make a network's input of a photograph."""

    @property
    def name(self) -> str:
        """What tells it from any other view; part of the store's key."""
        ...

    def pixels(self, decoded: Decoded, sha256: str) -> NDArray[np.uint8]:
        """The input, uint8 ``(height, width, channels)``, of a decoded photograph."""
        ...


@dataclass(frozen=True)
class Undistorted:
    """The photograph as it is: resized and cut out of the centre."""

    preprocessing: Preprocessing
    name: str = "0"

    def pixels(self, decoded: Decoded, sha256: str) -> NDArray[np.uint8]:
        """The preprocessed photograph."""
        return self.preprocessing.pixels(decoded.image, decoded.extent)


@dataclass(frozen=True)
class Drawn:
    """A distortion drawn from policy, seed, content and number: the same on every machine.

    Attributes:
        preprocessing: gives the size of the input, and the share of the photograph that it shows.
        policy: what may be drawn.
        seed: of the draw.
        number: 1 and up; another number is another draw.
    """

    preprocessing: Preprocessing
    policy: "Policy"
    seed: int
    number: int

    @property
    def name(self) -> str:
        """Policy, seed and number."""
        return f"drawn {self.number} seed {self.seed} {self.policy.key()}"

    def pixels(self, decoded: Decoded, sha256: str) -> NDArray[np.uint8]:
        """The distorted photograph."""
        from tortie.augment import draw

        wanted, image = self.preprocessing, decoded.image
        if wanted.channels == 1:
            image = image.convert("L")
        array = np.asarray(image).reshape(image.height, image.width, wanted.channels)
        return draw(self.policy, self.seed, sha256, self.number).apply(
            array, wanted.height, wanted.width, frame=wanted.height / wanted.resize
        )
