"""MobileNet: a convolution parted into one of each map and one across the maps.

Paper: Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
applications", arXiv:1704.04861, 2017, table 1.
Input 224×224×3, 4,231,976 parameters, 568,740,352 multiplications (the paper: 4.2 million, 569
million). A 3×3 convolution costs 9 multiplications a map it sees and a map it makes; parted, 9 a
map and 1 a map it makes: 8 to 9 times fewer.

Departures: ReLU6 for ReLU, as in the authors' code and the published weights. Table 1 prints a
stride of 2 for the last separable convolution too, which its own sizes (7×7 before and after)
contradict. The paper prints no initialisation: convolutions start as N(0, 2 / fan-out).
"""

import math
from collections import OrderedDict

from torch import nn

from tortie.errors import UsageError
from tortie.networks.network import Network

# Table 1: filters and stride of the thirteen separable convolutions.
_SEPARABLE = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)


class ConvNorm(nn.Sequential):
    """A convolution without bias, batch normalisation and ReLU6."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            OrderedDict[str, nn.Module](
                conv=nn.Conv2d(
                    in_channels,
                    out_channels,
                    kernel,
                    stride,
                    kernel // 2,
                    groups=groups,
                    bias=False,
                ),
                norm=nn.BatchNorm2d(out_channels),
                relu=nn.ReLU6(inplace=True),
            )
        )


class Separable(nn.Sequential):
    """Figure 2: a 3×3 convolution of each map by itself, then a 1×1 convolution across the maps."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(
            OrderedDict[str, nn.Module](
                depthwise=ConvNorm(in_channels, in_channels, 3, stride, groups=in_channels),
                pointwise=ConvNorm(in_channels, out_channels, 1),
            )
        )


def mobilenet_v1(classes: int = 1000, in_channels: int = 3, width: float = 1.0) -> Network:
    """MobileNet, for images of any size; 224×224 is the paper's.

    Args:
        classes: length of the logits.
        in_channels: channels of the images.
        width: the paper's width multiplier α: 1, 0.75, 0.5 or 0.25 of the filters of each layer.

    Returns:
        A network of stages ``conv1``, ``separable1`` to ``separable13``, ``avgpool``.

    Raises:
        UsageError: a width that leaves no filter, or above 8.
    """
    if not 0.05 <= width <= 8:
        raise UsageError(f"width must be from 0.05 to 8, not {width!r}")
    channels = int(32 * width)
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["conv1"] = ConvNorm(in_channels, channels, 3, stride=2)  # 112×112×32
    for number, (filters, stride) in enumerate(_SEPARABLE, 1):
        # 112×112×64, 56×56×128 twice, 28×28×256 twice, 14×14×512 six times, 7×7×1024 twice
        stages[f"separable{number}"] = Separable(channels, int(filters * width), stride)
        channels = int(filters * width)
    stages["avgpool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # 1024
    head = nn.Linear(channels, classes)
    network = Network(stages, head, (224, 224, in_channels))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.weight.shape[0] * layer.weight[0, 0].numel() / layer.groups
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / fan_out))
    nn.init.normal_(head.weight, 0.0, 0.01)
    nn.init.zeros_(head.bias)
    return network
