"""What a step sees: every photograph once, the same whatever the workers, two at least a step."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.examples import CPU, Arrays
from tortie.images.preprocess import Preprocessing
from tortie.training.feature_table import FeatureTable
from tortie.training.feed import Prepare, Stored, batches_of, order, ready

ROWS = st.lists(st.integers(0, 10_000), min_size=1, max_size=300, unique=True)


@given(ROWS, st.integers(0, 2**40), st.integers(1, 1000))
def test_an_epoch_sees_every_photograph_once(rows, seed, epoch):
    given_rows = np.array(rows)
    drawn = order(given_rows, seed, epoch)
    assert sorted(drawn.tolist()) == sorted(rows)
    np.testing.assert_array_equal(drawn, order(given_rows, seed, epoch))
    assert given_rows.tolist() == rows  # it draws a copy


def test_epochs_and_seeds_have_orders_of_their_own():
    rows = np.arange(100)
    orders = {tuple(order(rows, seed, epoch)) for seed in range(5) for epoch in range(1, 6)}
    assert len(orders) == 25


def test_every_place_is_equally_likely():
    """Chi-squared of where photograph 0 comes first in 2,000 epochs; 16.3 is its 99.9%."""
    first = [int(np.flatnonzero(order(np.arange(4), 0, epoch) == 0)[0]) for epoch in range(1, 2001)]
    counts = np.bincount(first, minlength=4)
    assert ((counts - 500) ** 2 / 500).sum() < 16.3


@given(st.integers(1, 2000), st.integers(1, 300))
def test_batches_are_the_fewest_and_even(count, batch):
    rows = np.arange(count)
    batches = batches_of(rows, batch)
    sizes = [len(each) for each in batches]
    np.testing.assert_array_equal(np.concatenate(batches), rows)
    assert len(batches) == -(-count // batch)
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    if batch > 2 and count > 1:
        assert min(sizes) > 1


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 3), st.integers(0, 2))
def test_workers_change_nothing(count, batch, epoch, workers):
    labels = np.arange(count) % 2
    feed = Arrays(labels, 2)
    batches = batches_of(order(np.arange(count), 0, 1), batch)
    found = list(ready(feed, batches, epoch, workers))
    assert [rows.tolist() for rows, _ in found] == [rows.tolist() for rows in batches]
    for rows, inputs in found:
        assert torch.equal(inputs, feed.take(rows.tolist(), epoch))


def test_a_feed_that_fails_is_told_in_its_turn_and_leaves_no_thread():
    class Broken(Arrays):
        def take(self, rows, epoch):
            if 5 in rows:
                raise RuntimeError("photograph 5")
            return super().take(rows, epoch)

    batches = batches_of(np.arange(12), 2)
    seen = []
    with pytest.raises(RuntimeError, match="photograph 5"):
        for rows, _ in ready(Broken(np.zeros(12, int), 1), batches, 1, 2):
            seen += rows.tolist()
    assert seen == [0, 1, 2, 3]
    assert not [one for one in threading.enumerate() if "tortie-feed" in one.name]


def test_closing_half_way_leaves_no_thread():
    batches = ready(Arrays(np.zeros(50, int), 1), batches_of(np.arange(50), 2), 1, 3)
    next(batches)
    batches.close()
    assert not [one for one in threading.enumerate() if "tortie-feed" in one.name]


def test_no_more_is_made_ready_than_is_soon_wanted():
    """Memory: two batches beside one a worker."""
    made = []

    class Counting(Arrays):
        def take(self, rows, epoch):
            made.append(rows)
            return super().take(rows, epoch)

    batches = ready(Counting(np.zeros(100, int), 1), batches_of(np.arange(100), 1), 1, 2)
    for _ in range(3):
        next(batches)
    batches.close()
    assert len(made) <= 3 + 2 + 2


def test_stored_views_come_round_in_turn():
    """Three drawn views: epochs 1 to 7 see 0, 1, 2, 0, 1, 2, 0; epoch 0 the undistorted one."""
    drawn = np.arange(4 * 3, dtype=np.float32).reshape(4, 3, 1)  # row r, view v is 3r + v
    plain = -np.ones((2, 1, 1), np.float32)
    place = np.array([0, 1, -1, 2, 3])
    feed = Stored(FeatureTable(plain, np.array([-1, -1, 0, 1, -1])), FeatureTable(drawn, place))
    seen = [feed.take([3, 0], epoch).flatten().tolist() for epoch in range(1, 8)]
    assert seen == [[6, 0], [7, 1], [8, 2], [6, 0], [7, 1], [8, 2], [6, 0]]
    assert feed.take([2, 3], 0).flatten().tolist() == [-1, -1]


def test_pixels_are_normalised_by_hand_worked_values():
    # (127 - 127) / 128 = 0; (255 - 127) / 128 = 1; (0 - 100) / 50 = -2.
    preprocessing = Preprocessing(
        resize=2, height=1, width=2, channels=3, mean=(127.0, 127.0, 100.0),
        std=(128.0, 128.0, 50.0),
    )  # fmt: skip
    pixels = torch.tensor([[[[127, 255, 0], [255, 127, 200]]]], dtype=torch.uint8)
    made = Prepare(preprocessing, CPU)(pixels)
    assert made.shape == (1, 3, 1, 2)
    torch.testing.assert_close(made, torch.tensor([[[[0.0, 1.0]], [[1.0, 0.0]], [[-2.0, 2.0]]]]))
    activations = torch.randn(2, 5, 3, 3)
    assert torch.equal(Prepare(preprocessing, CPU)(activations), activations)
    vectors = torch.randn(2, 5)
    assert torch.equal(Prepare(preprocessing, CPU)(vectors), vectors)
