"""Layers that torch does not have and that more than one part of tortie must know."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: the output's side is ceil(input / stride).

    Where the padding is odd, the far side gets one more than the near side.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, out_channels, ceil(H / stride), ceil(W / stride))``."""
        sides = []
        for size, kernel, stride in zip(
            input.shape[2:], self.kernel_size, self.stride, strict=True
        ):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            sides.append((total // 2, total - total // 2))
        (top, bottom), (left, right) = sides
        if top == bottom and left == right:
            padding = (top, left)
        else:
            input = F.pad(input, (left, right, top, bottom))
            padding = (0, 0)
        return F.conv2d(input, self.weight, self.bias, self.stride, padding, 1, self.groups)


def normalise_response(images: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """:func:`torch.nn.functional.local_response_norm`, computed in float32 at least.

    Its squares overflow float16, and torch's CPU kernel takes neither float16 nor bfloat16.

    Args:
        images: ``(N, C, H, W)``, floating point.
        size: number of neighbouring channels.
        alpha: multiplies the mean of their squares.
        beta: the exponent.
        k: added before the power is taken.

    Returns:
        As ``images``, in their dtype.
    """
    if images.dtype in (torch.bfloat16, torch.float16):
        return F.local_response_norm(images.float(), size, alpha, beta, k).to(images.dtype)
    return F.local_response_norm(images, size, alpha, beta, k)


torch.fx.wrap("normalise_response")  # a call in a traced graph, not a branch to follow


class LocalResponseNorm(nn.LocalResponseNorm):
    """Normalisation across neighbouring channels at each position, in any precision."""

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, H, W)`` to the same shape and dtype."""
        return normalise_response(input, self.size, self.alpha, self.beta, self.k)


class StochasticDepth(nn.Module):
    """In training, drops a residual branch for whole images: Huang et al., arXiv:1603.09382.

    Args:
        survival: probability in (0, 1] that an image keeps the branch, which is then divided by
            it, so that the expected value stays the same.
    """

    def __init__(self, survival: float) -> None:
        super().__init__()
        self.survival = survival

    def forward(self, branch: Tensor) -> Tensor:
        """``(N, C, H, W)`` to the same shape; unchanged in evaluation mode."""
        if not self.training or self.survival == 1.0:
            return branch
        kept = branch.new_empty((branch.shape[0], 1, 1, 1)).bernoulli_(self.survival)
        return branch * (kept / self.survival)

    def extra_repr(self) -> str:
        """The probability."""
        return f"survival={self.survival:g}"
