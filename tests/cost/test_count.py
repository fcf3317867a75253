"""Counts against published and hand-worked figures, and against torch's own counter."""

import copy
import json
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tortie import networks
from tortie.cost.count import count
from tortie.cost.meta_network import meta_network
from tortie.errors import UsageError
from tortie.networks.network import Network

# Parameters and multiplications of convolutions and linear layers, as papers and libraries count.
FIGURES = {
    "lenet5": (61_706, 416_520),
    "alexnet": (60_965_224, 724_406_816),
    "alexnet-one-tower": (61_100_840, 714_188_480),
    "vgg11": (132_863_336, 7_609_090_048),
    "vgg11-lrn": (132_863_336, 7_609_090_048),
    "vgg13": (133_047_848, 11_308_466_176),
    "vgg16-c": (133_638_952, 11_770_888_192),
    "vgg16": (138_357_544, 15_470_264_320),
    "vgg19": (143_667_240, 19_632_062_464),
    "nin": (966_986, 222_486_528),
    "nin-imagenet": (7_595_176, 1_100_188_800),
    "googlenet": (6_998_552, 1_582_671_872),
    "googlenet-bn": (6_624_904, 1_498_376_192),
    "resnet18-a": (11_515_688, 1_794_805_760),
    "plain18": (11_515_688, 1_794_805_760),
    "resnet18": (11_689_512, 1_814_073_344),
    "resnet34-a": (21_623_848, 3_644_493_824),
    "plain34": (21_623_848, 3_644_493_824),
    "resnet34": (21_797_672, 3_663_761_408),
    "resnet34-c": (22_716_840, 3_830_747_136),
    "resnet50-v1": (25_557_032, 3_857_973_248),
    "resnet101-v1": (44_549_160, 7_570_194_432),
    "resnet152-v1": (60_192_808, 11_282_415_616),
    "resnet50": (25_557_032, 4_089_184_256),
    "resnet101": (44_549_160, 7_801_405_440),
    "resnet152": (60_192_808, 11_513_626_624),
    "resnet20-cifar": (269_722, 40_551_040),
    "resnet32-cifar": (464_154, 68_862_592),
    "resnet44-cifar": (658_586, 97_174_144),
    "resnet56-cifar": (853_018, 125_485_696),
    "resnet110-cifar": (1_727_962, 252_887_680),
    "plain20-cifar": (269_722, 40_551_040),
    "efficientnet-lite0": (4_652_008, 385_187_552),
    # conformance holds these to torchvision's own figures and to timm's and torchvision's layers
    "squeezenet": (1_248_424, 818_924_576),
    "resnet50-v2": (25_549_352, 4_089_184_256),
    "densenet121": (7_978_856, 2_834_161_664),
    "resnext50": (25_028_904, 4_230_479_872),
    "mobilenet-v1": (4_231_976, 568_740_352),
    "se-resnet50": (28_088_024, 4_091_699_200),
    "mobilenet-v2": (3_504_872, 300_774_272),
    "efficientnet-b0": (5_288_548, 385_814_752),
    "efficientnet-lite1": (5_416_680, 600_185_232),
    "efficientnet-lite2": (6_092_072, 859_736_272),
    "efficientnet-lite3": (8_197_096, 1_383_321_872),
    "efficientnet-lite4": (13_006_568, 2_553_034_336),
}
# By torch's counter: one of each family fast.
COUNTED = [
    name
    if name in ("lenet5-1998", "alexnet", "vgg11", "nin", "googlenet", "resnet18", "resnet20-cifar")
    else pytest.param(name, marks=pytest.mark.slow)
    for name in networks.names()
    if name != "resnet1202-cifar"
]
OTHER_FIGURES = [
    ("alexnet", {"input_size": 224}, 60_965_224, 724_406_816),
    ("alexnet", {"groups": 1}, 62_378_344, 1_135_256_096),
    ("resnet18", {"shortcut": "C"}, 12_043_816, 1_878_298_624),
    ("resnet50-v1", {"shortcut": "A"}, 22_780_456, 3_498_311_680),
    ("resnet50-v1", {"shortcut": "C"}, 40_128_552, 6_324_224_000),
    ("squeezenet", {"version": "1.1"}, 1_235_496, 349_151_936),
    ("resnet50-v2", {"stride_in": "1x1"}, 25_549_352, 3_857_973_248),
]


@pytest.mark.parametrize("name", FIGURES)
def test_published_figures_are_reproduced(name):
    cost = count(meta_network(name))
    assert (cost.parameters, cost.multiplications) == FIGURES[name]


@pytest.mark.parametrize(("name", "arguments", "parameters", "multiplications"), OTHER_FIGURES)
def test_figures_of_variants_are_reproduced(name, arguments, parameters, multiplications):
    cost = count(meta_network(name, **arguments))
    assert (cost.parameters, cost.multiplications) == (parameters, multiplications)


@pytest.mark.slow
def test_figures_of_resnet_1202():
    cost = count(meta_network("resnet1202-cifar"))
    assert (cost.parameters, cost.multiplications) == (19_421_274, 2_829_238_912)


def test_the_papers_rounded_figures():
    """ResNet's table 1, in billions of multiply-adds, and table 6, in millions of parameters."""
    billions = {"resnet18": 1.8, "plain34": 3.6, "resnet50-v1": 3.8}
    billions |= {"resnet101-v1": 7.6, "resnet152-v1": 11.3}
    for name, wanted in billions.items():
        assert FIGURES[name][1] / 1e9 == pytest.approx(wanted, abs=0.06)
    for depth, wanted in {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85}.items():
        assert round(FIGURES[f"resnet{depth}-cifar"][0] / 1e6, 2) == wanted


# Millions of parameters, and of multiplications, as printed: SqueezeNet's table 1 (before pruning),
# ResNeXt's table 1, MobileNet's table 8, SE's table 10 and 2, MobileNetV2's table 4, EfficientNet's
# table 2, and the README of EfficientNet-Lite (whose multiplications are another counter's).
PRINTED = [
    ("squeezenet", {}, 1.248424, None),
    ("resnext50", {}, 25.0, 4200),
    ("mobilenet-v1", {}, 4.2, 569),
    ("se-resnet50", {"stride_in": "1x1"}, 28.1, 3870),
    ("mobilenet-v2", {}, 3.4, 300),
    ("efficientnet-b0", {}, 5.3, 390),
    ("efficientnet-lite1", {}, 5.4, None),
    ("efficientnet-lite2", {}, 6.1, None),
    ("efficientnet-lite3", {}, 8.2, None),
    ("efficientnet-lite4", {}, 13.0, None),
]


@pytest.mark.parametrize(("name", "arguments", "parameters", "multiplications"), PRINTED)
def test_the_printed_figures_of_later_papers(name, arguments, parameters, multiplications):
    cost = count(meta_network(name, **arguments))
    assert cost.parameters / 1e6 == pytest.approx(parameters, rel=0.035)
    if multiplications:
        assert cost.multiplications / 1e6 == pytest.approx(multiplications, rel=0.015)


@torch.no_grad()
@pytest.mark.parametrize("name", COUNTED)
def test_torchs_counter_finds_twice_as_many_operations(name):
    """It counts a multiplication and an addition for each product, and nothing else."""
    network = meta_network(name).eval()
    height, width, channels = network.input_shape
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(3, channels, height, width, device="meta"))
    cost = count(network, batch=3)
    assert 2 * cost.multiplications == counter.get_total_flops()
    assert not cost.arithmetic.uncounted


def test_lenet_layer_by_layer():
    """Worked by hand from 28×28, padded by 2; a window of 4 compares 3 times."""
    rows = {layer.name: layer.row() for layer in count(meta_network("lenet5")).layers}
    keys = ("output", "multiplications", "additions", "comparisons", "parameters")
    got = {name: tuple(row[key] for key in keys) for name, row in rows.items()}
    assert got == {
        "c1.0": ([28, 28, 6], 28 * 28 * 6 * 25, 28 * 28 * 6 * 25, 0, 156),
        "c1.1": ([28, 28, 6], 0, 0, 4704, 0),
        "s2": ([14, 14, 6], 0, 0, 14 * 14 * 6 * 3, 0),
        "c3.0": ([10, 10, 16], 1600 * 150, 1600 * 150, 0, 2416),
        "c3.1": ([10, 10, 16], 0, 0, 1600, 0),
        "s4": ([5, 5, 16], 0, 0, 400 * 3, 0),
        "c5.0": ([400], 0, 0, 0, 0),
        "c5.1": ([120], 48_000, 48_000, 0, 48_120),
        "c5.2": ([120], 0, 0, 120, 0),
        "f6.0": ([84], 10_080, 10_080, 0, 10_164),
        "f6.1": ([84], 0, 0, 84, 0),
        "head": ([10], 840, 840, 0, 850),
    }


def test_lenet_as_printed():
    """C3 counts its 60 pairs alone; tanh is counted by name; S layers add three times a value."""
    cost = count(meta_network("lenet5-1998"))
    stages = {stage.name: stage.arithmetic for stage in cost.stages}
    assert stages["c3"].multiplications == 100 * 60 * 25
    assert stages["s2"].additions == 14 * 14 * 6 * (3 + 1)  # four inputs, and the bias
    # the coefficient; inside the squashing function 2/3 and 1.7159
    assert stages["s2"].other_multiplications == 14 * 14 * 6 * 3
    assert stages["s2"].functions == {"tanh": 14 * 14 * 6}
    # 84 differences squared and summed, ten times, then the sign
    assert stages["head"].other_multiplications == 840
    assert stages["head"].additions == 840 + 10 * 83
    assert stages["head"].functions == {"neg": 10}
    assert cost.buffers == 840  # the codes; not parameters


def test_normalisation_pooling_and_residual_additions_are_counted():
    block = count(meta_network("resnet18")).layers
    rows = {layer.name: layer for layer in block}
    values = 56 * 56 * 64
    norm = rows["conv2_x.block1.norm1"].arithmetic
    assert (norm.other_multiplications, norm.additions) == (values, values)
    assert rows["conv2_x.block1"].arithmetic.additions == values  # the shortcut's
    assert rows["conv2_x.block1.relu"].arithmetic.comparisons == 2 * values  # used twice
    assert rows["conv2_x.maxpool"].arithmetic.comparisons == values * 8
    assert rows["conv2_x.block1.conv1"].arithmetic.additions == values * (9 * 64 - 1)  # no bias
    pool = rows["avgpool.0"].arithmetic
    assert (pool.additions, pool.other_multiplications) == (512 * 48, 512)


def test_local_response_normalisation_is_counted():
    cost = count(meta_network("alexnet"))
    (norm,) = (layer for layer in cost.layers if layer.name == "conv1.norm")
    values = 55 * 55 * 96
    # squares, the mean of 5, alpha; then k is added, the power taken, and the value divided by it
    assert norm.arithmetic.other_multiplications == 3 * values
    assert norm.arithmetic.additions == (4 + 1) * values
    assert norm.arithmetic.functions == {"power": values, "division": values}


@pytest.mark.parametrize("name", ["googlenet", "resnet50", "lenet5-1998", "nin"])
def test_stages_and_layers_sum_to_the_whole(name):
    cost = count(meta_network(name))
    for parts in (cost.stages, cost.layers):
        assert sum(part.parameters for part in parts) == cost.parameters
        for key in ("multiplications", "other_multiplications", "additions", "comparisons"):
            assert sum(getattr(part.arithmetic, key) for part in parts) == getattr(
                cost.arithmetic, key
            )


def test_a_batch_multiplies_the_arithmetic_and_not_the_parameters():
    one, four = (count(meta_network("resnet20-cifar"), batch=batch) for batch in (1, 4))
    assert four.multiplications == 4 * one.multiplications
    assert four.additions == 4 * one.additions
    assert four.parameters == one.parameters


def test_twice_the_side_is_four_times_the_convolutions():
    cost = count(meta_network("resnet20-cifar"), (64, 64, 3))
    assert cost.multiplications - 640 == 4 * (40_551_040 - 640)  # the head is as large as before


class Attending(nn.Module):
    """Four places of three channels attend to each other; then a gain and a shift."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(3)
        self.grouped = nn.GroupNorm(1, 4, affine=False)

    def forward(self, images):
        tokens = self.norm(images.flatten(2).transpose(1, 2))
        weights = (tokens @ tokens.transpose(1, 2)).softmax(dim=-1)
        return self.grouped(weights @ tokens).flatten(1)


def test_attention_and_layer_normalisation_are_counted():
    """2×2×3: 4 rows of 3 values are normalised, 4×4 products of 3, 4×3 of 4; all by hand."""
    cost = count(Network({"attend": Attending()}, nn.Linear(12, 2), (2, 2, 3)))
    rows = {layer.name: layer.arithmetic for layer in cost.layers}
    norm, grouped, attend = rows["attend.norm"], rows["attend.grouped"], rows["attend"]
    # a row: 3 squares, 3 by the scale, 3 by the gain, twice 1/3
    assert norm.other_multiplications == 4 * (9 + 2)
    # a row: 2 of the mean, 3 distances, 2 of their mean, the epsilon, 3 shifts
    assert norm.additions == 4 * (2 + 3 + 2 + 1 + 3)
    assert norm.functions == {"rsqrt": 4}
    assert grouped.other_multiplications == 24 + 2  # 12 values in a row, without gain
    assert grouped.additions == 11 + 12 + 11 + 1
    assert attend.multiplications == 16 * 3 + 12 * 4
    # products; the largest taken off, and the sum
    assert attend.additions == 16 * 2 + 12 * 3 + 16 + 4 * 3
    assert attend.comparisons == 4 * 3
    assert attend.functions == {"exp": 16, "division": 16}
    assert not cost.arithmetic.uncounted


class Swapped(nn.Module):
    """Maps go through a linear layer with their channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.act, self.pool = nn.Linear(3, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1)

    def forward(self, images):
        mixed = self.act(self.mix(images.permute(0, 2, 3, 1)))
        return self.pool(mixed.permute(0, 3, 1, 2)).flatten(1)


def test_shapes_are_height_width_channels_where_channels_are_last():
    network = Network({"swap": Swapped()}, nn.Linear(5, 2), (4, 6, 3))
    shapes = {layer.name: layer.output for layer in count(network).layers}
    assert shapes["swap.mix"] == shapes["swap.act"] == (4, 6, 5)
    assert shapes["swap.pool"] == (1, 1, 5)


class Sorting(nn.Module):
    def forward(self, images):
        return images.flatten(1).sort(dim=1).values


def test_an_operation_without_a_rule_is_named():
    network = Network({"sort": Sorting()}, nn.Linear(12, 2), (2, 2, 3))
    cost = count(network)
    assert set(cost.arithmetic.uncounted) == {"sort"}
    assert cost.multiplications == 24


def test_the_network_is_left_as_it_is():
    torch.manual_seed(0)
    network = networks.build("resnet20-cifar").train()
    before = copy.deepcopy(network.state_dict())
    cost = count(network, training=True)
    assert network.training
    assert not network._forward_hooks
    after = network.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert cost == count(meta_network("resnet20-cifar"), training=True)


def test_side_heads_are_no_part_of_inference():
    with_sides, without = (
        count(meta_network("googlenet", side_heads=sides)) for sides in (True, False)
    )
    assert with_sides.side_parameters == 3_188_840 + 3_190_888
    assert without.side_parameters == 0
    assert with_sides.stages == without.stages


def test_weights_take_four_two_or_one_byte():
    cost = count(meta_network("vgg16"))
    assert cost.weight_bytes == {
        "float32": 4 * 138_357_544,
        "bfloat16": 2 * 138_357_544,
        "int8": 138_357_544,
    }


def test_the_document_is_json_and_complete():
    document = json.loads(json.dumps(count(meta_network("alexnet")).document("alexnet")))
    assert document["network"] == "alexnet"
    assert document["input"] == [227, 227, 3]
    assert document["multiplications"] == 724_406_816
    conv1 = document["stages"][0]
    assert conv1["name"] == "conv1" and conv1["output"] == [27, 27, 96]
    assert conv1["multiplications"] == 55 * 55 * 96 * 363
    assert document["stages"][-1]["name"] == "head"


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("alexnet-one-tower", (20, 20, 3), "cannot take images of 20×20"),
        # A step of training with one value a channel has no deviation to divide by.
        ("resnet50", (2, 2, 3), "cannot take images of 2×2: Expected more than 1 value"),
        ("vgg16", (256, 256, 3), r"\(images, 3, 224, 224\)"),
        ("resnet50", (224, 224, 1), r"\(1, 1, 224, 224\)"),
    ],
)
def test_images_that_the_network_cannot_take_are_refused(name, shape, message):
    with pytest.raises(UsageError, match=message):
        count(meta_network(name), shape, training=True)


def test_an_empty_batch_is_refused():
    with pytest.raises(UsageError, match="at least one image, not 0"):
        count(meta_network("lenet5"), batch=0)


def test_transposed_convolutions_are_named_not_miscounted():
    stages = OrderedDict(up=nn.Sequential(nn.ConvTranspose2d(3, 2, 2, 2), nn.Flatten()))
    cost = count(Network(stages, nn.Linear(32, 2), (2, 2, 3)))
    assert cost.arithmetic.uncounted == {"convolution": 32}
