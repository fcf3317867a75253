import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from tortie.images import Preprocessing, decode

LITE0 = Preprocessing(
    resize=256,
    height=224,
    width=224,
    channels=3,
    interpolation="bicubic",
    mean=(127, 127, 127),
    std=(128, 128, 128),
)
SMALL = Preprocessing(
    resize=20,
    height=16,
    width=18,
    channels=3,
    interpolation="bilinear",
    mean=(0, 0, 0),
    std=(1, 1, 1),
)
GREY = Preprocessing(
    resize=32, height=32, width=32, channels=1, interpolation="bilinear", mean=(0,), std=(255,)
)


def noise(width, height, seed=0):
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def resized_then_cropped(image, recipe, resample):
    """The recipe of torchvision: Resize(shorter side), then CenterCrop, in two steps."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    longer = int(recipe.resize * long / short)
    size = (recipe.resize, longer) if width <= height else (longer, recipe.resize)
    left = round((size[0] - recipe.width) / 2.0)
    top = round((size[1] - recipe.height) / 2.0)
    crop = (left, top, left + recipe.width, top + recipe.height)
    across = image.resize((size[0], height), resample)  # then down, whatever Pillow would choose
    return np.asarray(across.resize(size, resample).crop(crop)).astype(int)


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (341, 1023), (256, 256), (97, 64)])
def test_one_resampling_equals_resize_then_crop(size):
    image = noise(*size)
    expected = resized_then_cropped(image, LITE0, Image.Resampling.BICUBIC)
    pixels = LITE0.pixels(image)
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert np.abs(pixels - expected).max() <= 1


@settings(max_examples=60)
@given(width=st.integers(1, 150), height=st.integers(1, 150))
def test_one_resampling_equals_resize_then_crop_at_any_size(width, height):
    image = noise(width, height)
    expected = resized_then_cropped(image, SMALL, Image.Resampling.BILINEAR)
    assert np.abs(SMALL.pixels(image) - expected).max() <= 2  # two roundings each


def test_the_box_reduction_before_a_strong_reduction_is_hardly_seen():
    coarse = noise(60, 45).resize((3000, 2250), Image.Resampling.BICUBIC)
    expected = resized_then_cropped(coarse, LITE0, Image.Resampling.BICUBIC)
    assert np.abs(LITE0.pixels(coarse) - expected).max() <= 2


def test_what_has_the_size_already_is_only_cropped():
    image = noise(300, 256)
    np.testing.assert_array_equal(LITE0.pixels(image), np.asarray(image)[16:240, 38:262])


def test_the_crop_of_500x375_by_hand():
    """256·500/375 = 341.3, so 341; (341 - 224) / 2 = 58.5, to even 58; (256 - 224) / 2 = 16."""
    across, down = 500 / 341, 375 / 256
    expected = (58 * across, 16 * down, 282 * across, 240 * down)
    assert LITE0._box((0, 0, 500, 375)) == pytest.approx(expected)
    assert LITE0._box((0.5, 0, 500.5, 375))[0] == pytest.approx(58 * across + 0.5)


@pytest.mark.parametrize("size", [(1, 10_000), (10_000, 1), (1, 1), (3, 40_000)])
def test_extreme_shapes_need_no_extreme_memory(size):
    """Resized whole, the first would have 256 × 2,560,000 pixels."""
    pixels = LITE0.pixels(Image.new("RGB", size, (10, 20, 30)))
    assert (pixels == (10, 20, 30)).all()


def test_of_a_tall_strip_only_the_rows_that_count_are_resampled():
    image = noise(20, 900)
    expected = resized_then_cropped(image, SMALL, Image.Resampling.BILINEAR)
    assert np.abs(SMALL.pixels(image) - expected).max() <= 1
    tall = Image.new("RGB", (1, 5_000_000), (10, 20, 30))  # all rows: 3.4 GB
    assert (LITE0.pixels(tall) == (10, 20, 30)).all()


def test_grey_is_luma():
    """ITU-R 601-2: 0.299·200 + 0.587·100 + 0.114·50 = 124.2."""
    pixels = GREY.pixels(Image.new("RGB", (50, 40), (200, 100, 50)))
    assert pixels.shape == (32, 32, 1)
    assert (pixels == 124).all()


def test_a_jpeg_at_reduced_scale_gives_nearly_the_same_pixels():
    """1003 × 1101 is no multiple of 2: the extent keeps the crop in place, to half a grey level."""
    file = io.BytesIO()
    noise(60, 66).resize((1003, 1101), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    full, reduced = decode(file.getvalue()), decode(file.getvalue(), at_least=LITE0.resize // 2)
    assert reduced.image.size == (502, 551)
    expected = LITE0.pixels(full.image).astype(int)
    assert np.abs(LITE0.pixels(reduced.image, reduced.extent) - expected).mean() < 0.5


def test_the_key_is_equal_for_equal_preprocessing_and_for_no_other():
    assert LITE0.key() == (
        '{"channels":3,"height":224,"interpolation":"bicubic","mean":[127.0,127.0,127.0],'
        '"resize":256,"std":[128.0,128.0,128.0],"width":224}'
    )
    assert Preprocessing.model_validate_json(LITE0.key()) == LITE0
    other = {
        "resize": 257,
        "height": 223,
        "width": 223,
        "interpolation": "bilinear",
        "mean": (127, 127, 128),
        "std": (128, 128, 127),
    }
    keys = {LITE0.model_copy(update={name: value}).key() for name, value in other.items()}
    assert len(keys - {LITE0.key()}) == len(other)
    assert LITE0.at_least == 256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resize": 200}, "a crop of 224×224 does not fit a shorter side of 200"),
        ({"channels": 1}, "mean has 3 values for 1 channels"),
        ({"std": (1, 1)}, "std has 2 values for 3 channels"),
        ({"std": (1, 1, 0)}, "std must be positive"),
        ({"mean": (0, 0, math.nan)}, "finite"),
        ({"height": 0}, "greater than 0"),
        ({"interpolation": "nearest"}, "'bicubic' or 'bilinear'"),
        ({"crop": 3}, "Extra inputs"),
    ],
)
def test_what_cannot_be_meant_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        Preprocessing(**{**LITE0.model_dump(), **change})
