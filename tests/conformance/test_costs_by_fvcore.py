"""Counts against fvcore's, where both count the same thing, and what each leaves out.

fvcore follows a trace of torch.jit, tortie the operations that run. A "flop" of fvcore is one
multiplication with its addition where matrices are multiplied, and one of either elsewhere. It
knows no pooling but the global average, no ReLU, no sum of two branches, no attention, and takes a
layer normalisation for five operations a value, as its source says, "just a rough estimate".
"""

import pytest
import torch

from tortie import networks
from tortie.cost.count import Cost, count
from tortie.networks.network import Network

fvcore = pytest.importorskip("fvcore.nn")

NAMES = (
    "lenet5",
    "lenet5-1998",
    "alexnet",
    "alexnet-one-tower",
    "vgg11",
    "nin",
    "googlenet",
    "googlenet-bn",
    "resnet18",
    "resnet50-v1",
    "resnet20-cifar",
    "efficientnet-lite0",
    "timm:convnext_tiny",
    "timm:vit_tiny_patch16_224",
)


def counted(name: str) -> tuple[Network, Cost, dict[str, float], dict[str, int]]:
    """The network, what tortie counts, and fvcore's counts and its calls without a rule."""
    network = networks.build(name).eval()
    height, width, channels = network.input_shape
    analysis = fvcore.FlopCountAnalysis(network, torch.zeros(1, channels, height, width))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return network, count(network), analysis.by_operator(), analysis.unsupported_ops()


def values_into(cost: Cost, kind: str) -> int:
    """Values that all layers of a kind yield."""
    sizes = [torch.Size(layer.output).numel() for layer in cost.layers if layer.kind == kind]
    return sum(sizes)


@pytest.mark.parametrize("name", NAMES)
def test_products_and_parameters_are_fvcores(name: str) -> None:
    network, cost, operators, skipped = counted(name)
    attended = 0
    if skipped.get("aten::scaled_dot_product_attention"):
        # Two products in each of 12 blocks: every query by every key, every weight by every value.
        attended = 12 * 2 * 197 * 197 * 192
    products = sum(operators.get(kind, 0) for kind in ("conv", "linear", "matmul"))
    assert cost.multiplications == products + attended
    assert cost.parameters + cost.side_parameters == fvcore.parameter_count(network)[""]


@pytest.mark.parametrize("name", ["googlenet-bn", "resnet18", "efficientnet-lite0"])
def test_a_batch_normalisation_is_two_operations_a_value_for_both(name: str) -> None:
    _, cost, operators, _ = counted(name)
    normalised = [layer for layer in cost.layers if layer.kind == "BatchNorm2d"]
    ours = sum(
        layer.arithmetic.other_multiplications + layer.arithmetic.additions for layer in normalised
    )
    assert ours == operators["batch_norm"] == 2 * values_into(cost, "BatchNorm2d")


@pytest.mark.parametrize("name", ["nin", "googlenet", "resnet18", "efficientnet-lite0"])
def test_a_global_average_is_an_operation_for_each_value_for_both(name: str) -> None:
    """K - 1 additions and a multiplication for K values."""
    _, cost, operators, _ = counted(name)
    pooled = [layer for layer in cost.layers if layer.kind == "AdaptiveAvgPool2d"]
    ours = sum(
        layer.arithmetic.other_multiplications + layer.arithmetic.additions for layer in pooled
    )
    assert ours == operators["adaptive_avg_pool2d"]


def test_what_fvcore_leaves_out_is_counted_here() -> None:
    _, cost, operators, skipped = counted("alexnet")
    assert {"aten::max_pool2d", "aten::pow", "aten::div", "aten::avg_pool3d"} <= skipped.keys()
    # 55×55×96, 27×27×256, 13×13 by 384, 384 and 256, 4096 twice; overlapping windows of 3×3
    rectified = 290_400 + 186_624 + 2 * 64_896 + 43_264 + 2 * 4096
    windows = 8 * (27 * 27 * 96 + 13 * 13 * 256 + 6 * 6 * 256)
    assert cost.arithmetic.comparisons == rectified + windows
    assert cost.arithmetic.functions == {"power": 290_400 + 186_624, "division": 290_400 + 186_624}
    assert sum(operators.values()) == cost.multiplications


def test_a_layer_normalisation_is_five_for_fvcore_and_seven_here() -> None:
    """Sum, distances, squares, their sum, scale, gain, shift: 7 a value, and one more a row."""
    _, cost, operators, _ = counted("timm:vit_tiny_patch16_224")
    normalised = [layer for layer in cost.layers if layer.kind == "LayerNorm"]
    rows = 25 * 197  # two in each of 12 blocks and one at the end, of 197 tokens
    ours = sum(
        layer.arithmetic.other_multiplications + layer.arithmetic.additions for layer in normalised
    )
    assert operators["layer_norm"] == 5 * rows * 192
    assert ours == 7 * rows * 192 + rows
    assert cost.arithmetic.functions["rsqrt"] == rows
