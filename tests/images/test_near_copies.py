"""Copies found in buckets of hashes are those that the comparison of every two finds."""

import numpy as np

from tortie.images import Facts
from tortie.images.duplicates import duplicate_groups
from tortie.images.facts import perceptual_hash
from tortie.images.near_copies import copy_pairs, units_of


def grey(number, noise=0):
    """Waves that no other number has, and as much noise of a seed of its own."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[:32, :32]
    found = np.full((32, 32), 128.0)
    for _ in range(6):
        along, across, phase = rng.uniform((0.05, 0.05, 0), (0.5, 0.5, 6.3))
        found += 15 * np.sin(along * rows + across * columns + phase)
    found += np.random.default_rng([number, noise]).normal(0, 2, (32, 32)) * (noise > 0)
    return np.uint8(found.clip(0, 255))


def pairs_of(pictures, keys):
    hashes = np.array([perceptual_hash(one.tobytes()) for one in pictures], np.uint64)
    grey = np.stack(pictures)
    return copy_pairs(np.array(keys, np.uint64), hashes, lambda rows: grey[rows])


def test_near_copies_are_those_of_all_pairs():
    """The oracle compares every two of 300 pictures, of which 60 have a noisy copy."""
    pictures = [grey(n) for n in range(240)] + [grey(n, noise=1) for n in range(60)]
    pairs, notes = pairs_of(pictures, range(1, 301))
    facts = [
        Facts(64, 64, "JPEG", 1, perceptual_hash(one.tobytes()), one.tobytes()) for one in pictures
    ]
    expected = duplicate_groups([f"{n:064x}" for n in range(300)], facts)
    assert {tuple(sorted(pair)) for pair in pairs.tolist()} == {
        (one.first, one.second) for one in expected.pairs
    }
    assert len(pairs) >= 60
    assert notes == []


def test_blank_pictures_are_no_copies_and_equal_bytes_are():
    blank = np.full((32, 32), 90, np.uint8)
    pairs, _ = pairs_of([blank, blank + 1, blank, grey(1)], [5, 6, 5, 7])
    assert pairs.tolist() == [[0, 2]]


def test_units_by_hand():
    """Copies 0-1-2, a given group of 2 and 4, and 3 alone; 5 and 6 are copies of other labels."""
    keys = np.array([50, 40, 30, 20, 10, 60, 70], np.uint64)
    pairs = np.array([[0, 1], [1, 2], [5, 6]])
    groups = np.array([0, 0, 9, 0, 9, 0, 0], np.uint64)
    labels = np.array([0, 0, 0, 0, 0, 0, 1])
    units, look_alikes, contradicting = units_of(keys, labels, pairs, groups)
    assert units.tolist() == [10, 10, 10, 20, 10, 60, 60]
    assert look_alikes.tolist() == []
    assert sorted(contradicting.tolist()) == [5, 6]


def test_too_many_that_look_alike_are_no_copies():
    """A chain of 11 of the 20 of a class is over 10 and over 5%; its exact copies stay."""
    keys = np.array([100, *range(100, 119)], np.uint64)
    pairs = np.array([[n, n + 1] for n in range(12)])
    units, look_alikes, _ = units_of(keys, np.zeros(20, int), pairs, np.zeros(20, np.uint64))
    assert look_alikes.tolist() == list(range(13))
    assert units.tolist() == keys.tolist()


def test_nothing_to_find():
    none = np.zeros((0, 2), int)
    keys = np.array([1, 2], np.uint64)
    assert units_of(keys, np.array([0, 1]), none, np.zeros(2, np.uint64))[0].tolist() == [1, 2]
