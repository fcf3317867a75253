"""What a graph is written with: nodes, constants, and the names of the network's tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, fx

from tortie.graphs.graph import UnknownOperator

SHAPE = "shape"
"""What a recorded node knows its shape by, in its ``meta``."""

_TYPES = {torch.float32: TensorProto.FLOAT, torch.int64: TensorProto.INT64}


class GraphWriter:
    """Nodes, constants and tensors of a graph, as they come.

    Args:
        traced: the module, recorded; its nodes know their shapes.

    Attributes:
        nodes: in the order of the computation.
        constants: small arrays that belong to the program, not to the network's tensors.
        values: the name of what each node of the recording yields.
    """

    def __init__(self, traced: fx.GraphModule) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.values: dict[fx.Node, str] = {}
        self._traced = traced
        self._taken: dict[str, Tensor] = {}
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def add(self, kind: str, inputs: Sequence[str], *, output: str = "", **attributes: Any) -> str:
        """Append a node of one output, and return the output's name."""
        output = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: Any, kind: type = np.float32) -> str:
        """The name of a small array; equal arrays share it."""
        array: NDArray[Any] = np.asarray(values, kind)
        known = str(array.dtype), array.shape, array.tobytes()
        if known not in self._known:
            self._known[known] = f"c{len(self.constants)}"
            self.constants.append(onnx.numpy_helper.from_array(array, self._known[known]))
        return self._known[known]

    def tensor(self, name: str) -> str:
        """Take one of the module's tensors; its name is the same in the graph.

        Raises:
            UnknownOperator: its type has no translation.
        """
        path, _, leaf = name.rpartition(".")
        found = getattr(self._traced.get_submodule(path), leaf)
        if found.dtype not in _TYPES:
            raise UnknownOperator(f"no ONNX for a tensor of {found.dtype}")
        self._taken[name] = found
        return name

    def tensors(self) -> list[onnx.ValueInfoProto]:
        """The tensors that were taken, as inputs of the graph."""
        return [
            helper.make_tensor_value_info(name, _TYPES[one.dtype], list(one.shape))
            for name, one in self._taken.items()
        ]

    def value(self, given: Any) -> str:
        """The name of an argument's value: of a node, or of a number as a constant."""
        return self.values[given] if isinstance(given, fx.Node) else self.constant(given)


def shape_of(node: Any) -> tuple[int, ...]:
    """Shape of what a recorded node yields for a batch of one."""
    shape: tuple[int, ...] = node.meta[SHAPE]
    return shape


def argument(node: fx.Node, place: int, name: str, default: Any = None) -> Any:
    """An argument of a recorded call, given by its place or by its name."""
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def pair(value: Any) -> list[int]:
    """Two numbers, given as two or as one for both."""
    return [int(one) for one in value] if isinstance(value, tuple | list) else [int(value)] * 2
