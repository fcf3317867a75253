"""What one convolution costs, and what a bottleneck or parting it into two saves.

The example of the lectures: 28×28×192 into 32 filters of 5×5 takes 120,422,400 multiplications;
through 16 filters of 1×1 first, 2,408,448 + 10,035,200 = 12,443,648. And of MobileNet's paper: 3×3
filters parted into one of each map and 1×1 across the maps take 8 to 9 times fewer.
"""

from dataclasses import dataclass
from typing import Any, Literal

from tortie.errors import UsageError


@dataclass(frozen=True)
class ConvolutionCost:
    """The cost of one convolution of one image.

    Attributes:
        input: ``(height, width, channels)``.
        output: ``(height, width, filters)``.
        kernel: side of the filters.
        stride: of both directions.
        padding: as it was given.
        groups: parts of the channels.
        multiplications: padding counted.
        additions: accumulations, and one a value for the bias.
        parameters: weights and biases.
    """

    input: tuple[int, int, int]
    output: tuple[int, int, int]
    kernel: int
    stride: int
    padding: str | int
    groups: int
    multiplications: int
    additions: int
    parameters: int

    def row(self) -> dict[str, Any]:
        """As one row of a table, JSON's types only."""
        return {
            "input": list(self.input),
            "output": list(self.output),
            "kernel": self.kernel,
            "stride": self.stride,
            "padding": self.padding,
            "groups": self.groups,
            "multiplications": self.multiplications,
            "additions": self.additions,
            "parameters": self.parameters,
        }


@dataclass(frozen=True)
class Bottleneck:
    """A convolution, and the same through fewer channels.

    Attributes:
        direct: the convolution alone.
        reduction: the 1×1 convolution to fewer channels.
        convolution: the convolution of those.
    """

    direct: ConvolutionCost
    reduction: ConvolutionCost
    convolution: ConvolutionCost

    @property
    def multiplications(self) -> int:
        """Of the 1×1 convolution and the convolution after it."""
        return self.reduction.multiplications + self.convolution.multiplications

    @property
    def saving(self) -> float:
        """How many times fewer multiplications than the convolution alone takes."""
        return self.direct.multiplications / self.multiplications


@dataclass(frozen=True)
class Separable:
    """A convolution, and the same parted in two (depthwise separable).

    Attributes:
        direct: the convolution alone.
        depthwise: one filter of each map by itself.
        pointwise: the 1×1 convolution across the maps.
    """

    direct: ConvolutionCost
    depthwise: ConvolutionCost
    pointwise: ConvolutionCost

    @property
    def multiplications(self) -> int:
        """Of both parts."""
        return self.depthwise.multiplications + self.pointwise.multiplications

    @property
    def saving(self) -> float:
        """How many times fewer multiplications than the convolution alone takes."""
        return self.direct.multiplications / self.multiplications


def convolution(
    input: tuple[int, int, int],
    kernel: int,
    filters: int,
    stride: int = 1,
    padding: Literal["same", "valid"] | int = "same",
    groups: int = 1,
) -> ConvolutionCost:
    """The cost of a convolution with biases of one image.

    Args:
        input: ``(height, width, channels)``.
        kernel: side of the filters.
        filters: channels of the output.
        stride: of both directions.
        padding: zeros on each side; ``"valid"`` for none; ``"same"`` for as many as make the output
            ``ceil(side / stride)``.
        groups: parts into which channels and filters are divided, each seeing its own.

    Raises:
        UsageError: a shape that cannot be.
    """
    height, width, channels = input
    for name, value in (
        ("height", height), ("width", width), ("channels", channels), ("kernel", kernel),
        ("filters", filters), ("stride", stride), ("groups", groups),
    ):  # fmt: skip
        if value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}")
    if channels % groups or filters % groups:
        raise UsageError(
            f"groups must divide channels and filters: {groups} does not divide "
            f"{channels} and {filters}"
        )
    out_height = _side("height", height, kernel, stride, padding)
    out_width = _side("width", width, kernel, stride, padding)
    values = out_height * out_width * filters
    products = kernel * kernel * (channels // groups)
    return ConvolutionCost(
        input=input,
        output=(out_height, out_width, filters),
        kernel=kernel,
        stride=stride,
        padding=padding,
        groups=groups,
        multiplications=values * products,
        additions=values * products,  # products - 1 accumulations and the bias
        parameters=filters * (products + 1),
    )


def _side(name: str, side: int, kernel: int, stride: int, padding: str | int) -> int:
    """Values along one side of the output."""
    if padding == "same":
        return -(-side // stride)
    if padding == "valid":
        padding = 0
    if not isinstance(padding, int) or padding < 0:
        raise UsageError(f"padding must be same, valid or a number from 0, not {padding!r}")
    padded = side + 2 * padding
    if padded < kernel:
        raise UsageError(
            f"a kernel of {kernel} does not fit into a {name} of {side} padded by {padding}: "
            "use a smaller kernel or more padding"
        )
    return (padded - kernel) // stride + 1


def bottleneck(
    input: tuple[int, int, int],
    kernel: int,
    filters: int,
    through: int,
    stride: int = 1,
    padding: Literal["same", "valid"] | int = "same",
    groups: int = 1,
) -> Bottleneck:
    """The cost of a convolution alone, and after a 1×1 convolution to ``through`` channels.

    Args:
        input: ``(height, width, channels)``.
        kernel: side of the filters.
        filters: channels of the output.
        through: filters of the 1×1 convolution.
        stride: of the convolution; the 1×1 has none.
        padding: of the convolution.
        groups: of the convolution.

    Raises:
        UsageError: a shape that cannot be.
    """
    height, width, _ = input
    return Bottleneck(
        direct=convolution(input, kernel, filters, stride, padding, groups),
        reduction=convolution(input, 1, through),
        convolution=convolution((height, width, through), kernel, filters, stride, padding, groups),
    )


def separable(
    input: tuple[int, int, int],
    kernel: int,
    filters: int,
    stride: int = 1,
    padding: Literal["same", "valid"] | int = "same",
) -> Separable:
    """The cost of a convolution alone, and parted into one of each map and one across the maps.

    Args:
        input: ``(height, width, channels)``.
        kernel: side of the filters.
        filters: channels of the output.
        stride: of the convolution, and of the depthwise part.
        padding: of them.

    Raises:
        UsageError: a shape that cannot be.
    """
    channels = input[2]
    depthwise = convolution(input, kernel, channels, stride, padding, groups=channels)
    return Separable(
        direct=convolution(input, kernel, filters, stride, padding),
        depthwise=depthwise,
        pointwise=convolution(depthwise.output, 1, filters),
    )
