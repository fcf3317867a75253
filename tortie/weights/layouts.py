"""How published checkpoints name the tensors that the networks here name after their papers.

torchvision's names for AlexNet in one tower, VGG, GoogLeNet and ResNet; timm's for VGG and ResNet
(it has no GoogLeNet); those of a widely used port for the ResNets of CIFAR-10.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch

from tortie.errors import TortieError

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


_LAYOUTS: dict[str, Callable[[str, "Network"], str | None]] = {
    "alexnet_one_tower": _one_tower,
    "vgg": _vgg,
    "googlenet_bn": _googlenet,
    "resnet": _resnet,
    "resnet_cifar": _resnet,
}


def translate(
    entry: "Entry", network: "Network", published: Mapping[str, "Tensor"]
) -> dict[str, "Tensor"]:
    """The published tensors under the names of the network, every one of its shape.

    Counters of batches that old checkpoints lack are 0. Side heads that the network does not have
    are left out; those that the checkpoint does not have stay as they are.

    Args:
        entry: the network's row of the table.
        network: built from it, with as many classes as were published.
        published: tensors by their published names, with or without ``module.`` before them.

    Returns:
        A complete state for ``network.load_state_dict``.

    Raises:
        TortieError: no published layout of this network is known, or the tensors are not its.
    """
    layout = _LAYOUTS.get(entry.builder.partition(":")[2])
    if layout is None:
        raise TortieError(f"no published layout of {entry.name} is known")
    own = network.state_dict()
    state: dict[str, Tensor] = {}
    for key, tensor in published.items():
        module, _, leaf = key.removeprefix("module.").rpartition(".")
        target = layout(module, network)
        if target is not None and f"{target}.{leaf}" in own:
            state[f"{target}.{leaf}"] = _shaped(key, tensor, own[f"{target}.{leaf}"], entry.name)
        elif target is None or not target.startswith("side_heads."):
            raise TortieError(f"{key} of the weights has no place in {entry.name}: not its weights")
    for key, tensor in own.items():
        if key in state:
            continue
        if key.endswith(".num_batches_tracked"):
            state[key] = torch.zeros_like(tensor)
        elif key.startswith("side_heads."):
            state[key] = tensor
        else:
            raise TortieError(f"the weights lack {key} of {entry.name}: not its weights")
    return state


def _shaped(key: str, tensor: "Tensor", target: "Tensor", name: str) -> "Tensor":
    """The tensor, where it has the target's shape; timm keeps VGG's linear layers as kernels."""
    if target.dim() == 2 and tensor.dim() == 4:
        tensor = tensor.flatten(1)
    if tensor.shape != target.shape:
        raise TortieError(
            f"{key} of the weights is {tuple(tensor.shape)}, "
            f"{name} has {tuple(target.shape)} there: not its weights"
        )
    return tensor
