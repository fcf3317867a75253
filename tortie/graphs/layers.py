"""The ONNX of each layer of torch and of tortie that the table's networks are made of.

A translation takes the writer, the recorded call and the layer, and returns the name of the result.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import fx, nn

from tortie.graphs.graph import UnknownOperator
from tortie.graphs.writer import GraphWriter, pair, shape_of
from tortie.networks.layers import LocalResponseNorm, SameConv2d


def _conv(writer: GraphWriter, node: fx.Node, conv: nn.Conv2d) -> str:
    if conv.padding_mode != "zeros":
        raise UnknownOperator(f"no ONNX for a convolution padded by {conv.padding_mode}")
    inputs = [writer.value(node.args[0]), writer.tensor(f"{node.target}.weight")]
    if conv.bias is not None:
        inputs.append(writer.tensor(f"{node.target}.bias"))
    return convolution(writer, inputs, shape_of(node.args[0]), conv)


def convolution(
    writer: GraphWriter, inputs: list[str], shape: tuple[int, ...], conv: nn.Conv2d
) -> str:
    """A convolution of maps of this shape, its padding in numbers."""
    near, far = [], []
    for axis in range(2):
        size, kernel, stride = shape[2 + axis], conv.kernel_size[axis], conv.stride[axis]
        reach = conv.dilation[axis] * (kernel - 1)
        if isinstance(conv, SameConv2d):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            before = total // 2
        elif conv.padding == "same":  # at stride 1 alone
            total, before = reach, reach // 2
        else:
            before = 0 if isinstance(conv.padding, str) else int(conv.padding[axis])
            total = 2 * before
        near.append(before)
        far.append(total - before)
    return writer.add(
        "Conv", inputs, kernel_shape=list(conv.kernel_size), strides=list(conv.stride),
        dilations=list(conv.dilation), group=conv.groups, pads=[*near, *far],
    )  # fmt: skip


def _batch_norm(writer: GraphWriter, node: fx.Node, norm: nn.BatchNorm2d) -> str:
    if not norm.track_running_stats:
        raise UnknownOperator("no ONNX for a batch normalisation without statistics")
    inputs = [writer.value(node.args[0])]
    if norm.affine:
        inputs += [writer.tensor(f"{node.target}.{leaf}") for leaf in ("weight", "bias")]
    else:
        inputs.append(writer.constant(np.ones(norm.num_features)))
        inputs.append(writer.constant(np.zeros(norm.num_features)))
    inputs += [writer.tensor(f"{node.target}.{leaf}") for leaf in ("running_mean", "running_var")]
    return writer.add("BatchNormalization", inputs, epsilon=norm.eps)


def _max_pool(writer: GraphWriter, node: fx.Node, pool: nn.MaxPool2d) -> str:
    kernel, dilation = pair(pool.kernel_size), pair(pool.dilation)
    return writer.add(
        "MaxPool", [writer.value(node.args[0])], kernel_shape=kernel, strides=pair(pool.stride),
        pads=_pool_padding(node, pool, dilation), dilations=dilation,
    )  # fmt: skip


def _pool_padding(
    node: fx.Node, pool: nn.MaxPool2d | nn.AvgPool2d, dilation: Sequence[int] = (1, 1)
) -> list[int]:
    """Padding with which a pooling yields the sizes that torch's does, rounded up or down."""
    kernel, stride, padding = pair(pool.kernel_size), pair(pool.stride), pair(pool.padding)
    before, after = shape_of(node.args[0])[2:], shape_of(node)[2:]
    far = []
    for axis in range(2):
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        needed = (after[axis] - 1) * stride[axis] + reach - before[axis] - padding[axis]
        far.append(max(needed, 0))
    return [*padding, *far]


def _avg_pool(writer: GraphWriter, node: fx.Node, pool: nn.AvgPool2d) -> str:
    kernel, pads = pair(pool.kernel_size), _pool_padding(node, pool)
    counted = bool(pool.count_include_pad and (pads[0] or pads[1]))
    if (pool.count_include_pad or pool.divisor_override) and pads[2:] > pads[:2]:
        raise UnknownOperator("no ONNX for an average pooling that runs off the edge")
    result = writer.add(
        "AveragePool", [writer.value(node.args[0])], kernel_shape=kernel,
        strides=pair(pool.stride), pads=pads, count_include_pad=int(counted),
    )  # fmt: skip
    if pool.divisor_override is None:
        return result
    if any(pads):
        raise UnknownOperator("no ONNX for a padded average pooling with a divisor")
    return writer.add("Mul", [result, writer.constant(math.prod(kernel) / pool.divisor_override)])


def _adaptive_avg_pool(writer: GraphWriter, node: fx.Node, pool: nn.AdaptiveAvgPool2d) -> str:
    given = writer.value(node.args[0])
    before, after = shape_of(node.args[0])[2:], shape_of(node)[2:]
    if after == (1, 1):
        return writer.add("GlobalAveragePool", [given])
    if before == after:
        return given
    down = writer.add("MatMul", [writer.constant(_windows(before[0], after[0])), given])
    return writer.add("MatMul", [down, writer.constant(_windows(before[1], after[1]).T)])


def _windows(before: int, after: int) -> np.ndarray:
    """The weights ``(after, before)`` of the means that torch's adaptive pooling takes."""
    weights = np.zeros((after, before), np.float32)
    for place in range(after):
        first, last = place * before // after, -(-(place + 1) * before // after)
        weights[place, first:last] = 1 / (last - first)
    return weights


def _linear(writer: GraphWriter, node: fx.Node, linear: nn.Linear) -> str:
    if len(shape_of(node.args[0])) != 2:
        raise UnknownOperator("no ONNX for a linear layer of maps")
    inputs = [writer.value(node.args[0]), writer.tensor(f"{node.target}.weight")]
    if linear.bias is not None:
        inputs.append(writer.tensor(f"{node.target}.bias"))
    return writer.add("Gemm", inputs, transB=1)


def _local_response(writer: GraphWriter, node: fx.Node, norm: nn.LocalResponseNorm) -> str:
    return writer.add(
        "LRN", [writer.value(node.args[0])], size=norm.size, alpha=float(norm.alpha),
        beta=float(norm.beta), bias=float(norm.k),
    )  # fmt: skip


def _flatten(writer: GraphWriter, node: fx.Node, module: nn.Flatten) -> str:
    return flattened(writer, node, module.start_dim, module.end_dim)


def flattened(writer: GraphWriter, node: fx.Node, start: int, end: int) -> str:
    """Maps as one vector an image."""
    axes = len(shape_of(node.args[0]))
    if start != 1 or end not in (-1, axes - 1):
        raise UnknownOperator(f"no ONNX for a flattening of axes {start} to {end}")
    given = writer.value(node.args[0])
    return given if axes == 2 else writer.add("Flatten", [given], axis=1)


def _constant_pad(writer: GraphWriter, node: fx.Node, module: nn.ConstantPad2d) -> str:
    return padded(writer, node, module.padding, float(module.value))


def padded(writer: GraphWriter, node: fx.Node, padding: Sequence[int], fill: float) -> str:
    """A value with a margin; ``padding`` is torch's, the last axis first."""
    pairs = [(0, 0)] * (len(shape_of(node.args[0])) - len(padding) // 2)
    pairs += [(padding[i], padding[i + 1]) for i in range(len(padding) - 2, -1, -2)]
    pads = writer.constant([one for one, _ in pairs] + [one for _, one in pairs], np.int64)
    return writer.add("Pad", [writer.value(node.args[0]), pads, writer.constant(fill)])


def clip(low: float, high: float) -> Callable[..., str]:
    """The translation of a clipping."""

    def translate(writer: GraphWriter, node: fx.Node, module: nn.Module | None = None) -> str:
        bounds = [writer.constant(low), writer.constant(high)]
        return writer.add("Clip", [writer.value(node.args[0]), *bounds])

    return translate


def unary(kind: str, **attributes: Any) -> Callable[..., str]:
    """The translation of an operator of one input."""

    def translate(writer: GraphWriter, node: fx.Node, module: nn.Module | None = None) -> str:
        return writer.add(kind, [writer.value(node.args[0])], **attributes)

    return translate


def silu(writer: GraphWriter, node: fx.Node, module: nn.Module | None = None) -> str:
    """A value times its sigmoid."""
    given = writer.value(node.args[0])
    return writer.add("Mul", [given, writer.add("Sigmoid", [given])])


def passed(writer: GraphWriter, node: fx.Node, module: nn.Module | None = None) -> str:
    """What changes nothing in evaluation mode."""
    return writer.value(node.args[0])


LAYERS: dict[type[nn.Module], Callable[..., str]] = {
    nn.Conv2d: _conv,
    SameConv2d: _conv,
    nn.BatchNorm2d: _batch_norm,
    nn.ReLU: unary("Relu"),
    nn.ReLU6: clip(0.0, 6.0),
    nn.Tanh: unary("Tanh"),
    nn.Sigmoid: unary("Sigmoid"),
    nn.SiLU: silu,
    nn.Hardswish: unary("HardSwish"),
    nn.Hardsigmoid: unary("HardSigmoid", alpha=1 / 6, beta=0.5),
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _avg_pool,
    nn.AdaptiveAvgPool2d: _adaptive_avg_pool,
    nn.Linear: _linear,
    nn.LocalResponseNorm: _local_response,
    LocalResponseNorm: _local_response,
    nn.Flatten: _flatten,
    nn.ConstantPad2d: _constant_pad,
    nn.Dropout: passed,
    nn.Identity: passed,
}
