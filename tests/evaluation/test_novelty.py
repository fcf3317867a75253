"""The distance to the training photographs, against the formula written out, and by strangers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf

from tortie.errors import TortieError
from tortie.evaluation import novelty
from tortie.evaluation.novelty import Novelty, fit_novelty


def drawn(n=300, width=40, classes=3, seed=0):
    """Classes with means of their own, spread along a few directions more than along others."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    means = np.random.default_rng(99).normal(size=(classes, width)) * 2 + 4
    spread = np.where(np.arange(width) < 5, 2.0, 0.3)
    features = means[labels] + rng.normal(size=(n, width)) * spread
    return features.astype(np.float32), labels


def percentiles(found, features):
    return found.percentiles(found.distances(features))


@pytest.mark.parametrize("n", [300, 45])  # more photographs than activations, and fewer
def test_it_is_mahalanobis_with_the_covariance_of_ledoit_and_wolf(n, monkeypatch):
    """Against scikit-learn's covariance, inverted; all directions are kept."""
    width = 60 if n == 45 else 40
    monkeypatch.setattr(novelty, "_DIRECTIONS", width - 1 if n == 300 else 44)
    features, labels = drawn(n, width)
    new, _ = drawn(20, width, seed=5)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    means = np.stack([unit[labels == k].mean(axis=0) for k in range(3)])
    covariance, _ = ledoit_wolf((unit - means[labels]).astype(float), assume_centered=True)
    rows = new / np.linalg.norm(new, axis=1, keepdims=True)
    off = rows[:, None] - means[None]
    wanted = np.einsum("nkd,de,nke->nk", off, np.linalg.inv(covariance), off).min(axis=1) ** 0.5
    found = fit_novelty(features, labels, np.arange(n) % 5)
    np.testing.assert_allclose(found.distances(new), wanted, rtol=2e-3)


def test_held_out_photographs_are_spread_evenly_over_the_percentiles():
    """New photographs of the same kind: one in ten is beyond 90% of the training ones."""
    features, labels = drawn(900)
    found = fit_novelty(features, labels, np.arange(900) % 5)
    usual = percentiles(found, drawn(2000, seed=1)[0])
    assert (usual > 90).mean() == pytest.approx(0.1, abs=0.03)  # 4 standard deviations
    assert (usual > 50).mean() == pytest.approx(0.5, abs=0.06)


def test_photographs_are_not_near_because_they_were_trained_on():
    """Few photographs of many activations: without holding out, all new ones would be far."""
    features, labels = drawn(60, 400)
    found = fit_novelty(features, labels, np.arange(60) % 5)
    assert (percentiles(found, drawn(500, 400, seed=1)[0]) > 99).mean() < 0.1


def test_strangers_are_far():
    features, labels = drawn(300)
    found = fit_novelty(features, labels, np.arange(300) % 5)
    rng = np.random.default_rng(3)
    strangers = (rng.normal(size=(100, 40)) * 2 + 4).astype(np.float32)
    assert percentiles(found, strangers).min() == 100


def test_many_photographs_are_measured_on_some_of_them():
    features, labels = drawn(3000)
    found = fit_novelty(features, labels, np.arange(3000) % 5)
    assert (percentiles(found, drawn(2000, seed=1)[0]) > 90).mean() == pytest.approx(0.1, abs=0.03)


def test_too_few_photographs_have_no_spread():
    features, labels = drawn(19)
    assert fit_novelty(features, labels, np.arange(19) % 5) is None
    features, labels = drawn(30)
    assert fit_novelty(features, labels, np.zeros(30, np.int64)) is None  # one group of copies


def test_equal_photographs_are_survived():
    features = np.repeat(drawn(2)[0], 15, axis=0)
    found = fit_novelty(features, np.repeat([0, 1], 15), np.arange(30) % 5)
    assert np.isfinite(percentiles(found, drawn(5, seed=2)[0])).all()


def test_it_is_kept_in_a_file_and_found_again():
    features, labels = drawn()
    found = fit_novelty(features, labels, np.arange(300) % 5)
    tensors = {name: torch.from_numpy(array) for name, array in found.arrays().items()}
    again = Novelty.of(Path("a"), {**tensors, "members.0.x": torch.zeros(1)})
    np.testing.assert_array_equal(percentiles(again, features), percentiles(found, features))
    assert Novelty.of(Path("a"), {"members.0.x": torch.zeros(1)}) is None


@pytest.mark.parametrize("name", ["scale", "means", "directions", "quantiles"])
def test_tensors_that_do_not_fit_are_refused(name):
    features, labels = drawn()
    arrays = fit_novelty(features, labels, np.arange(300) % 5).arrays()
    tensors = {key: torch.from_numpy(array) for key, array in arrays.items()}
    short = {**tensors, f"novelty.{name}": torch.zeros(3, 7)}
    with pytest.raises(TortieError, match="does not fit"):
        Novelty.of(Path("pets.safetensors"), short)
    endless = {**tensors, f"novelty.{name}": tensors[f"novelty.{name}"] * float("inf")}
    with pytest.raises(TortieError, match=f"novelty.{name} is not finite"):
        Novelty.of(Path("pets.safetensors"), endless)
    del tensors[f"novelty.{name}"]
    with pytest.raises(TortieError, match=f"no whole classifier: novelty.{name}"):
        Novelty.of(Path("pets.safetensors"), tensors)


@pytest.mark.parametrize("rank", [300, 12])  # of few directions the search ends early
def test_the_largest_directions_are_those_of_the_whole_decomposition(rank):
    """Oracle: numpy's decomposition of the same matrix, whose spreads fall as those of features."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(400, rank)))[0]
    spreads = 1 / np.arange(1, rank + 1)
    matrix = (axes * spreads) @ axes.T
    values, vectors = novelty._lanczos(matrix, 10)
    expected = np.linalg.eigvalsh(matrix)[-10:]
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, atol=1e-3 * expected[-1])
