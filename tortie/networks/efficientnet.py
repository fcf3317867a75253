"""EfficientNet: depth, width and resolution scaled together; and its Lite variants.

Paper: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
ICML 2019, table 1 (EfficientNet-B0) and section 3.3 (scaling). The Lite variants are TensorFlow's
(tensorflow/tpu, models/official/efficientnet/lite, 2020): no squeeze-and-excitation, ReLU6 for
swish, and neither the first and last convolutions nor the repeats of the first and last blocks are
scaled.
B0, input 224×224×3: 5,288,548 parameters, 385,814,752 multiplications (the paper: 5.3 million,
0.39 billion). Lite0, 224: 4,652,008 and 385,187,552; Lite1, 240: 5,416,680 and 600,185,232;
Lite2, 260: 6,092,072 and 859,736,272; Lite3, 280: 8,197,096 and 1,383,321,872; Lite4, 300:
13,006,568 and 2,553,034,336.

As in the authors' code: convolutions start as N(0, 2 / fan-out), the head uniform within ±1/√1000,
and in training a residual branch of block i of n survives with probability 1 - (1 - 0.8) i / n
(stochastic depth), which the paper does not describe for the Lite variants.
Departures: where the number of classes is another, the head's bound stays that of 1,000. The form
``"torchvision"`` pads both sides equally, with another epsilon and momentum of batch normalisation,
as the port whose weights torchvision publishes.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from tortie.errors import UsageError
from tortie.networks.layers import SameConv2d, StochasticDepth
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


@dataclass(frozen=True)
class _Form:
    """What the forms of the network differ in."""

    same: bool  # TensorFlow's padding
    epsilon: float
    momentum: float
    activation: type[nn.Module]
    squeeze: bool


_FORMS = {
    # TensorFlow's momentum 0.99 is torch's 0.01.
    "lite": _Form(True, 1e-3, 0.01, nn.ReLU6, squeeze=False),
    "paper": _Form(True, 1e-3, 0.01, nn.SiLU, squeeze=True),
    "torchvision": _Form(False, 1e-5, 0.1, nn.SiLU, squeeze=True),
}


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch normalisation, and the activation of the form if ``act``."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        form: _Form,
        stride: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        convolution = SameConv2d if form.same else nn.Conv2d
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv"] = convolution(
            in_channels,
            out_channels,
            kernel,
            stride,
            padding=0 if form.same else kernel // 2,
            groups=groups,
            bias=False,
        )
        layers["norm"] = nn.BatchNorm2d(out_channels, eps=form.epsilon, momentum=form.momentum)
        if act:
            layers["act"] = form.activation(inplace=True)
        super().__init__(layers)


class SqueezeExcitation(nn.Module):
    """Each map times a number in (0, 1) that two small layers draw from the means of all maps.

    Args:
        channels: maps that are scaled.
        hidden: length of the layer between: a quarter of the block's input, not of its expansion.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.act = nn.SiLU(inplace=True)
        self.expand = nn.Conv2d(hidden, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, maps: Tensor) -> Tensor:
        """``(N, channels, H, W)`` to the same shape."""
        return maps * self.gate(self.expand(self.act(self.reduce(self.pool(maps)))))


class MBConv(nn.Module):
    """Inverted residual: expand by 1×1, filter each channel by k×k, project by 1×1.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: k.
        stride: of the k×k.
        expansion: how many times wider it is inside.
        form: padding, normalisation, activation, squeeze-and-excitation.
        survival: probability that the branch survives a step of training.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        expansion: int,
        form: _Form,
        survival: float,
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand: nn.Module = (
            ConvNorm(in_channels, hidden, 1, form) if expansion != 1 else nn.Identity()
        )
        self.depthwise = ConvNorm(hidden, hidden, kernel, form, stride, groups=hidden)
        self.squeeze: nn.Module = (
            SqueezeExcitation(hidden, max(1, in_channels // 4)) if form.squeeze else nn.Identity()
        )
        self.project = ConvNorm(hidden, out_channels, 1, form, act=False)
        self.residual = stride == 1 and in_channels == out_channels
        self.drop = StochasticDepth(survival)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, out, H / stride, W / stride)``."""
        branch = self.project(self.squeeze(self.depthwise(self.expand(images))))
        return images + self.drop(branch) if self.residual else branch


def efficientnet(
    width: float = 1.0,
    depth: float = 1.0,
    resolution: int = 224,
    classes: int = 1000,
    in_channels: int = 3,
    form: Literal["lite", "paper", "torchvision"] = "paper",
    dropout: float = 0.2,
    survival: float = 0.8,
) -> Network:
    """EfficientNet, for images of any size from 32×32.

    Args:
        width: multiplies the channels, which are rounded to multiples of 8.
        depth: multiplies the repeats of a block, rounded up.
        resolution: side of the images that the paper draws.
        classes: length of the logits.
        in_channels: channels of the images.
        form: ``"paper"``; ``"torchvision"``, padded as the weights that it publishes need;
            ``"lite"``.
        dropout: probability of dropping a feature before the head.
        survival: probability that the last residual branch survives a step of training; 1 for all.

    Returns:
        A network of stages ``stem``, ``mbconv1`` to ``mbconv7``, ``conv_head``, ``avgpool``.

    Raises:
        UsageError: another form, or a factor or probability outside its range.
    """
    if form not in _FORMS:
        raise UsageError(f"form must be one of {', '.join(_FORMS)}, not {form!r}")
    for name, value, most in (("width", width, 8), ("depth", depth, 8), ("survival", survival, 1)):
        if not 0 < value <= most:
            raise UsageError(f"{name} must be above 0 and at most {most}, not {value!r}")
    parts, lite = _FORMS[form], form == "lite"
    repeats = [
        repeat if lite and place in (0, len(_MBCONV) - 1) else math.ceil(depth * repeat)
        for place, (*_, repeat) in enumerate(_MBCONV)
    ]
    channels = 32 if lite else _channels(32, width)
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["stem"] = ConvNorm(in_channels, channels, 3, parts, stride=2)  # 112×112×32
    number = 0
    for place, (expansion, kernel, stride, filters, _) in enumerate(_MBCONV):
        blocks: list[nn.Module] = []
        for repeat in range(repeats[place]):
            own_stride, wide = stride if repeat == 0 else 1, _channels(filters, width)
            survives = 1 - (1 - survival) * number / sum(repeats)
            block = MBConv(
                channels, wide, kernel, own_stride,
                expansion=expansion, form=parts, survival=survives,
            )  # fmt: skip
            blocks.append(block)
            channels, number = wide, number + 1
        # 112×112×16, 56×56×24, 28×28×40, 14×14×80, 14×14×112, 7×7×192, 7×7×320
        stages[f"mbconv{place + 1}"] = nn.Sequential(*blocks)
    features = 1280 if lite else _channels(1280, width)
    stages["conv_head"] = ConvNorm(channels, features, 1, parts)  # 7×7×1280
    stages["avgpool"] = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)
    )  # 1280
    head = nn.Linear(features, classes)
    network = Network(stages, head, (resolution, resolution, in_channels))
    _initialise(network, head)
    return network


def _initialise(network: Network, head: nn.Linear) -> None:
    """As in the authors' code: see the module's text."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.weight.shape[0] * layer.weight[0, 0].numel() / layer.groups
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / fan_out))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    nn.init.uniform_(head.weight, -1 / math.sqrt(1000), 1 / math.sqrt(1000))
    nn.init.zeros_(head.bias)


def _channels(filters: int, width: float) -> int:
    """Channels times a factor, to the nearest multiple of 8 that takes off a tenth at most."""
    scaled = filters * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8
