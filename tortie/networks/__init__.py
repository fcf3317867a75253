"""One file per paper, and the table of networks.

Every network of the table is a function here, hyphens as underscores:
``tortie.networks.efficientnet_lite0(classes=3, weights="imagenet")``.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tortie.errors import UsageError
from tortie.networks.functions import NetworkFunction
from tortie.networks.table import TABLE, find

if TYPE_CHECKING:
    from tortie.networks.network import Network

__all__ = ["build", "find", "names"]


def names() -> tuple[str, ...]:
    """Names of all networks, as the command line takes them."""
    return tuple(entry.name for entry in TABLE)


def build(
    name: str, *, classes: int | None = None, weights: str | Path | None = None, **arguments: Any
) -> "Network":
    """A network of the table.

    Args:
        name: a name of the table, hyphens or underscores; or ``timm:NAME``, a network of timm.
        classes: length of the logits; by default the paper's.
        weights: ``None`` for fresh parameters; ``"imagenet"`` or another name of the table for
            published ones; a ``.safetensors`` or ``.pth`` file; ``hf://OWNER/NAME[/FILE]``. Where
            ``classes`` differs from the published head's, the stages are trained and the head is
            new, and the network's ``notes`` say so.
        arguments: the builder's own named arguments.

    Raises:
        UsageError: no such network, no such weights for it, or weights of another network.
        TortieError: weights that cannot be fetched, or are damaged.
    """
    entry = find(name)
    if weights is None:
        chosen = {} if classes is None else {"classes": classes}
        return entry.build(**chosen, **arguments)
    from tortie.weights import load_published

    return load_published(entry, weights, classes, arguments)


class _Networks(ModuleType):
    """This package, in which a network's function is not hidden by the file of its paper.

    Python puts a submodule that was imported into its package by name. ``alexnet.py`` and
    ``nin.py`` would so take the places of ``alexnet()`` and ``nin()`` after their first call.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name.replace("_", "-") in names()):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Networks


def __getattr__(name: str) -> Callable[..., "Network"]:
    try:
        entry = find(name)
    except UsageError as error:
        raise AttributeError(str(error)) from None
    return NetworkFunction(entry, build)


def __dir__() -> list[str]:
    return sorted([*__all__, *(name.replace("-", "_") for name in names())])
