"""Planted copies of real photographs: windows of them, mirrored, stamped; and what is none."""

import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps
from skimage import data
from sklearn.datasets import load_sample_images

from tests.conftest import photograph as drawn
from tortie.images import cropped_copies, decode, duplicates, facts_of
from tortie.images.cropped_copies import same_picture


def thumbnail(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    known = facts_of(decode(file.getvalue(), at_least=256, max_pixels=10**8))
    return np.frombuffer(known.thumbnail, np.uint8).reshape(32, 32)


def window(image, share, right, down):
    """A part of the image: ``share`` of each side, at 0 to 1 of the way from one border on."""
    width, height = image.size
    x, y = width * (1 - share) * right, height * (1 - share) * down
    return image.crop((round(x), round(y), round(x + width * share), round(y + height * share)))


def stamped(image):
    image = image.copy()
    width, height = image.size
    ImageDraw.Draw(image).rectangle((0, round(0.85 * height), width, height), fill="white")
    return image


COPIES = {
    "mirrored": ImageOps.mirror,
    "corner": lambda image: window(image, 0.9, 1, 1),
    "smaller corner": lambda image: window(image, 0.8, 0, 1),
    "between the corners": lambda image: window(image, 0.89, 0.3, 0.7),
    "mirrored corner": lambda image: window(ImageOps.mirror(image), 0.9, 0, 0),
    "smaller": lambda image: image.resize((image.width // 3, image.height // 3)),
    "squeezed": lambda image: image.resize((150, 220)),
    "stamped": stamped,
    "mirrored and stamped": lambda image: stamped(ImageOps.mirror(image)),
}


@pytest.fixture(scope="module")
def photographs():
    names = ("chelsea", "coffee", "astronaut", "rocket", "camera")
    arrays = [getattr(data, name)() for name in names] + load_sample_images().images
    return [Image.fromarray(array).convert("RGB") for array in arrays]


@pytest.mark.parametrize("copy", COPIES)
def test_copies_of_every_photograph_are_found_and_nothing_else(photographs, copy):
    count = len(photographs)
    images = [*photographs, *(COPIES[copy](image) for image in photographs)]
    thumbnails = np.stack([thumbnail(image) for image in images])
    pairs = np.array(list(combinations(range(2 * count), 2)))
    expected = pairs[:, 1] == pairs[:, 0] + count
    np.testing.assert_array_equal(same_picture(thumbnails, pairs), expected)
    np.testing.assert_array_equal(same_picture(thumbnails, pairs[:, ::-1]), expected)


def test_waves_are_no_copies_of_one_another():
    """Of any angle, length and phase: through some window one often fits another."""
    waves = np.stack([thumbnail(drawn("stripes", i)) for i in range(60)])
    pairs = np.array(list(combinations(range(60), 2)))
    assert not same_picture(waves, pairs).any()


@pytest.mark.parametrize("matrix", [cropped_copies._SMOOTH, duplicates._LOOK])
def test_no_weight_is_subnormal(matrix):
    """A product with such numbers takes up to thirty times as long."""
    smallest = np.abs(matrix[matrix != 0]).min()
    assert smallest >= np.finfo(np.float32).smallest_normal


def test_blank_pictures_and_no_pairs():
    walls = np.random.default_rng(0).integers(200, 204, (2, 32, 32)).astype(np.uint8)
    walls[1] = walls[0]
    assert not same_picture(walls, np.array([[0, 1]]))[0]
    assert same_picture(walls, np.zeros((0, 2), np.int64)).shape == (0,)


def test_more_pictures_than_a_batch_holds(photographs):
    """As many random pictures among which a copy is planted at the end."""
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (600, 8, 8), np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    thumbnails = np.concatenate([noise, noise[5:6, :, ::-1]])
    pairs = np.array([(i, 600) for i in range(600)] + [(i, i + 1) for i in range(599)])
    assert np.flatnonzero(same_picture(thumbnails, pairs)).tolist() == [5]
