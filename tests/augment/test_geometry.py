import math

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import transform

from tortie.augment import Distortion, Warp
from tortie.augment.geometry import coordinate_map, linear_part


def rest(**changes: float) -> tuple[tuple[float, float], tuple[float, float]]:
    return linear_part(
        **({"mirror": False, "scale": 1, "squeeze": 1, "shear": 0, "rotate": 0} | changes)
    )


def inner(picture: np.ndarray, margin: int = 40) -> np.ndarray:
    return picture[margin:-margin, margin:-margin].astype(float)


def test_surface_reproduces_an_affine_map_exactly() -> None:
    # Oracle: the affine map itself, pixel by pixel; a tiny warp makes the grid of points fine.
    linear = rest(rotate=20, shear=10, scale=1.3)
    window = (3.0, 5.0, 100.0, 70.0)
    for warp in (None, Warp(1e-12, 0.07, b"")):
        places = coordinate_map(window, linear, (4, -3), warp, 50, 80).places(50, 80)
        y, x = np.mgrid[0:50, 0:80] + 0.5
        back = np.linalg.inv(np.array(linear))
        offset = np.tensordot(back, np.stack([x - 40 - 4, y - 25 + 3]), 1)
        expected = np.stack([53 + offset[0] * 100 / 80, 40 + offset[1] * 70 / 50]) - 0.5
        np.testing.assert_allclose(places, expected, atol=1e-4)


def test_reach_bounds_the_map() -> None:
    # Invariant: no place lies outside the reach, however strong the warp.
    for seed in range(20):
        warp = Warp(0.1, 0.1, bytes([seed]))
        places = coordinate_map((9, 9, 90, 60), rest(rotate=seed * 9), (5, 2), warp, 60, 90)
        x, y = places.places(60, 90) + 0.5
        x0, y0, x1, y1 = places.reach
        assert x0 <= x.min() and x.max() <= x1 and y0 <= y.min() and y.max() <= y1


def test_positive_angles_turn_anticlockwise_and_lean_right() -> None:
    # By hand: a point right of the centre goes up (−y); a point above the centre goes right.
    np.testing.assert_allclose(np.array(rest(rotate=90)) @ [1, 0], [0, -1], atol=1e-12)
    np.testing.assert_allclose(np.array(rest(shear=45)) @ [0, -1], [1, -1], atol=1e-12)
    np.testing.assert_allclose(np.array(rest(squeeze=2.0)) @ [1, 1], [0.5, 2], atol=1e-12)


def test_rotation_agrees_with_scikit_image(smooth: np.ndarray) -> None:
    ours = Distortion(rotate=17).apply(smooth, 240, 320)
    theirs = 255 * transform.rotate(smooth, 17, order=1, mode="symmetric")
    assert np.abs(inner(ours) - inner(theirs)).max() < 1.1


def test_rotation_agrees_with_opencv(smooth: np.ndarray) -> None:
    matrix = cv2.getRotationMatrix2D((159.5, 119.5), -33, 1)
    theirs = cv2.warpAffine(smooth, matrix, (320, 240), borderMode=cv2.BORDER_REFLECT)
    assert np.abs(inner(Distortion(rotate=-33).apply(smooth, 240, 320)) - inner(theirs)).max() < 1.1


def test_shear_agrees_with_scikit_image(smooth: np.ndarray) -> None:
    # Tops lean right: what is seen at (x, y) comes from x + tan(12°) (y − centre).
    back = np.array([[1, math.tan(math.radians(12)), 0], [0, 1, 0], [0, 0, 1]])
    back[0, 2] = -back[0, 1] * 119.5
    theirs = 255 * transform.warp(smooth, transform.AffineTransform(matrix=back), mode="symmetric")
    ours = Distortion(shear=12).apply(smooth, 240, 320)
    assert np.abs(inner(ours) - inner(theirs)).max() < 1.1


def test_scale_and_shift_agree_with_slicing(smooth: np.ndarray) -> None:
    # A picture shifted by whole pixels is a slice; twice as large, its middle is every half pixel.
    shifted = Distortion(shift=(32 / 320, -24 / 240)).apply(smooth, 240, 320)
    np.testing.assert_array_equal(shifted[:-24, 32:], smooth[24:, :-32])
    larger = Distortion(scale=2).apply(smooth, 240, 320).astype(float)
    resized = cv2.resize(smooth[60:180, 80:240], (320, 240), interpolation=cv2.INTER_LINEAR)
    assert np.abs(inner(larger) - inner(resized)).max() < 1.1


def test_composed_equals_step_by_step(smooth: np.ndarray) -> None:
    # Oracle: the same steps one after another, each by OpenCV, cubic, in floats.
    picture = smooth[:, ::-1].astype(np.float32)
    lean, centre = math.tan(math.radians(9)), 119.5
    shear = np.array([[1, -lean, lean * centre], [0, 1, 0]])
    turn = cv2.getRotationMatrix2D((159.5, 119.5), 14, 1)
    for matrix in (shear, turn):
        picture = cv2.warpAffine(
            picture, matrix, (320, 240), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
    ours = Distortion(mirror=True, shear=9, rotate=14).apply(smooth, 240, 320)
    assert np.abs(inner(ours, 60) - inner(picture, 60)).max() < 1.5


def test_warp_composed_equals_step_by_step(smooth: np.ndarray) -> None:
    # Oracle: rotate first, then move each pixel by the field; the field is read off a map alone.
    warp = Warp(0.01, 0.1, b"field")
    field = coordinate_map((0, 0, 320, 240), rest(), (0, 0), warp, 240, 320).places(240, 320)
    turn = cv2.getRotationMatrix2D((159.5, 119.5), 14, 1)
    picture = cv2.warpAffine(smooth.astype(np.float32), turn, (320, 240), flags=cv2.INTER_CUBIC)
    steps = cv2.remap(picture, field[0], field[1], cv2.INTER_CUBIC)
    ours = Distortion(rotate=14, warp=warp).apply(smooth, 240, 320)
    assert np.abs(inner(ours, 60) - inner(steps, 60)).max() < 1.5


def displacements(seed: int, side: int, rms: float, smoothness: float) -> np.ndarray:
    warp = Warp(rms, smoothness, seed.to_bytes(4, "little"))
    places = coordinate_map((0, 0, side, side), rest(), (0, 0), warp, side, side)
    return places.places(side, side) - np.mgrid[0:side, 0:side][::-1]


def test_warp_has_the_strength_and_the_smoothness_of_simard() -> None:
    # Oracle: Simard et al. as printed, even noise, Gaussian of sigma 4, times 34, on 29×29.
    rng = np.random.default_rng(0)
    fields = [
        34 * gaussian_filter(rng.uniform(-1, 1, (29, 29)), 4, mode="wrap") for _ in range(300)
    ]
    ours = [displacements(seed, 29, 1.384 / 29, 4 / 29)[0] for seed in range(300)]

    def correlation(pictures: list[np.ndarray], lag: int) -> float:
        stack = np.stack(pictures)
        return float((stack[:, :, lag:] * stack[:, :, : 29 - lag]).mean() / (stack**2).mean())

    assert np.sqrt(np.mean(np.square(fields))) == pytest.approx(1.384, rel=0.05)  # facts, §7
    assert np.sqrt(np.mean(np.square(ours))) == pytest.approx(1.384, rel=0.05)
    for lag in (2, 4, 8):
        assert correlation(ours, lag) == pytest.approx(correlation(fields, lag), abs=0.06)
        assert correlation(ours, lag) == pytest.approx(math.exp(-(lag**2) / 64), abs=0.06)


def test_warp_never_exceeds_its_limit() -> None:
    warp = Warp(0.05, 0.1, b"x")
    furthest = max(np.abs(displacements(seed, 64, 0.05, 0.1)).max() for seed in range(50))
    assert 0.6 * warp.limit * 64 < furthest <= warp.limit * 64 + 1e-3


def test_warp_is_the_same_field_at_any_size() -> None:
    # Invariant: a field is drawn in fractions of the side.
    small, large = (displacements(3, side, 0.02, 0.1) / side for side in (64, 128))
    halved = large.reshape(2, 64, 2, 64, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(small, halved, atol=2e-4)
