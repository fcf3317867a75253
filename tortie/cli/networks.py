"""``tortie networks``: the table of networks, or one of them stage by stage."""

from typing import Annotated, Any

import typer

from tortie.cli import options, show

NAME = "networks"


def command(
    name: Annotated[str | None, typer.Argument(help="One network, stage by stage.")] = None,
    json: options.Json = False,
) -> None:
    """List the networks with their papers and sizes.

    Example: tortie networks lenet5
    """
    show.begin(json)
    from tortie.networks.describe import describe
    from tortie.networks.table import TABLE, find

    if name is None:
        described = [describe(entry) for entry in TABLE]
        show.result(described, _table(described))
    else:
        one = describe(find(name))
        show.result([one], _stages(one))


def _table(described: list[dict[str, Any]]) -> list[str]:
    width = max(len(one["name"]) for one in described)
    lines = [f"{'network':{width}}  year  input        parameters  weights"]
    for one in described:
        size = "×".join(map(str, one["input"]))
        weights = ", ".join(one["weights"]) or "none"
        lines.append(
            f"{one['name']:{width}}  {one['year']}  {size:11}  {one['parameters']:>10,}  {weights}"
        )
    return lines


def _stages(one: dict[str, Any]) -> list[str]:
    lines = [f"{one['name']}: {one['paper']}, {one['year']}"]
    lines.append(f"{'input':12}  {'×'.join(map(str, one['input']))}")
    for name, shape in one["shapes"].items():
        lines.append(f"{name:12}  {'×'.join(map(str, shape))}")
    return [*lines, f"{one['parameters']:,} parameters"]
