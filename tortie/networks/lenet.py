"""LeNet-5, the network that read cheques: as it is built today, and as it was printed.

Paper: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition",
Proc. IEEE 86(11), 1998, section II-B and figure 2.
Today's form: input 28×28×1, padded by 2 to the paper's 32×32; 61,706 parameters, 416,520
multiplications. As printed: input 32×32×1, 60,000 parameters, 340,908 connections (of which 840 are
those of the output's fixed codes).

Departures of today's form from the paper: every C3 map sees all of S2; pooling has no parameters;
ReLU and max pooling by default; a linear output under softmax for the radial basis functions.
Departures of the printed form: none in its maps; the codes of figure 3 are drawn anew. Where the
paper says two things: S2 and S4 *add* four inputs (II-B), they do not average them (II-A), which
differs in the coefficient's scale alone; both C and S layers squash.
"""

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tortie.errors import UsageError
from tortie.networks.network import Network

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
_POOLINGS: dict[str, type[nn.Module]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
_PLACES = ("convolution", "pooling")


# Table I: the S2 maps that each C3 map sees.
C3_TABLE = (
    (0, 1, 2),
    (1, 2, 3),
    (2, 3, 4),
    (3, 4, 5),
    (0, 4, 5),
    (0, 1, 5),
    (0, 1, 2, 3),
    (1, 2, 3, 4),
    (2, 3, 4, 5),
    (0, 3, 4, 5),
    (0, 1, 4, 5),
    (0, 1, 2, 5),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)

# Figure 3: digits on 7×12 pixels, ten side by side. "#" is +1, "." is -1.
_DIGITS = """
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
..###.. ...#... ..####. .#####. ....##. ####### ..####. ####### ..###.. ..###..
.##.##. ..##... .##..## ##...## ...###. ##..... .##.... ##...## .##.##. .##.##.
##...## .###... ##...## .....## ..####. ##..... ##..... .....## ##...## ##...##
##...## ...#... .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##...## ...#... ....##. ..####. ##..##. #####.. ######. ....##. .##.##. ##...##
##...## ...#... ...##.. .....## ##..##. ....##. ##...## ...##.. ..###.. .######
##...## ...#... ..##... .....## ####### .....## ##...## ...##.. .##.##. .....##
##...## ...#... .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
.##.##. ...#... ##..... ##...## ....##. ##..##. .##.##. ..##... .##.##. ....##.
..###.. .#####. ####### .#####. ....##. .####.. ..###.. ..##... ..###.. .####..
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""


def digit_codes() -> Tensor:
    """The codes of the ten digits, ``(10, 84)``, each a 7×12 picture of -1 and +1, row by row."""
    rows = [row.split() for row in _DIGITS.split("\n") if row]
    pictures = ["".join(row[digit] for row in rows) for digit in range(10)]
    return torch.tensor([[1.0 if pixel == "#" else -1.0 for pixel in code] for code in pictures])


class ScaledTanh(nn.Module):
    """The paper's squashing function, 1.7159 tanh(2a / 3): 1 at 1, -1 at -1 (appendix A)."""

    def forward(self, activations: Tensor) -> Tensor:
        """Any shape, to values in (-1.7159, 1.7159)."""
        return 1.7159 * torch.tanh(activations * (2 / 3))


class Subsampling(nn.Module):
    """S2 and S4: the sum of 2×2 inputs times a coefficient plus a bias, one of each a map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.empty(maps, 1, 1))
        self.bias = nn.Parameter(torch.empty(maps, 1, 1))
        self.sum = nn.AvgPool2d(2, divisor_override=1)

    def forward(self, maps: Tensor) -> Tensor:
        """``(N, maps, H, W)`` to ``(N, maps, H / 2, W / 2)``."""
        return self.sum(maps) * self.coefficient + self.bias


class PartialConv2d(nn.Module):
    """C3: 5×5 convolutions each of which sees the maps of its row of :data:`C3_TABLE` alone."""

    maps_of_3: Tensor
    maps_of_4: Tensor
    maps_of_6: Tensor
    kernel_of: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        by_length = [row for fan_in in (3, 4, 6) for row in C3_TABLE if len(row) == fan_in]
        numbers = torch.full((16, 6), sum(map(len, by_length)))  # the last kernel is zero
        pairs = [(output, source) for output, row in enumerate(by_length) for source in row]
        for kernel, (output, source) in enumerate(pairs):
            numbers[output, source] = kernel
        self.register_buffer("kernel_of", numbers, persistent=False)
        for fan_in in (3, 4, 6):  # rows of one length are one grouped convolution
            rows = [row for row in C3_TABLE if len(row) == fan_in]
            seen = torch.tensor([source for row in rows for source in row])
            self.register_buffer(f"maps_of_{fan_in}", seen)
            self.convolutions.append(nn.Conv2d(fan_in * len(rows), len(rows), 5, groups=len(rows)))

    def forward(self, maps: Tensor) -> Tensor:
        """``(N, 6, H, W)`` to ``(N, 16, H - 4, W - 4)``."""
        if self.training:
            return self._dense(maps)
        seen = (self.maps_of_3, self.maps_of_4, self.maps_of_6)
        parts = [
            convolution(maps.index_select(1, sources))
            for convolution, sources in zip(self.convolutions, seen, strict=True)
        ]
        return torch.cat(parts, dim=1)

    def _dense(self, maps: Tensor) -> Tensor:
        """The same with the 36 absent kernels as zeros: a step is 3.5 times as fast."""
        layers = [layer for layer in self.convolutions if isinstance(layer, nn.Conv2d)]
        kernels = [layer.weight.reshape(-1, 5, 5) for layer in layers]
        kernels.append(kernels[0].new_zeros(1, 5, 5))
        bias = torch.cat([layer.bias for layer in layers if layer.bias is not None])
        return F.conv2d(maps, torch.cat(kernels)[self.kernel_of], bias)


class EuclideanRBF(nn.Module):
    """The output: minus the squared distance of F6 to the fixed code of each class.

    The paper's y is that distance, a penalty; its negative is largest for the best class, as logits
    are.
    """

    codes: Tensor

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes)

    def forward(self, activations: Tensor) -> Tensor:
        """``(N, 84)`` to ``(N, classes)``, at most 0."""
        difference = activations.unsqueeze(1) - self.codes
        return -(difference * difference).sum(dim=2)


def rbf_loss(logits: Tensor, labels: Tensor, rubbish: float = 1.0) -> Tensor:
    """The paper's discriminative loss, equation 9: mean of y_D + log(exp(-j) + sum exp(-y_i)).

    Args:
        logits: ``(N, classes)``, minus the penalties y.
        labels: ``(N,)``, classes as int64.
        rubbish: j, the penalty of the rubbish class; the paper prints no value.

    Returns:
        The mean over the batch, a scalar.
    """
    all_classes = nn.functional.pad(logits, (0, 1), value=-rubbish).logsumexp(dim=1)
    return (all_classes - logits.gather(1, labels.unsqueeze(1)).squeeze(1)).mean()


def connections() -> dict[str, int]:
    """Connections of each layer of LeNet-5 as printed: what a unit sees, its bias, times units."""
    pairs = sum(len(row) for row in C3_TABLE)
    return {
        "c1": 28 * 28 * 6 * (25 + 1),
        "s2": 14 * 14 * 6 * (4 + 1),
        "c3": 10 * 10 * (pairs * 25 + 16),
        "s4": 5 * 5 * 16 * (4 + 1),
        "c5": 120 * (16 * 25 + 1),
        "f6": 84 * (120 + 1),
        "head": 10 * 84,
    }


def lenet5_1998(classes: int = 10, input_size: Literal[28, 32] = 32) -> Network:
    """LeNet-5 as printed, for images of 32×32 whose background is -0.1 and whose ink is 1.175.

    Train it by :func:`rbf_loss`.

    Args:
        classes: length of the logits. Ten classes take the codes of the digits; any other number
            takes random codes of -1 and +1, which the paper allows too.
        input_size: 32; or 28, padded by 2 with the background inside C1, as MNIST's digits need.

    Returns:
        A network of stages ``c1``, ``s2``, ``c3``, ``s4``, ``c5``, ``f6``.

    Raises:
        UsageError: another input size.
    """
    if input_size not in (28, 32):
        raise UsageError(f"input_size must be 32, or 28 to be padded, not {input_size!r}")
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    pad = [nn.ConstantPad2d(2, -0.1)] if input_size == 28 else []
    stages["c1"] = nn.Sequential(*pad, nn.Conv2d(1, 6, 5), ScaledTanh())  # 28×28×6
    stages["s2"] = nn.Sequential(Subsampling(6), ScaledTanh())  # 14×14×6
    stages["c3"] = nn.Sequential(PartialConv2d(), ScaledTanh())  # 10×10×16
    stages["s4"] = nn.Sequential(Subsampling(16), ScaledTanh())  # 5×5×16
    stages["c5"] = nn.Sequential(nn.Conv2d(16, 120, 5), nn.Flatten(), ScaledTanh())  # 120
    stages["f6"] = nn.Sequential(nn.Linear(120, 84), ScaledTanh())  # 84
    codes = digit_codes() if classes == 10 else torch.randint(0, 2, (classes, 84)) * 2.0 - 1.0
    for stage in stages.values():
        for layer in stage.modules():
            _initialise_1998(layer)
    return Network(stages, EuclideanRBF(codes), (input_size, input_size, 1), fixed_size=True)


@torch.no_grad()
def _initialise_1998(layer: nn.Module) -> None:
    """Uniform within ±2.4 / fan-in of the unit, biases too (appendix A)."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        bound = 2.4 / layer.weight[0].numel()
    elif isinstance(layer, Subsampling):
        bound = 2.4 / 4
    else:
        return
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound)


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
            # The paper's uniform ±2.4 / fan-in is made for its own scaled tanh. With ReLU, Glorot's
            # keeps the first logits small: max pooling lifts what He's would keep level.
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return network
