"""Weights in half precision: half the file, the same arithmetic."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SMALL = 256  # numbers: of a smaller array little is saved
_HIGHEST = float(np.finfo(np.float16).max)


def halve(model: onnx.ModelProto, only: tuple[str, ...]) -> onnx.ModelProto:
    """The model with the float32 weights of its networks kept as float16.

    Each is cast to float32 where it is used, which runtimes do once, when they load the file:
    sums are in float32, on any processor. Weights beyond float16's range stay as they are.

    Args:
        model: in float32; it is left as it is.
        only: what names of weights that are halved begin with.
    """
    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    casts = []
    for one in halved.graph.initializer:
        if one.data_type != TensorProto.FLOAT or not one.name.startswith(only):
            continue
        array = numpy_helper.to_array(one)
        if array.size < _SMALL or np.abs(array).max() > _HIGHEST:
            continue
        name = one.name
        one.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name} half"))
        casts.append(
            helper.make_node("Cast", [one.name], [name], f"cast {name}", to=TensorProto.FLOAT)
        )
    nodes = [*casts, *halved.graph.node]
    del halved.graph.node[:]
    halved.graph.node.extend(nodes)
    return halved
