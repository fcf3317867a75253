"""Awkward pictures, made here: what an export is checked on where no photograph is at hand."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

_SIZES = (
    (1, 1), (2, 3), (7, 400), (400, 7), (31, 31), (224, 224), (256, 256), (255, 257), (300, 225),
    (225, 300), (500, 375), (375, 500), (333, 511), (1023, 769), (1, 2000),
)  # fmt: skip
_LARGE = (4000, 3000)


def awkward_images() -> Iterator[Image.Image]:
    """RGB images of awkward sizes: noise, hard edges, gradients, flat; the same on every machine.

    The largest has 12 megapixels.
    """
    for number, size in enumerate(_SIZES):
        yield _noise(size, number)
        yield _smooth(size, number)
    for size in ((320, 240), (641, 480), (97, 89)):
        yield _edges(size)
        yield Image.new("RGB", size, (255, 255, 255))
        yield Image.new("RGB", size)
    yield _smooth(_LARGE, len(_SIZES))


def _noise(size: tuple[int, int], seed: int) -> Image.Image:
    drawn = np.random.RandomState(seed)  # whose stream is fixed for good
    return Image.fromarray(drawn.randint(0, 256, (size[1], size[0], 3)).astype(np.uint8))


def _smooth(size: tuple[int, int], seed: int) -> Image.Image:
    """Waves of a few colours, as of something out of focus."""
    drawn = np.random.RandomState(100 + seed)
    across, down = np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1])[:, None]
    levels = np.zeros((size[1], size[0], 3), np.float32)
    for channel in range(3):
        a, b, phase = drawn.uniform(1, 20, 3)
        levels[:, :, channel] = 127 + 120 * np.sin(a * across + b * down + phase)
    return Image.fromarray(levels.astype(np.uint8))


def _edges(size: tuple[int, int]) -> Image.Image:
    """A chequered board, on which every rounding of a resize shows."""
    rows, columns = np.mgrid[: size[1], : size[0]]
    board = ((rows // 5 + columns // 7) % 2 * 255).astype(np.uint8)
    return Image.fromarray(board).convert("RGB")
