"""AlexNet, the network that won ImageNet in 2012: as printed, and as its weights are published.

Paper: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural
networks", NIPS 2012, section 3 and figure 2.
As printed: input 227×227×3, two groups (the paper's two GPUs); 60,965,224 parameters, 724,406,816
multiplications. The paper prints 224, which its strides do not divide: (224 - 11) / 4 = 53.25.
One tower: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014;
61,100,840 parameters, 714,188,480 multiplications at 224×224.

Departures of the one-tower layout, all of its published weights: 64-192-384-256-256 filters, no
normalisation, dropout before fc6 and fc7, an adaptive pooling to 6×6 that lets images of any size
from 63×63 in. Its initialisation is not printed: He's for the convolutions, N(0, 0.005²) for
the linear layers (Caffe's), biases of zero.
"""

from collections import OrderedDict
from typing import Literal

from torch import nn

from tortie.errors import UsageError
from tortie.networks.layers import LocalResponseNorm
from tortie.networks.network import Network

# The paper's formula adds alpha times the sum over 5 maps; torch's module takes their mean.
_NORMALISATIONS = {
    "paper": {"alpha": 5 * 1e-4, "beta": 0.75, "k": 2.0},
    "caffe": {"alpha": 1e-4, "beta": 0.75, "k": 1.0},
}


def alexnet(
    classes: int = 1000,
    in_channels: int = 3,
    input_size: Literal[224, 227] = 227,
    groups: Literal[1, 2] = 2,
    normalisation: Literal["paper", "caffe", "none"] = "paper",
    bias: float = 1.0,
) -> Network:
    """AlexNet as printed.

    Args:
        classes: length of the logits.
        in_channels: channels of the images.
        input_size: side of the images: 227, or 224 padded by 2 (the same maps).
        groups: 2 as printed: conv2, conv4 and conv5 see the maps of their own GPU; or 1.
        normalisation: local response normalisation after the ReLU of conv1 and conv2: ``"paper"``
            is the paper's formula (k = 2, n = 5, alpha = 1e-4, beta = 0.75), ``"caffe"`` divides
            alpha by n and has k = 1, ``"none"`` leaves it out.
        bias: initial bias of conv2, conv4, conv5, fc6 and fc7; 1 as printed. Caffe's authors found
            0.1 necessary.

    Returns:
        A network of stages ``conv1`` to ``conv5``, each with its normalisation and pooling,
        ``fc6``, ``fc7``.

    Raises:
        UsageError: an argument that is none of its choices.
    """
    for name, value, choices in (
        ("input_size", input_size, (224, 227)),
        ("groups", groups, (1, 2)),
        ("normalisation", normalisation, (*_NORMALISATIONS, "none")),
    ):
        if value not in choices:
            options = ", ".join(str(choice) for choice in choices)
            raise UsageError(f"{name} must be one of {options}, not {value!r}")

    def pooled(convolution: nn.Conv2d, normalise: bool) -> nn.Sequential:
        layers = OrderedDict[str, nn.Module](conv=convolution, relu=nn.ReLU(inplace=True))
        if normalise and normalisation != "none":
            layers["norm"] = LocalResponseNorm(5, **_NORMALISATIONS[normalisation])
        layers["pool"] = nn.MaxPool2d(3, 2)
        return nn.Sequential(layers)

    padding = 0 if input_size == 227 else 2
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    conv1 = nn.Conv2d(in_channels, 96, 11, stride=4, padding=padding)  # 55×55×96
    stages["conv1"] = pooled(conv1, normalise=True)  # 27×27×96
    conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=groups)  # 27×27×256
    stages["conv2"] = pooled(conv2, normalise=True)  # 13×13×256
    stages["conv3"] = _convolution(256, 384)  # 13×13×384
    stages["conv4"] = _convolution(384, 384, groups)  # 13×13×384
    conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=groups)  # 13×13×256
    stages["conv5"] = pooled(conv5, normalise=False)  # 6×6×256
    stages["fc6"] = nn.Sequential(
        nn.Flatten(), nn.Linear(9216, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5)
    )  # 4096
    stages["fc7"] = nn.Sequential(
        nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5)
    )  # 4096
    head = nn.Linear(4096, classes)
    network = Network(stages, head, (input_size, input_size, in_channels), fixed_size=True)
    _initialise(network, bias)
    return network


def _convolution(in_channels: int, out_channels: int, groups: int = 1) -> nn.Sequential:
    """A 3×3 convolution, padding 1, and its ReLU."""
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, groups=groups)
    return nn.Sequential(OrderedDict(conv=convolution, relu=nn.ReLU(inplace=True)))


def _initialise(network: Network, bias: float) -> None:
    """Weights of N(0, 0.01²); biases 0 in conv1, conv3 and fc8 (section 5)."""
    zero = ("stages.conv1.", "stages.conv3.", "head.")
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, 0.0, 0.01)
        else:
            nn.init.constant_(parameter, 0.0 if name.startswith(zero) else bias)


def alexnet_one_tower(classes: int = 1000, in_channels: int = 3) -> Network:
    """AlexNet in one tower, the layout whose weights are published; for images from 63×63.

    Args:
        classes: length of the logits.
        in_channels: channels of the images.

    Returns:
        A network of stages ``conv1`` to ``conv5``, each with its pooling, ``fc6``, ``fc7``.
    """

    def pooled(convolution: nn.Conv2d) -> nn.Sequential:
        return nn.Sequential(
            OrderedDict(conv=convolution, relu=nn.ReLU(inplace=True), pool=nn.MaxPool2d(3, 2))
        )

    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["conv1"] = pooled(nn.Conv2d(in_channels, 64, 11, stride=4, padding=2))  # 27×27×64
    stages["conv2"] = pooled(nn.Conv2d(64, 192, 5, padding=2))  # 13×13×192
    stages["conv3"] = _convolution(192, 384)  # 13×13×384
    stages["conv4"] = _convolution(384, 256)  # 13×13×256
    stages["conv5"] = pooled(nn.Conv2d(256, 256, 3, padding=1))  # 6×6×256
    stages["fc6"] = nn.Sequential(
        nn.AdaptiveAvgPool2d(6),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(9216, 4096),
        nn.ReLU(inplace=True),
    )  # 4096
    stages["fc7"] = nn.Sequential(
        nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU(inplace=True)
    )  # 4096
    network = Network(stages, nn.Linear(4096, classes), (224, 224, in_channels))
    for parameter in network.parameters():
        if parameter.dim() == 4:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        elif parameter.dim() == 2:
            nn.init.normal_(parameter, 0.0, 0.005)
        else:
            nn.init.zeros_(parameter)
    return network
