"""VGG: small filters, many of them; depth made uniform.

Paper: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
recognition", arXiv:1409.1556, 2014, tables 1 and 2.
Input 224×224×3. Parameters: A and A-LRN 132,863,336, B 133,047,848, C 133,638,952, D (VGG-16)
138,357,544, E (VGG-19) 143,667,240. Multiplications: 7,609,090,048, 11,308,466,176,
11,770,888,192, 15,470,264,320, 19,632,062,464.

Departures: weights start as Glorot's uniform, with which the authors later found their networks to
train from scratch (section 3.1); the printed variance of 10⁻² diverges. Batch normalisation is not
in the paper; with it, convolutions keep their biases, as in the published weights, and the linear
layers, whose input it no longer lets fade, start as N(0, 0.01²).
"""

from collections import OrderedDict
from typing import Literal

from torch import nn

from tortie.errors import UsageError
from tortie.networks.layers import LocalResponseNorm
from tortie.networks.network import Network

# Table 1: kernels of the convolutions of blocks 1 to 5. C's third ones are 1×1.
_CONFIGURATIONS = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "A-LRN": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}
_CHANNELS = (64, 128, 256, 512, 512)


def vgg(
    configuration: Literal["A", "A-LRN", "B", "C", "D", "E"] = "D",
    classes: int = 1000,
    in_channels: int = 3,
    batch_norm: bool = False,
) -> Network:
    """VGG in one of the paper's configurations, for images of 224×224.

    Args:
        configuration: column of table 1; D is VGG-16, E is VGG-19.
        classes: length of the logits.
        in_channels: channels of the images.
        batch_norm: batch normalisation after each convolution.

    Returns:
        A network of stages ``conv1_1``, ..., ``maxpool1``, ``conv2_1``, ..., ``maxpool5``,
        ``fc6``, ``fc7``.

    Raises:
        UsageError: no such configuration.
    """
    if configuration not in _CONFIGURATIONS:
        raise UsageError(
            f"configuration must be one of {', '.join(_CONFIGURATIONS)}, not {configuration!r}"
        )
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    channels = in_channels
    blocks = zip(_CONFIGURATIONS[configuration], _CHANNELS, strict=True)
    for block, (kernels, width) in enumerate(blocks, 1):
        for place, kernel in enumerate(kernels, 1):
            layers: OrderedDict[str, nn.Module] = OrderedDict()
            layers["conv"] = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
            if batch_norm:
                layers["norm"] = nn.BatchNorm2d(width)
            layers["relu"] = nn.ReLU(inplace=True)
            if configuration == "A-LRN" and block == 1:
                # AlexNet's constants, in torch's convention (the mean over 5 maps).
                layers["lrn"] = LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
            stages[f"conv{block}_{place}"] = nn.Sequential(layers)
            channels = width
        # 112×112×64, 56×56×128, 28×28×256, 14×14×512, 7×7×512
        stages[f"maxpool{block}"] = nn.MaxPool2d(2)
    stages["fc6"] = nn.Sequential(
        nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5)
    )  # 4096
    stages["fc7"] = nn.Sequential(
        nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5)
    )  # 4096
    network = Network(stages, nn.Linear(4096, classes), (224, 224, in_channels), fixed_size=True)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if batch_norm and isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0.0, 0.01)
            else:
                nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return network
