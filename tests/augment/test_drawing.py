import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.stats import kstest

from tortie.augment import AreaCrop, Distortion, Policy, draw, policy
from tortie.errors import UsageError


def test_view_0_is_undistorted() -> None:
    assert draw(policy("full"), 1, "a", 0) == Distortion()
    with pytest.raises(UsageError, match="not -1"):
        draw(policy("full"), 1, "a", -1)


def test_draw_by_hand() -> None:
    # Oracle: SHAKE-256, bytes 64 to 72 are the rotation, read as a 52-bit fraction.
    drawn = draw(Policy(rotate=(-10, 30)), 5, "tigger.jpg", 2).rotate
    stream = hashlib.shake_256(b"tortie draw\n5\n2\ntigger.jpg").digest(72)
    fraction = int.from_bytes(stream[64:72], "little") / 2**64
    assert drawn == pytest.approx(-10 + 40 * fraction, abs=1e-9)


def test_draw_depends_on_seed_image_and_view_alone() -> None:
    full = policy("full")
    keys = [(seed, image, view) for seed in (0, 1) for image in "ab" for view in (1, 2, 11)]
    once = [draw(full, *key) for key in keys]
    assert len(set(once)) == len(keys)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda key: draw(full, *key), keys[::-1]))[::-1]
    assert once == again


def test_draw_is_the_same_in_another_process() -> None:
    code = "from tortie.augment import draw, policy; print(draw(policy('full'), 3, 'a', 7))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(draw(policy("full"), 3, "a", 7))


def test_switching_one_operation_off_leaves_the_others() -> None:
    full = policy("full")
    whole = draw(full, 0, "a", 1)
    for name in ("mirror", "rotate", "warp", "brightness", "channel_shift", "pca_colour"):
        part = draw(full.without(name), 0, "a", 1)
        changed = [
            field for field in Distortion.__slots__ if getattr(part, field) != getattr(whole, field)
        ]
        assert changed in ([], [name.replace("pca_colour", "pca_shift")]), name


@pytest.fixture(scope="module")
def many() -> list[Distortion]:
    wide = Policy(
        mirror=0.3,
        crop_area=(0.2, 0.8),
        rotate=(-30, 10),
        shift=(-0.1, 0.1),
        warp=(0.01, 0.03),
        contrast=(0.5, 1.5),
        channel_shift=12,
        erase=0.4,
        erase_area=(0.1, 0.2),
    )
    return [draw(wide, 0, f"image {index}", 1) for index in range(3000)]


def test_draws_follow_their_distributions(many: list[Distortion]) -> None:
    # Oracle: Kolmogorov–Smirnov against the stated distribution.
    areas = [drawn.crop.area for drawn in many if isinstance(drawn.crop, AreaCrop)]
    assert len(areas) == 3000
    for values, low, high in (
        (areas, 0.2, 0.8),
        ([drawn.rotate for drawn in many], -30, 10),
        ([drawn.shift[0] for drawn in many], -0.1, 0.1),
        ([drawn.shift[1] for drawn in many], -0.1, 0.1),
        ([drawn.contrast for drawn in many], 0.5, 1.5),
        ([drawn.warp.rms for drawn in many if drawn.warp], 0.01, 0.03),
        ([drawn.erase.area for drawn in many if drawn.erase], 0.1, 0.2),
    ):
        assert kstest(values, "uniform", args=(low, high - low)).pvalue > 0.01
    for channel in range(3):
        values = [drawn.channel_shift[channel] for drawn in many]
        assert kstest(values, "norm", args=(0, 12)).pvalue > 0.01
    # Three standard deviations of a share in 3,000.
    assert np.mean([drawn.mirror for drawn in many]) == pytest.approx(0.3, abs=0.025)
    assert np.mean([drawn.erase is not None for drawn in many]) == pytest.approx(0.4, abs=0.027)


def test_draws_are_independent(many: list[Distortion]) -> None:
    table = np.array(
        [
            [
                drawn.mirror,
                drawn.rotate,
                *drawn.shift,
                drawn.contrast,
                *drawn.channel_shift,
                drawn.crop.area,
                drawn.crop.aspect_at,
                drawn.crop.across,
                drawn.crop.down,
            ]
            for drawn in many
        ]
    )
    correlations = np.corrcoef(table.T) - np.eye(table.shape[1])
    assert np.abs(correlations).max() < 0.08  # 3,000 draws: four standard deviations


def test_undecodable_file_names_can_be_keys() -> None:
    assert draw(policy("mirror"), 0, "caf\udce9.jpg", 1) is not None


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_the_distribution_of_a_channel_shift(distribution: str) -> None:
    """Mean 0 and the deviation asked for; uniform draws end at deviation × √3, normal ones do not.

    Of 3,000 draws the deviation is within 5%: four standard errors of a normal sample's.
    """
    chosen = Policy(channel_shift=12, channel_shift_draw=distribution)
    values = np.array([draw(chosen, 0, str(i), 1).channel_shift for i in range(1000)])
    assert values.std() == pytest.approx(12, rel=0.05)
    assert abs(values.mean()) < 4 * 12 / 3000**0.5
    assert (np.abs(values).max() < 12 * 3**0.5) == (distribution == "uniform")
    assert abs(np.corrcoef(values.T)[0, 1]) < 0.15
    common = chosen.model_copy(update={"channel_shift_common": True})
    for i in range(5):
        red, green, blue = draw(common, 0, str(i), 1).channel_shift
        assert red == green == blue == values[i, 0]
