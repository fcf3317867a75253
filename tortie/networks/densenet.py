"""DenseNet: each layer sees the maps of all the layers before it in its block.

Paper: Huang, Liu, van der Maaten, Weinberger, "Densely connected convolutional networks",
arXiv:1608.06993, 2016, table 1 (DenseNet-BC, growth rate 32).
DenseNet-121, input 224×224×3: 7,978,856 parameters, 2,834,161,664 multiplications.

Departures: none. Convolutions start as He's normal, the head as torch's linear layers, as in the
authors' PyTorch code, whose weights are published.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from tortie.networks.network import Network

_BLOCKS = (6, 12, 24, 16)  # layers of dense blocks 1 to 4
_GROWTH = 32  # maps that each layer adds


class DenseLayer(nn.Module):
    """Normalise and 1×1 to 128 maps, normalise and 3×3 to 32 maps, beside the input.

    Args:
        in_channels: channels of the input.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, 4 * _GROWTH, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * _GROWTH)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4 * _GROWTH, _GROWTH, 3, padding=1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, in + 32, H, W)``."""
        hidden = self.conv1(self.relu1(self.norm1(images)))
        return torch.cat([images, self.conv2(self.relu2(self.norm2(hidden)))], dim=1)


def _transition(in_channels: int) -> nn.Sequential:
    """Half the maps at half the side."""
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            norm=nn.BatchNorm2d(in_channels),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(in_channels, in_channels // 2, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )


def densenet121(classes: int = 1000, in_channels: int = 3) -> Network:
    """DenseNet-121, for images of any size from 29×29; 224×224 is the paper's.

    Args:
        classes: length of the logits.
        in_channels: channels of the images.

    Returns:
        A network of stages ``conv1``, ``maxpool1``, ``dense1``, ``transition1``, ..., ``dense4``,
        ``avgpool``.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["conv1"] = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False),
            norm=nn.BatchNorm2d(64),
            relu=nn.ReLU(inplace=True),
        )
    )  # 112×112×64
    stages["maxpool1"] = nn.MaxPool2d(3, 2, padding=1)  # 56×56×64
    channels = 64
    for number, repeats in enumerate(_BLOCKS, 1):
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for place in range(repeats):
            layers[f"layer{place + 1}"] = DenseLayer(channels)
            channels += _GROWTH
        if number == len(_BLOCKS):  # what transitions do for the others before they part the maps
            layers["norm"] = nn.BatchNorm2d(channels)
            layers["relu"] = nn.ReLU(inplace=True)
        # 56×56×256, 28×28×512, 14×14×1024, 7×7×1024
        stages[f"dense{number}"] = nn.Sequential(layers)
        if number < len(_BLOCKS):
            stages[f"transition{number}"] = _transition(channels)  # 28×28×128, 14×14×256, 7×7×512
            channels //= 2
    stages["avgpool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # 1024
    network = Network(stages, nn.Linear(channels, classes), (224, 224, in_channels))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    nn.init.zeros_(network.head.bias)  # type: ignore[arg-type]
    return network
