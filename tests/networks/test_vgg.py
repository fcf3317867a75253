"""VGG against table 1 of its paper."""

import pytest
import torch
from torch import nn

from tortie.cost.count import count
from tortie.cost.meta_network import meta_network
from tortie.errors import UsageError
from tortie.networks.vgg import vgg

# Table 1, read column by column: "conv3-64" is (3, 64), "M" a maximum pooling.
TABLE_1 = {
    "vgg11": "3-64 M 3-128 M 3-256 3-256 M 3-512 3-512 M 3-512 3-512 M",
    "vgg13": "3-64 3-64 M 3-128 3-128 M 3-256 3-256 M 3-512 3-512 M 3-512 3-512 M",
    "vgg16-c": "3-64 3-64 M 3-128 3-128 M 3-256 3-256 1-256 M 3-512 3-512 1-512 M "
    "3-512 3-512 1-512 M",
    "vgg16": "3-64 3-64 M 3-128 3-128 M 3-256 3-256 3-256 M 3-512 3-512 3-512 M "
    "3-512 3-512 3-512 M",
    "vgg19": "3-64 3-64 M 3-128 3-128 M 3-256 3-256 3-256 3-256 M "
    "3-512 3-512 3-512 3-512 M 3-512 3-512 3-512 3-512 M",
}


def column(network: nn.Module) -> str:
    words = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            words.append(f"{layer.kernel_size[0]}-{layer.out_channels}")
        elif isinstance(layer, nn.MaxPool2d):
            words.append("M")
    return " ".join(words)


@pytest.mark.parametrize("name", TABLE_1)
def test_layers_are_those_of_table_1(name):
    assert column(meta_network(name)) == TABLE_1[name]


@pytest.mark.parametrize("name", TABLE_1)
def test_every_block_keeps_its_maps_and_halves_them_once(name):
    outputs = {stage.name: stage.output for stage in count(meta_network(name)).stages}
    for block, (side, width) in enumerate(
        [(224, 64), (112, 128), (56, 256), (28, 512), (14, 512)], 1
    ):
        convolutions = [outputs[key] for key in outputs if key.startswith(f"conv{block}_")]
        assert set(convolutions) == {(side, side, width)}
        assert outputs[f"maxpool{block}"] == (side // 2, side // 2, width)


@pytest.mark.parametrize(
    ("name", "more"),
    [("vgg11", 5_504), ("vgg13", 5_888), ("vgg16", 8_448), ("vgg19", 11_008)],
)
def test_batch_normalisation_adds_two_values_a_filter(name, more):
    assert (
        count(meta_network(f"{name}-bn")).parameters - count(meta_network(name)).parameters == more
    )


def test_normalisation_of_a_lrn_follows_the_first_convolution_alone():
    network = meta_network("vgg11-lrn")
    (name,) = (n for n, m in network.named_modules() if isinstance(m, nn.LocalResponseNorm))
    assert name == "stages.conv1_1.lrn"
    layer = network.get_submodule(name)
    # the paper's formula (alpha = 1e-4 a map) on one position: 30 / (2 + 1e-4 · 900)^0.75
    got = layer(torch.full((1, 1, 1, 1), 30.0, dtype=torch.float64)).item()
    assert got == pytest.approx(30 / (2 + 1e-4 * 900) ** 0.75, rel=1e-12)


@pytest.mark.slow
def test_start_is_glorots():
    torch.manual_seed(0)
    network = vgg("A", classes=10)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            receptive = layer.weight[0, 0].numel()
            fans = receptive * (layer.weight.shape[0] + layer.weight.shape[1])
            assert layer.weight.abs().max().item() <= (6 / fans) ** 0.5
            assert layer.weight.std().item() == pytest.approx((2 / fans) ** 0.5, rel=0.05)
            assert not layer.bias.any()


def test_an_unknown_configuration_is_refused():
    with pytest.raises(UsageError, match="one of A, A-LRN, B, C, D, E, not '16'"):
        vgg("16")


def test_another_size_is_refused_with_both():
    with pytest.raises(UsageError, match=r"\(1, 3, 256, 256\).*\(images, 3, 224, 224\)"):
        meta_network("vgg16")(torch.empty(1, 3, 256, 256, device="meta"))
