"""Which parameters learn at which rate and decay, and single steps worked by hand."""

import pytest
import torch
from torch import Tensor, nn

from tortie import networks
from tortie.networks.network import TrainedPart
from tortie.training.optimisers import make_optimiser, parameter_groups, set_rates
from tortie.training.recipe import Recipe

CPU = torch.device("cpu")
PLAIN = Recipe(name="plain", source="a test", learning_rate=0.1, epochs=1, batch=1)


def sizes(groups) -> dict[str, int]:
    return {each["name"]: sum(one.numel() for one in each["params"]) for each in groups}


def test_batch_norm_and_biases_do_not_decay():
    # 269,722 parameters (He et al. 2015, table 6: 0.27M), of which batch-norm has two a channel:
    # 2 · (7 · 16 + 6 · 32 + 6 · 64) = 1,376; the head's bias has 10.
    network = networks.resnet20_cifar()
    recipe = PLAIN.changed(weight_decay=1e-4)
    groups = parameter_groups(network, recipe)
    assert sizes(groups) == {"all": 269_722 - 1_386, "all, no decay": 1_386}
    assert [each["weight_decay"] for each in groups] == [1e-4, 0]
    kept = {id(one) for one in groups[1]["params"]}
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert id(layer.weight) in kept and id(layer.bias) in kept
    everything = parameter_groups(network, recipe.changed(decay_norms_and_biases=True))
    assert sizes(everything) == {"all": 269_722}


def test_a_bias_of_the_shape_of_a_map_does_not_decay():
    # LeNet-5 as printed: biases of 6 + 6, 16 + 16, 120 and 84 maps; the coefficients are weights.
    groups = parameter_groups(networks.lenet5_1998(), PLAIN.changed(weight_decay=0.1))
    assert sizes(groups) == {"all": 60_000 - 248, "all, no decay": 248}


def test_rates_fall_with_depth_over_the_trained_stages():
    # Worked by hand: the pools s2 and s4 have nothing to train, c1 is frozen.
    network = networks.lenet5()
    network.freeze("c1")
    groups = parameter_groups(network, PLAIN.changed(depth_factor=0.5))
    bases = {each["name"]: each["base"] for each in groups}
    by_hand = {"c3": 0.025, "c5": 0.05, "f6": 0.1, "head": 0.1}
    assert bases == pytest.approx(
        by_hand | {f"{name}, no decay": rate for name, rate in by_hand.items()}
    )
    assert sizes(groups)["c3"] == 16 * 6 * 25 and sizes(groups)["head, no decay"] == 10
    assert all(each["lr"] == each["base"] for each in groups)


def test_what_is_left_after_a_cut_learns_at_the_same_rates():
    network = networks.resnet20_cifar()
    network.freeze("conv2_x")
    recipe = PLAIN.changed(depth_factor=0.6)
    whole = parameter_groups(network, recipe)
    trained = parameter_groups(network.cut("conv2_x")[1], recipe)
    assert [(one["name"], one["base"]) for one in trained] == [
        (one["name"], one["base"]) for one in whole
    ]
    assert [id(p) for one in trained for p in one["params"]] == [
        id(p) for one in whole for p in one["params"]
    ]


def test_every_trained_parameter_is_in_one_group():
    network = networks.googlenet(classes=3)
    network.freeze("inception_3b")
    for factor in (1.0, 0.7):
        recipe = PLAIN.changed(depth_factor=factor, weight_decay=0.1)
        listed = [id(p) for one in parameter_groups(network, recipe) for p in one["params"]]
        assert len(listed) == len(set(listed))
        assert set(listed) == {id(p) for p in network.parameters() if p.requires_grad}


def test_side_heads_learn_at_the_rate_of_the_head():
    groups = parameter_groups(networks.googlenet(classes=3), PLAIN.changed(depth_factor=0.5))
    bases = {one["name"]: one["base"] for one in groups}
    assert bases["side_heads.inception_4a"] == bases["head"] == 0.1
    assert bases["inception_4a"] < 0.1


def test_nothing_to_train_is_an_error():
    network = networks.lenet5()
    network.requires_grad_(False)
    with pytest.raises(ValueError, match="every parameter is frozen"):
        parameter_groups(network, PLAIN)


class Scale(nn.Module):
    """One weight, so that steps can be worked by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[2.0]]))

    def forward(self, activations: Tensor) -> Tensor:
        return activations @ self.weight


@pytest.mark.parametrize(
    ("fields", "first", "second"),
    [
        # Gradient 1 throughout, rate 0.1. Velocities of 1 and 1.9.
        ({}, 1.9, 1.71),
        # Decay 0.5 from 2: gradients 1 + 1 = 2, then 1 + 0.9 = 1.9 on a velocity of 1.8.
        ({"weight_decay": 0.5}, 1.8, 1.43),
        # Nesterov: steps of 1 + 0.9 · 1 = 1.9, then 1 + 0.9 · 1.9 = 2.71.
        ({"nesterov": True}, 1.81, 1.539),
        # Adam's first steps are the rate, whatever the gradient.
        ({"optimiser": "adam"}, 1.9, 1.8),
        # AdamW takes rate · decay · weight off first: 2 - 0.1 - 0.1, then 1.8 - 0.09 - 0.1.
        ({"optimiser": "adamw", "weight_decay": 0.5}, 1.8, 1.61),
        # RMSprop without momentum: 1 / √0.01, then 1 / √0.0199.
        ({"optimiser": "rmsprop", "momentum": 0}, 1.0, 1 - 0.1 / 0.0199**0.5),
    ],
)
def test_steps_worked_by_hand(fields, first, second):
    trained = TrainedPart({"scale": Scale()}, nn.Identity())
    optimiser = make_optimiser(trained, PLAIN.changed(**fields), CPU)
    for expected in (first, second):
        optimiser.zero_grad()
        trained(torch.ones(1, 1)).sum().backward()
        optimiser.step()
        assert trained.stages.scale.weight.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_fused_steps_are_those_of_torch_one_by_one(name):
    recipe = PLAIN.changed(optimiser=name, weight_decay=0.01, depth_factor=0.5, learning_rate=0.01)
    torch.manual_seed(0)
    network = networks.lenet5()
    twin = networks.lenet5()
    twin.load_state_dict(network.state_dict())
    fused = make_optimiser(network, recipe, CPU)
    assert all(group["fused"] for group in fused.param_groups)
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    momentum = {"momentum": 0.9} if name == "sgd" else {}
    plain = kind(parameter_groups(twin, recipe), foreach=False, fused=False, **momentum)
    for step in range(3):
        for model, optimiser in ((network, fused), (twin, plain)):
            torch.manual_seed(step)
            optimiser.zero_grad()
            model(torch.randn(4, 1, 28, 28)).logsumexp(1).sum().backward()
            optimiser.step()
    for one, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_set_rates_multiplies_each_base():
    optimiser = make_optimiser(networks.lenet5(), PLAIN.changed(depth_factor=0.5), CPU)
    for multiplier in (0.5, 0.1):  # of the base, not of the last rate
        set_rates(optimiser, multiplier)
        for group in optimiser.param_groups:
            assert group["lr"] == group["base"] * multiplier


def test_an_optimisers_state_keeps_the_names_of_its_groups():
    recipe = PLAIN.changed(depth_factor=0.5)
    saved = make_optimiser(networks.lenet5(), recipe, CPU).state_dict()
    other = make_optimiser(networks.lenet5(), recipe, CPU)
    other.load_state_dict(saved)
    names = [group["name"] for group in other.param_groups]
    assert names[:2] == ["c1", "c1, no decay"] and names[-1] == "head, no decay"


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_state_takes_up_its_parameters_layout(name):
    """A checkpoint is contiguous, the network channels-last: going on is the same to the bit."""
    from tortie.training.optimisers import load_optimiser, optimiser_tensors
    from tortie.training.recipes import recipe

    def made():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.Flatten())
        trained = TrainedPart({"conv1": layers}, nn.Linear(8 * 16, 2)).to(
            memory_format=torch.channels_last
        )
        return trained, make_optimiser(trained, recipe("scratch").changed(optimiser=name), CPU)

    def step(trained, optimiser):
        optimiser.zero_grad()
        trained(images).square().sum().backward()
        optimiser.step()

    images = torch.randn(4, 3, 6, 6).contiguous(memory_format=torch.channels_last)
    trained, optimiser = made()
    step(trained, optimiser)
    kept = {key: value.clone().contiguous() for key, value in optimiser_tensors(optimiser).items()}
    weights = {key: value.clone().contiguous() for key, value in trained.state_dict().items()}
    other, resumed = made()
    other.load_state_dict(weights)
    load_optimiser(resumed, kept)
    step(trained, optimiser)
    step(other, resumed)
    for (key, one), two in zip(
        trained.state_dict().items(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two), key
