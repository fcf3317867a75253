"""Features of files in the order of an epoch: each row once, its own features, neighbours apart."""

import numpy as np
import pytest

from tests.learning.feature_files import N, write_features
from tortie.activations.feature_shards import FeatureShard, read_manifest
from tortie.training import windows
from tortie.training.feed import order
from tortie.training.windows import Windowed

TRAIN = np.flatnonzero(np.arange(N) % 10 != 3)
HELD = np.flatnonzero(np.arange(N) % 10 == 3)


@pytest.fixture(scope="module")
def features():
    """The number of the row, and what else a feature could be."""
    rng = np.random.default_rng(7)
    return np.concatenate([np.arange(N)[:, None], rng.normal(size=(N, 1279))], 1)


@pytest.fixture(scope="module")
def shards(tmp_path_factory, features):
    folder = tmp_path_factory.mktemp("windows") / "features"
    write_features(folder, features=features)
    return [FeatureShard(folder / name) for name in read_manifest(folder).files]


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch):
    monkeypatch.setattr(windows, "WINDOW", 1280 * 160)  # ten pieces


def windowed(shards, seed=0):
    held = np.stack([HELD, HELD], 1).astype(np.float32)
    return Windowed(shards, TRAIN, (HELD, held), seed)


def test_an_epoch_sees_each_row_once_with_its_own_features(shards, features):
    feed = windowed(shards)
    for epoch in (1, 2):
        rows = feed.arranged(order(TRAIN, 0, epoch), epoch)
        assert sorted(rows.tolist()) == TRAIN.tolist()
        for batch in np.array_split(rows, 30):
            taken = feed.take(batch.tolist(), epoch).numpy()
            np.testing.assert_array_equal(taken, features[batch].astype(np.float32))
    np.testing.assert_array_equal(feed.take(HELD[5:9].tolist(), 0)[:, 0], HELD[5:9])


def test_an_order_is_a_function_of_seed_and_epoch(shards):
    """A run that goes on sees what it would have seen; no two epochs or seeds see the same."""
    first, second = windowed(shards), windowed(shards)
    orders = [first.arranged(order(TRAIN, 0, epoch), epoch).tolist() for epoch in (1, 2, 3)]
    assert second.arranged(order(TRAIN, 0, 3), 3).tolist() == orders[2]
    assert len({*map(tuple, orders)}) == 3
    assert windowed(shards, seed=1).arranged(order(TRAIN, 1, 1), 1).tolist() != orders[0]


def test_rows_come_from_one_window_after_another_and_from_all_files(shards):
    """Ten pieces of 16 rows a window, of files of 240 rows: by chance alone they come from many."""
    feed = windowed(shards)
    rows = feed.arranged(order(TRAIN, 0, 1), 1)
    pieces = [tuple(one) for one in np.stack([rows // 240, rows % 240 // 16], 1).tolist()]
    seen, windows_seen, window = set(), [], set()
    for piece in pieces:
        if piece not in window and len(window) == 10:
            seen |= window
            windows_seen.append(window)
            window = set()
        assert piece not in seen
        window.add(piece)
    assert len(windows_seen) == 7
    assert all(len({file for file, _ in one}) >= 3 for one in windows_seen)
    neighbours = np.abs(np.diff(rows)) == 1
    assert neighbours.mean() < 0.05


def test_rows_that_are_drawn_with_replacement_stay_as_often(shards):
    weights = np.where(TRAIN < 100, 9.0, 1.0).astype(np.float32)
    drawn = order(TRAIN, 0, 1, weights)
    assert sorted(windowed(shards).arranged(drawn, 1).tolist()) == sorted(drawn.tolist())


def test_no_more_is_held_than_two_windows(shards):
    feed = windowed(shards)
    rows = feed.arranged(order(TRAIN, 0, 1), 1)
    held = []
    for batch in np.array_split(rows, 30):
        feed.take(batch.tolist(), 1)
        held.append(sum(len(own) for own, _ in feed._kept.values()))
    assert max(held) <= 2 * 160
