"""The ONNX of each function and method that forward passes of the table's networks call.

A translation takes the writer and the recorded call, and returns the name of the result.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional as F

from tortie.graphs.graph import UnknownOperator
from tortie.graphs.layers import clip, convolution, flattened, padded, passed, silu, unary
from tortie.graphs.writer import GraphWriter, argument, pair, shape_of

Translation = Callable[[GraphWriter, fx.Node], str]


def _binary(kind: str) -> Translation:
    def translate(writer: GraphWriter, node: fx.Node) -> str:
        if node.kwargs or len(node.args) != 2:
            raise UnknownOperator(f"no ONNX for {kind} with {dict(node.kwargs)}")
        return writer.add(kind, [writer.value(one) for one in node.args])

    return translate


def _flatten(writer: GraphWriter, node: fx.Node) -> str:
    start, end = argument(node, 1, "start_dim", 0), argument(node, 2, "end_dim", -1)
    return flattened(writer, node, start, end)


def _concatenated(writer: GraphWriter, node: fx.Node) -> str:
    parts = node.args[0]
    assert isinstance(parts, list | tuple)
    return writer.add(
        "Concat", [writer.value(one) for one in parts], axis=argument(node, 1, "dim", 0)
    )


def _reduced(kind: str) -> Translation:
    def translate(writer: GraphWriter, node: fx.Node) -> str:
        axes, kept = argument(node, 1, "dim"), argument(node, 2, "keepdim", False)
        if axes is None or node.kwargs.get("dtype") is not None:
            raise UnknownOperator(f"no ONNX for {kind} over all axes or in another type")
        listed = list(axes) if isinstance(axes, tuple | list) else [axes]
        inputs = [writer.value(node.args[0]), writer.constant(listed, np.int64)]
        return writer.add(kind, inputs, keepdims=int(kept))

    return translate


def _unsqueezed(writer: GraphWriter, node: fx.Node) -> str:
    axis = writer.constant([argument(node, 1, "dim")], np.int64)
    return writer.add("Unsqueeze", [writer.value(node.args[0]), axis])


def _index_select(writer: GraphWriter, node: fx.Node) -> str:
    inputs = [writer.value(node.args[0]), writer.value(argument(node, 2, "index"))]
    return writer.add("Gather", inputs, axis=argument(node, 1, "dim"))


def _sliced(writer: GraphWriter, node: fx.Node) -> str:
    """Slices of every axis but the batch; no item is taken by its number."""
    slices = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    shape = shape_of(node.args[0])
    rows = []
    for axis, one in enumerate(slices):
        if not isinstance(one, slice) or (axis == 0 and one != slice(None)):
            raise UnknownOperator(f"no ONNX for the item {one} of axis {axis}")
        if one != slice(None):
            start, stop, step = one.indices(shape[axis])
            rows.append((start, stop, axis, step))
    if not rows:
        return writer.value(node.args[0])
    inputs = [writer.constant(list(column), np.int64) for column in zip(*rows, strict=True)]
    return writer.add("Slice", [writer.value(node.args[0]), *inputs])


def _pad(writer: GraphWriter, node: fx.Node) -> str:
    mode, fill = argument(node, 2, "mode", "constant"), argument(node, 3, "value")
    if mode != "constant":
        raise UnknownOperator(f"no ONNX for padding by {mode}")
    return padded(writer, node, argument(node, 1, "pad"), float(fill or 0))


def _convolution(writer: GraphWriter, node: fx.Node) -> str:
    weight, bias = node.args[1], argument(node, 2, "bias")
    padding, groups = argument(node, 4, "padding", 0), argument(node, 6, "groups", 1)
    filters, channels, height, width = shape_of(weight)
    stride, dilation = argument(node, 3, "stride", 1), argument(node, 5, "dilation", 1)
    layer = nn.Conv2d(  # for its numbers: its weight is never read
        channels * groups, filters, (height, width), _two(stride),
        padding if isinstance(padding, str) else _two(padding), _two(dilation), groups,
        device="meta",
    )  # fmt: skip
    inputs = [writer.value(node.args[0]), writer.value(weight)]
    inputs += [] if bias is None else [writer.value(bias)]
    return convolution(writer, inputs, shape_of(node.args[0]), layer)


def _two(value: Any) -> tuple[int, int]:
    first, second = pair(value)
    return first, second


FUNCTIONS: dict[Any, Translation] = {
    operator.add: _binary("Add"),
    operator.iadd: _binary("Add"),
    torch.add: _binary("Add"),
    operator.sub: _binary("Sub"),
    operator.mul: _binary("Mul"),
    torch.mul: _binary("Mul"),
    operator.neg: unary("Neg"),
    operator.getitem: _sliced,
    torch.relu: unary("Relu"),
    F.relu: unary("Relu"),
    F.relu6: clip(0.0, 6.0),
    torch.tanh: unary("Tanh"),
    torch.sigmoid: unary("Sigmoid"),
    F.silu: silu,
    torch.flatten: _flatten,
    torch.cat: _concatenated,
    F.pad: _pad,
    F.conv2d: _convolution,
    F.dropout: passed,
}
METHODS: dict[str, Translation] = {
    "add": _binary("Add"),
    "mul": _binary("Mul"),
    "relu": unary("Relu"),
    "tanh": unary("Tanh"),
    "sigmoid": unary("Sigmoid"),
    "flatten": _flatten,
    "mean": _reduced("ReduceMean"),
    "sum": _reduced("ReduceSum"),
    "unsqueeze": _unsqueezed,
    "index_select": _index_select,
    "contiguous": passed,
}
