"""Crops at the coordinates that the papers describe, each through the store."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tortie.activations.views import Undistorted
from tortie.errors import UsageError
from tortie.evaluation.crops import Crop, crop_views, prediction_cost
from tortie.images import decode
from tortie.images.preprocess import Preprocessing
from tortie.networks.table import find

LITE0 = find("efficientnet-lite0").preprocessing
CIFAR = find("resnet20-cifar").preprocessing


def noise(width, height, seed=0):
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return decode(Image.fromarray(levels))


def boxes(crops, width, height, preprocessing=LITE0):
    """``(shorter, box)`` of every crop that is not the undistorted view."""
    found = []
    for view in crop_views(preprocessing, crops)[1:]:
        short, long = min(width, height), max(width, height)
        longer = int(view.shorter * long / short)
        size = (longer, view.shorter) if width > height else (view.shorter, longer)
        found.append((view.shorter, view.mirrored, view.box(*size)))
    return found


def test_ten_crops_are_krizhevskys():
    # Shorter side 256 of 512×256: the central square begins at (512 - 256) / 2 = 128. Corners
    # 224×224 of it, the centre 16 pixels within it (section 4.1), and the reflections.
    five = [
        (128, 0, 352, 224), (160, 0, 384, 224), (128, 32, 352, 256), (160, 32, 384, 256),
        (144, 16, 368, 240),
    ]  # fmt: skip
    found = boxes(10, 1024, 512)
    assert sorted(box for _, mirrored, box in found if mirrored) == sorted(five)
    assert sorted(box for _, mirrored, box in found if not mirrored) == sorted(five[:4])
    assert {shorter for shorter, _, _ in found} == {256}
    views = crop_views(LITE0, 10)
    assert len(views) == 10
    assert views[0] == Undistorted(LITE0)  # whose box is (144, 16, 368, 240): the centre
    assert LITE0._box((0, 0, 512, 256)) == (144, 16, 368, 240)


def test_144_crops_are_googlenets():
    found = boxes(144, 512, 512 * 3)  # upright: top, central and bottom squares
    assert len(found) == 143  # and the undistorted one
    # "the shorter dimension is 256, 288, 320 and 352": 3 squares × 6 × 2 = 36 of each.
    assert Counter(shorter for shorter, _, _ in found) == {256: 35, 288: 36, 320: 36, 352: 36}
    # Of 352×1056: squares begin at 0, (1056 - 352) / 2 = 352 and 704; corners are 352 - 224 = 128
    # apart, the centre is 64 in, and the square itself is resized.
    wanted = []
    for top in (0, 352, 704):
        wanted += [(x, top + y, x + 224, top + y + 224) for x in (0, 128) for y in (0, 128)]
        wanted += [(64, top + 64, 288, top + 288), (0, top, 352, top + 352)]
    for mirrored in (False, True):
        own = [box for shorter, m, box in found if shorter == 352 and m == mirrored]
        assert sorted(own) == sorted(wanted)


@given(st.integers(1, 4000), st.integers(1, 4000), st.sampled_from([LITE0, CIFAR]))
def test_crops_are_whole_and_inside_whatever_the_size(width, height, preprocessing):
    for view in crop_views(preprocessing, 144)[1:]:
        resizing = preprocessing.model_copy(update={"resize": view.shorter})
        size = resizing.resized(width, height)
        left, top, right, bottom = view.box(*size)
        assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
        side = view.shorter if view.place == "whole" else preprocessing.height
        assert (right - left, bottom - top) == (side, side)


def test_ten_are_among_the_144_so_that_the_store_shares_them():
    ten = {view.name for view in crop_views(LITE0, 10)}
    all_of_them = [view.name for view in crop_views(LITE0, 144)]
    assert len(set(all_of_them)) == 144
    assert ten < set(all_of_them)


def test_pixels_are_those_of_resizing_and_cutting_out():
    """Against the image resized whole and then cropped, by another path through Pillow."""
    decoded = noise(400, 300)
    for view in crop_views(LITE0, 10)[1:6]:
        whole = Crop(
            LITE0.model_copy(update={"height": 256, "width": 256}), 256, 1, "whole", False
        ).pixels(decoded, "")
        left, top, right, bottom = view.box(341, 256)
        left, right = left - 42, right - 42  # the central square of 341 begins at round(42.5)
        wanted = whole[top:bottom, left:right].astype(int)
        got = view.pixels(decoded, "").astype(int)
        if view.mirrored:
            wanted = wanted[:, ::-1]
        # Pillow computes its filters afresh for a part; places agree to a hundredth of a pixel.
        assert np.abs(got - wanted).max() <= 2


def test_a_mirrored_crop_is_the_crop_mirrored():
    decoded = noise(500, 375)
    for view in crop_views(LITE0, 144)[1:72:23]:
        mirrored = Crop(LITE0, view.shorter, view.square, view.place, True)
        np.testing.assert_array_equal(
            view.pixels(decoded, "")[:, ::-1], mirrored.pixels(decoded, "")
        )
    centre = crop_views(LITE0, 10)[5]
    np.testing.assert_array_equal(
        centre.pixels(decoded, "")[:, ::-1], Undistorted(LITE0).pixels(decoded, "")
    )


def test_a_whole_square_is_resized():
    # One grey level to the left, another to the right: the left square of 600×200 is all dark.
    levels = np.full((200, 600, 3), 200, np.uint8)
    levels[:, :220] = 50
    decoded = decode(Image.fromarray(levels))
    pixels = Crop(LITE0, 256, 0, "whole", False).pixels(decoded, "")
    assert pixels.shape == (224, 224, 3)
    assert (pixels == 50).all()
    assert (Crop(LITE0, 256, 2, "whole", False).pixels(decoded, "") == 200).all()


@pytest.mark.parametrize("size", [(30, 20), (1, 1), (3, 400), (224, 224)])
@pytest.mark.parametrize("crops", [10, 144])
def test_an_image_smaller_than_the_crop_works(size, crops):
    decoded = decode(Image.new("RGB", size, (10, 200, 30)))
    for view in crop_views(LITE0, crops)[:: 1 if crops == 10 else 13]:
        pixels = view.pixels(decoded, "0" * 64)
        assert pixels.shape == (224, 224, 3)
        assert (pixels == (10, 200, 30)).all()


def test_a_network_without_a_margin_takes_crops_of_the_enlarged_image():
    # 32 × 256 / 224 is 37 rounded; corners are 5 pixels apart; the centre stays the whole image.
    found = boxes(10, 64, 64, CIFAR)
    corners = [(0, 0, 32, 32), (5, 0, 37, 32), (0, 5, 32, 37), (5, 5, 37, 37)]
    assert [box for shorter, m, box in found if shorter == 37 and not m] == corners
    assert [(m, box) for shorter, m, box in found if shorter == 32] == [(True, (0, 0, 32, 32))]


def test_digits_are_not_mirrored():
    digits = find("lenet5")
    assert len(crop_views(digits.preprocessing, 10, digits.mirror)) == 5
    assert len(crop_views(digits.preprocessing, 144, digits.mirror)) == 72
    decoded = decode(Image.new("RGB", (28, 28)))
    for view in crop_views(digits.preprocessing, 10, digits.mirror):
        assert view.pixels(decoded, "").shape == (28, 28, 1)


def test_one_crop_is_the_undistorted_view():
    assert crop_views(LITE0, 1) == [Undistorted(LITE0)]


def test_another_number_of_crops_is_refused():
    with pytest.raises(UsageError, match="7 crops: expected 1, 10 or 144"):
        crop_views(LITE0, 7)


def test_an_oblong_input_stays_inside_the_square():
    oblong = Preprocessing(resize=40, height=24, width=32, mean=(0.0,) * 3, std=(1.0,) * 3)
    for view in crop_views(oblong, 10)[1:]:
        left, top, right, bottom = view.box(80, 40)
        assert (right - left, bottom - top) == (32, 24)
        assert left >= 20 and right <= 60 and top >= 0 and bottom <= 40


def test_the_cost_of_a_prediction_is_counted_in_forward_passes():
    """By hand: 10 crops for photographs and 5 for digits, which are not mirrored."""
    photographs, digits = find("resnet18").preprocessing, find("lenet5").preprocessing
    assert prediction_cost([(photographs, True)], [7], 1) is None
    assert prediction_cost([(photographs, True), (digits, False)], [7, 11], 10) == (
        "10 crops of 2 networks: 15 forward passes a photograph, 125 multiplications; for "
        "benchmarks, seldom for production"
    )
    assert prediction_cost([(photographs, True)], [None], 144) == (
        "144 crops: 144 forward passes a photograph; for benchmarks, seldom for production"
    )
    assert prediction_cost([(photographs, True)] * 2, [7, 11], 1) == (
        "2 networks: 2 forward passes a photograph, 18 multiplications"
    )
