"""Arguments of a network in a line of text: ``lenet5(pooling=average, activation=tanh)``.

They are checked against the signature of the builder, which is read from its source, so that torch
need not be imported.
"""

import ast
import difflib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tortie.errors import UsageError
from tortie.networks.entry import Entry, titled
from tortie.networks.table import find

if TYPE_CHECKING:
    from tortie.weights.classifier_metadata import StoredMember

__all__ = [
    "Argument", "arguments_of", "builder_source", "network_of", "parse_network", "split_networks",
    "stored_network", "titled", "varied",
]  # fmt: skip

_MOST = {"int": 2000, "float": 10.0}  # more than any paper's; a file may not ask for hours of work
_FROM_IMAGES = ("model", "classes", "in_channels")  # what the images or the table decide


@dataclass(frozen=True)
class Argument:
    """A named argument of a builder.

    Attributes:
        name: as in Python.
        kind: ``int``, ``float``, ``bool`` or ``str``; of choices, the kind of the first.
        choices: all values that it may have; empty where any of its kind will do.
        default: of this network.
        meaning: from the builder's documentation.
    """

    name: str
    kind: str
    choices: tuple[int | str, ...]
    default: Any
    meaning: str

    def document(self) -> dict[str, Any]:
        """JSON's types only."""
        return {
            "name": self.name,
            "kind": self.kind,
            "choices": list(self.choices),
            "default": self.default,
            "meaning": self.meaning,
        }

    def parse(self, text: str) -> Any:
        """Its value from text.

        Raises:
            UsageError: a value of another kind, or none of its choices.
        """
        if self.choices:
            for choice in self.choices:
                if str(choice) == text:
                    return choice
            raise UsageError(f"{self.name} must be one of {self._choices()}, not {text!r}")
        try:
            if self.kind == "bool":
                return {"true": True, "false": False, "yes": True, "no": False}[text.lower()]
            value = {"int": int, "float": float}.get(self.kind, str)(text)
        except (KeyError, ValueError):
            value = text
        if not self.takes(value):
            raise UsageError(f"{self.name} must be {self._expected()}, not {text!r}")
        return value

    def takes(self, value: object) -> bool:
        """Whether that is a value of its kind, within limits; of a file, which may say anything."""
        if self.choices:
            return any(type(one) is type(value) and one == value for one in self.choices)
        if self.kind in _MOST:
            kinds = (int, float) if self.kind == "float" else (int,)
            return type(value) in kinds and 0 <= value <= _MOST[self.kind]  # type: ignore[operator]
        return type(value).__name__ == self.kind

    def _expected(self) -> str:
        most = _MOST.get(self.kind)
        numbers = {"int": "a whole number", "float": "a number"}
        if most:
            return f"{numbers[self.kind]} from 0 to {most:g}"
        return "true or false" if self.kind == "bool" else "text"

    def _choices(self) -> str:
        return ", ".join(map(str, self.choices))

    def line(self) -> str:
        """How to give it, and what it means."""
        given = self._choices() if self.choices else self.kind
        default = str(self.default).lower() if self.kind == "bool" else self.default
        return f"{self.name}={default} ({given}): {self.meaning}"


def arguments_of(entry: Entry) -> tuple[Argument, ...]:
    """The named arguments of a network's builder, in the order of its signature."""
    return tuple(
        replace(argument, default=entry.arguments.get(argument.name, argument.default))
        for argument in _signature(entry.builder)
    )


def parse_network(text: str) -> tuple[Entry, dict[str, Any]]:
    """A network and its arguments from text.

    Args:
        text: ``NAME`` or ``NAME(argument=value, ...)``; NAME as :func:`tortie.networks.find` takes
            it.

    Returns:
        The table's entry, and the arguments that were given, in Python's types.

    Raises:
        UsageError: no such network, no such argument, or a value that it cannot have.
    """
    found = re.fullmatch(r"\s*([^\s()]+)\s*(?:\((.*)\))?\s*", text, re.DOTALL)
    if not found:
        raise UsageError(
            f"{text!r} is no network: expected NAME or NAME(argument=value, ...), as in "
            "lenet5(pooling=average, activation=tanh)"
        )
    entry = find(found[1])
    known = {argument.name: argument for argument in arguments_of(entry)}
    given: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in (found[2] or "").split(","))):
        name, equals, value = (word.strip() for word in part.partition("="))
        name = name.replace("-", "_")
        if not equals:
            raise UsageError(f"{entry.name}: expected argument=value, not {part!r}")
        if name in given:
            raise UsageError(f"{entry.name}: {name} is given twice")
        if name not in known:
            raise UsageError(f"{entry.name} has no argument {name!r}: {_instead(name, known)}")
        try:
            given[name] = known[name].parse(value.strip("'\""))
        except UsageError as error:
            raise UsageError(f"{entry.name}: {error}") from None
    return entry, given


def varied(entry: Entry, given: Mapping[str, Any]) -> Entry:
    """The network with some arguments in place of the table's; the table's own change nothing."""
    own = {
        argument.name: given[argument.name]
        for argument in arguments_of(entry)
        if argument.name in given and given[argument.name] != argument.default
    }
    if not own:
        return entry
    # What is published is of the table's network.
    return replace(entry, arguments={**entry.arguments, **own}, given=own, published=())


def stored_network(name: str, stored: Mapping[str, Any], in_channels: int) -> Entry:
    """The network that a classifier's file names, its arguments checked against the table.

    Args:
        name: in the table.
        stored: all arguments, as :attr:`Entry.arguments` has them.
        in_channels: channels of the input; an argument where they are not the table's.

    Raises:
        UsageError: no such network, or arguments that no fit of it gives.
    """
    entry = find(name)
    given = dict(stored)
    images: dict[str, Any] = {}
    if in_channels != entry.preprocessing.channels:
        images["in_channels"] = given.pop("in_channels", None)
    known = {argument.name: argument for argument in arguments_of(entry)}
    network = varied(entry, given)
    fits = (
        name == entry.name
        and network.arguments.keys() == given.keys()  # the table's own defaults are not written
        and all(known[key].takes(given[key]) for key in known.keys() & given.keys())
        and all(given[key] == entry.arguments[key] for key in given.keys() - known.keys())
        and images in ({}, {"in_channels": in_channels})
    )
    if not fits:
        raise UsageError(f"{entry.name} with arguments that no fit gives it")
    return replace(network, arguments={**network.arguments, **images})


def network_of(described: "StoredMember") -> Entry:
    """The network of a member of a classifier's file; see :func:`stored_network`."""
    channels = described.preprocessing.channels
    return stored_network(described.network, described.arguments, channels)


def split_networks(text: str) -> list[str]:
    """The networks of ``A,B(x=1, y=2),C``: commas within brackets do not part them."""
    parts = re.split(r",(?![^()]*\))", text)
    return [part.strip() for part in parts]


def builder_source(builder: str) -> ast.FunctionDef:
    """The source of ``module:function``, which is read so that torch need not be imported."""
    module, name = builder.split(":")
    spec = importlib.util.find_spec(module)
    assert spec and spec.origin, builder
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    (function,) = (
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name
    )
    return function


def _instead(name: str, known: dict[str, Argument]) -> str:
    if name in _FROM_IMAGES:
        return "the images decide it"
    close = difflib.get_close_matches(name, known, n=2)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"it takes {', '.join(known)}" if known else "it takes none"


@cache
def _signature(builder: str) -> tuple[Argument, ...]:
    """The named arguments of ``module:function``, read from its source."""
    function = builder_source(builder)
    meanings = _meanings(ast.get_docstring(function) or "")
    names = function.args.args[len(function.args.args) - len(function.args.defaults) :]
    found = []
    for argument, default in zip(names, function.args.defaults, strict=True):
        if argument.arg not in _FROM_IMAGES:
            choices = _choices(argument.annotation)
            kind = type(choices[0]).__name__ if choices else ast.unparse(argument.annotation)  # type: ignore[arg-type]
            meaning = meanings.get(argument.arg, "")
            found.append(Argument(argument.arg, kind, choices, ast.literal_eval(default), meaning))
    return tuple(found)


def _choices(annotation: ast.expr | None) -> tuple[int | str, ...]:
    """Values of a ``Literal``."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        value = ast.literal_eval(annotation.slice)
        return value if isinstance(value, tuple) else (value,)
    return ()


def _meanings(documentation: str) -> dict[str, str]:
    """What the section ``Args:`` of a docstring says of each argument."""
    section = documentation.partition("Args:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", section, re.MULTILINE)
    return {name: " ".join(text.replace("``", "").split()).rstrip(".") for name, text in entries}
