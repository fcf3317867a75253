"""MobileNetV2: residual blocks that are wide inside and narrow where they are added.

Paper: Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: inverted residuals and linear
bottlenecks", arXiv:1801.04381, 2018, table 2.
Input 224×224×3, 3,504,872 parameters, 300,774,272 multiplications (the paper: 3.4 million, 300
million).

Departure: none in its maps. The paper prints no initialisation: convolutions start as
N(0, 2 / fan-out) and the head as N(0, 0.01²), as with torchvision, whose weights are published.
"""

from collections import OrderedDict

from torch import Tensor, nn

from tortie.errors import UsageError
from tortie.networks.network import Network

# Table 2: (expansion t, output channels c, repeats n, stride s of the first) of the bottlenecks.
_BOTTLENECKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class ConvNorm(nn.Sequential):
    """A convolution without bias, batch normalisation, and ReLU6 if ``act``."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv"] = nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        layers["norm"] = nn.BatchNorm2d(out_channels)
        if act:
            layers["relu"] = nn.ReLU6(inplace=True)
        super().__init__(layers)


class InvertedResidual(nn.Module):
    """Table 1: expand by 1×1, filter each map by 3×3, project by 1×1 without a non-linearity.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: of the 3×3; at stride 1 and equal channels the input is added.
        expansion: how many times wider it is inside; 1 leaves the expansion out.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand: nn.Module = (
            ConvNorm(in_channels, hidden, 1) if expansion != 1 else nn.Identity()
        )
        self.depthwise = ConvNorm(hidden, hidden, 3, stride, groups=hidden)
        self.project = ConvNorm(hidden, out_channels, 1, act=False)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, out, H / stride, W / stride)``."""
        branch = self.project(self.depthwise(self.expand(images)))
        return images + branch if self.residual else branch


def mobilenet_v2(classes: int = 1000, in_channels: int = 3, width: float = 1.0) -> Network:
    """MobileNetV2, for images of any size; 224×224 is the paper's.

    Args:
        classes: length of the logits.
        in_channels: channels of the images.
        width: multiplies the channels of all layers; those of the last convolution never fall
            below 1,280 (section 6.1).

    Returns:
        A network of stages ``conv1``, ``bottleneck1`` to ``bottleneck7``, ``conv_last``,
        ``avgpool``.

    Raises:
        UsageError: a width outside its range.
    """
    if not 0.05 <= width <= 8:
        raise UsageError(f"width must be from 0.05 to 8, not {width!r}")
    channels = _channels(32 * width)
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["conv1"] = ConvNorm(in_channels, channels, 3, stride=2)  # 112×112×32
    for number, (expansion, filters, repeats, stride) in enumerate(_BOTTLENECKS, 1):
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for repeat in range(repeats):
            wide = _channels(filters * width)
            own_stride = stride if repeat == 0 else 1
            blocks[f"block{repeat + 1}"] = InvertedResidual(channels, wide, own_stride, expansion)
            channels = wide
        # 112×112×16, 56×56×24, 28×28×32, 14×14×64, 14×14×96, 7×7×160, 7×7×320
        stages[f"bottleneck{number}"] = nn.Sequential(blocks)
    last = _channels(1280 * max(1.0, width))
    stages["conv_last"] = ConvNorm(channels, last, 1)  # 7×7×1280
    stages["avgpool"] = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)
    )  # 1280
    head = nn.Linear(last, classes)
    network = Network(stages, head, (224, 224, in_channels))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    nn.init.normal_(head.weight, 0.0, 0.01)
    nn.init.zeros_(head.bias)
    return network


def _channels(scaled: float) -> int:
    """The nearest multiple of 8 that takes off a tenth at most."""
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8
