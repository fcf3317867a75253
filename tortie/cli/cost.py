"""``tortie cost``: what a network or one convolution costs, to the last multiplication."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tortie.cli import options, show
from tortie.cli.columns import (
    activations,
    columns,
    letter,
    parse_shape,
    shape,
    short_count,
    side,
)
from tortie.errors import UsageError

if TYPE_CHECKING:
    from tortie.cost.compare import Comparison
    from tortie.cost.convolution import ConvolutionCost
    from tortie.cost.count import Cost
    from tortie.cost.operations import Operations
    from tortie.cost.record import Part

NAME = "cost"
_CONV = "Options of tortie cost conv (one convolution)"
_CONVENTION = (
    "multiplications: of convolutions and linear layers, padding counted, and of",
    "attention; other: those of normalisation, pooling and scaling; additions:",
    "accumulations, biases, sums",
)


def command(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Name of a network, several names with --compare, or conv.", show_default=False
        ),
    ],
    input: Annotated[
        str | None,
        typer.Option(
            metavar="HxWxC", help="Input size, such as 224x224x3.", show_default="the paper's"
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(help="Batch size. All figures are those of the whole batch.")
    ] = 1,
    by: Annotated[
        Literal["layer", "stage"], typer.Option(help="Whether each line is a layer or a stage.")
    ] = "stage",
    compare: Annotated[bool, typer.Option("--compare", help="Compare several networks.")] = False,
    kernel: Annotated[int | None, typer.Option(help="Kernel size.", rich_help_panel=_CONV)] = None,
    filters: Annotated[
        int | None, typer.Option(help="Number of filters (output channels).", rich_help_panel=_CONV)
    ] = None,
    stride: Annotated[int, typer.Option(help="Stride.", rich_help_panel=_CONV)] = 1,
    padding: Annotated[
        str,
        typer.Option(
            help="Padding: same, valid, or the number of zeros on each side.", rich_help_panel=_CONV
        ),
    ] = "same",
    groups: Annotated[
        int, typer.Option(help="Number of groups of channels.", rich_help_panel=_CONV)
    ] = 1,
    bottleneck: Annotated[
        int | None,
        typer.Option(
            help="Compare with a bottleneck: a 1×1 convolution with this many filters before it.",
            rich_help_panel=_CONV,
        ),
    ] = None,
    separable: Annotated[
        bool,
        typer.Option(
            "--separable",
            help="Compare with a depthwise separable convolution.",
            rich_help_panel=_CONV,
        ),
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the result to this file: .png, .svg or .pdf.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Count the multiplications, additions, parameters and memory of a network.

    Multiplications are those of convolutions and linear layers, with padding,
    as papers count them. Those of normalisation, pooling and scaling are
    counted separately as other_multiplications.

    Example: tortie cost resnet50 --batch 32

    Example: tortie cost --compare alexnet vgg16 googlenet resnet50 resnet152

    Example: tortie cost conv --input 28x28x192 --kernel 5 --filters 32 --bottleneck 16

    Example: tortie cost conv --input 14x14x512 --kernel 3 --filters 512 --separable
    """
    show.begin(json)
    asked = parse_shape(input) if input else None
    whole = ("--batch", batch != 1), ("--by", by != "stage")
    if names == ["conv"]:
        _refuse(("--compare", compare), *whole)
        if separable:
            _refuse(("--groups", groups != 1), ("--bottleneck", bottleneck))
        pad: int | str = int(padding) if padding.isdecimal() else padding
        show.result(
            *_convolution(
                (asked, kernel, filters), stride, pad, groups, bottleneck, separable, plot
            )
        )
        return
    _refuse(
        ("--kernel", kernel), ("--filters", filters), ("--bottleneck", bottleneck),
        ("--separable", separable), ("--stride", stride != 1), ("--padding", padding != "same"),
        ("--groups", groups != 1),
    )  # fmt: skip
    if compare:
        _refuse(("--input", input), *whole)
        show.result(*_comparison(names, plot))
    elif len(names) > 1:
        raise UsageError(f"{len(names)} networks: --compare sets them side by side")
    else:
        show.result(*_network(names[0], asked, batch, by, plot))


def _refuse(*given: tuple[str, object]) -> None:
    for option, value in given:
        if value:
            raise UsageError(f"{option} says nothing here: see tortie cost --help")


def _network(
    name: str, asked: tuple[int, int, int] | None, batch: int, by: str, plot: Path | None
) -> tuple[dict[str, Any], list[str]]:
    """One network as JSON, and as lines."""
    from tortie.cost.count import count
    from tortie.cost.meta_network import meta_network
    from tortie.networks.arguments import parse_network, titled

    if plot:
        from tortie.cost.pictures import check_format

        check_format(plot)
    entry, given = parse_network(name)
    title = titled(entry.name, given)
    network = meta_network(entry.name, channels=asked[2] if asked else None, **given)
    cost = count(network, asked, batch, training=True)
    parts = cost.layers if by == "layer" else cost.stages
    if plot:
        from tortie.cost.pictures import draw_parts

        draw_parts(title, parts, plot)
    rows = [_row(part, _seen(part) if by == "layer" else ()) for part in parts]
    whole = (cost.parameters, *_arithmetic(cost.arithmetic))
    seen = ("f", "s", "p", "groups", "activation", "sees") if by == "layer" else ()
    rows.append(("all", *("" for _ in seen), "", *whole))
    images = "one image" if batch == 1 else f"{batch} images"
    heading = (
        by, *seen, "output", "parameters", "multiplications", "other", "additions", "comparisons",
    )  # fmt: skip
    return cost.document(title), [
        f"{title}, {images} of {shape(cost.input)}",
        *columns(heading, rows),
        "",
        *_rest(cost),
        *([str(plot)] if plot else []),
    ]


def _row(part: "Part", seen: tuple[str, ...]) -> tuple[str | int, ...]:
    return part.name, *seen, shape(part.output), part.parameters, *_arithmetic(part.arithmetic)


def _seen(part: "Part") -> tuple[str, ...]:
    """Window, stride, padding, groups, activation and receptive field of a layer."""
    own = part.geometry
    return (
        side(own.kernel), side(own.stride), side(own.padding),
        str(own.groups) if own.groups > 1 else "", activations(own.preactivation, own.activation),
        side(own.receptive_field) or "all",
    )  # fmt: skip


def _arithmetic(done: "Operations") -> tuple[int, ...]:
    return (
        done.multiplications, done.other_multiplications, done.additions, done.comparisons,
    )  # fmt: skip


def _rest(cost: "Cost") -> list[str]:
    """Memory, what no column has, and the convention."""
    weights = ", ".join(f"{_bytes(size)} {name}" for name, size in cost.weight_bytes.items())
    lines = [
        f"weights: {weights}",
        f"activations at the worst moment, float32: {_bytes(cost.peak_activation_bytes)}; "
        f"in training {_bytes(cost.peak_training_bytes or 0)}",
    ]
    if cost.side_parameters:
        lines.append(f"side heads, used in training only: {cost.side_parameters:,} parameters more")
    for name, counted in cost.arithmetic.functions.items():
        lines.append(f"{name}: {counted:,} values")
    for name, counted in cost.arithmetic.uncounted.items():
        lines.append(f"not counted: {name}, {counted:,} values")
    if cost.looks_at_values:
        lines.append("its pass depends on values: counted as it ran on one image of random values")
    return [*lines, *_CONVENTION]


def _bytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


def _comparison(names: list[str], plot: Path | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Several networks as JSON, and as lines."""
    from tortie.cost.compare import compare

    if plot:
        from tortie.cost.pictures import check_format

        check_format(plot)
    comparison = compare(names)
    if plot:
        from tortie.cost.pictures import draw_comparison

        draw_comparison(comparison, plot)
    lines = _compared(comparison)
    bare = [one.name for one in comparison.networks if one.error is None]
    if plot and bare:
        lines.append(f"not drawn, as no error of theirs is published: {', '.join(bare)}")
    return comparison.document(), lines + ([str(plot)] if plot else [])


def _compared(comparison: "Comparison") -> list[str]:
    """A line a network, in 80 columns; what its error was measured on below them."""
    published = [one.published for one in comparison.networks if one.published]
    protocols = list(dict.fromkeys(one.protocol for one in published))
    rows = [
        (
            one.name, str(one.year or ""), one.cost.parameters, one.cost.multiplications,
            short_count(one.cost.additions), "" if one.error is None else f"{one.error:.2f}",
            letter(protocols.index(one.published.protocol)) if one.published else "",
        )
        for one in comparison.networks
    ]  # fmt: skip
    heading = (
        "network", "year", "parameters", "multiplications", "additions",
        f"{comparison.measure} err", "on",
    )  # fmt: skip
    return [
        *columns(heading, rows, right=(4, 5)),
        "",
        f"{comparison.measure} err: error in percent, as published, measured on:",
        *(f"{letter(number)}  {protocol}" for number, protocol in enumerate(protocols)),
        *_CONVENTION,
    ]


def _convolution(
    window: tuple[tuple[int, int, int] | None, int | None, int | None], stride: int, pad: Any,
    groups: int, bottleneck: int | None, separable: bool, plot: Path | None,
) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    """One convolution, alone and in one of two cheaper ways, as JSON and as lines."""
    from tortie.cost import convolution as costs

    asked, kernel, filters = window
    if asked is None or kernel is None or filters is None:
        raise UsageError("conv needs --input, --kernel and --filters, as in the example of --help")
    if plot:
        from tortie.cost.pictures import check_format

        check_format(plot)
    convolution = costs.convolution(asked, kernel, filters, stride, pad, groups)
    through = parted = None
    if bottleneck is not None:
        through = costs.bottleneck(asked, kernel, filters, bottleneck, stride, pad, groups)
    elif separable:
        parted = costs.separable(asked, kernel, filters, stride, pad)
    document: dict[str, Any] = {"convolution": convolution.row()}
    drawn: list[tuple[str, list[ConvolutionCost]]] = [("a convolution", [convolution])]
    if through:
        named = [("1×1 convolution", through.reduction), ("convolution", through.convolution)]
        name, both = "bottleneck", through.multiplications
    elif parted:
        named = [("of each map", parted.depthwise), ("across maps, 1×1", parted.pointwise)]
        name, both = "separable", parted.multiplications
    else:
        named, name, both = [], "", convolution.multiplications
    lines = _convolutions([(f"without {name}" if name else "convolution", convolution), *named])
    if named:
        first, second = (cost for _, cost in named)
        saving = convolution.multiplications / both
        document |= {name: [first.row(), second.row()], "saving": saving}
        drawn.append((name, [first, second]))
        lines.append(
            f"{first.multiplications:,} + {second.multiplications:,} = {both:,} multiplications, "
            f"{saving:.1f} times fewer than {convolution.multiplications:,}"
        )
    if plot:
        from tortie.cost.drawing import draw_convolutions

        draw_convolutions(drawn, plot)
        lines.append(str(plot))
    return document | {"multiplications": both}, lines


def _convolutions(named: "list[tuple[str, ConvolutionCost]]") -> list[str]:
    rows = [
        (name, shape(one.input), f"{one.kernel}×{one.kernel}", shape(one.output),
         one.parameters, one.multiplications, one.additions)
        for name, one in named
    ]  # fmt: skip
    heading = ("", "input", "kernel", "output", "parameters", "multiplications", "additions")
    return [*columns(heading, rows), "multiplications: padding counted"]
