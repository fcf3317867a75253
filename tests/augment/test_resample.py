import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import transform

from tortie.augment import AreaCrop, Distortion, Warp
from tortie.augment.resample import _span


def test_nothing_drawn_is_the_image(rough: np.ndarray) -> None:
    np.testing.assert_array_equal(Distortion().apply(rough, 150, 200), rough)
    np.testing.assert_array_equal(Distortion().apply(rough, 150, 150), rough[:, 25:175])
    np.testing.assert_array_equal(
        Distortion().apply(rough, 100, 100, frame=100 / 150), rough[25:125, 50:150]
    )


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 9))
def test_mirrored_twice_is_the_image(height: int, width: int, channels: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    mirrored = Distortion(mirror=True).apply(image, height, width)
    np.testing.assert_array_equal(mirrored, image[:, ::-1])
    np.testing.assert_array_equal(Distortion(mirror=True).apply(mirrored, height, width), image)


@settings(max_examples=40)
@given(st.integers(-16, 16), st.integers(-16, 16), st.integers(0, 9))
def test_shift_by_whole_pixels_is_a_slice_of_the_mirrored(
    across: int, down: int, seed: int
) -> None:
    # Oracle: numpy's symmetric padding, the edge pixel twice.
    image = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
    padded = np.pad(image, ((16, 16), (16, 16), (0, 0)), "symmetric")
    expected = padded[16 - down : 48 - down, 16 - across : 48 - across]
    drawn = Distortion(shift=(across / 32 + 0.003, down / 32 - 0.003), whole_pixels=True)
    np.testing.assert_array_equal(drawn.apply(image, 32, 32), expected)


@pytest.mark.parametrize(
    "drawn",
    [
        Distortion(rotate=45),
        Distortion(shift=(0.9, -0.9)),
        Distortion(scale=0.2),
        Distortion(rotate=30, shear=40, warp=Warp(0.1, 0.05, b"a")),
    ],
)
def test_what_crosses_the_frame_is_mirrored_never_black(drawn: Distortion) -> None:
    # A constant image stays constant, whatever the border.
    image = np.full((60, 90, 3), (200, 100, 50), np.uint8)
    picture = drawn.apply(image, 64, 64)
    assert np.abs(picture.astype(int) - (200, 100, 50)).max() <= 1


def test_zooming_out_repeats_the_mirrored_image(smooth: np.ndarray) -> None:
    # Oracle: numpy's padding of the image reduced by the same whole factor.
    picture = Distortion(scale=0.25).apply(smooth, 240, 320).astype(float)
    small = cv2.resize(smooth, (80, 60), interpolation=cv2.INTER_AREA)
    expected = np.pad(small, ((90, 90), (120, 120), (0, 0)), "symmetric")
    assert np.abs(picture - expected).max() < 4 and np.abs(picture - expected).mean() < 0.5


@pytest.mark.parametrize("factor", [2, 3, 4, 6, 8, 13])
def test_shrinking_does_not_alias(factor: int) -> None:
    # By hand: a checkerboard of single pixels is mid-grey from afar; skipped pixels make it 0 or
    # 255. At step 2 a third is left along each axis by the filter, less by interpolation.
    board = np.indices((64 * factor, 64 * factor)).sum(axis=0) % 2 * 255
    image = board[..., None].repeat(3, axis=2).astype(np.uint8)
    for drawn in (Distortion(), Distortion(rotate=10)):
        picture = drawn.apply(image, 64, 64)[4:-4, 4:-4].astype(float)
        assert np.abs(picture - 127.5).max() < (25 if factor == 2 else 12)


@pytest.mark.parametrize("factor", [1.3, 1.7, 2.0, 2.6, 3.3, 7.0])
def test_shrinking_agrees_with_scikit_image(smooth: np.ndarray, factor: float) -> None:
    height, width = round(240 / factor), round(320 / factor)
    window = AreaCrop(1.0, (320 / 240, 320 / 240), 0, 0, 0)
    ours = Distortion(crop=window).apply(smooth, height, width).astype(float)
    theirs = 255 * transform.resize(smooth, (height, width), order=1, anti_aliasing=True)
    margin = max(2, height // 10)
    difference = (ours - theirs)[margin:-margin, margin:-margin]
    # scikit-image's Gaussian is wider than ours and flattens the waves a little.
    assert np.abs(difference).max() < 2.5 and np.abs(difference.mean()) < 0.5


@settings(max_examples=30)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 99),
)
def test_any_size_in_and_out(height: int, width: int, tall: int, wide: int, seed: int) -> None:
    # Invariant: no value that the image does not have between its least and its greatest.
    rng = np.random.default_rng(seed)
    image = rng.integers(60, 180, (height, width, 3), np.uint8)
    drawn = Distortion(
        rotate=rng.uniform(-90, 90),
        shear=20,
        scale=rng.uniform(0.3, 3),
        shift=(0.7, -0.4),
        warp=Warp(0.05, 0.1, b"w"),
    )
    picture = drawn.apply(image, tall, wide)
    assert picture.shape == (tall, wide, 3)
    assert image.min() - 1 <= picture.min() and picture.max() <= image.max() + 1


def test_longer_sides_than_opencv_can_remap() -> None:
    # OpenCV's remap takes sides below 32,768. Oracle: the ramp's own value at each place.
    ramp = np.linspace(0, 255, 40_000).round().astype(np.uint8)
    image = np.broadcast_to(ramp[None, :, None], (100, 40_000, 3))
    picture = Distortion(crop=AreaCrop(1.0, (400, 400), 0, 0, 0)).apply(image, 20, 200)
    expected = ramp.reshape(200, 200).mean(axis=1)
    assert np.abs(picture[10, :, 0] - expected).max() <= 1


@given(st.floats(-500, 500), st.floats(0, 900), st.integers(1, 300), st.integers(1, 16))
def test_span_is_whole_blocks_inside_the_image(
    low: float, extent: float, size: int, factor: int
) -> None:
    factor = min(factor, size)
    first, last = _span(low, low + extent, size, factor)
    assert 0 <= first < last <= size and (last - first) % factor == 0
    # All that lies inside is there, but for the rest of a block at the edges.
    for place in (max(low, 0), min(low + extent, size)):
        if 0 <= place <= size:
            assert first - factor < place < last + factor
