"""ResNet: layers that learn what to add to their input; and the plain networks beside them.

Paper: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", arXiv:1512.03385, 2015,
table 1 and section 4.2.
Input 224×224×3, shortcut B: ResNet-18 11,689,512 parameters, 34 21,797,672, 50 25,557,032, 101
44,549,160, 152 60,192,808. Multiplications of ResNet-50: 3,857,973,248 with the stride in the first
1×1 as printed ("v1"), 4,089,184,256 with the stride in the 3×3 ("v1.5", as weights are published).
CIFAR, input 32×32×3, shortcut A: ResNet-20 269,722 parameters, 32 464,154, 44 658,586, 56 853,018,
110 1,727,962, 1202 19,421,274.

Departures: the stride stands in the 3×3 unless told otherwise. The paper does not say on which side
option A pads channels; here after the last, or on both sides as one widely used port does. The
head starts as N(0, 0.01²), which the paper does not print.
"""

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tortie.errors import UsageError
from tortie.networks.network import Network

# Table 1: blocks of conv2_x to conv5_x, and whether they are bottlenecks.
_DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}
_SHORTCUTS = ("A", "B", "C", "fixed")
_SIDES = ("end", "both")


class PadShortcut(nn.Module):
    """Option A: every stride-th position, and zeros for the channels that are missing.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, not fewer.
        stride: of both directions.
        side: ``"end"`` puts the zeros after the last channel, ``"both"`` half before the first.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, side: str) -> None:
        super().__init__()
        missing = out_channels - in_channels
        before = missing // 2 if side == "both" else 0
        self.padding = (0, 0, 0, 0, before, missing - before)
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, out, H / stride, W / stride)``."""
        return F.pad(images[:, :, :: self.stride, :: self.stride], self.padding)


class FixedShortcut(nn.Module):
    """A projection that is not learnt: 1×1 by a matrix with orthonormal columns, drawn once."""

    matrix: Tensor

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        matrix = nn.init.orthogonal_(torch.empty(out_channels, in_channels))
        self.register_buffer("matrix", matrix[:, :, None, None])
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, out, H / stride, W / stride)``."""
        return F.conv2d(images, self.matrix, stride=self.stride)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, each with batch normalisation, and the shortcut around them.

    Args:
        in_channels: channels of the input.
        channels: channels of the output.
        stride: of the first convolution.
        shortcut: what the input passes on its way around, or ``None`` for a plain network.
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int, shortcut: nn.Module | None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = shortcut

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, channels, H / stride, W / stride)``."""
        branch = self.relu(self.norm1(self.conv1(images)))
        branch = self.norm2(self.conv2(branch))
        return self.relu(branch if self.shortcut is None else branch + self.shortcut(images))


class Bottleneck(nn.Module):
    """1×1 to a quarter, 3×3, 1×1 back, each with batch normalisation, and the shortcut around them.

    Args:
        in_channels: channels of the input.
        channels: channels of the output; a quarter of them inside.
        stride: of the first 1×1 or the 3×3.
        shortcut: what the input passes on its way around, or ``None`` for a plain network.
        stride_in: which convolution has the stride, ``"1x1"`` or ``"3x3"``.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        shortcut: nn.Module | None,
        stride_in: str,
    ) -> None:
        super().__init__()
        width = channels // 4
        first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, width, 1, first, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = shortcut

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, channels, H / stride, W / stride)``."""
        branch = self.relu(self.norm1(self.conv1(images)))
        branch = self.relu(self.norm2(self.conv2(branch)))
        branch = self.norm3(self.conv3(branch))
        return self.relu(branch if self.shortcut is None else branch + self.shortcut(images))


def _shortcut(
    option: str, in_channels: int, out_channels: int, stride: int, side: str
) -> nn.Module:
    """What the input passes on its way around a block (section 3.3, options A, B, C)."""
    same = stride == 1 and in_channels == out_channels
    if same and option != "C":
        return nn.Identity()
    if option == "A":
        return PadShortcut(in_channels, out_channels, stride, side)
    if option == "fixed":
        return FixedShortcut(in_channels, out_channels, stride)
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
            norm=nn.BatchNorm2d(out_channels),
        )
    )


def _check(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def _initialise(network: Network) -> Network:
    """He's normal initialisation of the convolutions; the head as the module's text says."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.normal_(network.head.weight, 0.0, 0.01)  # type: ignore[arg-type]
    nn.init.zeros_(network.head.bias)  # type: ignore[arg-type]
    return network


def resnet(
    depth: Literal[18, 34, 50, 101, 152] = 50,
    classes: int = 1000,
    in_channels: int = 3,
    shortcut: Literal["A", "B", "C", "fixed"] = "B",
    stride_in: Literal["1x1", "3x3"] = "3x3",
    residual: bool = True,
) -> Network:
    """ResNet for ImageNet, for images of any size; 224×224 is the paper's.

    Args:
        depth: layers with weights.
        classes: length of the logits.
        in_channels: channels of the images.
        shortcut: where a block changes its shape, ``"A"`` pads zeros, ``"B"`` projects; ``"C"``
            projects everywhere; ``"fixed"`` projects as B does, by a matrix that is not learnt.
        stride_in: which convolution of a bottleneck has the stride: ``"1x1"``, the first, as
            printed (v1), or ``"3x3"`` (v1.5).
        residual: ``False`` for the plain network of the same layers.

    Returns:
        A network of stages ``conv1``, ``conv2_x`` to ``conv5_x``, ``avgpool``.

    Raises:
        UsageError: an argument that is none of its choices.
    """
    if depth not in _DEPTHS:
        known = ", ".join(str(known) for known in _DEPTHS)
        raise UsageError(f"depth must be one of {known}, not {depth!r}")
    _check("shortcut", shortcut, _SHORTCUTS)
    _check("stride_in", stride_in, ("1x1", "3x3"))
    repeats, bottleneck = _DEPTHS[depth]
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["conv1"] = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False),
            norm=nn.BatchNorm2d(64),
            relu=nn.ReLU(inplace=True),
        )
    )  # 112×112×64
    channels = 64
    for number, repeat in enumerate(repeats):
        width = 64 * 2**number * (4 if bottleneck else 1)
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        if number == 0:
            blocks["maxpool"] = nn.MaxPool2d(3, 2, padding=1)
        for place in range(repeat):
            stride = 2 if number > 0 and place == 0 else 1
            way = _shortcut(shortcut, channels, width, stride, "end") if residual else None
            blocks[f"block{place + 1}"] = (
                Bottleneck(channels, width, stride, way, stride_in)
                if bottleneck
                else BasicBlock(channels, width, stride, way)
            )
            channels = width
        # 56×56, 28×28, 14×14, 7×7
        stages[f"conv{number + 2}_x"] = nn.Sequential(blocks)
    stages["avgpool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # 512 or 2048
    return _initialise(Network(stages, nn.Linear(channels, classes), (224, 224, in_channels)))


def resnet_cifar(
    depth: int = 20,
    classes: int = 10,
    in_channels: int = 3,
    shortcut: Literal["A", "B", "C", "fixed"] = "A",
    residual: bool = True,
    side: Literal["end", "both"] = "end",
) -> Network:
    """ResNet for CIFAR, for images of any size; 32×32 is the paper's.

    Args:
        depth: layers with weights, 6n + 2.
        classes: length of the logits.
        in_channels: channels of the images.
        shortcut: where a block changes its shape, as ``resnet50`` takes it; the paper's is A.
        residual: ``False`` for the plain network of the same layers.
        side: where option A puts the zeros: after the last channel, or half on ``"both"`` sides.

    Returns:
        A network of stages ``conv1``, ``conv2_x``, ``conv3_x``, ``conv4_x``, ``avgpool``.

    Raises:
        UsageError: an argument that is none of its choices.
    """
    if depth < 8 or depth % 6 != 2:
        raise UsageError(f"depth must be 6n + 2 (8, 14, 20, 26, 32, ...), not {depth!r}")
    _check("shortcut", shortcut, _SHORTCUTS)
    _check("side", side, _SIDES)
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["conv1"] = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv2d(in_channels, 16, 3, padding=1, bias=False),
            norm=nn.BatchNorm2d(16),
            relu=nn.ReLU(inplace=True),
        )
    )  # 32×32×16
    channels = 16
    for number, width in enumerate((16, 32, 64)):
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for place in range((depth - 2) // 6):
            stride = 2 if number > 0 and place == 0 else 1
            way = _shortcut(shortcut, channels, width, stride, side) if residual else None
            blocks[f"block{place + 1}"] = BasicBlock(channels, width, stride, way)
            channels = width
        stages[f"conv{number + 2}_x"] = nn.Sequential(blocks)  # 32×32×16, 16×16×32, 8×8×64
    stages["avgpool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # 64
    return _initialise(Network(stages, nn.Linear(64, classes), (32, 32, in_channels)))
