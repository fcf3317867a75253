"""Where trained parameters come from."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tortie.errors import TortieError, UsageError
from tortie.weights.packaged import load_packaged

if TYPE_CHECKING:
    from torch import Tensor

    from tortie.networks.network import Network
    from tortie.networks.table import Entry

__all__ = ["imagenet_classes", "load_published"]


def load_published(
    entry: "Entry", weights: str, classes: int | None, arguments: Mapping[str, Any]
) -> "Network":
    """A network of the table with published parameters.

    Where ``classes`` is given and differs from the published head's, the stages are the published
    ones and the head is new.

    Raises:
        UsageError: the network has no such weights; the message names what has.
        TortieError: the published file is missing or damaged.
    """
    if weights not in entry.weights:
        raise UsageError(f"{entry.name} has no weights {weights!r}: {_instead(entry)}")
    tensors = load_packaged(entry.weights[weights].removeprefix("packaged:"))
    network = entry.build(**arguments)
    _take_in_order(network, tensors)
    if classes is not None and classes != network.classes:
        network.new_head(classes)
    return network


def _instead(entry: "Entry") -> str:
    if entry.weights:
        return f"it has {', '.join(map(repr, entry.weights))}"
    if entry.sibling:
        return f"its sibling {entry.sibling} has them"
    return "nobody published any; train it from scratch, or take efficientnet-lite0"


def _take_in_order(network: "Network", tensors: "Mapping[str, Tensor]") -> None:
    """Copy tensors whose order and shapes are the network's own; names do not matter."""
    own = network.state_dict()
    if len(own) != len(tensors):
        raise TortieError(f"the weights have {len(tensors)} tensors, the network {len(own)}")
    for (name, target), (published, tensor) in zip(own.items(), tensors.items(), strict=True):
        if target.shape != tensor.shape:
            raise TortieError(
                f"the weights' {published} is {tuple(tensor.shape)}, "
                f"the network's {name} is {tuple(target.shape)}"
            )
    network.load_state_dict(dict(zip(own, tensors.values(), strict=True)))


def imagenet_classes() -> tuple[str, ...]:
    """The 1,000 class names of ILSVRC-2012 in the order of the logits (WordNet's words)."""
    from importlib.resources import files

    text = files("tortie.weights").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
