"""The shape of what stages yield."""

import copy

import torch
from torch import nn

from tortie.images.preprocess import Preprocessing


@torch.no_grad()
def output_shape(prefix: nn.Module, preprocessing: Preprocessing) -> tuple[int, ...]:
    """The shape of what a prefix yields of one image.

    One image goes through it: torch's kernels without numbers, for the meta device, take over a
    second to import, and an image a few hundredths.
    """
    trains = any(module.training for module in prefix.modules())
    own = copy.deepcopy(prefix).eval() if trains else prefix
    some = next(own.parameters(), torch.empty(0))
    height, width, channels = preprocessing.shape
    return tuple(own(some.new_zeros(1, channels, height, width)).shape[1:])
