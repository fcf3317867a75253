"""Layers whose gradients torch computes slowly on a processor in float32, computed otherwise.

The values are torch's up to rounding. Measured on two cores restricted to AVX2, images
channels-last, 32 of EfficientNet-Lite0's maps:

- the gradient of a 1×1 kernel is a product of two matrices, which torch's product multiplies at 37
  to 43 thousand million a second a core and its convolution at 26;
- that of a 5×5 depthwise kernel takes 19 to 43 ms where its columns are taken at once, and 7 to 32
  by three and two, because oneDNN has a fast kernel up to three columns (with AVX-512, 24 to 50
  and 4 to 11 ms);
- ReLU6 and SiLU in place copy their input first, because torch's gradients ask for it. ReLU6's may
  ask for its output instead, which the next layer keeps anyway.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

CONVOLUTIONS = (F.conv2d, torch.conv2d)


class FastGradients(TorchFunctionMode):
    """While entered, such layers take their gradients by the faster way."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if torch.is_grad_enabled():
            if func in CONVOLUTIONS and not kwargs and len(args) == 7:
                return _convolution(*args)
            if func is F.hardtanh:
                return _hardtanh(*args, **kwargs)
            if func is F.silu:
                return F.silu(args[0])
        return func(*args, **kwargs)


def _convolution(
    images: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> Tensor:  # fmt: skip
    fits = (
        bias is None
        and weight.requires_grad
        and images.dtype == weight.dtype == torch.float32
        and images.is_contiguous(memory_format=torch.channels_last)
        and _each(stride) == _each(dilation) == (1, 1)
    )
    if fits and groups == 1 and weight.shape[2:] == (1, 1) and _each(padding) == (0, 0):
        return _Pointwise.apply(images, weight)
    depthwise = groups == images.shape[1] == weight.shape[0]
    if fits and depthwise and weight.shape[2:] == (5, 5) and _each(padding) == (2, 2):
        return _Depthwise5.apply(images, weight)
    return F.conv2d(images, weight, bias, stride, padding, dilation, groups)


def _each(value: Any) -> Any:
    """A number for both directions as a pair; a pair, or the name of a padding, as it is."""
    return (value, value) if isinstance(value, int) else value


def _hardtanh(
    images: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    if images.is_leaf and images.requires_grad:
        inplace = False
    return _Hardtanh.apply(images, min_val, max_val, inplace)


class _Hardtanh(torch.autograd.Function):
    """Values cut off at both ends; where the output is inside them, so was the input."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, low: float, high: float, inplace: bool) -> Tensor:
        ctx.ends = low, high
        if inplace:
            cut = images.clamp_(low, high)
            ctx.mark_dirty(images)
        else:
            cut = images.clamp(low, high)
        ctx.save_for_backward(cut)
        return cut

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (cut,) = ctx.saved_tensors
        by_images = torch.ops.aten.hardtanh_backward(gradients[0], cut, *ctx.ends)
        return by_images, None, None, None


class _Pointwise(torch.autograd.Function):
    """A 1×1 convolution, the gradient of its kernel by a product of matrices."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(images, weight)
        return torch.ops.aten.convolution(images, weight, None, *_where((0, 0), 1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        images, weight = ctx.saved_tensors
        by_weight = _rows(gradient).t() @ _rows(images)
        by_images = None
        if ctx.needs_input_grad[0]:
            by_images = _by_images(gradient, images, weight, _where((0, 0), 1))
        return by_images, by_weight.view(weight.shape)


class _Depthwise5(torch.autograd.Function):
    """A 5×5 depthwise convolution, the gradient of its kernel by three columns and by two."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(images, weight)
        return torch.ops.aten.convolution(images, weight, None, *_where((2, 2), len(weight)))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        images, weight = ctx.saved_tensors
        # Column k of the kernel sees the images moved by k - 2.
        first = _by_columns(gradient, _padded(images, 2, 0), 3)
        last = _by_columns(gradient, _padded(images[..., 1:], 0, 2), 2)
        by_images = None
        if ctx.needs_input_grad[0]:
            by_images = _by_images(gradient, images, weight, _where((2, 2), len(weight)))
        return by_images, torch.cat([first, last], dim=3)


def _where(padding: tuple[int, int], groups: int) -> tuple[Any, ...]:
    """What else ``aten.convolution`` asks for, at stride 1."""
    return [1, 1], list(padding), [1, 1], False, [0, 0], groups


def _by_images(gradient: Tensor, images: Tensor, weight: Tensor, where: Any) -> Tensor:
    only = [True, False, False]
    return torch.ops.aten.convolution_backward(gradient, images, weight, None, *where, only)[0]


def _by_columns(gradient: Tensor, images: Tensor, columns: int) -> Tensor:
    """The gradient of some columns of a kernel, images padded to the sides already."""
    channels = gradient.shape[1]
    weight = images.new_empty((channels, 1, 5, columns))
    where, only = _where((2, 0), channels), [False, True, False]
    return torch.ops.aten.convolution_backward(gradient, images, weight, None, *where, only)[1]


def _padded(images: Tensor, left: int, right: int) -> Tensor:
    """Images with columns of zeros beside them."""
    width = images.shape[3]
    shape = (*images.shape[:3], left + width + right)
    padded = torch.empty(shape, dtype=images.dtype, memory_format=torch.channels_last)
    padded[..., :left] = 0
    padded[..., left + width :] = 0
    padded[..., left : left + width] = images
    return padded


def _rows(images: Tensor) -> Tensor:
    """Images channels-last as a matrix, a position a row."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])
