"""ResNeXt: residual blocks whose 3×3 convolution is parted into groups.

Paper: Xie, Girshick, Dollár, Tu, He, "Aggregated residual transformations for deep neural
networks", arXiv:1611.05431, 2016, table 1 and figure 3c.
ResNeXt-50 (32×4d), input 224×224×3: 25,028,904 parameters, 4,230,479,872 multiplications (the
paper: 25.0 million, 4.2 billion).

Departures: none; the stride stands in the 3×3 and shortcuts project (option B), as in the paper.
The head starts as N(0, 0.01²).
"""

from collections import OrderedDict

from torch import Tensor, nn

from tortie.networks.network import Network

_REPEATS = (3, 4, 6, 3)  # blocks of conv2_x to conv5_x
_CARDINALITY = 32


class Block(nn.Module):
    """1×1 to half the channels, 3×3 in 32 groups, 1×1 back, and the shortcut around them.

    Args:
        in_channels: channels of the input.
        channels: channels of the output; half of them inside.
        stride: of the 3×3.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        width = channels // 2
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, groups=_CARDINALITY, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(channels)
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
        return self.relu(self.norm3(self.conv3(branch)) + self.shortcut(images))


def resnext50(classes: int = 1000, in_channels: int = 3) -> Network:
    """ResNeXt-50 (32×4d), for images of any size; 224×224 is the paper's.

    Args:
        classes: length of the logits.
        in_channels: channels of the images.

    Returns:
        A network of stages ``conv1``, ``conv2_x`` to ``conv5_x``, ``avgpool``.
    """
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
            blocks[f"block{place + 1}"] = Block(channels, 256 * 2**number, stride)
            channels = 256 * 2**number
        stages[f"conv{number + 2}_x"] = nn.Sequential(blocks)  # 56×56×256 to 7×7×2048
    stages["avgpool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # 2048
    network = Network(stages, nn.Linear(channels, classes), (224, 224, in_channels))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.normal_(network.head.weight, 0.0, 0.01)  # type: ignore[arg-type]
    nn.init.zeros_(network.head.bias)  # type: ignore[arg-type]
    return network
