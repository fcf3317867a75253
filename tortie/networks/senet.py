"""SE-ResNet: a residual block weighs its maps by what all of them hold.

Paper: Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-excitation networks", arXiv:1709.01507, 2017,
table 1 and figure 3; reduction ratio 16.
SE-ResNet-50, input 224×224×3: 28,088,024 parameters (the paper: 28.1 million);
3,860,488,192 multiplications with the stride in the first 1×1 as in the paper (3.87 billion),
4,091,699,200 with it in the 3×3, as the published weights have it.

Departures: the stride stands in the 3×3 unless told otherwise. The head starts as N(0, 0.01²).
"""

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn

from tortie.errors import UsageError
from tortie.networks.network import Network

_REPEATS = (3, 4, 6, 3)  # blocks of conv2_x to conv5_x
_REDUCTION = 16


class SqueezeExcitation(nn.Module):
    """Each map times a number in (0, 1): the mean of each map, two small layers, a sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, channels // _REDUCTION, 1)
        self.relu = nn.ReLU(inplace=True)
        self.expand = nn.Conv2d(channels // _REDUCTION, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, maps: Tensor) -> Tensor:
        """``(N, channels, H, W)`` to the same shape."""
        return maps * self.gate(self.expand(self.relu(self.reduce(self.pool(maps)))))


class Block(nn.Module):
    """A bottleneck of ResNet, its branch weighed before the shortcut is added (figure 3).

    Args:
        in_channels: channels of the input.
        channels: channels of the output; a quarter of them inside.
        stride: of the first 1×1 or the 3×3.
        stride_in: which convolution has the stride, ``"1x1"`` or ``"3x3"``.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, stride_in: str) -> None:
        super().__init__()
        width = channels // 4
        first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, width, 1, first, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(channels)
        self.squeeze = SqueezeExcitation(channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                OrderedDict[str, nn.Module](
                    conv=nn.Conv2d(in_channels, channels, 1, stride, bias=False),
                    norm=nn.BatchNorm2d(channels),
                )
            )

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, channels, H / stride, W / stride)``."""
        branch = self.relu(self.norm1(self.conv1(images)))
        branch = self.relu(self.norm2(self.conv2(branch)))
        branch = self.squeeze(self.norm3(self.conv3(branch)))
        return self.relu(branch + self.shortcut(images))


def se_resnet50(
    classes: int = 1000, in_channels: int = 3, stride_in: Literal["1x1", "3x3"] = "3x3"
) -> Network:
    """SE-ResNet-50, for images of any size; 224×224 is the paper's.

    Args:
        classes: length of the logits.
        in_channels: channels of the images.
        stride_in: which convolution of a block has the stride: ``"1x1"``, the first, as in the
            paper, or ``"3x3"``.

    Returns:
        A network of stages ``conv1``, ``conv2_x`` to ``conv5_x``, ``avgpool``.

    Raises:
        UsageError: another place for the stride.
    """
    if stride_in not in ("1x1", "3x3"):
        raise UsageError(f"stride_in must be one of 1x1, 3x3, not {stride_in!r}")
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["conv1"] = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False),
            norm=nn.BatchNorm2d(64),
            relu=nn.ReLU(inplace=True),
        )
    )  # 112×112×64
    channels = 64
    for number, repeats in enumerate(_REPEATS):
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        if number == 0:
            blocks["maxpool"] = nn.MaxPool2d(3, 2, padding=1)
        for place in range(repeats):
            stride = 2 if number > 0 and place == 0 else 1
            blocks[f"block{place + 1}"] = Block(channels, 256 * 2**number, stride, stride_in)
            channels = 256 * 2**number
        stages[f"conv{number + 2}_x"] = nn.Sequential(blocks)  # 56×56×256 to 7×7×2048
    stages["avgpool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # 2048
    network = Network(stages, nn.Linear(channels, classes), (224, 224, in_channels))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    nn.init.normal_(network.head.weight, 0.0, 0.01)  # type: ignore[arg-type]
    nn.init.zeros_(network.head.bias)  # type: ignore[arg-type]
    return network
