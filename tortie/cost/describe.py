"""A network in words: each stage with the layers that look at maps, repeated blocks told once.

``python -m tortie.cost.describe`` prints the descriptions of all networks of the table, which are
kept in ``tortie/networks/layers.json`` so that showing one need not import torch.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

from tortie.cost.count import Cost
from tortie.cost.record import Part

_LEFT_OUT = ("Norm", "Dropout", "Flatten", "Identity", "StochasticDepth", "ConstantPad2d")


def describe(cost: Cost) -> list[dict[str, Any]]:
    """The stages of a network, the head last, each with its layers.

    Args:
        cost: of one image.

    Returns:
        A document a stage, JSON's types only: ``name``, ``output``, ``parameters``,
        ``multiplications``, what its layers see (:class:`tortie.cost.geometry.Geometry`), and
        ``layers``: convolutions, poolings and linear layers. Blocks in a row that differ in nothing
        but their number are told once: ``repeats`` says how many, ``last`` the name in the last of
        them; parameters and multiplications are of all of them together, the receptive field is the
        last's. ``joins`` says where branches meet: ``add`` or ``cat``, and the layers of each; an
        empty one is the input itself. ``activation`` is the one that follows a layer.
    """
    described = [
        {
            "name": stage.name,
            "output": list(stage.output),
            "parameters": stage.parameters,
            "multiplications": stage.multiplications,
            **stage.geometry.row(),
            "layers": list(_rows(stage.name, cost.layers)),
            "joins": list(_joins(stage.name, cost)),
        }
        for stage in cost.stages
    ]
    for stage in described:  # those of blocks that are told once, with them
        told = {layer["name"] for layer in stage["layers"]}
        stage["joins"] = [
            join for join in stage["joins"] if all(told.issuperset(one) for one in join["branches"])
        ]
    return described


def _joins(stage: str, cost: Cost) -> Iterator[dict[str, Any]]:
    """Where branches meet inside a stage, names without the stage's."""
    for name, join in cost.joins.items():
        if name == stage or name.startswith(f"{stage}."):
            yield {
                "name": name[len(stage) + 1 :],
                "kind": join.kind,
                "activation": join.activation,
                "branches": [[one[len(stage) + 1 :] for one in each] for each in join.branches],
            }


def _rows(stage: str, layers: tuple[Part, ...]) -> Iterator[dict[str, Any]]:
    """Layers of a stage that are worth a line, blocks in a row once."""
    own = [part for part in layers if part.name == stage or part.name.startswith(f"{stage}.")]
    shown = [part for part in own if _looks(part)]
    blocks = [
        (block, list(parts))
        for block, parts in groupby(shown, lambda part: part.name[len(stage) + 1 :].split(".")[0])
    ]
    start = 0
    while start < len(blocks):
        end = start + 1
        while end < len(blocks) and _differ_in_names_alone(blocks[start], blocks[end]):
            end += 1
        for place, part in enumerate(blocks[start][1]):
            same = [parts[place] for _, parts in blocks[start:end]]
            yield {
                "name": part.name[len(stage) + 1 :] or stage,
                "last": same[-1].name[len(stage) + 1 :] or stage,
                "repeats": len(same),
                "kind": part.kind,
                "output": list(part.output),
                "parameters": sum(one.parameters for one in same),
                "multiplications": sum(one.multiplications for one in same),
                **same[-1].geometry.row(),
            }
        start = end


def _looks(part: Part) -> bool:
    """Whether a layer has a window, weights that are no normalisation's, or takes means of maps."""
    if part.kind == "LocalResponseNorm":
        return True
    if any(word in part.kind for word in _LEFT_OUT):
        return False
    return bool(part.geometry.kernel or part.multiplications or "Pool" in part.kind)


def _differ_in_names_alone(one: tuple[str, list[Part]], other: tuple[str, list[Part]]) -> bool:
    """Whether two blocks of several layers differ in nothing but their names and numbers."""
    (name, parts), (other_name, other_parts) = one, other
    if name.rstrip("0123456789") != other_name.rstrip("0123456789") or len(parts) < 2:
        return False

    def signature(block: str, rows: list[Part]) -> list[Any]:
        return [
            (
                part.name.split(f"{block}.", 1)[-1], part.kind, part.output,
                replace(part.geometry, receptive_field=None),
            )
            for part in rows
        ]  # fmt: skip

    return signature(name, parts) == signature(other_name, other_parts)


def main() -> None:
    """Print the descriptions of all networks of the table."""
    from tortie.cost.count import count
    from tortie.cost.meta_network import meta_network
    from tortie.networks.table import TABLE

    described = (
        f"{json.dumps(entry.name)}: "
        + json.dumps(describe(count(meta_network(entry.name))), separators=(",", ":"))
        for entry in TABLE
    )
    print("{\n" + ",\n".join(described) + "\n}")


if __name__ == "__main__":
    main()
