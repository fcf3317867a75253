"""ResNet v2: normalisation and ReLU before each convolution, so that the shortcut stays clean.

Paper: He, Zhang, Ren, Sun, "Identity mappings in deep residual networks", arXiv:1603.05027, 2016,
figure 1b and the appendix (ImageNet: the first unit takes the activation before it parts, the last
has one after its sum).
ResNet-50 v2, input 224×224×3: 25,549,352 parameters, 4,089,184,256 multiplications with the stride
in the 3×3, as the published weights have it; 3,857,973,248 with it in the first 1×1, as in the
authors' code. The paper trains depths of 101 to 200 on ImageNet; 50 is the layout of its smallest
sibling. A shortcut that changes shape is a convolution of the activated input, without
normalisation.

Departures: the stride stands in the 3×3 unless told otherwise; the maximum pooling comes before the
first normalisation, as in the published weights. The head starts as N(0, 0.01²).
"""

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn

from tortie.errors import UsageError
from tortie.networks.network import Network

_REPEATS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # conv2_x to conv5_x


class Block(nn.Module):
    """Normalise, ReLU, 1×1; normalise, ReLU, 3×3; normalise, ReLU, 1×1; plus the input as it is.

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
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 1, first, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, channels, H / stride, W / stride)``."""
        activated = self.relu(self.norm1(images))
        around = images if self.shortcut is None else self.shortcut(activated)
        branch = self.relu(self.norm2(self.conv1(activated)))
        branch = self.relu(self.norm3(self.conv2(branch)))
        return self.conv3(branch) + around


def resnet_v2(
    depth: Literal[50, 101, 152] = 50,
    classes: int = 1000,
    in_channels: int = 3,
    stride_in: Literal["1x1", "3x3"] = "3x3",
) -> Network:
    """ResNet v2 for ImageNet, for images of any size; 224×224 is the paper's.

    Args:
        depth: layers with weights.
        classes: length of the logits.
        in_channels: channels of the images.
        stride_in: which convolution of a block has the stride: ``"1x1"``, the first, as in the
            authors' code, or ``"3x3"``.

    Returns:
        A network of stages ``conv1``, ``conv2_x`` to ``conv5_x``, ``avgpool``.

    Raises:
        UsageError: an argument that is none of its choices.
    """
    if depth not in _REPEATS:
        raise UsageError(f"depth must be one of {', '.join(map(str, _REPEATS))}, not {depth!r}")
    if stride_in not in ("1x1", "3x3"):
        raise UsageError(f"stride_in must be one of 1x1, 3x3, not {stride_in!r}")
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["conv1"] = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False),
            maxpool=nn.MaxPool2d(3, 2, padding=1),
        )
    )  # 112×112×64, 56×56×64
    channels = 64
    for number, repeats in enumerate(_REPEATS[depth]):
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for place in range(repeats):
            stride = 2 if number > 0 and place == 0 else 1
            blocks[f"block{place + 1}"] = Block(channels, 256 * 2**number, stride, stride_in)
            channels = 256 * 2**number
        if number == 3:
            blocks["norm"] = nn.BatchNorm2d(channels)
            blocks["relu"] = nn.ReLU(inplace=True)
        stages[f"conv{number + 2}_x"] = nn.Sequential(blocks)  # 56×56×256 to 7×7×2048
    stages["avgpool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # 2048
    network = Network(stages, nn.Linear(channels, classes), (224, 224, in_channels))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.normal_(network.head.weight, 0.0, 0.01)  # type: ignore[arg-type]
    nn.init.zeros_(network.head.bias)  # type: ignore[arg-type]
    return network
