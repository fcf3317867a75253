import subprocess
import sys

import numpy as np
import pytest

from tortie.augment import AreaCrop, Distortion
from tortie.errors import UsageError


def test_erased_rectangle_by_hand() -> None:
    image = np.full((40, 40, 3), 200, np.uint8)
    # A quarter as a square at the lower right: rows and columns 20 to 40.
    drawn = Distortion(erase=AreaCrop(0.25, (1, 1), 0, 1, 1), erase_grey=9)
    picture = drawn.apply(image, 40, 40)
    assert (picture[20:, 20:] == 9).all() and (picture == 9).sum() == 20 * 20 * 3
    values = drawn.apply_normalised(image, 40, 40, mean=109, std=50)
    assert (values[20:, 20:] == -2).all() and values[0, 0, 0] == pytest.approx(91 / 50)


def test_crop_is_a_slice_where_no_pixel_is_between() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    drawn = Distortion(crop=AreaCrop(0.25, (1, 1), 0, 1, 0))
    np.testing.assert_array_equal(drawn.apply(image, 30, 30), image[:30, 30:])


def test_images_of_another_kind_are_refused() -> None:
    for image in (
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
    ):
        with pytest.raises(UsageError, match="expected an image of uint8"):
            Distortion().apply(image, 2, 2)
    with pytest.raises(UsageError, match="with pixels"):
        Distortion().apply(np.zeros((0, 4, 3), np.uint8), 2, 2)
    with pytest.raises(UsageError, match="at least 1×1, not 0×2"):
        Distortion().apply(np.zeros((4, 4, 3), np.uint8), 0, 2)


def test_the_image_itself_is_never_changed() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)
    image.setflags(write=False)
    drawn = Distortion(erase=AreaCrop(0.5, (1, 1), 0, 0, 0), channel_shift=(9, 9, 9))
    assert (drawn.apply(image, 30, 30)[:21, :21] == 127).all()


def test_importing_does_not_import_torch() -> None:
    code = "import sys, tortie.augment; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
