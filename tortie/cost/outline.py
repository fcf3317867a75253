"""A network of the table as shapes alone: no weight is allocated."""

from typing import Any

import torch

from tortie.networks import build
from tortie.networks.network import Network


def outline(name: str, *, classes: int | None = None, **arguments: Any) -> Network:
    """A network of the table on the meta device, for counting.

    Args:
        name: a name of the table, hyphens or underscores.
        classes: length of the logits; by default the paper's.
        arguments: the builder's own named arguments.

    Raises:
        UsageError: no such network, or an argument that is none of its choices.
    """
    with torch.device("meta"):
        return build(name, classes=classes, **arguments)
