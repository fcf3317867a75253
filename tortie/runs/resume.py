"""Whether a run that goes on is still what it was begun as: its choices and its photographs."""

import csv
import io
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tortie.errors import UsageError
from tortie.runs.folder import damaged

_LONGEST = 200  # characters of a line about one choice
_SHOWN = 6  # choices in a message


class Listed(NamedTuple):
    """A photograph of a run.

    Attributes:
        path: as it was given, so it may be relative.
        label: its class.
        split: the part that it is in.
        group: number of the set of copies and given groups that it belongs to; empty for none.
        sha256: of its content.
    """

    path: str
    label: str
    split: str
    group: str
    sha256: str


def photographs_csv(photographs: Sequence[Listed]) -> str:
    """The list of a run's photographs as CSV."""
    rows = io.StringIO(newline="")
    csv.writer(rows).writerows([Listed._fields, *photographs])
    return rows.getvalue()


def check_freeze(folder: Path, before: Mapping[str, Any] | None, freeze: str | int) -> None:
    """Refuse to go on with one depth where depths were compared, and the other way round.

    Args:
        folder: of the run, to be named.
        before: what it was begun with; ``None`` for a new one.
        freeze: that is asked for.

    Raises:
        UsageError: with both.
    """
    if before is not None and ("compared" in before) != (freeze == "auto"):
        check_choices(folder, {"freeze": before["freeze"]}, {"freeze": str(freeze)})


def check_choices(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with choices that would give other weights.

    Args:
        folder: of the run, to be named.
        before: JSON of what it was begun with.
        now: the same of what is asked for.

    Raises:
        UsageError: with what differs, by its dotted name, in both values.
    """
    found = _differences(before, now)
    if "recipe.name" in found:  # then so does the rest of it
        found = {n: d for n, d in found.items() if n == "recipe.name" or n[:7] != "recipe."}
    if "tensors" in found:  # the first weights follow from the other choices and the files' content
        found["tensors"] = "the weights that it begins from have other content"
        if len(found) > 1:
            del found["tensors"]
    elif "tensors" in now:  # the same by another name, as from another working directory
        found.pop("weights", None)
    if list(found) == ["recipe.epochs"]:
        found["recipe.epochs"] += " (a schedule is made for a number of epochs)"
    said = [line for line in found.values() if len(line) <= _LONGEST]
    if found and not said:  # views, say, which follow from choices that are said where they differ
        said = [f"another {name}" for name in found]
    if len(said) > _SHOWN:
        said[_SHOWN:] = [f"and {len(said) - _SHOWN} more"]
    if said:
        raise UsageError(
            f"{folder} cannot go on with other choices: {'; '.join(said)}; take "
            "those it began with, or --force without --resume to begin again"
        )


def check_photographs(folder: Path, photographs: Sequence[Listed]) -> None:
    """Refuse to go on with photographs that would give other weights.

    What counts is their content, class, split and group, in their order: not where the folder is,
    nor where the command is called.

    Args:
        folder: of the run, whose ``photographs.csv`` is read.
        photographs: those of now.

    Raises:
        UsageError: with how many differ, how, and one of them.
        TortieError: the list is damaged.
    """
    listed = folder / "photographs.csv"
    try:
        with listed.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            before = [Listed(*row) for row in csv.reader(file)][1:]
    except (OSError, ValueError, TypeError) as error:
        raise damaged(listed, error) from error
    if [one[1:] for one in before] == [one[1:] for one in photographs]:
        return
    found = [f"{len(names)} {what} ({min(names)})" for what, names in _changes(before, photographs)]
    if not found:
        found.append("the same ones in another order")
    raise UsageError(
        f"{folder} cannot go on with other photographs: {', '.join(found)}; put them back, or "
        "--force without --resume to begin again"
    )


def _changes(before: Sequence[Listed], now: Sequence[Listed]) -> list[tuple[str, list[str]]]:
    """What became of the photographs, in words, and the paths of those it became of."""
    old, new = _by_name(before), _by_name(now)
    pairs = [(old.pop(name), new.pop(name)) for name in sorted(old.keys() & new.keys())]
    moved: defaultdict[str, list[Listed]] = defaultdict(list)
    for _, one in sorted(old.items(), reverse=True):
        moved[one.sha256].append(one)
    added = []
    for _, one in sorted(new.items()):
        if moved[one.sha256]:
            pairs.append((moved[one.sha256].pop(), one))
        else:
            added.append(one.path)
    found = [
        ("gone", [one.path for each in moved.values() for one in each]),
        ("new", added),
        ("of other content", [b.path for a, b in pairs if a.sha256 != b.sha256]),
        ("of another class", [b.path for a, b in pairs if a.label != b.label]),
        ("in another split", [b.path for a, b in pairs if a.split != b.split]),
    ]
    if not any(names for _, names in found):  # groups are numbers of places in the list
        found.append(("in another group", [b.path for a, b in pairs if a.group != b.group]))
    return [(what, names) for what, names in found if names]


def _by_name(photographs: Sequence[Listed]) -> dict[str, Listed]:
    """The photographs by their paths below the folder that all of them are in."""
    paths = [one.path for one in photographs]
    try:
        root = os.path.commonpath(paths)
    except ValueError:  # some from the root, some from here
        root = ""
    if root in paths:  # a single photograph
        root = os.path.dirname(root)
    names = [os.path.relpath(path, root) if root else path for path in paths]
    return dict(zip(names, photographs, strict=True))


def _differences(before: Any, now: Any, name: str = "") -> dict[str, str]:
    """What differs, in both values, by its dotted name."""
    if isinstance(before, dict) and isinstance(now, dict):
        return {
            inner: line
            for key in sorted(before.keys() | now.keys())
            for inner, line in _differences(
                before.get(key), now.get(key), f"{name}.{key}".strip(".")
            ).items()
        }
    return {} if before == now else {name: f"{name} is {now}, was {before}"}
