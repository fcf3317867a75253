"""``tortie networks``: the table of networks, or one of them stage by stage."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tortie.cli import options, show
from tortie.cli.columns import columns, shape
from tortie.errors import UsageError

if TYPE_CHECKING:
    from tortie.networks.entry import Entry, Published

NAME = "networks"


def command(
    name: Annotated[
        str | None, typer.Argument(help="One network, stage by stage; timm:NAME for one of timm's.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw that network's stages: a .png, .svg or .pdf.")
    ] = None,
    json: options.Json = False,
) -> None:
    """List the networks with their papers, sizes and published errors, or describe one.

    Example: tortie networks lenet5
    """
    show.begin(json)
    from tortie.networks.table import TABLE, find

    if name is None:
        if plot is not None:
            raise UsageError("--plot draws one network: name it, as in tortie networks lenet5")
        show.result([entry.document() for entry in TABLE], _table(TABLE))
    else:
        show.result(*_described(find(name), plot))


def _table(entries: "tuple[Entry, ...]") -> list[str]:
    """A line a network; the first error that is published, its protocol by letter."""
    protocols = list(dict.fromkeys(one.published[0].protocol for one in entries if one.published))
    rows = []
    for entry in entries:
        error = entry.published[0] if entry.published else None
        rows.append(
            (
                entry.name, _authors(entry.paper), str(entry.year or ""),
                shape(entry.preprocessing.shape), entry.parameters or "",
                entry.multiplications or "", _percent(error.top1 if error else None),
                _percent(error.top5 if error else None),
                chr(ord("a") + protocols.index(error.protocol)) if error else "",
                ", ".join(entry.weights),
            )
        )  # fmt: skip
    heading = (
        "network", "paper", "year", "input", "parameters", "multiplications", "top-1", "top-5",
        "on", "weights",
    )  # fmt: skip
    legend = [f"{chr(ord('a') + i)}  {protocol}" for i, protocol in enumerate(protocols)]
    return [
        *columns(heading, rows),
        "",
        "top-1, top-5: error in percent, as published, measured on:",
        *legend,
        "multiplications: of convolutions and linear layers for one image, padding counted",
    ]


def _described(entry: "Entry", plot: Path | None) -> tuple[list[dict[str, Any]], list[str]]:
    """One network as JSON, and as lines."""
    from tortie.cost.count import count
    from tortie.cost.meta_network import meta_network

    cost = count(meta_network(entry.name))
    document = entry.document() | {
        "parameters": cost.parameters,
        "multiplications": cost.multiplications,
        "stages": [stage.name for stage in cost.stages[:-1]],
        "shapes": {stage.name: list(stage.output) for stage in cost.stages},
        "multiplications_by_stage": {stage.name: stage.multiplications for stage in cost.stages},
        "parameters_by_stage": {stage.name: stage.parameters for stage in cost.stages},
    }
    if plot is not None:
        from tortie.cost.blocks import draw_network

        draw_network(entry.name, cost, plot)
    rows: list[tuple[str | int, ...]] = [("input", shape(cost.input), "", "")]
    rows += [(s.name, shape(s.output), s.parameters, s.multiplications) for s in cost.stages]
    rows.append(("all", "", cost.parameters, cost.multiplications))
    sibling = [f"no published weights: {entry.sibling} has them"] if entry.sibling else []
    lines = [
        f"{entry.name}, {entry.year}" if entry.year else entry.name,
        entry.paper,
        *[_error(error) for error in entry.published],
        *[f"weights: {weights}" for weights in entry.weights],
        *sibling,
        "",
        *columns(("stage", "output", "parameters", "multiplications"), rows),
    ]
    return [document], lines + ([f"{plot}"] if plot else [])


def _authors(paper: str) -> str:
    """The paper's authors, three and more by the first."""
    names = paper.split(":")[0].split(", ")
    return ", ".join(names) if len(names) < 3 else f"{names[0]} et al."


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
