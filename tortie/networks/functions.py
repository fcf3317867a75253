"""A network of the table as a function, which says its arguments without building anything."""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tortie.networks.arguments import arguments_of, builder_source
from tortie.networks.entry import Entry

if TYPE_CHECKING:
    from tortie.networks.network import Network

_KINDS = {"int": int, "float": float, "bool": bool, "str": str}


class NetworkFunction:
    """Builds one network of the table; its signature and documentation are the builder's.

    Args:
        entry: of the table.
        build: :func:`tortie.networks.build`.
    """

    def __init__(self, entry: Entry, build: "Callable[..., Network]") -> None:
        self._entry = entry
        self._build = build
        self.__name__ = self.__qualname__ = entry.name.replace("-", "_")
        self.__module__ = "tortie.networks"
        self.__doc__ = documentation(entry)

    def __call__(
        self, *, classes: int | None = None, weights: str | Path | None = None, **arguments: Any
    ) -> "Network":
        """The network; :func:`tortie.networks.build` says what it takes."""
        return self._build(self._entry.name, classes=classes, weights=weights, **arguments)

    @property
    def __signature__(self) -> inspect.Signature:
        """``classes``, ``weights``, and the arguments of the builder."""
        named = inspect.Parameter.KEYWORD_ONLY
        own = [
            inspect.Parameter(one.name, named, default=one.default, annotation=_KINDS[one.kind])
            for one in arguments_of(self._entry)
        ]
        common = [
            inspect.Parameter("classes", named, default=None, annotation=int | None),
            inspect.Parameter("weights", named, default=None, annotation=str | Path | None),
        ]
        return inspect.Signature([*common, *own])

    def __repr__(self) -> str:
        """Its name and signature."""
        return f"<tortie.networks.{self.__name__}{self.__signature__}>"


def documentation(entry: Entry) -> str:
    """The builder's docstring, with the paper and the weights that the table knows."""
    weights = ", ".join(f'"{name}"' for name in entry.weights) or "none"
    height, width, channels = entry.preprocessing.shape
    lines = [
        (ast.get_docstring(builder_source(entry.builder)) or "").rstrip(),
        "",
        f"Paper: {entry.paper}",
        f"Input: {height}×{width}×{channels}. Published weights: {weights}.",
    ]
    return "\n".join(lines)
