"""The shape of what stages yield, without computing it."""

import copy

import torch
from torch import nn

from tortie.images.preprocess import Preprocessing


@torch.no_grad()
def output_shape(prefix: nn.Module, preprocessing: Preprocessing) -> tuple[int, ...]:
    """The shape of what a prefix yields of one image; nothing is computed."""
    own = copy.deepcopy(prefix).to("meta").eval()
    height, width, channels = preprocessing.shape
    return tuple(own(torch.empty(1, channels, height, width, device="meta")).shape[1:])
