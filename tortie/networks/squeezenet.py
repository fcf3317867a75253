"""SqueezeNet: AlexNet's accuracy with fifty times fewer parameters, by 1×1 convolutions.

Paper: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB
model size", arXiv:1602.07360, 2016, table 1 and figure 1.
Input 224×224×3, 1,248,424 parameters, 818,924,576 multiplications. Version 1.1, of the authors'
repository: 1,235,496 and 349,151,936.

Departure: none in its layers. Table 1's first map of 111×111 is that of images of 227×227 (its
strides do not divide 224, as AlexNet's do not); at 224, for which weights are published, it is
109×109. Weights start as He's uniform and the last convolution as N(0, 0.01²), as in Caffe's
configuration there.

The head is the last 1×1 convolution, its ReLU and global average pooling, as in Network in Network,
so the last stage yields maps.
"""

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn

from tortie.errors import UsageError
from tortie.networks.network import Network

# Table 1: squeeze filters and expand filters (as many 1×1 as 3×3) of fire2 to fire9.
_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
# First filters and their kernel, and the modules that a pooling follows.
_VERSIONS = {"1.0": (96, 7, (4, 8)), "1.1": (64, 3, (3, 5))}


class Fire(nn.Module):
    """Squeeze by 1×1 to few maps; expand by 1×1 and 3×3 side by side.

    Args:
        in_channels: channels of the input.
        squeeze: filters of the first 1×1.
        expand: filters of each of the two that follow.
    """

    def __init__(self, in_channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, 2 * expand, H, W)``."""
        squeezed = self.relu(self.squeeze(images))
        branches = [self.relu(self.expand1x1(squeezed)), self.relu(self.expand3x3(squeezed))]
        return torch.cat(branches, dim=1)


def squeezenet(
    classes: int = 1000, in_channels: int = 3, version: Literal["1.0", "1.1"] = "1.0"
) -> Network:
    """SqueezeNet, for images of any size from 21×21.

    Args:
        classes: length of the logits.
        in_channels: channels of the images.
        version: ``"1.0"`` of the paper; ``"1.1"``, whose poolings come earlier.

    Returns:
        A network of stages ``conv1``, ``maxpool1``, ``fire2`` to ``fire9`` with a pooling after two
        of them; the last yields maps.

    Raises:
        UsageError: another version.
    """
    if version not in _VERSIONS:
        raise UsageError(f"version must be one of {', '.join(_VERSIONS)}, not {version!r}")
    channels, kernel, pooled = _VERSIONS[version]
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["conv1"] = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv2d(in_channels, channels, kernel, stride=2), relu=nn.ReLU(inplace=True)
        )
    )  # 109×109×96
    stages["maxpool1"] = nn.MaxPool2d(3, 2, ceil_mode=True)  # 54×54×96
    for number, (squeeze, expand) in enumerate(_FIRES, 2):
        # 54×54×128 twice, 54×54×256; 27×27×256, 27×27×384 twice, 27×27×512; 13×13×512
        stages[f"fire{number}"] = Fire(channels, squeeze, expand)
        channels = 2 * expand
        if number in pooled:
            stages[f"maxpool{number}"] = nn.MaxPool2d(3, 2, ceil_mode=True)  # 27×27, 13×13
    head = nn.Sequential(
        OrderedDict[str, nn.Module](
            dropout=nn.Dropout(0.5),
            conv=nn.Conv2d(channels, classes, 1),
            relu=nn.ReLU(inplace=True),
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
        )
    )
    network = Network(stages, head, (224, 224, in_channels))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            if layer is head.conv:
                nn.init.normal_(layer.weight, 0.0, 0.01)
            else:
                nn.init.kaiming_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return network
