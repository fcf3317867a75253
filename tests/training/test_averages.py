"""The average of the weights against values worked by hand and torch's own."""

import pytest
import torch
from torch import nn

from tortie import networks
from tortie.errors import TortieError
from tortie.training.averages import Average


def set_to(model: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)


def test_values_worked_by_hand_and_a_start_without_bias():
    # Decay 1/2 over 1, 2, 4: (1/4 · 1 + 1/2 · 2 + 1 · 4) / (1/4 + 1/2 + 1) = 3. The 100 of the
    # start has no weight, and the first value is taken whole.
    model = nn.Linear(2, 1)
    set_to(model, 100)
    average = Average(model, 0.5)
    for value, expected in ((1, 1), (2, 5 / 3), (4, 3)):
        set_to(model, value)
        average.update(model)
        torch.testing.assert_close(average.tensors["weight"], torch.full((1, 2), float(expected)))
    average.copy_to(model)
    assert model.bias.item() == pytest.approx(3)


def test_after_many_steps_it_is_the_usual_average():
    # Independent: torch's AveragedModel, whose start is biased; 0.8 to the 200th is 4e-20.
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    average = Average(model, 0.8)
    oracle = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.8)
    )
    for _ in range(200):
        with torch.no_grad():
            model.weight.normal_()
        average.update(model)
        oracle.update_parameters(model)
    torch.testing.assert_close(average.tensors["weight"], oracle.module.weight.detach())


def test_statistics_and_frozen_stages_are_copied():
    network = networks.resnet20_cifar()
    network.freeze("conv1")
    average = Average(network, 0.9)
    for _ in range(2):
        network(torch.randn(2, 3, 32, 32))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1)
        average.update(network)
    for name, tensor in network.state_dict().items():
        copied = torch.equal(average.tensors[name], tensor)
        trained = name in dict(network.named_parameters()) and not name.startswith("stages.conv1.")
        assert copied != trained, name


def test_it_does_not_share_memory_with_the_model():
    model = nn.Linear(2, 2)
    average = Average(model, 0.9)
    before = average.tensors["weight"].clone()
    set_to(model, 7)
    assert torch.equal(average.tensors["weight"], before)


def test_a_loaded_average_goes_on_as_the_saved_one():
    torch.manual_seed(1)
    model = nn.Linear(3, 2)
    whole = Average(model, 0.7)
    for step in range(6):
        if step == 3:
            saved = {name: tensor.clone() for name, tensor in whole.state().items()}
            resumed = Average(model, 0.7)
            resumed.load(saved)
        with torch.no_grad():
            model.weight.normal_()
        whole.update(model)
        if step >= 3:
            resumed.update(model)
    assert resumed.updates == whole.updates == 6
    for name, tensor in whole.state().items():
        assert torch.equal(resumed.state()[name], tensor)


@pytest.mark.parametrize("damage", ["shape", "missing", "updates"])
def test_the_average_of_another_model_is_refused(damage):
    average = Average(nn.Linear(3, 2), 0.7)
    state = average.state()
    if damage == "shape":
        state["average.weight"] = torch.zeros(2, 4)
    else:
        del state["updates" if damage == "updates" else "average.bias"]
    with pytest.raises(TortieError, match=r"of another model: (average|updates)"):
        average.load(state)
