"""GoogLeNet: modules of four branches, and side heads that feed the gradient to the middle.

Paper: Szegedy et al., "Going deeper with convolutions", arXiv:1409.4842, 2014, table 1 and
figure 3. An Inception module takes 28×28×192 to 64 + 128 + 32 + 32 = 256 maps.
As printed: input 224×224×3, 6,998,552 parameters (13,378,280 with both side heads), 1,582,671,872
multiplications. The paper's own columns do not add up: its first row is that of a separable stem.
With batch normalisation, the layout whose weights are published: 6,624,904 parameters (13,004,888),
1,498,376,192 multiplications.

Where the paper is silent: local response normalisation has the constants of the network in Caffe's
zoo, and weights start as there: uniform within ±√(3 / fan-in), Caffe's "xavier", biases at 0.2.
Those constants suppose grey levels with the mean subtracted, which the paper says too.
Departures of the batch-normalised layout, all of its published weights: batch normalisation
(epsilon 1e-3) and no biases in convolutions, a 3×3 convolution in the "5×5" branch, a 2×2 last
pooling, no local response normalisation, dropout 0.2 for 0.4, adaptive pooling to 4×4 in the side
heads (whose published weights are not trained). Weights start as He's.
"""

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from tortie.errors import UsageError
from tortie.networks.layers import LocalResponseNorm
from tortie.networks.network import Network

SIDE_WEIGHT = 0.3  # section 5: "their loss gets added ... with a discount weight"

# Table 1: 1×1; 3×3 reduce, 3×3; 5×5 reduce, 5×5; pool projection.
_MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_SIDES = ("4a", "4d")


class Convolution(nn.Sequential):
    """A convolution, batch normalisation in place of its bias if ``norm``, and ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        norm: bool = False,
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv"] = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding, bias=not norm
        )
        if norm:
            layers["norm"] = nn.BatchNorm2d(out_channels, eps=1e-3)
        layers["relu"] = nn.ReLU(inplace=True)
        super().__init__(layers)


class Inception(nn.Module):
    """Figure 2b: 1×1, 3×3, 5×5 and pooling side by side, 1×1 convolutions before the dear ones.

    Args:
        in_channels: channels of the input.
        widths: a row of table 1: 1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5, pool projection.
        norm: batch normalisation, and a 3×3 convolution in the "5×5" branch.
    """

    def __init__(
        self, in_channels: int, widths: tuple[int, int, int, int, int, int], norm: bool
    ) -> None:
        super().__init__()
        one, three_reduce, three, five_reduce, five, projection = widths
        large = 3 if norm else 5
        self.one = Convolution(in_channels, one, 1, norm=norm)
        self.three = nn.Sequential(
            Convolution(in_channels, three_reduce, 1, norm=norm),
            Convolution(three_reduce, three, 3, padding=1, norm=norm),
        )
        self.five = nn.Sequential(
            Convolution(in_channels, five_reduce, 1, norm=norm),
            Convolution(five_reduce, five, large, padding=large // 2, norm=norm),
        )
        self.pool = nn.Sequential(
            nn.MaxPool2d(3, 1, padding=1), Convolution(in_channels, projection, 1, norm=norm)
        )

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, one + three + five + projection, H, W)``."""
        branches = [self.one(images), self.three(images), self.five(images), self.pool(images)]
        return torch.cat(branches, dim=1)


class SideHead(nn.Module):
    """A small classifier on the maps of a middle module (section 5), used in training only.

    Args:
        in_channels: channels of the maps.
        classes: length of its logits.
        norm: batch normalisation, and a pooling that adapts to maps of any size.
    """

    def __init__(self, in_channels: int, classes: int, norm: bool) -> None:
        super().__init__()
        self.pool: nn.Module = nn.AdaptiveAvgPool2d(4) if norm else nn.AvgPool2d(5, 3)  # 4×4
        self.conv = Convolution(in_channels, 128, 1, norm=norm)
        self.fc1 = nn.Linear(2048, 1024)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, classes)
        self.fixed_size = not norm

    def forward(self, maps: Tensor) -> Tensor:
        """``(N, in, 14, 14)`` to ``(N, classes)``.

        Raises:
            UsageError: maps of another size, where the pooling does not adapt.
        """
        height, width = maps.shape[2:]
        if self.fixed_size and (height, width) != (14, 14):
            raise UsageError(
                f"a side head sees maps of 14×14, of images of 224×224, not of {height}×{width}; "
                "for other sizes take it without: 'googlenet(side_heads=false)'"
            )
        hidden = self.relu(self.fc1(self.conv(self.pool(maps)).flatten(1)))
        return self.fc2(self.dropout(hidden))


def _inceptions(letter: str, in_channels: int, norm: bool) -> OrderedDict[str, nn.Module]:
    """The modules of table 1 whose number is ``letter``, as stages."""
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    for name, widths in _MODULES.items():
        if name.startswith(letter):
            stages[f"inception_{name}"] = Inception(in_channels, widths, norm)
            in_channels = _width(name)
    return stages


def _width(name: str) -> int:
    """Maps that a module of table 1 yields."""
    one, _, three, _, five, projection = _MODULES[name]
    return one + three + five + projection


def _side_heads(classes: int, norm: bool) -> dict[str, SideHead]:
    """Side heads on 4a and 4d, by the name of their stage."""
    return {f"inception_{name}": SideHead(_width(name), classes, norm) for name in _SIDES}


def googlenet(classes: int = 1000, in_channels: int = 3, side_heads: bool = True) -> Network:
    """GoogLeNet as printed; images of 224×224 for its side heads, of any size from 31×31 without.

    Args:
        classes: length of the logits.
        in_channels: channels of the images.
        side_heads: whether the two side heads hang from ``inception_4a`` and ``inception_4d``.

    Returns:
        A network of stages ``conv1``, ``maxpool1``, ``conv2``, ``maxpool2``, ``inception_3a``, ...,
        ``inception_5b``, ``avgpool``.
    """

    def normalisation() -> nn.Module:
        return LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)

    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["conv1"] = Convolution(in_channels, 64, 7, stride=2, padding=3)  # 112×112×64
    stages["maxpool1"] = nn.Sequential(
        nn.MaxPool2d(3, 2, ceil_mode=True), normalisation()
    )  # 56×56×64
    stages["conv2"] = nn.Sequential(
        Convolution(64, 64, 1), Convolution(64, 192, 3, padding=1), normalisation()
    )  # 56×56×192
    stages["maxpool2"] = nn.MaxPool2d(3, 2, ceil_mode=True)  # 28×28×192
    stages.update(_inceptions("3", 192, norm=False))  # 28×28×480
    stages["maxpool3"] = nn.MaxPool2d(3, 2, ceil_mode=True)  # 14×14×480
    stages.update(_inceptions("4", 480, norm=False))  # 14×14×832
    stages["maxpool4"] = nn.MaxPool2d(3, 2, ceil_mode=True)  # 7×7×832
    stages.update(_inceptions("5", 832, norm=False))  # 7×7×1024
    stages["avgpool"] = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4)
    )  # 1024
    sides = _side_heads(classes, norm=False) if side_heads else {}
    head = nn.Linear(1024, classes)
    network = Network(
        stages, head, (224, 224, in_channels), side_heads=sides, side_weight=SIDE_WEIGHT
    )
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = math.sqrt(3 / layer.weight[0].numel())
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.constant_(layer.bias, 0.2)  # type: ignore[arg-type]
    for output in (head, *(side.fc2 for side in sides.values())):
        nn.init.zeros_(output.bias)
    return network


def googlenet_bn(classes: int = 1000, in_channels: int = 3, side_heads: bool = True) -> Network:
    """GoogLeNet with batch normalisation, the layout whose weights are published.

    Args:
        classes: length of the logits.
        in_channels: channels of the images, of any size from 15×15.
        side_heads: whether the two side heads hang from ``inception_4a`` and ``inception_4d``.

    Returns:
        A network of the stages of :func:`googlenet`.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["conv1"] = Convolution(in_channels, 64, 7, 2, 3, norm=True)  # 112×112×64
    stages["maxpool1"] = nn.MaxPool2d(3, 2, ceil_mode=True)  # 56×56×64
    stages["conv2"] = nn.Sequential(
        Convolution(64, 64, 1, norm=True), Convolution(64, 192, 3, padding=1, norm=True)
    )  # 56×56×192
    stages["maxpool2"] = nn.MaxPool2d(3, 2, ceil_mode=True)  # 28×28×192
    stages.update(_inceptions("3", 192, norm=True))  # 28×28×480
    stages["maxpool3"] = nn.MaxPool2d(3, 2, ceil_mode=True)  # 14×14×480
    stages.update(_inceptions("4", 480, norm=True))  # 14×14×832
    stages["maxpool4"] = nn.MaxPool2d(2, 2, ceil_mode=True)  # 7×7×832
    stages.update(_inceptions("5", 832, norm=True))  # 7×7×1024
    stages["avgpool"] = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)
    )  # 1024
    sides = _side_heads(classes, norm=True) if side_heads else {}
    head = nn.Linear(1024, classes)
    network = Network(
        stages, head, (224, 224, in_channels), side_heads=sides, side_weight=SIDE_WEIGHT
    )
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.01)
            nn.init.zeros_(layer.bias)
    return network
