import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from tortie.activations import feature_duplicates
from tortie.activations.feature_duplicates import feature_duplicate_pairs


def features(count, planted, seed=0):
    """Rows with a large common part, and near copies of the first of them at the end."""
    generator = np.random.default_rng(seed)
    rows = generator.exponential(size=(count, 200)).astype(np.float32)
    copies = rows[:planted] + generator.normal(scale=0.25, size=(planted, 200))
    return np.concatenate([rows, copies]).astype(np.float32)


def test_pairs_are_those_of_scikit_learns_cosines():
    rows = features(300, 20)
    cosines = cosine_similarity(rows - rows.mean(axis=0, dtype=np.float64))
    expected = [
        tuple(pair)
        for pair in np.argwhere(np.triu(cosines, 1) >= feature_duplicates.ALIKE).tolist()
    ]
    assert feature_duplicate_pairs(rows) == expected
    assert {(i, 300 + i) for i in range(20)} == set(expected)


def test_many_images_give_the_same_pairs(monkeypatch):
    rows = features(900, 30)
    exact = feature_duplicate_pairs(rows)
    monkeypatch.setattr(feature_duplicates, "_EXACT_BELOW", 100)
    monkeypatch.setattr(feature_duplicates, "_BLOCK", 128)
    assert feature_duplicate_pairs(rows) == exact
    assert len(exact) == 30


def test_textures_give_no_pairs(monkeypatch):
    monkeypatch.setattr(feature_duplicates, "MOST_PAIRS", 1000)
    one = np.random.default_rng(0).normal(size=(1, 50))
    rows = np.concatenate([np.repeat(one, 60, axis=0), np.repeat(-one, 60, axis=0)])
    assert feature_duplicate_pairs(rows.astype(np.float32)) == []


@pytest.mark.parametrize("rows", [np.ones((5, 7)), np.zeros((0, 7)), np.eye(2, 7)])
def test_nothing_to_compare_gives_no_pairs(rows):
    assert feature_duplicate_pairs(rows.astype(np.float32)) == []
