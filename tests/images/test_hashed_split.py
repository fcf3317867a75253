"""A split that is drawn photograph by photograph."""

import numpy as np
import pytest

from tortie.errors import UsageError
from tortie.images.hashed_split import draw_by_hash, fractions_of, hashed

N = 20_000
KEYS = np.random.default_rng(0).integers(1, 2**63, N).astype(np.uint64)


def test_parts_have_their_fractions_and_units_stay_together():
    """Within five standard deviations of the binomial, and any order gives the same."""
    fractions = {"train": 0.7, "validation": 0.1, "calibration": 0.05, "test": 0.15}
    labels = np.arange(N) % 4
    drawn = draw_by_hash(KEYS, labels, fractions, seed=1)
    for place, share in enumerate(fractions.values()):
        assert abs((drawn == place).sum() - N * share) < 5 * np.sqrt(N * share * (1 - share))
    order = np.random.default_rng(1).permutation(N)
    np.testing.assert_array_equal(
        draw_by_hash(KEYS[order], labels[order], fractions, 1), drawn[order]
    )
    units = np.repeat(KEYS[: N // 2], 2)
    together = draw_by_hash(units, labels, fractions, 1).reshape(-1, 2)
    assert (together[:, 0] == together[:, 1]).all()
    assert (draw_by_hash(KEYS, labels, fractions, 2) != drawn).any()


def test_every_class_trains():
    """20,000 classes of one image."""
    drawn = draw_by_hash(KEYS, np.arange(N), {"train": 0.5, "test": 0.5}, 0)
    assert (drawn == 0).all()


def test_hashes_are_even():
    """The mean and the variance of a uniform number, 1/2 and 1/12, of keys in a row."""
    found = hashed(np.arange(N).astype(np.uint64), 3)
    assert abs(found.mean() - 0.5) < 5 * np.sqrt(1 / 12 / N)
    assert abs(found.var() - 1 / 12) < 0.005
    assert 0 <= found.min() < found.max() < 1


@pytest.mark.parametrize(
    ("given", "images", "options", "expected"),
    [
        (set(), 1000, {}, {"train": 0.7, "validation": 0.1, "calibration": 0.05, "test": 0.15}),
        (set(), 10**6, {}, {"validation": 0.02, "calibration": 0.005, "test": 0.02}),
        ({"train", "test"}, 1000, {}, {"train": 0.85, "validation": 0.1, "calibration": 0.05}),
        ({"train", "validation"}, 1000, {}, {"train": 0.95, "calibration": 0.05}),
        (set(), 1000, {"test": 0.3}, {"validation": 0.1, "calibration": 0.05, "test": 0.3}),
        ({"train", "validation", "calibration", "test"}, 1000, {}, {}),
    ],
)
def test_fractions(given, images, options, expected):
    """By hand: 70/10/5/15, and no more than 20,000, 5,000 and 20,000."""
    found = fractions_of(given, images, options.get("valid"), options.get("test"))
    assert {part: found[part] for part in expected} == pytest.approx(expected)
    assert sum(found.values()) == pytest.approx(1 if expected else 0)


def test_a_part_that_is_given_is_not_drawn():
    with pytest.raises(UsageError, match="test part already"):
        fractions_of({"train", "test"}, 100, None, 0.2)
