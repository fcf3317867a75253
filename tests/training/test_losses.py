"""Losses worked by hand; weighting as repetition; mixing images as labels."""

import math

import numpy as np
import pytest
import torch

from tortie.training.losses import balance_weights, loss_of, mix
from tortie.training.recipe import Recipe
from tortie.training.recipes import recipe

PLAIN = Recipe(name="plain", source="a test", learning_rate=0.1, epochs=1, batch=1)


def test_cross_entropy_by_hand():
    logits = torch.tensor([[math.log(3), 0.0]])  # probabilities 3/4 and 1/4
    label = torch.tensor([0])
    assert loss_of(PLAIN)(logits, label).item() == pytest.approx(-math.log(0.75))
    # A fifth of the label spread over two classes: targets 0.9 and 0.1.
    smooth = loss_of(PLAIN.changed(label_smoothing=0.2))
    expected = -0.9 * math.log(0.75) - 0.1 * math.log(0.25)
    assert smooth(logits, label).item() == pytest.approx(expected)
    assert smooth(logits, torch.tensor([[1.0, 0.0]])).item() == pytest.approx(expected)
    # A mixed target of 0.7 and 0.3, smoothed: 0.8 · 0.7 + 0.1 and 0.8 · 0.3 + 0.1.
    mixed = -0.66 * math.log(0.75) - 0.34 * math.log(0.25)
    assert smooth(logits, torch.tensor([[0.7, 0.3]])).item() == pytest.approx(mixed)


def test_the_loss_of_lenet5_as_printed_by_hand():
    # Equation 9 with penalties 1 and 3 and j = 1: y_D + log(e^-1 + e^-1 + e^-3).
    loss = loss_of(recipe("lenet5-1998"))
    logits = torch.tensor([[-1.0, -3.0]])
    trained = math.log(2 * math.exp(-1) + math.exp(-3))
    assert loss(logits, torch.tensor([0])).item() == pytest.approx(1 + trained)
    assert loss(logits, torch.tensor([1])).item() == pytest.approx(3 + trained)


def test_balance_weights_by_hand():
    # n / (K n_k): 4 / (2 · 3) and 4 / (2 · 1).
    np.testing.assert_allclose(balance_weights(np.array([0, 0, 1, 0]), 2), [2 / 3, 2])
    # A class without a photograph is not counted: 3 / (2 · 1), 0, 3 / (2 · 2).
    np.testing.assert_allclose(balance_weights(np.array([0, 2, 2]), 3), [1.5, 0, 0.75])


def test_over_the_photographs_the_mean_weight_is_one():
    labels = np.random.default_rng(0).integers(0, 7, 100)
    weights = balance_weights(labels, 7)[labels]
    assert weights.mean() == pytest.approx(1)
    # Invariant: drawn by these weights, every class is as likely as every other.
    np.testing.assert_allclose(np.bincount(labels, weights) / weights.sum(), 1 / 7, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_weighted_loss_is_that_of_classes_repeated_to_equal_size(smoothing):
    torch.manual_seed(0)
    logits = torch.randn(4, 2)
    labels = torch.tensor([0, 0, 0, 1])
    one = PLAIN.changed(label_smoothing=smoothing, balance="loss")
    weights = torch.from_numpy(balance_weights(labels.numpy(), 2))
    repeated = [0, 1, 2, 3, 3, 3]
    expected = loss_of(one)(logits[repeated], labels[repeated])
    weighted = loss_of(one, weights)
    torch.testing.assert_close(weighted(logits, labels), expected)
    soft = torch.nn.functional.one_hot(labels, 2).float()
    torch.testing.assert_close(weighted(logits, soft), expected)
    # Batches of one size: the mean of their losses is the loss of the whole.
    halves = (weighted(logits[:2], labels[:2]) + weighted(logits[2:], labels[2:])) / 2
    torch.testing.assert_close(halves, expected)


def test_labels_are_mixed_as_images_are():
    # Images that are their own one-hot labels must stay so.
    labels = torch.tensor([0, 1, 2, 2, 1, 0, 3])
    images = torch.nn.functional.one_hot(labels, 4).float()
    mixed, targets = mix(images, labels, 4, 1.0, np.random.default_rng(3))
    torch.testing.assert_close(mixed, targets)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(7))
    assert not torch.equal(mixed, images)


def test_the_share_and_the_partners_are_those_of_the_generator():
    oracle = np.random.default_rng(5)
    share, partners = oracle.beta(0.4, 0.4), oracle.permutation(6)
    images = torch.randn(6, 3, 8, 8)
    mixed, _ = mix(images, torch.arange(6), 6, 0.4, np.random.default_rng(5))
    expected = share * images + (1 - share) * images[torch.from_numpy(partners)]
    torch.testing.assert_close(mixed, expected, atol=1e-6, rtol=1e-5)
