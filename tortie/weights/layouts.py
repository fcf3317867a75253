"""How published checkpoints name the tensors that the networks here name after their papers.

torchvision's names for AlexNet in one tower, VGG, GoogLeNet and ResNet; timm's for VGG, ResNet and
EfficientNet-Lite0 (it has no GoogLeNet); those of the package of EfficientNet-Lite0, and of a
widely used port for the ResNets of CIFAR-10. Every network also takes its own names.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tortie.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from tortie.networks.entry import Entry
    from tortie.networks.network import Network

_ONE_TOWER = {
    "features.0": "stages.conv1.conv",
    "features.3": "stages.conv2.conv",
    "features.6": "stages.conv3.conv",
    "features.8": "stages.conv4.conv",
    "features.10": "stages.conv5.conv",
    "classifier.1": "stages.fc6.3",
    "classifier.4": "stages.fc7.1",
    "classifier.6": "head",
}
_VGG_LINEAR = {
    "classifier.0": "stages.fc6.1",
    "classifier.3": "stages.fc7.0",
    "classifier.6": "head",
    "pre_logits.fc1": "stages.fc6.1",
    "pre_logits.fc2": "stages.fc7.0",
    "head.fc": "head",
}
_LAST_OF_ROW = {"classifier.6.weight", "head.fc.weight"}
_RESNET_ENDS = {
    "conv1": "stages.conv1.conv",
    "bn1": "stages.conv1.norm",
    "fc": "head",
    "linear": "head",
}
_RESNET_PARTS = {
    "bn1": "norm1",
    "bn2": "norm2",
    "bn3": "norm3",
    "downsample.0": "shortcut.conv",
    "downsample.1": "shortcut.norm",
    "shortcut.0": "shortcut.conv",
    "shortcut.1": "shortcut.norm",
}
_GOOGLENET_ENDS = {
    "conv1": "stages.conv1",
    "conv2": "stages.conv2.0",
    "conv3": "stages.conv2.1",
    "fc": "head",
}
_BRANCHES = {
    "branch1": "one",
    "branch2.0": "three.0",
    "branch2.1": "three.1",
    "branch3.0": "five.0",
    "branch3.1": "five.1",
    "branch4.1": "pool.1",
}
_LITE0_ENDS = {
    "_conv_stem": "stages.stem.conv",
    "_bn0": "stages.stem.norm",
    "_conv_head": "stages.conv_head.conv",
    "_bn1": "stages.conv_head.norm",
    "_fc": "head",
    "conv_stem": "stages.stem.conv",
    "bn1": "stages.stem.norm",
    "conv_head": "stages.conv_head.conv",
    "bn2": "stages.conv_head.norm",
    "classifier": "head",
}
_LITE0_PARTS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
    "conv_pw": "expand.conv",
    "bn1": "expand.norm",
    "conv_dw": "depthwise.conv",
    "bn2": "depthwise.norm",
    "conv_pwl": "project.conv",
    "bn3": "project.norm",
}
# timm's first block, which does not expand, counts and names its layers without the expansion.
_LITE0_FIRST = {
    "conv_dw": "depthwise.conv",
    "bn1": "depthwise.norm",
    "conv_pw": "project.conv",
    "bn2": "project.norm",
}
_SIDES = {"aux1": "side_heads.inception_4a", "aux2": "side_heads.inception_4d"}


def _one_tower(module: str, network: "Network") -> str | None:
    return _ONE_TOWER.get(module)


def _vgg(module: str, network: "Network") -> str | None:
    if module in _VGG_LINEAR:
        return _VGG_LINEAR[module]
    # ``features`` is one row of all layers: convolution, normalisation if any, ReLU, pooling.
    place = 0
    for name, stage in network.stages.named_children():
        parts = [part for part, _ in stage.named_children()] or [""]
        for part in parts:
            if module == f"features.{place}":
                return f"stages.{name}.{part}"
            place += 1
    return None


def _resnet(module: str, network: "Network") -> str | None:
    found = re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", module)
    if not found:
        return _RESNET_ENDS.get(module)
    layer, block, part = found.groups()
    part = _RESNET_PARTS.get(part, part)
    return f"stages.conv{int(layer) + 1}_x.block{int(block) + 1}.{part}"


def _googlenet(module: str, network: "Network") -> str | None:
    start, _, rest = module.partition(".")
    rest = re.sub(r"\bbn$", "norm", rest)
    if start in _SIDES:
        return f"{_SIDES[start]}.{rest}"
    if found := re.fullmatch(r"inception(\d\w)", start):
        branch, _, part = rest.rpartition(".")
        if branch not in _BRANCHES:
            return None
        return f"stages.inception_{found[1]}.{_BRANCHES[branch]}.{part}"
    if start in _GOOGLENET_ENDS:
        return ".".join(filter(None, (_GOOGLENET_ENDS[start], rest)))
    return None


def _lite0(module: str, network: "Network") -> str | None:
    if found := re.fullmatch(r"blocks\.(\d)\.(\d)\.(\w+)", module):
        stage, block, part = int(found[1]), found[2], found[3]
        parts = _LITE0_FIRST if stage == 0 else _LITE0_PARTS
        return f"stages.mbconv{stage + 1}.{block}.{parts[part]}" if part in parts else None
    if found := re.fullmatch(r"_blocks\.(\d+)\.(\w+)", module):
        # the package counts blocks through all stages
        blocks = [
            f"stages.{name}.{block}"
            for name, stage in network.stages.named_children()
            if name.startswith("mbconv")
            for block, _ in stage.named_children()
        ]
        number, part = int(found[1]), found[2]
        if number < len(blocks) and part in _LITE0_PARTS:
            return f"{blocks[number]}.{_LITE0_PARTS[part]}"
        return None
    return _LITE0_ENDS.get(module)


_LAYOUTS: dict[str, Callable[[str, "Network"], str | None]] = {
    "alexnet_one_tower": _one_tower,
    "vgg": _vgg,
    "googlenet_bn": _googlenet,
    "resnet": _resnet,
    "resnet_cifar": _resnet,
    "efficientnet_lite0": _lite0,
}


def _places(
    entry: "Entry", network: "Network", published: Mapping[str, "Tensor"]
) -> dict[str, str | None]:
    """The network's name of each published tensor.

    ``None`` where it has no place; empty where a library has it, and inference does not read it.
    """
    layout = _LAYOUTS.get(entry.builder.partition(":")[2])
    places: dict[str, str | None] = {}
    own = any(key.removeprefix("module.").startswith("stages.") for key in published)
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
    if "layer1.0.conv1.weight" in names:
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
