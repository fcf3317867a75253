import json

import numpy as np
import pytest

from tortie.augment import POLICIES, AreaCrop, Distortion, Policy, ScaledCrop, draw, policy
from tortie.errors import UsageError


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"rotate": (10, -10)}, r"augmentation: rotate: expected \(low, high\) in order, within"),
        ({"rotate": (0, 500)}, "within -180 to 180, not"),
        ({"mirror": 3}, "augmentation: mirror: expected at most 1, not 3"),
        ({"rotat": (0, 1)}, "no operation 'rotat': did you mean 'rotate'"),
        ({"glitter": 1}, "no operation 'glitter': there are mirror, crop_area"),
        ({"warp": (0, float("nan"))}, "augmentation: warp: "),
        ({"rotate": 10}, "augmentation: rotate: .*not 10"),
        ({"crop_area": (0.5, 1), "scale_jitter": (1.2, 2)}, "crop_area or scale_jitter, not both"),
    ],
)
def test_wrong_ranges_are_refused_in_one_line(ranges: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        Policy(**ranges)
    assert "\n" not in str(refused.value)


def test_a_range_inside_a_policy_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        policy("full").mirror = 1.0  # type: ignore[misc]


def test_a_policy_shows_what_is_not_at_rest() -> None:
    assert repr(Policy()) == "Policy()"
    shown = Policy(mirror=0.5, rotate=(-5, 5))
    assert repr(shown) == "Policy(mirror=0.5, rotate=(-5.0, 5.0))"
    assert eval(repr(shown)) == shown


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="no augmentation 'standart': did you mean 'standard'"):
        policy("standart")
    with pytest.raises(UsageError, match="there are none, mirror, standard, full"):
        policy("zzz")
    with pytest.raises(UsageError, match="did you mean 'rotate'"):
        Policy().without("rotates")


def test_key_is_canonical_and_tells_policies_apart() -> None:
    # Invariants: equal policies, equal keys; every field is in the key.
    assert Policy(mirror=0.5, rotate=(-1, 1)).key() == Policy(rotate=(-1, 1), mirror=0.5).key()
    assert Policy(mirror=1).key() == Policy(mirror=1.0).key()
    keys = {each.key() for each in POLICIES.values()}
    assert len(keys) == len(POLICIES)
    assert set(json.loads(Policy().key())) == {"version", *Policy.model_fields}
    assert Policy(
        **{k: v for k, v in json.loads(policy("full").key()).items() if k != "version"}
    ) == policy("full")


def test_none_draws_nothing() -> None:
    assert draw(policy("none"), 0, "a", 1) == Distortion()


def test_grey_policy_drops_colour_and_says_so() -> None:
    full = policy("full")
    assert full.colour_operations == ("saturation", "channel_shift", "pca_colour")
    assert full.for_grey().colour_operations == ()
    grey = np.full((40, 40, 1), 90, np.uint8)
    for view in range(1, 30):
        assert draw(full.for_grey(), 0, "scan", view).apply(grey, 32, 32).shape == (32, 32, 1)


def test_alexnet_is_a_crop_of_224_in_the_central_256() -> None:
    for view in range(1, 50):
        crop = draw(policy("alexnet"), 0, "a", view).crop
        assert isinstance(crop, ScaledCrop)
        left, top, wide, tall = (value * 256 / 375 for value in crop.window(375, 500, 1.0))
        assert (wide, tall) == pytest.approx((224, 224))
        margin = (500 * 256 / 375 - 256) / 2
        assert margin <= left + 1e-9 and left <= margin + 32 + 1e-9 and 0 <= top <= 32 + 1e-9


def test_vgg_jitters_the_shorter_side_from_256_to_512() -> None:
    crops = [draw(policy("vgg"), 0, "a", view).crop for view in range(1, 400)]
    sides = [224 * crop.shorter for crop in crops if isinstance(crop, ScaledCrop)]
    assert len(sides) == 399 and min(sides) >= 256 and max(sides) <= 512
    assert np.mean(sides) == pytest.approx(384, abs=12)


def test_googlenet_crops_8_percent_and_more() -> None:
    crops = [draw(policy("googlenet"), 0, "a", view).crop for view in range(1, 400)]
    areas = [crop.area for crop in crops if isinstance(crop, AreaCrop)]
    assert 0.08 <= min(areas) < 0.09 and 0.98 < max(areas) <= 1


def test_cifar_has_81_places_each_a_copy_of_pixels() -> None:
    # He et al. 2016: 4 pixels on each side, so 9 × 9 places; oracle: numpy's padding.
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), "symmetric")
    places = {
        padded[top : top + 32, left : left + 32].tobytes(): (top, left)
        for top in range(9)
        for left in range(9)
    }
    seen = set()
    for view in range(1, 600):
        drawn = draw(policy("cifar").without("mirror"), 0, "a", view)
        seen.add(places[drawn.apply(image, 32, 32).tobytes()])  # a KeyError: not a copy
    assert len(seen) > 70


def test_digits_are_never_mirrored() -> None:
    for name in ("lenet5", "simard"):
        assert policy(name).mirror == 0
        assert not policy(name).colour_operations


def test_ranges_are_changed_in_brackets() -> None:
    changed = policy("full(rotate=-30:30, channel_shift=20, channel_shift_draw=uniform, mirror=0)")
    own = policy("full").model_dump() | {
        "rotate": (-30.0, 30.0), "channel_shift": 20.0, "channel_shift_draw": "uniform",
        "mirror": 0.0,
    }  # fmt: skip
    assert changed.model_dump() == own
    assert policy("none(channel_shift_common=true)").channel_shift_common
    assert policy("full()") == policy("full")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ful(rotate=1:2)", "did you mean 'full'"),
        ("full(rotated=1:2)", "no operation 'rotated': did you mean 'rotate'"),
        ("full(rotate=2:1)", r"rotate: .*\(low, high\) in order"),
        ("full(rotate=2)", "rotate: "),
        ("full(rotate)", "expected operation=value, not 'rotate'"),
        ("full(channel_shift_draw=cauchy)", "channel_shift_draw: expected normal or uniform"),
        ("full(", "no augmentation 'full\\('"),
    ],
)
def test_wrong_brackets_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        policy(text)
