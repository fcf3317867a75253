"""Cutting a traced pass, on networks small enough to say by hand where the cuts must be."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tortie.errors import UsageError
from tortie.networks.network import Network
from tortie.networks.tracing import trace_stages


class Block(nn.Module):
    """A shortcut around two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class Toy(nn.Module):
    """Stem, shortcut, positions from a table, dropout by a function, pooling, classifier."""

    def __init__(self, classifier: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.blocks = nn.Sequential(Block(), Block())
        self.register_buffer("places", torch.randn(4, 1, 1), persistent=False)
        self.gain = nn.Parameter(torch.randn(4, 1, 1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.extra = nn.Linear(2, 2)  # used in training alone
        self.classifier, self.after = classifier, after

    def forward(self, x: Tensor, scale: float | None = None) -> Tensor:
        if scale is not None:
            x = x * scale
        x = self.blocks(self.stem(x)) * self.gain + self.places
        if self.training:
            self.extra(x)
        x = F.dropout(x, 0.25, training=self.training)
        x = self.pool(x)
        if isinstance(self.classifier, nn.Linear):
            x = x.flatten(1)
        return self.after(self.classifier(x))


def linear_toy() -> Toy:
    torch.manual_seed(0)
    return Toy(nn.Linear(4, 5), nn.Identity())


ENDS = ["stem", "blocks.0.first", "blocks.1", "not.called"]


@torch.no_grad()
def test_a_cut_inside_a_shortcut_moves_behind_it():
    toy = linear_toy().eval()
    images = torch.randn(2, 3, 6, 6)
    wanted = toy(images)
    first, second = toy.blocks.children()
    stem = toy.stem(images)
    middle = second(first(stem))
    traced = trace_stages(toy, ENDS, "classifier")
    assert list(traced.stages) == ["stem", "blocks_0_first", "blocks_1", "pre_logits"]
    network = Network(traced.stages, traced.head, (6, 6, 3))
    assert torch.equal(network.cut("stem")[0](images), stem)
    assert torch.equal(network.cut("blocks_0_first")[0](images), first(stem))
    assert torch.equal(network.cut("blocks_1")[0](images), middle)
    assert network.forward_features(images).shape == (2, 4)
    assert torch.equal(network(images), wanted)


def test_every_tensor_has_its_place_and_tables_are_saved():
    toy = linear_toy()
    names = set(toy.state_dict())
    traced = trace_stages(toy, ENDS, "classifier")
    network = Network(traced.stages, traced.head, (6, 6, 3))
    state = network.state_dict()
    assert traced.aliases.keys() == names
    unread = {name for name, own in traced.aliases.items() if not own}
    assert unread == {"extra.weight", "extra.bias"}
    assert traced.aliases["gain"] == "stages.pre_logits.gain"
    assert traced.aliases["blocks.1.first.bias"] == "stages.blocks_1.blocks.1.first.bias"
    assert traced.aliases["classifier.weight"] == "head.weight"
    # the table that the toy does not save is part of the network's state
    assert state.keys() - set(traced.aliases.values()) == {"stages.pre_logits.places"}


def test_dropout_by_a_function_drops_in_training_alone():
    traced = trace_stages(linear_toy().eval(), ENDS, "classifier")
    network = Network(traced.stages, traced.head, (6, 6, 3))
    (dropout,) = [module for module in network.modules() if isinstance(module, nn.Dropout)]
    assert dropout.p == 0.25
    images = torch.randn(2, 3, 6, 6)
    assert torch.equal(network.eval()(images), network(images))
    assert not torch.equal(network.train()(images), network(images))


@torch.no_grad()
def test_a_convolution_of_one_position_becomes_a_linear_head():
    torch.manual_seed(0)
    toy = Toy(nn.Conv2d(4, 5, 1), nn.Flatten()).eval()
    images = torch.randn(2, 3, 6, 6)
    wanted = toy(images)
    traced = trace_stages(toy, ENDS, "classifier")
    network = Network(traced.stages, traced.head, (6, 6, 3)).eval()
    assert list(traced.stages)[-1] == "pre_logits"
    assert network.forward_features(images).shape == (2, 4)
    torch.testing.assert_close(network(images), wanted)


class Shared(nn.Module):
    """The same layer before and after the cut."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.end, self.fc = nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer(self.end(self.layer(x))))


class Looking(Shared):
    """A branch on a value."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x if x.sum() > 0 else -x)


class Columns(nn.Module):
    """A column each."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.split(1, dim=1)


class Listed(Shared):
    """A list flows from its part to the end."""

    def __init__(self) -> None:
        super().__init__()
        self.end, self.fc = Columns(), nn.Linear(1, 2)  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        columns = self.end(x)
        return self.fc(columns[0] + columns[1])


class Scaled(Shared):
    """Logits that are no linear map of the features."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.end(x)) * 2


class Skipping(Shared):
    """The images themselves go around the cut."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.end(x) + x)


@pytest.mark.parametrize(
    ("toy", "reason"),
    [
        (Shared(), r"two of its parts share a tensor, layer\.weight"),
        (Looking(), "cannot be traced .symbolically traced variables cannot be used as inputs"),
        (Scaled(), "not those of one linear map .fc is a Linear"),
    ],
)
def test_what_cannot_be_cut_is_told(toy, reason):
    with pytest.raises(UsageError, match=reason):
        trace_stages(toy, ["end"], "fc")


@pytest.mark.parametrize("toy", [Skipping(), Listed()])
def test_no_cut_where_more_than_one_tensor_flows(toy):
    images = torch.randn(2, 3)
    wanted = toy.eval()(images)
    traced = trace_stages(toy, ["end"], "fc")
    assert list(traced.stages) == ["pre_logits"]
    assert torch.equal(traced.head(traced.stages["pre_logits"](images)), wanted)
