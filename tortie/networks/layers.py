"""Layers that torch does not have and that more than one part of tortie must know."""

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
