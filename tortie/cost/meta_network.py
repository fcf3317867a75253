"""A network of the table as shapes alone: no weight is allocated."""

from typing import Any

from tortie.errors import UsageError
from tortie.networks import build, find
from tortie.networks.network import Network
from tortie.weights.meta import meta_device


def meta_network(
    name: str, *, classes: int | None = None, channels: int | None = None, **arguments: Any
) -> Network:
    """A network of the table on the meta device, for counting.

    Args:
        name: a name of the table, hyphens or underscores.
        classes: length of the logits; by default the paper's.
        channels: of the images; by default the paper's.
        arguments: the builder's own named arguments.

    Raises:
        UsageError: no such network, an argument that is none of its choices, or other channels
            than the network can see.
    """
    expected = find(name).preprocessing.channels
    if channels is not None and channels != expected:
        arguments["in_channels"] = channels
        try:
            return meta_network(name, classes=classes, **arguments)
        except TypeError:  # the builder has no such argument
            raise UsageError(
                f"{name} sees images of channels {expected}, as printed, not {channels}"
            ) from None
    with meta_device():
        return build(name, classes=classes, **arguments)
