"""What an exported model is written with: operators, constants, and whole graphs of networks."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from tortie.graphs.graph import INPUT, OUTPUT

Value = str | NDArray[Any] | np.generic
"""The name of a result, or a constant."""


class Program:
    """Operators in the order of the computation, and the constants that they take.

    Attributes:
        nodes: the operators.
        initialisers: constants and weights.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def add(self, kind: str, *inputs: Value, output: str = "", **attributes: Any) -> str:
        """Append an operator of one output, and return the output's name."""
        names = [one if isinstance(one, str) else self.constant(one) for one in inputs]
        output = output or f"step{len(self.nodes)}"
        node = helper.make_node(kind, names, [output], f"at {output}", **attributes)
        self.nodes.append(node)
        return output

    def split(self, value: str, axis: int) -> tuple[str, str]:
        """The two halves of a value along an axis."""
        first, second = (f"step{len(self.nodes)} {half}" for half in ("first", "second"))
        node = helper.make_node(
            "Split", [value], [first, second], f"at {first}", axis=axis, num_outputs=2
        )
        self.nodes.append(node)
        return first, second

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """The name of an array; equal arrays share it."""
        array = np.asarray(value)
        known = str(array.dtype), array.shape, array.tobytes()
        if known not in self._known:
            self._known[known] = f"constant{len(self._known)}"
            self.initialisers.append(onnx.numpy_helper.from_array(array, self._known[known]))
        return self._known[known]

    def include(self, model: onnx.ModelProto, prefix: str, given: str) -> str:
        """Append a network's graph with its weights, and return the name of what it yields.

        Args:
            model: takes one input.
            prefix: of its names here.
            given: what it takes.
        """
        graph = onnx.GraphProto()
        graph.CopyFrom(model.graph)
        graph = onnx.compose.add_prefix_graph(graph, prefix)
        for number, node in enumerate(graph.node):
            node.name = f"{prefix}{number}"
            for place, name in enumerate(node.input):
                if name == prefix + INPUT:
                    node.input[place] = given
        self.nodes.extend(graph.node)
        self.initialisers.extend(graph.initializer)
        return prefix + OUTPUT
