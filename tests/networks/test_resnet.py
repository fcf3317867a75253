"""ResNet against table 1 of its paper, and shortcuts worked by hand."""

import pytest
import torch
from torch import nn

from tortie.cost.count import count
from tortie.cost.meta_network import meta_network
from tortie.errors import UsageError
from tortie.networks.resnet import (
    BasicBlock,
    Bottleneck,
    FixedShortcut,
    PadShortcut,
    resnet,
    resnet_cifar,
)


@pytest.mark.parametrize(
    ("name", "blocks", "width"),
    [
        ("resnet18", (2, 2, 2, 2), 1),
        ("resnet34", (3, 4, 6, 3), 1),
        ("resnet50", (3, 4, 6, 3), 4),
        ("resnet101", (3, 4, 23, 3), 4),
        ("resnet152", (3, 8, 36, 3), 4),
    ],
)
def test_stages_are_those_of_table_1(name, blocks, width):
    network = meta_network(name)
    outputs = {stage.name: stage.output for stage in count(network).stages}
    assert outputs["conv1"] == (112, 112, 64)
    for number, (side, channels, wanted) in enumerate(
        zip((56, 28, 14, 7), (64, 128, 256, 512), blocks, strict=True), 2
    ):
        stage = f"conv{number}_x"
        assert outputs[stage] == (side, side, channels * width)
        kinds = [m for m in network.stages.get_submodule(stage) if not isinstance(m, nn.MaxPool2d)]
        assert len(kinds) == wanted
    # its name counts the layers with weights: convolutions off the shortcuts, and the head
    layers = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and "shortcut" not in name
    ]
    assert len(layers) == int(name.removeprefix("resnet"))


@pytest.mark.parametrize(("name", "place"), [("resnet50-v1", "conv1"), ("resnet50", "conv2")])
def test_stride_stands_in_the_first_1x1_as_printed_and_in_the_3x3_today(name, place):
    network = meta_network(name)
    strided = {
        name.rpartition(".")[2]
        for name, module in network.stages.named_modules()
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2) and "_x." in name
    }
    assert strided == {place, "conv"}  # "conv" is the projection


@pytest.mark.parametrize(
    "block",
    [
        BasicBlock(8, 8, 1, nn.Identity()),
        Bottleneck(8, 8, 1, nn.Identity(), "3x3"),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_a_block_of_zero_weights_is_the_identity_where_nothing_is_negative(block, training):
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    block.train(training)
    images = torch.rand(2, 8, 5, 5)
    assert torch.equal(block(images), images)
    assert torch.equal(block(images - 0.5), (images - 0.5).clamp_min(0))


def test_a_plain_block_of_zero_weights_forgets_its_input():
    block = BasicBlock(8, 8, 1, None)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    assert not block(torch.rand(2, 8, 5, 5)).any()


def test_option_a_takes_every_second_position_and_pads_channels():
    maps = torch.arange(32.0).view(1, 2, 4, 4)
    kept = [[[0.0, 2.0], [8.0, 10.0]], [[16.0, 18.0], [24.0, 26.0]]]
    nothing = [[0.0, 0.0], [0.0, 0.0]]
    end = PadShortcut(2, 4, 2, "end")(maps)[0].tolist()
    assert end == [*kept, nothing, nothing]
    both = PadShortcut(2, 4, 2, "both")(maps)[0].tolist()
    assert both == [nothing, *kept, nothing]


def test_a_fixed_projection_keeps_lengths_and_is_not_trained():
    torch.manual_seed(0)
    shortcut = FixedShortcut(4, 8, 2)
    assert not list(shortcut.parameters())
    maps = torch.randn(1, 4, 6, 6)
    out = shortcut(maps)
    assert out.shape == (1, 8, 3, 3)
    torch.testing.assert_close(out.norm(dim=1), maps[:, :, ::2, ::2].norm(dim=1))


def test_a_fixed_projection_multiplies_as_b_and_is_as_large_as_a():
    fixed = count(meta_network("resnet34", shortcut="fixed"))
    assert fixed.multiplications == count(meta_network("resnet34")).multiplications
    assert fixed.parameters == count(meta_network("resnet34-a")).parameters
    # 64·128 + 128·256 + 256·512 fixed values beside statistics
    norms = sum(
        m.num_features
        for m in meta_network("resnet34-a").modules()
        if isinstance(m, nn.BatchNorm2d)
    )
    assert fixed.buffers == 172_032 + 2 * norms


def test_shortcuts_project_where_they_are_said_to():
    def projections(**arguments) -> int:
        modules = meta_network("resnet34", **arguments).named_modules()
        return sum(name.endswith("shortcut.conv") for name, _ in modules)

    assert projections(shortcut="A") == 0
    assert projections(shortcut="B") == 3
    assert projections(shortcut="C") == 16
    assert projections(residual=False) == 0


@pytest.mark.parametrize(("depth", "blocks"), [(8, 1), (20, 3), (56, 9), (110, 18)])
def test_cifar_networks_have_6n_plus_2_layers(depth, blocks):
    network = meta_network("resnet20-cifar", depth=depth)
    assert len(network.stages.conv3_x) == blocks
    outputs = [stage.output for stage in count(network).stages]
    assert outputs == [(32, 32, 16), (32, 32, 16), (16, 16, 32), (8, 8, 64), (64,), (10,)]


def test_cifar_projections_add_what_was_counted():
    a, b = (count(meta_network("resnet20-cifar", shortcut=option)) for option in "AB")
    assert b.parameters - a.parameters == 2_752
    assert b.multiplications - a.multiplications == 262_144


@torch.no_grad()
def test_plain_and_residual_differ_by_the_additions_alone():
    torch.manual_seed(0)
    residual = resnet_cifar(8).eval()
    plain = resnet_cifar(8, residual=False).eval()
    assert plain.state_dict().keys() == residual.state_dict().keys()
    cost, other = count(residual), count(plain)
    assert cost.multiplications == other.multiplications
    # one addition a value after each of three blocks: 32·32·16 + 16·16·32 + 8·8·64
    assert cost.additions - other.additions == 16_384 + 8_192 + 4_096


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: resnet(51), "depth must be one of 18, 34, 50, 101, 152, not 51"),
        (lambda: resnet(18, shortcut="D"), "shortcut must be one of A, B, C, fixed, not 'D'"),
        (lambda: resnet(50, stride_in="5x5"), "stride_in must be one of 1x1, 3x3, not '5x5'"),
        (lambda: resnet_cifar(19), r"depth must be 6n \+ 2 .*, not 19"),
        (lambda: resnet_cifar(2), r"depth must be 6n \+ 2 .*, not 2"),
        (lambda: resnet_cifar(20, side="left"), "side must be one of end, both, not 'left'"),
    ],
)
def test_an_unknown_option_is_refused(build, message):
    with pytest.raises(UsageError, match=message):
        build()


def test_start_is_hes():
    torch.manual_seed(0)
    for layer in resnet(18).modules():
        if isinstance(layer, nn.Conv2d):
            fan_in = layer.weight[0].numel()
            assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
