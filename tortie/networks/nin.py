"""Network in Network: 1×1 convolutions, and global average pooling in place of linear layers.

Paper: Lin, Chen, Yan, "Network in network", arXiv:1312.4400, 2013, section 3, with the authors'
own configuration for what it leaves open.
CIFAR-10: input 32×32×3, 966,986 parameters, 222,486,528 multiplications.
ImageNet: not in the paper; the authors' model of Caffe's zoo. Input 224×224×3, 7,595,176
parameters, 1,100,188,800 multiplications.

The head is the last 1×1 convolution, its ReLU and global average pooling, so the last stage yields
maps: what each map of the head sees before the pooling is a class activation map. Pools run off the
edge (ceil mode, no padding): 32, 16, 8. The paper prints no initialisation: N(0, 0.05²) is that of
the first author's Caffe configuration for CIFAR-10, here taken for both.
"""

from collections import OrderedDict
from itertools import pairwise
from typing import Literal

from torch import nn

from tortie.errors import UsageError
from tortie.networks.network import Network


class MLPConv(nn.Sequential):
    """A k×k convolution and 1×1 convolutions, each with ReLU: a small network slid over the maps.

    Args:
        in_channels: channels of the maps it sees.
        widths: filters of its convolutions.
        kernel: k.
        stride: of the first convolution.
        padding: of the first convolution.
        pool: whether a max pooling, 3×3 at stride 2, follows.
        dropout: probability of dropping an output, last of all; 0 for none.
    """

    def __init__(
        self,
        in_channels: int,
        widths: tuple[int, ...],
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        pool: bool = True,
        dropout: float = 0.0,
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv"] = nn.Conv2d(in_channels, widths[0], kernel, stride, padding)
        layers["relu"] = nn.ReLU(inplace=True)
        for number, (inputs, outputs) in enumerate(pairwise(widths), 1):
            layers[f"cccp{number}"] = nn.Conv2d(inputs, outputs, 1)
            layers[f"cccp{number}_relu"] = nn.ReLU(inplace=True)
        if pool:
            layers["pool"] = nn.MaxPool2d(3, 2, ceil_mode=True)
        if dropout:
            layers["dropout"] = nn.Dropout(dropout)
        super().__init__(layers)


def _head(channels: int, classes: int) -> nn.Sequential:
    """The last 1×1 convolution, its ReLU, and the mean of each map."""
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv2d(channels, classes, 1),
            relu=nn.ReLU(inplace=True),
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
        )
    )


def _network(
    stages: OrderedDict[str, nn.Module],
    channels: int,
    classes: int,
    head: str,
    input_shape: tuple[int, int, int],
) -> Network:
    """The stages with one of the two heads, and weights of N(0, 0.05²)."""
    if head == "convolution":
        network = Network(stages, _head(channels, classes), input_shape)
    elif head == "linear":
        stages["avgpool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        network = Network(stages, nn.Linear(channels, classes), input_shape)
    else:
        raise UsageError(f"head must be one of convolution, linear, not {head!r}")
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.05)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return network


def nin(
    classes: int = 10,
    in_channels: int = 3,
    head: Literal["convolution", "linear"] = "convolution",
) -> Network:
    """Network in Network for CIFAR-10, for images of any size from 4×4; 32×32 is the paper's.

    Args:
        classes: length of the logits.
        in_channels: channels of the images.
        head: ``"convolution"`` as in the paper; ``"linear"`` averages the last stage's maps in a
            stage ``avgpool`` of their own and maps them linearly, for a fit on stored vectors.

    Returns:
        A network of stages ``mlpconv1``, ``mlpconv2``, ``mlpconv3``; the last yields maps.

    Raises:
        UsageError: another head.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["mlpconv1"] = MLPConv(in_channels, (192, 160, 96), 5, padding=2, dropout=0.5)  # 16×16×96
    stages["mlpconv2"] = MLPConv(96, (192, 192, 192), 5, padding=2, dropout=0.5)  # 8×8×192
    stages["mlpconv3"] = MLPConv(192, (192, 192), 3, padding=1, pool=False)  # 8×8×192
    return _network(stages, 192, classes, head, (32, 32, in_channels))


def nin_imagenet(
    classes: int = 1000,
    in_channels: int = 3,
    head: Literal["convolution", "linear"] = "convolution",
) -> Network:
    """The authors' ImageNet network, for images of any size from 39×39; 224×224 is theirs.

    Args:
        classes: length of the logits.
        in_channels: channels of the images.
        head: ``"convolution"`` as in the paper, or ``"linear"``, as ``nin`` takes it.

    Returns:
        A network of stages ``mlpconv1`` to ``mlpconv4``; the last yields maps.

    Raises:
        UsageError: another head.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["mlpconv1"] = MLPConv(in_channels, (96, 96, 96), 11, stride=4)  # 27×27×96
    stages["mlpconv2"] = MLPConv(96, (256, 256, 256), 5, padding=2)  # 13×13×256
    stages["mlpconv3"] = MLPConv(256, (384, 384, 384), 3, padding=1, dropout=0.5)  # 6×6×384
    stages["mlpconv4"] = MLPConv(384, (1024, 1024), 3, padding=1, pool=False)  # 6×6×1024
    return _network(stages, 1024, classes, head, (224, 224, in_channels))
