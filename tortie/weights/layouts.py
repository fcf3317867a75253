"""Published checkpoints as a network's state: every tensor in its place, or refused by name.

The names of libraries and packages are in :mod:`tortie.weights.published_names`; every network also
takes its own.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tortie.errors import UsageError
from tortie.weights.published_names import LAYOUTS

if TYPE_CHECKING:
    from torch import Tensor

    from tortie.networks.entry import Entry
    from tortie.networks.network import Network

_LAST_OF_ROW = {"classifier.6.weight", "head.fc.weight"}
# Tensors that one family alone has, by the names that libraries give them.
_TOLD_BY_NAME = {
    "layer1.0.se.fc1.weight": "se-resnet50",
    "features.denseblock1.denselayer1.conv1.weight": "densenet121",
    "features.denseblock1.denselayer1.conv.1.weight": "densenet121",
    "features.3.squeeze.weight": "squeezenet",
    "features.1.conv.0.0.weight": "mobilenet-v2",
    "features.1.0.block.0.0.weight": "efficientnet-b0",
    "stages.0.blocks.0.norm1.weight": "resnet50-v2",
}


def _places(
    entry: "Entry", network: "Network", published: Mapping[str, "Tensor"]
) -> dict[str, str | None]:
    """The network's name of each published tensor.

    ``None`` where it has no place; empty where a library has it, and inference does not read it.
    """
    layout = LAYOUTS.get(entry.builder.partition(":")[2])
    places: dict[str, str | None] = {}
    own_names = network.state_dict()
    own = any(key.removeprefix("module.") in own_names for key in published)
    for key in published:
        name = key.removeprefix("module.")
        if name in network.aliases:
            places[key] = network.aliases[name]
            continue
        module, _, leaf = name.rpartition(".")
        target = module if own else layout and layout(module, network)
        places[key] = target and f"{target}.{leaf}"
    return places


def published_head(
    entry: "Entry", network: "Network", published: Mapping[str, "Tensor"]
) -> "Tensor | None":
    """What the published head multiplies by: ``(classes, D)``, or a kernel of as many channels.

    Args:
        entry: the network's row of the table.
        network: built from it, with any number of classes.
        published: tensors by their published names.
    """
    for key, target in _places(entry, network, published).items():
        if target and target.startswith("head.") and published[key].dim() > 1:
            return published[key]
    return None


def translate(
    entry: "Entry", network: "Network", published: Mapping[str, "Tensor"]
) -> dict[str, "Tensor"]:
    """The published tensors under the names of the network, every one of its shape and type.

    Counters of batches that old checkpoints lack are 0. Side heads that the network does not have
    are left out; those that the checkpoint does not have stay as they are. So does what a library's
    checkpoints may lack: the head, and tables that its code fills.

    Args:
        entry: the network's row of the table.
        network: built from it, with as many classes as were published.
        published: tensors by their published names, with or without ``module.`` before them.

    Returns:
        A complete state for ``network.load_state_dict``.

    Raises:
        UsageError: the tensors are not those of the network, or no published layout of it is known.
    """
    import torch

    own = network.state_dict()
    state: dict[str, Tensor] = {}
    for key, target in _places(entry, network, published).items():
        if target in own:
            state[target] = _shaped(key, published[key], own[target], entry.name)
        elif target is None or (target and not target.startswith("side_heads.")):
            raise UsageError(f"{key}, {_shape(published[key])}, has no place in {entry.name}")
    for key, tensor in own.items():
        if key in state:
            continue
        if key.endswith(".num_batches_tracked"):
            state[key] = torch.zeros((), dtype=tensor.dtype)
        elif key.startswith("side_heads.") or _made_by_code(network, key):
            state[key] = tensor
        else:
            raise UsageError(f"{key}, {_shape(tensor)}, of {entry.name} is not in them")
    return state


def _made_by_code(network: "Network", key: str) -> bool:
    """Whether a library's own checkpoints may lack it: a head, and tables that its code fills."""
    aliases = network.aliases
    return bool(aliases) and (key.startswith("head.") or key not in aliases.values())


def _shaped(key: str, tensor: "Tensor", target: "Tensor", name: str) -> "Tensor":
    """The tensor, where it has the target's shape; timm keeps VGG's linear layers as kernels."""
    whole = tensor.flatten(1) if target.dim() == 2 and tensor.dim() == 4 else tensor
    if whole.shape != target.shape:
        raise UsageError(f"{key} is {_shape(tensor)}, {name} has {_shape(target)} there")
    return whole.to(target.dtype)


def _shape(tensor: "Tensor") -> str:
    return "×".join(map(str, tensor.shape)) or "one number"


def looks_like(published: Mapping[str, "Tensor"]) -> str | None:
    """The network that tensors of these names are of, as far as their names and shapes tell."""
    names = {key.removeprefix("module."): tensor for key, tensor in published.items()}
    for key, network in _TOLD_BY_NAME.items():
        if key in names:
            return network
    if "layer1.0.conv1.weight" in names:
        if names["layer1.0.conv2.weight"].shape[:2] == (128, 4):
            return "resnext50"
        blocks = {".".join(name.split(".")[:2]) for name in names if name.startswith("layer")}
        kernels = 3 if "layer1.0.conv3.weight" in names else 2
        cifar = "" if any(name.startswith("layer4.") for name in names) else "-cifar"
        return f"resnet{2 + kernels * len(blocks)}{cifar}"
    if any(name.startswith("inception") for name in names):
        return "googlenet-bn"
    if "features.0.weight" in names and names.keys() & _LAST_OF_ROW:
        if names["features.0.weight"].shape[-1] == 11:
            return "alexnet-one-tower"
        kernels = sum(tensor.dim() == 4 and tensor.shape[-1] == 3 for tensor in names.values())
        return f"vgg{kernels + 3}" + ("-bn" if "features.1.running_mean" in names else "")
    if names.keys() & {"_conv_stem.weight", "conv_stem.weight"}:
        return "an EfficientNet"
    return None
