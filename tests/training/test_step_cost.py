"""The step that is timed leaves everything as it was, and weighs what it says."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.training.examples import network, recipe
from tortie import networks
from tortie.errors import UsageError
from tortie.networks.network import TrainedPart
from tortie.training import step_cost
from tortie.training.step_cost import check_smallest_batch, measure_step


def test_network_and_generators_stay_as_they_were():
    own = network().train()
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    torch.manual_seed(5)
    np.random.seed(6)
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()
    inputs, labels = torch.randn(4, 3, 6, 6, generator=torch.Generator()), torch.tensor([0, 1] * 2)
    found = measure_step(own, inputs, labels, recipe(optimiser="adamw", learning_rate=1), None)
    for name, tensor in own.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(one.grad is None for one in own.parameters())
    assert own.training
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(legacy, np.random.get_state()[1])
    assert found.seconds > 0


def test_a_frozen_prefix_is_not_moved_either():
    whole = networks.resnet20_cifar(classes=2)
    whole.freeze("conv2_x")
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    measure_step(whole, torch.randn(2, 3, 16, 16), torch.tensor([0, 1]), recipe(), "float32")
    assert all(torch.equal(tensor, before[name]) for name, tensor in whole.state_dict().items())


@pytest.mark.parametrize("optimiser, copies", [("sgd", 3), ("adamw", 4)])
def test_it_weighs_parameters_gradients_and_averages(monkeypatch, optimiser, copies):
    """One linear layer of 4 MB on one vector: no other tensor weighs anything.

    What the system sees beside the tensors depends on what else its allocator did.
    """
    monkeypatch.setattr(step_cost.ResidentPeak, "__exit__", lambda self, *_: None)
    own = TrainedPart({}, nn.Linear(1000, 1000, bias=False))
    labels = torch.zeros(2, dtype=torch.int64)
    found = measure_step(
        own, torch.randn(2, 1000), labels, recipe(optimiser=optimiser), "float32"
    )  # fmt: skip
    assert found.bytes == pytest.approx(copies * 4e6, rel=0.02)


@pytest.mark.parametrize(
    "seconds, chosen",
    [((1.0, 0.8), "bfloat16"), ((1.0, 0.9), "float32"), ((1.0, 2.0), "float32")],
)
def test_bfloat16_is_taken_where_it_is_clearly_faster(monkeypatch, seconds, chosen):
    monkeypatch.setattr(step_cost, "native_precision", lambda device: "bfloat16")
    timings = iter([seconds[0]] * 2 + [seconds[1]] * 2)
    monkeypatch.setattr(step_cost, "_timed", lambda *_: next(timings))
    inputs, labels = torch.randn(4, 3, 6, 6), torch.tensor([0, 1] * 2)
    assert measure_step(network(), inputs, labels, recipe(), None).precision == chosen


def test_a_batch_of_one_before_batch_norm_is_refused():
    inputs = torch.randn(3, 4)
    own = TrainedPart({"fc": nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))}, nn.Linear(4, 2))
    check_smallest_batch(own, inputs, 2, recipe())
    with pytest.raises(UsageError, match=r"a step of one photograph .* take --batch 3 or more"):
        check_smallest_batch(own, inputs, 1, recipe())
    check_smallest_batch(own, inputs, 1, recipe(statistics="kept"))
    assert int(own.state_dict()["stages.fc.1.num_batches_tracked"]) == 0
    check_smallest_batch(
        network(), torch.randn(3, 3, 6, 6), 1, recipe()
    )  # 4×4 values each to take the mean of
