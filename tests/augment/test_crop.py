import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from tortie.augment import AreaCrop, ScaledCrop
from tortie.augment.crop import central_window

unit = st.floats(0, 1)
sides = st.integers(1, 5000)


@given(sides, sides, st.floats(0.001, 1), unit, unit, unit)
def test_area_crop_is_inside_and_of_its_aspect(
    height: int, width: int, area: float, aspect_at: float, across: float, down: float
) -> None:
    crop = AreaCrop(area, (3 / 4, 4 / 3), aspect_at, across, down)
    left, top, wide, tall = crop.window(height, width)
    tiny = 1e-6 * max(height, width)
    assert left >= 0 and top >= 0
    assert left + wide <= width + tiny and top + tall <= height + tiny
    assert 3 / 4 - 1e-6 <= wide / tall <= 4 / 3 + 1e-6
    fits = area * width / height <= 4 / 3 and width / (area * height) >= 3 / 4
    if fits:
        assert wide * tall == pytest.approx(area * height * width)
    else:  # the largest of the nearest aspect fills a side
        assert wide == pytest.approx(width) or tall == pytest.approx(height)


def test_area_crop_by_hand() -> None:
    # A quarter of 400×100 as a square is 100×100, at the far right.
    window = AreaCrop(0.25, (1, 1), 0.5, 1, 0).window(100, 400)
    assert window == pytest.approx((300, 0, 100, 100))
    # Half the area of 300×300 at aspect 2: 300 by 150.
    window = AreaCrop(0.5, (2, 2), 0, 0.5, 0.5).window(300, 300)
    assert window == pytest.approx((0, 75, 300, 150))
    # All of a panorama at 4:3 does not fit: the largest 4:3 is as high as it.
    window = AreaCrop(1.0, (3 / 4, 4 / 3), 0.3, 0, 0).window(100, 1000)
    assert window == pytest.approx((0, 0, 400 / 3, 100))


def test_aspect_is_drawn_log_uniformly() -> None:
    # A small crop fits at any aspect; oracle: the even distribution of the logarithm.
    points = (np.arange(2000) + 0.5) / 2000
    logs = []
    for point in points:
        _, _, wide, tall = AreaCrop(0.1, (3 / 4, 4 / 3), point, 0, 0).window(375, 500)
        logs.append(math.log(wide / tall))
    reach = math.log(4 / 3)
    assert kstest(logs, "uniform", args=(-reach, 2 * reach)).pvalue > 0.99


def test_scaled_crop_by_hand() -> None:
    # AlexNet: 500×375 scaled to 341.3×256, its central 256 (62.5 to 437.5 at full size), 224 of it.
    central = ScaledCrop(256 / 224, 1.0, 0.0, central=True).window(375, 500, 1.0)
    side = 375 * 224 / 256
    assert central == pytest.approx((437.5 - side, 0, side, side))
    # VGG at 512: the crop is 224/512 of the shorter side, at any place of the image.
    anywhere = ScaledCrop(512 / 224, 1.0, 1.0).window(375, 500, 1.0)
    side = 375 * 224 / 512
    assert anywhere == pytest.approx((500 - side, 375 - side, side, side))


def test_central_window_by_hand() -> None:
    assert central_window(375, 500, 1.0) == pytest.approx((62.5, 0, 375, 375))
    assert central_window(256, 256, 1.0, 224 / 256) == pytest.approx((16, 16, 224, 224))
    assert central_window(100, 100, 2.0) == pytest.approx((0, 25, 100, 50))
