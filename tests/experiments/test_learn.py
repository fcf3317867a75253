"""Training in memory: a function of the seed, and the softmax layer against scikit-learn's."""

import numpy as np
import pytest
import torch

from tests.experiments.toy import toy
from tortie import networks
from tortie.experiments.learn import error_of, learn, linear_probe, seeded
from tortie.experiments.picture_sets import Split
from tortie.experiments.study import Task


def bars(count, seed):
    """Pictures of 28×28 with a bar across (class 0) or down (class 1), and their classes."""
    generator = np.random.default_rng(seed)
    images = generator.normal(0, 0.3, (count, 1, 28, 28)).astype(np.float32)
    labels = generator.integers(0, 2, count)
    for image, label, place in zip(images, labels, generator.integers(4, 24, count), strict=True):
        if label:
            image[0, :, place] += 2
        else:
            image[0, place] += 2
    return torch.from_numpy(images), torch.from_numpy(labels)


def task(folder, lasting=False):
    return Task(
        cell="", seed=3, settings={}, pictures=toy(), folder=folder, lasting=lasting
    )  # fmt: skip


@pytest.fixture(scope="module")
def split():
    return Split(*bars(128, 0), *bars(64, 1), classes=2)


def trained(split, folder, lasting=False, **changes):
    network = seeded(3, lambda: networks.build("lenet5", classes=2))
    return network, learn(network, split, task(folder, lasting), epochs=4, batch=16, **changes)


def test_it_learns_and_the_same_seed_learns_the_same(split, tmp_path):
    network, learnt = trained(split, tmp_path)
    again, second = trained(split, tmp_path)
    assert learnt.test_error < 0.1
    assert learnt.test_error == error_of(network, split.test, split.test_labels)
    assert learnt.losses == second.losses
    for one, other in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    assert learnt.steps == 32


def test_the_training_error_is_that_of_each_epoch(split, tmp_path):
    network, learnt = trained(split, tmp_path, watch=True)
    assert len(learnt.train_errors) == 4
    best = error_of(network, split.train, split.train_labels)
    assert best == pytest.approx(min(learnt.train_errors))


def test_a_long_training_keeps_checkpoints_and_ends_the_same(split, tmp_path):
    _, short = trained(split, tmp_path / "short")
    _, lasting = trained(split, tmp_path / "long", lasting=True)
    assert not (tmp_path / "short").exists()
    assert (tmp_path / "long" / "scratch" / "last.safetensors").exists()
    assert lasting.losses == short.losses
    _, again = trained(split, tmp_path / "long", lasting=True)  # nothing is left to do
    assert again.losses == short.losses


def test_a_probe_of_vectors_that_are_parted_is_right():
    first = torch.tensor([[0.0, 1.0], [0.1, 0.9], [1.0, 0.0], [0.9, 0.1]])
    labels = torch.tensor([0, 0, 1, 1])
    assert linear_probe(first, first + 0.01, labels, labels) == 0
