"""A network's graph with its weights inside, for whoever takes an ONNX file."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tortie.graphs.graph import Graph, RefusedGraph

if TYPE_CHECKING:
    import onnx


def with_weights(graph: Graph, tensors: Mapping[str, NDArray[Any]]) -> "onnx.ModelProto":
    """The model with its weights, each batch normalisation folded into its convolution.

    Args:
        graph: of the network, or of a part.
        tensors: the network's, by name; others than the graph's are passed over.

    Raises:
        RefusedGraph: the graph is not one that tortie writes, or a tensor is missing or of another
            type or shape.
    """
    from onnx import numpy_helper

    model = graph.model()
    arrays = {one.name: _tensor(one, tensors) for one in model.graph.input[1:]}
    del model.graph.input[1:]
    _fold(model.graph, arrays)
    for name, array in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def _tensor(wanted: "onnx.ValueInfoProto", tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """One of the network's tensors, if it is as the graph declares it."""
    import onnx

    declared = wanted.type.tensor_type
    shape = tuple(one.dim_value for one in declared.shape.dim)
    kind = onnx.helper.tensor_dtype_to_np_dtype(declared.elem_type)
    found = tensors.get(wanted.name)
    if found is None:
        raise RefusedGraph(
            f"the graph of a network asks for a tensor that is missing: {wanted.name}"
        )
    if found.shape != shape or found.dtype != kind:
        raise RefusedGraph(
            f"{wanted.name} is {found.dtype} {found.shape}; the graph expects {kind} {shape}"
        )
    return found


def _fold(graph: "onnx.GraphProto", arrays: dict[str, NDArray[Any]]) -> None:
    """Fold each batch normalisation that follows a convolution into its weight and bias."""
    users: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            users[name] = users.get(name, 0) + 1
    convolutions = {node.output[0]: node for node in graph.node if node.op_type == "Conv"}
    constants = {one.name: one for one in graph.initializer}
    kept = []
    for node in graph.node:
        conv = convolutions.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if conv is None or users[node.input[0]] != 1 or users[conv.input[1]] != 1:
            kept.append(node)
            continue
        _fold_one(conv, node, arrays, constants)
        conv.output[0] = node.output[0]
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    for name in arrays.keys() - used:
        del arrays[name]
    del graph.initializer[:]
    graph.initializer.extend(one for name, one in constants.items() if name in used)


def _fold_one(
    conv: "onnx.NodeProto",
    norm: "onnx.NodeProto",
    arrays: dict[str, NDArray[Any]],
    constants: "Mapping[str, onnx.TensorProto]",
) -> None:
    import onnx

    def array(name: str) -> NDArray[Any]:
        return arrays[name] if name in arrays else onnx.numpy_helper.to_array(constants[name])

    gamma, beta, mean, variance = (array(name) for name in norm.input[1:])
    epsilon = next((one.f for one in norm.attribute if one.name == "epsilon"), 1e-5)
    scale = gamma / np.sqrt(variance + np.float32(epsilon))
    weight = arrays[conv.input[1]]
    bias = array(conv.input[2]) if len(conv.input) > 2 else np.float32(0)
    arrays[conv.input[1]] = weight * scale.reshape(-1, 1, 1, 1)
    folded = f"{conv.input[1]}.bias"
    arrays[folded] = (bias - mean) * scale + beta
    del conv.input[2:]
    conv.input.append(folded)
