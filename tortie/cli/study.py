"""``tortie study``: the claims of the case studies as experiments."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tortie.cli import options, show
from tortie.errors import UsageError

if TYPE_CHECKING:
    from tortie.experiments.run_study import Order
    from tortie.experiments.study_result import Result

NAME = "study"


def command(
    name: Annotated[
        str | None, typer.Argument(help="Name of a study.", show_default="list them")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Run every study, and write one page of all.")
    ] = False,
    scale: Annotated[
        Literal["quick", "full"],
        typer.Option(help="Minutes on two cores, or the paper's protocol, made for a GPU."),
    ] = "quick",
    seeds: Annotated[
        int | None, typer.Option(help="Number of seeds.", show_default="the study's")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of photographs, one folder per class, in place of the study's own.",
            show_default="data that needs no download",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the results.",
            show_default="NAME.study, or studies with --all",
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what would be run and what it costs, and stop.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Try a claim about convolutional networks: a table, a figure, a verdict.

    Without a name, list the claims. A study that was stopped goes on with the
    same command. The verdict is held, did not hold, or undecided at this
    scale, by a rule that is fixed before the run.

    Example: tortie study

    Example: tortie study depth

    Example: tortie study --all -o studies
    """
    show.begin(json, quiet)
    from tortie.experiments.run_study import order
    from tortie.studies import find

    if name is None and not everything:
        show.result(*_list())
        return
    if name is not None and everything:
        raise UsageError(f"{name} and --all: give one of them")
    if name is None:
        orders = _all(scale, seeds, data, output or Path("studies"))
    else:
        orders = [order(find(name), scale, seeds, data, output)]
    _announce(orders)
    if plan:
        show.result([_planned(order) for order in orders], [])
        return
    results = _run(orders)
    lines = [
        line for result, order in zip(results, orders, strict=True) for line in _told(result, order)
    ]
    if everything:
        lines += _article(results, orders)
    documents = [result.document() for result in results]
    show.result(documents if everything else documents[0], lines)


def _list() -> tuple[list[dict[str, Any]], list[str]]:
    """All claims: a line with the name, the claim and the minutes, one with the source."""
    from tortie.studies import find, names

    documents, lines = [], []
    for name in names():
        study = find(name)
        minutes = study.scales["quick"].minutes
        documents.append(
            {
                "study": name, "claim": study.claim, "source": study.source,
                "minutes": minutes, "data": study.data,
            }
        )  # fmt: skip
        took = f"{minutes:g} min" if minutes else "not timed"
        lines += [f"{name:<13} {study.claim}", f"{'':<13} {study.source}; {took}"]
    lines += ["", "tortie study NAME runs one; tortie study --all runs all, and writes one page"]
    return documents, lines


def _all(
    scale: Literal["quick", "full"], seeds: int | None, data: Path | None, home: Path
) -> "list[Order]":
    from tortie.experiments.run_study import order
    from tortie.studies import find, names

    return [order(find(one), scale, seeds, data, home / f"{one}.study") for one in names()]


def _announce(orders: "list[Order]") -> None:
    """The plan of each, on stderr."""
    from tortie.experiments.intervals import RULE

    for order in orders:
        planned = _planned(order)
        show.say(f"{order.study.name}: {order.study.claim}")
        for heading in ("source", "data", "about", "cells", "time", "folder"):
            show.say(f"{heading:>12}  {planned[heading]}")
        for line in planned["criteria"]:
            show.say(f"{'claimed':>12}  {line}")
    show.say(f"{'rule':>12}  {RULE}")


def _planned(order: "Order") -> dict[str, Any]:
    from tortie.experiments.estimate import estimate

    study, size, seeds = order.study, order.size, len(order.seeds)
    instead = f" Here on {order.data} in place of these." if order.data and not size.needs else ""
    return {
        "study": study.name,
        "claim": study.claim,
        "source": study.source,
        "scale": order.scale,
        "data": str(order.data) if order.data else study.data,
        "about": size.about + instead,
        "seeds": list(order.seeds),
        "cells": f"{len(size.cells)} for each of {seeds} seeds"
        if seeds > 1
        else f"{len(size.cells)}",
        "time": estimate(order),
        "folder": str(order.folder),
        "criteria": [f"{one.what}: {one.wanted}" for one in study.criteria],
    }


def _run(orders: "list[Order]") -> "list[Result]":
    from tortie.experiments.run_study import run

    return [run(order, show.say) for order in orders]


def _told(result: "Result", order: "Order") -> list[str]:
    """The table, the findings and the verdict, as lines."""
    from tortie.experiments.study_pages import brackets

    headings, rows = result.table()
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    table = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in (headings, *rows)
    ]
    return [
        result.study.claim,
        *table,
        f"{brackets(result)} Data: {result.data['about']}",
        *result.findings(),
        f"verdict on {result.study.name}: {result.verdict}",
        f"figure {order.folder / 'figure.svg'}, all of it {order.folder / 'README.md'}",
    ]


def _article(results: "list[Result]", orders: "list[Order]") -> list[str]:
    """Write the page of all studies beside their folders."""
    from tortie.experiments.study_pages import write_article

    path = orders[0].folder.parent / "studies.html"
    write_article(results, [order.folder for order in orders], path)
    return [f"page {path}"]
