"""``tortie networks``: the table of networks, or one of them stage by stage."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tortie.cli import options, show
from tortie.cli.columns import activations, columns, letter, shape, short_count, side
from tortie.errors import UsageError

if TYPE_CHECKING:
    from tortie.networks.entry import Entry, Published

NAME = "networks"
_DEFAULT = "efficientnet-lite0"


def command(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Name of a network to describe: NAME, NAME(argument=value, ...), or timm:NAME for "
            "a network of timm. Without a name, all networks are listed.",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the network to this file: .png, .svg or .pdf.")
    ] = None,
    photo: Annotated[
        Path | None,
        typer.Option(
            help="With --plot: draw what each stage makes of this photograph, and the first "
            "layer's filters."
        ),
    ] = None,
    transfer: Annotated[
        bool,
        typer.Option(
            help="List a ladder of trained networks by what their frozen features are worth, with "
            "what they cost on this machine (fit --quality takes them)."
        ),
    ] = False,
    weights: Annotated[
        str,
        typer.Option(
            help="With --photo: auto (the network's published weights), imagenet, cifar10, a file, "
            "hf://OWNER/NAME, or none (random)."
        ),
    ] = "auto",
    json: options.Json = False,
) -> None:
    """List the networks, or describe one of them layer by layer.

    The list shows each network's parameters, multiplications and published
    errors.

    Example: tortie networks lenet5

    Example: tortie networks "lenet5(pooling=average, activation=tanh)"
    """
    show.begin(json)
    from tortie.networks.table import TABLE

    if transfer:
        if name is not None or plot is not None or photo is not None:
            raise UsageError("--transfer lists a ladder of networks: give it alone")
        show.result(*_ladder())
        return
    if photo is not None:
        if name is None or plot is None:
            raise UsageError("--photo is for --plot of one network: name it, and a file for it")
        show.result(*_feature_maps(name, plot, photo, weights))
        return

    if name is None:
        if plot is not None:
            raise UsageError("--plot draws one network: name it, as in tortie networks lenet5")
        show.result([entry.document() for entry in TABLE], _table(TABLE))
    else:
        show.result(*_described(name, plot))


def _table(entries: "tuple[Entry, ...]") -> list[str]:
    """A line a network, those with trained weights first; the first error that is published."""
    protocols = list(dict.fromkeys(one.published[0].protocol for one in entries if one.published))
    lines: list[str] = []
    for weights in dict.fromkeys([*(one.default_weights for one in entries), None]):
        if not weights:
            continue
        rows = [_row(one, protocols) for one in entries if one.default_weights == weights]
        lines += [*_section(f"trained weights: {weights}", rows), ""]
    rows = [_row(one, protocols) for one in entries if not one.weights]
    lines += _section("no published weights", rows)
    legend = [f"{letter(number)}  {protocol}" for number, protocol in enumerate(protocols)]
    return [
        *lines,
        "",
        "*  what is taken where no network is named",
        "mult.: multiplications of convolutions and linear layers for one image;",
        "exact figures: tortie networks NAME",
        "top-1, top-5: error in percent, as published, measured on:",
        *legend,
    ]


def _ladder() -> tuple[list[dict[str, Any]], list[str]]:
    """The ladder as JSON, and as lines."""
    import torch

    from tortie.cost.machine import measure
    from tortie.networks.ladder import LADDER

    rates = measure(torch.device("cpu"), seconds=0.3).matrix_rates
    documents, rows = [], []
    for one in LADDER:
        seconds = 1000 * one.multiplications / max(rates.values())
        documents.append(one.document() | {"least_seconds_for_1000": round(seconds, 1)})
        rows.append(
            (
                one.quality or "", f"{one.accuracy:.1f}%", str(one.side),
                short_count(one.multiplications), f"{one.fetched / 1e6:,.0f} MB" if one.fetched
                else "none", f"{seconds:,.0f} s", one.network,
            )
        )  # fmt: skip
    heading = ("quality", "top-1", "side", "mult.", "fetched", "1,000", "network")
    sources = dict.fromkeys(f"{one.protocol}: {one.source}" for one in LADDER)
    lines = [
        *columns(heading, rows, right=(1, 2, 3, 4, 5)),
        "",
        "quality: as fit --quality takes it; the others go by --network",
        "top-1: of ImageNet's validation photographs, in percent, as published, none of it",
        "measured here:",
        *[f"  {source}" for source in sources],
        "1,000: seconds for so many photographs at least, at this machine's matrix rate of",
        f"{short_count(round(max(rates.values())))} multiplications a second",
        "licence of the weights: Apache-2.0; what is fetched needs pip install 'tortie[timm]',",
        "quality high needs pip install 'tortie[lite]'",
    ]
    return documents, lines


def _section(title: str, rows: list[tuple[str | int, ...]]) -> list[str]:
    widest = max(len(str(row[0])) for row in rows)
    heading = (
        "network".ljust(max(widest, 19)), "year", "input", "params", "mult.", "top-1 err",
        "top-5 err", "on",
    )  # fmt: skip
    return [title, *columns(heading, rows, right=(3, 4, 5, 6))]


def _row(entry: "Entry", protocols: list[str]) -> tuple[str | int, ...]:
    error = entry.published[0] if entry.published else None
    return (
        entry.name + ("*" if entry.name == _DEFAULT else ""), str(entry.year or ""),
        shape(entry.preprocessing.shape), short_count(entry.parameters or 0),
        short_count(entry.multiplications or 0), _percent(error.top1 if error else None),
        _percent(error.top5 if error else None),
        letter(protocols.index(error.protocol)) if error else "",
    )  # fmt: skip


def _described(name: str, plot: Path | None) -> tuple[list[dict[str, Any]], list[str]]:
    """One network as JSON, and as lines."""
    from tortie.networks.arguments import arguments_of, parse_network, titled, varied
    from tortie.networks.described import described

    if plot is not None:
        from tortie.cost.pictures import check_format

        check_format(plot)
    table, given = parse_network(name)
    entry = varied(table, given)
    stages = None if given else described(entry.name)
    input_shape: tuple[int, ...] = entry.preprocessing.shape
    if stages is None:
        from tortie.cost.count import count
        from tortie.cost.describe import describe
        from tortie.cost.meta_network import meta_network

        cost = count(meta_network(entry.name, **given))
        stages, input_shape = describe(cost), cost.input
    title = titled(entry.name, given)
    parameters = sum(stage["parameters"] for stage in stages)
    multiplications = sum(stage["multiplications"] for stage in stages)
    arguments = arguments_of(table)
    others = ", of the network with the table's arguments" if entry.given else ""
    document = entry.document() | {
        "given": given,
        "input": list(input_shape),
        "parameters": parameters,
        "multiplications": multiplications,
        "stages": [stage["name"] for stage in stages[:-1]],
        "shapes": {stage["name"]: stage["output"] for stage in stages},
        "multiplications_by_stage": {stage["name"]: stage["multiplications"] for stage in stages},
        "parameters_by_stage": {stage["name"]: stage["parameters"] for stage in stages},
        "layers_by_stage": stages,
        "arguments": [argument.document() for argument in arguments],
    }
    if plot is not None:
        from tortie.cost.drawing import draw_network

        draw_network(title, input_shape, stages, plot)
    lines = [
        f"{title}, {entry.year}" if entry.year else title,
        entry.paper,
        *[_error(error) for error in entry.published],
        *[f"weights: {weights}{others}" for weights in entry.weights],
        *([f"no published weights: {entry.sibling} has them"] if entry.sibling else []),
        _input(entry),
        *([f"{entry.name}(...) takes:"] if arguments else []),
        *[f"  {argument.line()}" for argument in arguments],
        "",
        *_layers(input_shape, stages, parameters, multiplications),
    ]
    return [document], lines + ([f"{plot}"] if plot else [])


def _feature_maps(
    name: str, plot: Path, photo: Path, weights: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Draw a photograph stage by stage; the file as JSON, and as a line."""
    from tortie.cost.feature_maps import draw_feature_maps
    from tortie.files import check_output
    from tortie.networks.arguments import parse_network, varied

    entry = varied(*parse_network(name))
    check_output(plot, True, [photo])
    chosen = entry.default_weights if weights == "auto" else weights
    chosen = None if chosen == "none" else chosen
    draw_feature_maps(entry, chosen, photo, plot)
    document = {"name": entry.title, "file": str(plot), "weights": chosen}
    return [document], [f"{plot}: {entry.title}, weights {chosen or 'random'}"]


def _layers(
    input_shape: tuple[int, ...],
    stages: list[dict[str, Any]],
    parameters: int,
    multiplications: int,
) -> list[str]:
    """A line a stage, and below it one of each layer that it has, if that is not the stage."""
    grouped = any(layer["groups"] > 1 for stage in stages for layer in stage["layers"])
    rows: list[tuple[str | int, ...]] = []
    heading: tuple[str, ...] = ("stage", "f", "s", "p")
    heading += (*(("groups",) if grouped else ()), "activation", "output", "sees")

    def row(name: str, part: dict[str, Any]) -> None:
        groups = (str(part["groups"]) if part["groups"] > 1 else "",) if grouped else ()
        rows.append(
            (
                name, side(part["kernel"]), side(part["stride"]), side(part["padding"]), *groups,
                activations(part["preactivation"], part["activation"]), shape(part["output"]),
                side(part["receptive_field"]) or "all", part["parameters"],
                part["multiplications"],
            )
        )  # fmt: skip

    blank = ("",) * (len(heading) - 3)
    rows.append(("input", *blank, shape(input_shape), "1", "", ""))
    for stage in stages:
        row(stage["name"], stage)
        if len(stage["layers"]) > 1:
            for layer in stage["layers"]:
                times = f" to {layer['last']}" if layer["repeats"] > 1 else ""
                row(f"  {layer['name']}{times}", layer)
    rows.append(("all", *blank, "", "", parameters, multiplications))
    return [
        *columns((*heading, "parameters", "multiplications"), rows),
        "",
        "f, s, p: side of the window, stride, padding; sees: side of what one value sees of the "
        "image",
    ]


def _input(entry: "Entry") -> str:
    own = entry.preprocessing
    levels = ["/".join(f"{level:g}" for level in values) for values in (own.mean, own.std)]
    return (
        f"input: shorter side to {own.resize} ({own.interpolation}), centre {own.height}×"
        f"{own.width}, minus {levels[0]}, by {levels[1]}: {entry.preprocessing_source}"
    )


def _percent(error: float | None) -> str:
    """As many digits as papers print, two at most."""
    if error is None:
        return ""
    return f"{error:.1f}" if round(error, 1) == error else f"{error:.2f}"


def _error(error: "Published") -> str:
    found = [
        f"{_percent(value)}% {name}"
        for name, value in (("top-1", error.top1), ("top-5", error.top5))
        if value is not None
    ]
    return f"error {', '.join(found)}: {error.protocol} ({error.source})"
