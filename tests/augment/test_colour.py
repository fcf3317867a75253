import numpy as np
import pytest
from PIL import Image, ImageEnhance
from sklearn.decomposition import PCA

from tortie.augment import (
    IMAGENET_COLOURS,
    IMAGENET_COLOURS_DEVIATION,
    ColourBasis,
    Distortion,
    Policy,
    draw,
)
from tortie.errors import UsageError


def pixel(*values: int) -> np.ndarray:
    return np.full((4, 5, len(values)), values, np.uint8)


def result(drawn: Distortion, *values: int) -> list[int]:
    return drawn.apply(pixel(*values), 4, 5)[0, 0].tolist()


def test_literal_channel_shift_by_hand() -> None:
    shift = Distortion(channel_shift=(20, -20, 20))
    assert result(shift, 100, 100, 100) == [120, 80, 120]
    assert result(shift, 250, 10, 235) == [255, 0, 255]  # clipped at the end


def test_each_operation_by_hand() -> None:
    assert result(Distortion(brightness=1.5), 100, 20, 200) == [150, 30, 255]
    # Mid-grey 127.5: 0.5 × 100 + 63.75, and so on.
    assert result(Distortion(contrast=0.5), 100, 20, 200) == [114, 74, 164]
    # Luma of (100, 20, 200): 29.9 + 11.74 + 22.8 = 64.44.
    assert result(Distortion(saturation=0), 100, 20, 200) == [64, 64, 64]
    assert result(Distortion(saturation=2), 100, 50, 120) == [127, 27, 167]  # luma 72.93
    # Brightness comes first: 3 × (0.5 × 200 − 127.5) + 127.5 = 45.
    assert result(Distortion(brightness=0.5, contrast=3), 200, 100, 60) == [45, 0, 0]


def test_nothing_clips_between_the_operations() -> None:
    # Brightness alone would clip 200 to 255; 2 × 200 × 0.5 + 63.75 does not.
    assert result(Distortion(brightness=2, contrast=0.5), 200, 90, 10) == [255, 154, 74]
    assert result(Distortion(brightness=2, channel_shift=(-200, 0, 0)), 200, 0, 0)[0] == 200


def test_colour_agrees_with_pillow(rough: np.ndarray) -> None:
    # Oracle: ImageEnhance, whose luma is rounded; factors below 1 so that nothing clips.
    picture = Image.fromarray(rough)
    for name, enhancer, factor in (
        ("brightness", ImageEnhance.Brightness, 0.7),
        ("saturation", ImageEnhance.Color, 0.4),
    ):
        theirs = np.asarray(enhancer(picture).enhance(factor)).astype(int)
        ours = Distortion(**{name: factor}).apply(rough, 150, 200)
        assert np.abs(ours - theirs).max() <= 1, name


def test_composed_colour_equals_step_by_step() -> None:
    # Oracle: float steps one after another, rounded and clipped at the end alone.
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    drawn = Distortion(
        brightness=1.1,
        contrast=1.3,
        saturation=0.6,
        channel_shift=(5, -7, 9),
        pca_shift=(-3, 2, 1),
    )
    steps = image * 1.1
    steps = (steps - 127.5) * 1.3 + 127.5
    luma = steps @ np.array([0.299, 0.587, 0.114])
    steps = luma[..., None] + 0.6 * (steps - luma[..., None]) + (2, -5, 10)
    # OpenCV multiplies bytes by fixed point: 0.62 where exact rounding has 0.5.
    assert np.abs(drawn.apply(image, 20, 30) - np.clip(steps, 0, 255)).max() < 0.65
    values = drawn.apply_normalised(image, 20, 30, mean=(120, 110, 100), std=(60, 50, 40))
    expected = (np.clip(steps, 0, 255) - (120, 110, 100)) / (60, 50, 40)
    np.testing.assert_allclose(values, expected, atol=1e-4)


def test_normalised_is_within_black_and_white() -> None:
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    values = Distortion(brightness=9).apply_normalised(image, 20, 30, mean=127, std=128)
    assert values.dtype == np.float32
    assert values.max() == pytest.approx(1.0) and values.min() == pytest.approx(-127 / 128)


def test_normalised_goes_into_a_place_in_a_batch() -> None:
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    batch = np.zeros((2, 20, 30, 3), np.float32)
    drawn = Distortion(saturation=0.5)
    returned = drawn.apply_normalised(image, 20, 30, mean=127, std=128, out=batch[1])
    assert np.shares_memory(returned, batch)
    np.testing.assert_array_equal(
        batch[1], drawn.apply_normalised(image, 20, 30, mean=127, std=128)
    )
    assert not batch[0].any()
    with pytest.raises(UsageError, match=r"out: expected contiguous float32 \(20, 30, 3\)"):
        drawn.apply_normalised(image, 20, 30, mean=0, std=1, out=batch[:, :, :, 0])
    with pytest.raises(UsageError, match="not contiguous"):
        transposed = np.zeros((30, 20, 3), np.float32).transpose(1, 0, 2)
        drawn.apply_normalised(image, 20, 30, mean=0, std=1, out=transposed)


def test_imagenet_colours_have_the_published_strength() -> None:
    # Published: one sigma (0.1) along the first axis is 3.15 grey levels a channel, 6.75 in the
    # author's code (traps, 12).
    usual = IMAGENET_COLOURS.added((0.1, 0, 0))
    author = IMAGENET_COLOURS_DEVIATION.added((0.1, 0, 0))
    assert usual[0] == pytest.approx(-3.15, abs=0.01)
    assert author[0] == pytest.approx(-6.75, abs=0.01)
    assert IMAGENET_COLOURS.spreads == pytest.approx((55.46, 4.794, 1.148), abs=0.01)
    axes = np.array(IMAGENET_COLOURS.axes)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-3)  # printed to four digits


@pytest.mark.parametrize("spread", ["variance", "deviation"])
def test_colours_of_a_set_agree_with_scikit_learn(rough: np.ndarray, spread: str) -> None:
    tinted = (rough * (1.0, 0.7, 0.4)).astype(np.uint8)
    images = [tinted, tinted[:50, :70, ::-1]]
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]) / 255
    fitted = PCA().fit(pixels)
    basis = ColourBasis.of(iter(images), spread=spread)
    variances = fitted.explained_variance_ * (len(pixels) - 1) / len(pixels)
    expected = variances if spread == "variance" else np.sqrt(variances)
    np.testing.assert_allclose(basis.spreads, 255 * expected, rtol=1e-6)
    cosines = np.abs(np.sum(np.array(basis.axes) * fitted.components_, axis=1))
    np.testing.assert_allclose(cosines, 1, atol=1e-6)


def test_pca_colour_varies_as_it_says() -> None:
    # Oracle: covariance of the added colours = Σ (0.1 × spread)² axis axisᵀ.
    policy = Policy(pca_colour=0.1)
    added = np.array([draw(policy, 0, str(index), 1).pca_shift for index in range(4000)])
    axes, spreads = np.array(IMAGENET_COLOURS.axes), 0.1 * np.array(IMAGENET_COLOURS.spreads)
    expected = axes.T @ np.diag(spreads**2) @ axes
    np.testing.assert_allclose(np.cov(added.T), expected, rtol=0.12, atol=0.1)
    assert np.abs(added.mean(axis=0)).max() < 0.2


def test_grey_takes_brightness_and_contrast_and_says_no_to_colour() -> None:
    assert result(Distortion(brightness=1.5), 100) == [150]
    assert result(Distortion(contrast=0.5), 100) == [114]
    for drawn in (
        Distortion(saturation=0.5),
        Distortion(channel_shift=(1, 0, 0)),
        Distortion(pca_shift=(1, 0, 0)),
    ):
        with pytest.raises(UsageError, match="mean nothing on a grey image"):
            drawn.apply(pixel(100), 4, 5)


def test_colours_of_no_image_are_refused() -> None:
    with pytest.raises(UsageError, match="at least one image"):
        ColourBasis.of([])
    with pytest.raises(UsageError, match=r"not uint8 \(4, 5, 1\)"):
        ColourBasis.of([pixel(3)])
    with pytest.raises(UsageError, match="not 'sqrt'"):
        ColourBasis.of([pixel(1, 2, 3)], spread="sqrt")
