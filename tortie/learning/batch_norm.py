"""Batch normalisation over the batch of all processes, as one process would normalise it.

torch has this for GPUs alone. Each process sends count, mean and sum of squared deviations of its
photographs, from which those of all follow without the loss of digits that a sum of squares brings
(Chan, Golub, LeVeque 1983, equation 2.1).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from tortie.learning.processes import Processes


def norms_of(model: nn.Module) -> list[_BatchNorm]:
    """The batch normalisations of a model."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


@contextmanager
def synchronised(
    norms: Sequence[_BatchNorm], processes: Processes, counted: bool = True
) -> Iterator[None]:
    """For the block, each normalisation in training takes the statistics of all processes.

    Args:
        norms: of a model that every process calls equally often.
        processes: that call it.
        counted: whether this process's photographs are; one with a photograph of another is not.
    """
    if processes.count == 1:
        yield
        return
    for norm in norms:
        norm.__dict__["forward"] = partial(_forward, norm, processes, counted)
    try:
        yield
    finally:
        for norm in norms:
            del norm.__dict__["forward"]


def _forward(norm: _BatchNorm, processes: Processes, counted: bool, images: Tensor) -> Tensor:
    if not norm.training:
        return type(norm).forward(norm, images)
    own, mean, squares = _statistics(images, counted)
    count, mean, squares = _combined(processes, own, mean, squares)
    if norm.running_mean is not None and norm.running_var is not None:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.add_(1)
        momentum = norm.momentum
        if momentum is None:  # a plain mean over all batches
            momentum = 1 / float(norm.num_batches_tracked)
        norm.running_mean.lerp_(mean, momentum)
        norm.running_var.lerp_(squares / (count - 1).clamp_min(1), momentum)
    return _Normalise.apply(
        images, norm.weight, norm.bias, count, mean, squares / count, norm.eps, processes, counted
    )


@torch.no_grad()
def _statistics(images: Tensor, counted: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Values a channel, their mean and the sum of their squared deviations from it."""
    dims = [d for d in range(images.dim()) if d != 1]
    count = images.numel() // images.shape[1] if counted else 0
    variance, mean = torch.var_mean(_wide(images), dims, correction=0)
    return mean.new_full((1,), count), mean, variance * count


@torch.no_grad()
def _combined(
    processes: Processes, count: Tensor, mean: Tensor, squares: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    every = processes.stacked(torch.cat([count, mean, squares]))  # processes, 1 + 2C
    counts = every[:, :1]
    means, deviations = every[:, 1:].chunk(2, dim=1)
    total = counts.sum()
    mean = (counts * means).sum(dim=0) / total
    squares = deviations.sum(dim=0) + (counts * (means - mean).square()).sum(dim=0)
    return total, mean, squares


def _wide(tensor: Tensor) -> Tensor:
    """In float32 at least, for sums."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class _Normalise(torch.autograd.Function):
    """Normalisation by the statistics of all, whose gradient goes through them too."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor | None, bias: Tensor | None, count: Tensor,
        mean: Tensor, variance: Tensor, epsilon: float, processes: Processes, counted: bool,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(images, weight, count, mean, variance)
        ctx.others = epsilon, processes, counted
        return functional.batch_norm(images, mean, variance, weight, bias, False, 0.0, epsilon)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        images, weight, count, mean, variance = ctx.saved_tensors
        epsilon, processes, counted = ctx.others
        dims = [d for d in range(images.dim()) if d != 1]
        shape = [-1 if d == 1 else 1 for d in range(images.dim())]
        inverse = (variance + epsilon).rsqrt()
        slope = inverse if weight is None else inverse * weight
        steep = _wide(gradient)
        by_bias = steep.sum(dims)
        centred = _wide(images) - mean.view(shape)
        by_weight = (steep * centred).sum(dims) * inverse
        total = torch.stack([by_bias, by_weight])
        processes.add_up([total])
        by_images = steep
        if counted:  # otherwise it has no part in the statistics
            by_bias_of_all, by_weight_of_all = total / count
            centred.mul_((inverse * by_weight_of_all).view(shape))
            by_images = steep - by_bias_of_all.view(shape) - centred
        by_images = (by_images * slope.view(shape)).to(images.dtype)
        affine = (None, None) if weight is None else (by_weight, by_bias)
        return by_images, *affine, None, None, None, None, None, None
