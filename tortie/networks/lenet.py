"""LeNet-5, the network that read cheques: as it is built today, and as it was printed.

Paper: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition",
Proc. IEEE 86(11), 1998, section II-B and figure 2.
Today's form: input 28×28×1, padded by 2 to the paper's 32×32; 61,706 parameters, 416,520
multiplications.

Departures of today's form from the paper: every C3 map sees all of S2; pooling has no parameters;
ReLU and max pooling by default; a linear output under softmax for the radial basis functions.
"""

from collections import OrderedDict
from typing import Literal

from torch import nn

from tortie.errors import UsageError
from tortie.networks.network import Network

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
_POOLINGS: dict[str, type[nn.Module]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
_PLACES = ("convolution", "pooling")


def lenet5(
    classes: int = 10,
    in_channels: int = 1,
    activation: Literal["relu", "tanh", "sigmoid"] = "relu",
    pooling: Literal["max", "average"] = "max",
    activation_after: Literal["convolution", "pooling"] = "convolution",
) -> Network:
    """LeNet-5 as it is built today, for images of 28×28.

    Args:
        classes: length of the logits.
        in_channels: channels of the images.
        activation: the non-linearity of all layers up to F6.
        pooling: how S2 and S4 subsample 2×2 to 1.
        activation_after: where the non-linearity of C1 and C3 stands: right after the convolution,
            or after the pooling (with ReLU and max pooling the two are equal).

    Returns:
        A network of stages ``c1``, ``s2``, ``c3``, ``s4``, ``c5``, ``f6``.

    Raises:
        UsageError: an argument that is none of its choices.
    """
    for name, value, choices in (
        ("activation", activation, tuple(_ACTIVATIONS)),
        ("pooling", pooling, tuple(_POOLINGS)),
        ("activation_after", activation_after, _PLACES),
    ):
        if value not in choices:
            raise UsageError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
    act, pool = _ACTIVATIONS[activation], _POOLINGS[pooling]
    after_pooling = activation_after == "pooling"

    def convolution(inputs: int, outputs: int, padding: int = 0) -> nn.Module:
        layer = nn.Conv2d(inputs, outputs, 5, padding=padding)
        return layer if after_pooling else nn.Sequential(layer, act())

    def subsampling() -> nn.Module:
        return nn.Sequential(pool(2), act()) if after_pooling else pool(2)

    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["c1"] = convolution(in_channels, 6, padding=2)  # 28×28×6
    stages["s2"] = subsampling()  # 14×14×6
    stages["c3"] = convolution(6, 16)  # 10×10×16
    stages["s4"] = subsampling()  # 5×5×16
    stages["c5"] = nn.Sequential(nn.Flatten(), nn.Linear(400, 120), act())  # 120
    stages["f6"] = nn.Sequential(nn.Linear(120, 84), act())  # 84
    network = Network(stages, nn.Linear(84, classes), (28, 28, in_channels), fixed_size=True)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            # The paper's uniform ±2.4 / fan-in is made for its own scaled tanh.
            if activation == "relu":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            else:
                nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    nn.init.xavier_normal_(network.head.weight)  # type: ignore[arg-type]
    return network
