"""EfficientNet-Lite0: a small, accurate network without parts that slow a plain processor.

Paper: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
ICML 2019, Table 1 (EfficientNet-B0); the Lite variant is TensorFlow's, 2020: no
squeeze-and-excitation, ReLU6 for swish, first and last layers not scaled.
Input 224×224×3. 4,652,008 parameters, 385,187,552 multiplications.

Departures from Table 1, all of the Lite variant: those above. TensorFlow's "same" padding is kept:
at stride 2 it pads the far side alone.
"""

from collections import OrderedDict

from torch import Tensor, nn

from tortie.networks.layers import SameConv2d
from tortie.networks.network import Network

# Table 1 of the paper: (expansion, kernel, stride, output channels, repeats) of stages 2 to 8.
_MBCONV = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class ConvNormReLU6(nn.Sequential):
    """Convolution without bias, batch normalisation (epsilon 1e-3), and ReLU6 if ``act``."""

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
        layers["conv"] = SameConv2d(
            in_channels, out_channels, kernel, stride, groups=groups, bias=False
        )
        # TensorFlow's momentum 0.99 is torch's 0.01.
        layers["norm"] = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01)
        if act:
            layers["act"] = nn.ReLU6(inplace=True)
        super().__init__(layers)


class MBConv(nn.Module):
    """Inverted residual: expand by 1×1, filter each channel by k×k, project by 1×1 (no ReLU6)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        if expansion != 1:
            self.expand: nn.Module = ConvNormReLU6(in_channels, hidden, 1)
        else:
            self.expand = nn.Identity()
        self.depthwise = ConvNormReLU6(hidden, hidden, kernel, stride, groups=hidden)
        self.project = ConvNormReLU6(hidden, out_channels, 1, act=False)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, out, H / stride, W / stride)``."""
        branch = self.project(self.depthwise(self.expand(images)))
        return images + branch if self.residual else branch


def efficientnet_lite0(classes: int = 1000, in_channels: int = 3) -> Network:
    """EfficientNet-Lite0, for images of any size from 32×32; 224×224 is the paper's.

    Args:
        classes: length of the logits.
        in_channels: channels of the images.

    Returns:
        A network of stages ``stem``, ``mbconv1`` to ``mbconv7``, ``conv_head``, ``avgpool``.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["stem"] = ConvNormReLU6(in_channels, 32, 3, stride=2)  # 112×112×32
    channels = 32
    for number, (expansion, kernel, stride, out_channels, repeats) in enumerate(_MBCONV, 1):
        blocks: list[nn.Module] = []
        for repeat in range(repeats):
            blocks.append(
                MBConv(channels, out_channels, kernel, stride if repeat == 0 else 1, expansion)
            )
            channels = out_channels
        # 112×112×16, 56×56×24, 28×28×40, 14×14×80, 14×14×112, 7×7×192, 7×7×320
        stages[f"mbconv{number}"] = nn.Sequential(*blocks)
    stages["conv_head"] = ConvNormReLU6(channels, 1280, 1)  # 7×7×1280
    stages["avgpool"] = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)
    )  # 1280
    return Network(stages, nn.Linear(1280, classes), (224, 224, in_channels))
