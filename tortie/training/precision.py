"""The arithmetic of a training step in a precision that ``step_cost`` chose, by kind of layer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tortie.activations.engine import Precision
from tortie.training.gradients import CONVOLUTIONS, FastGradients


@contextmanager
def arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """A forward pass in that precision: parameters stay float32, as do losses and statistics.

    On a processor, what torch does slowly is done otherwise: in float32 some gradients (see
    :mod:`tortie.training.gradients`); in bfloat16 the gradients of depthwise convolutions are left
    in float32.
    """
    if precision == "float32" and device.type == "cpu":
        with FastGradients():
            yield
    elif precision == "float32":
        yield
    elif device.type == "cpu":
        with torch.autocast("cpu", torch.bfloat16), _DepthwiseByKind():
            yield
    else:
        with torch.autocast(device.type, torch.bfloat16):
            yield


class _DepthwiseByKind(TorchFunctionMode):
    """While entered, depthwise convolutions take their gradients in float32 where that is faster.

    Measured on two cores with AMX, 32 images: the gradient of a 5×5 kernel on 28×28×240 takes 113
    ms in bfloat16 and 24 in float32, that of the input at stride 2 on 112×112×96 144 and 41; all
    else is faster in bfloat16.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in CONVOLUTIONS and not kwargs and len(args) == 7:
            images, weight, bias, stride, padding, dilation, groups = args
            depthwise = groups > 1 and groups == images.shape[1] == weight.shape[0]
            if depthwise and bias is None and not isinstance(padding, str):
                where = _pair(stride), _pair(padding), _pair(dilation), groups
                return _Depthwise.apply(images, weight, *where)
        return func(*args, **(kwargs or {}))


def _pair(value: int | tuple[int, int]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution in bfloat16, its slow gradients in float32."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, stride: list[int], padding: list[int],
        dilation: list[int], groups: int,
    ) -> Tensor:  # fmt: skip
        images = images.bfloat16()
        ctx.save_for_backward(images, weight)
        ctx.where = stride, padding, dilation, False, [0, 0], groups
        return torch.ops.aten.convolution(images, weight.bfloat16(), None, *ctx.where)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        images, weight = ctx.saved_tensors
        wants_images, wants_weight = ctx.needs_input_grad[:2]
        by_images = by_weight = None
        if wants_images and ctx.where[0] == [1, 1]:
            by_images = torch.ops.aten.convolution_backward(
                gradient, images, weight.bfloat16(), None, *ctx.where, [True, False, False]
            )[0]
            wants_images = False
        if wants_images or wants_weight:
            slow = torch.ops.aten.convolution_backward(
                gradient.float(), images.float(), weight.float(), None, *ctx.where,
                [wants_images, wants_weight, False],
            )  # fmt: skip
            by_images = slow[0].bfloat16() if wants_images else by_images
            by_weight = slow[1]
        return by_images, by_weight, None, None, None, None
