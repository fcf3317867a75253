"""A network's graph, read back without torch: checked, and made ready to run.

A graph that comes in a classifier's file is somebody's data. It is refused unless each of its
operators is one that tortie writes, every size in it is known and bounded, and nothing in it refers
to another file or to code.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tortie.errors import TortieError

if TYPE_CHECKING:
    import onnx

OPSET = 18
"""ONNX 1.13: what every runtime of today reads, and the first whose ``Resize`` antialiases."""

IR_VERSION = 8
"""The file format of that opset."""

RULES = 3
"""Of what is refused: raised where a graph that was taken would be so no more."""

INPUT, OUTPUT = "images", "activations"

OPERATORS = frozenset([
    "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Conv", "Flatten",
    "Gather", "Gemm", "GlobalAveragePool", "HardSigmoid", "HardSwish", "Identity", "LRN", "MatMul",
    "MaxPool", "Mul", "Neg", "Pad", "ReduceMean", "ReduceSum", "Relu", "Sigmoid", "Slice", "Sub",
    "Tanh", "Transpose", "Unsqueeze",
])  # fmt: skip
"""What a graph of tortie is made of: none holds another graph, reads a file or calls code."""

_NODES = 50_000  # ResNet-1202 has 4,300
_CONSTANTS = 2**20  # bytes of all arrays that are not the network's tensors
_VALUES = 2**27  # numbers in one intermediate result of one image
_SMALL_VALUES = 2**24  # in one of small images: VGG at 224×224 has 3.2 million, 21 times the image
_GROWTH = 100  # times the image's numbers, from there on


class UnknownOperator(TortieError):
    """A module computes something that has no translation, so it has no graph."""


class RefusedGraph(TortieError):
    """A graph that is not one of tortie's, or tensors that do not fit it."""


@dataclass(frozen=True)
class Graph:
    """A network's program: an ONNX model without weights, whose tensors are inputs, by name.

    Attributes:
        content: the model's bytes.
        expected: what eager PyTorch yields of :func:`noise`, float32 ``(1, ...)``: whatever runs
            the graph is held to it.
    """

    content: bytes
    expected: NDArray[np.float32]

    @property
    def sha256(self) -> str:
        """Of the model's bytes, 64 hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def checksum(self) -> str:
        """SHA-256 of the model's bytes and of what is expected of it, 64 hexadecimal digits."""
        expected = np.ascontiguousarray(self.expected, "<f4")
        told = f"{expected.shape}".encode() + expected.tobytes()
        return hashlib.sha256(self.content + told).hexdigest()

    def model(self) -> "onnx.ModelProto":
        """The model, parsed, if it is one that tortie could have written.

        Raises:
            RefusedGraph: an operator that tortie does not write, a size that is unknown or beyond
                any network's, or a reference to something outside the graph.
        """
        import onnx
        from google.protobuf.message import DecodeError

        model = onnx.ModelProto()
        try:
            model.ParseFromString(self.content)
            _refuse(_objections(model))
            bare = onnx.ModelProto()
            bare.CopyFrom(model)
            bare.graph.output[0].type.tensor_type.ClearField("shape")  # what it says is no oracle
            inferred = onnx.shape_inference.infer_shapes(bare, True, True, True)
            onnx.checker.check_model(inferred)
        except (DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
            raise RefusedGraph("refused the graph of a network: it is damaged") from None
        except ValueError:  # a type that ONNX has not, or a name that is no UTF-8
            raise RefusedGraph("refused the graph of a network: it is damaged") from None
        _refuse(_too_large(inferred.graph))
        _refuse(_other_result(model.graph, inferred.graph))
        return model

    def runnable(self) -> "Runnable":
        """The checked model in the form that ONNX Runtime is given the tensors of.

        Raises:
            RefusedGraph: as :meth:`model`.
        """
        from onnx import TensorProto

        model = self.model()
        tensors: dict[str, TensorKind] = {}
        images, *own = model.graph.input
        for one in own:
            tensors[one.name] = kind = _kind(one)
            outside = TensorProto(
                name=one.name, data_type=one.type.tensor_type.elem_type, dims=kind.shape,
                data_location=TensorProto.EXTERNAL,
            )  # fmt: skip
            outside.external_data.add(key="location", value="given")  # there is no such file
            model.graph.initializer.append(outside)
        del model.graph.input[1:]
        return Runnable(model.SerializeToString(), _kind(images), tensors)


class TensorKind(NamedTuple):
    """What a tensor is: its type's name in numpy, and its shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Runnable:
    """A checked model, and the tensors that it must be given.

    Attributes:
        content: an ONNX model whose initialisers are outside of it.
        images: what one image is.
        tensors: the initialisers, by name.
    """

    content: bytes
    images: TensorKind
    tensors: Mapping[str, TensorKind]

    def misfit(self, tensors: Mapping[str, NDArray[Any]]) -> str | None:
        """What is wrong with the first tensor that does not fit; ``None`` where all do."""
        for name, wanted in self.tensors.items():
            if name not in tensors:
                return f"{name} is not there, expected {wanted.shape}"
            found = tensors[name]
            if found.shape != wanted.shape:
                return f"{name} is {found.shape}, expected {wanted.shape}"
            if str(found.dtype) != wanted.dtype:
                return f"{name} is {found.dtype}, expected {wanted.dtype}"
        return None


def noise(shape: Sequence[int], pixels: bool) -> NDArray[Any]:
    """One random input, the same on every machine: uint8 pixels, or standard normal float32."""
    drawn = np.random.RandomState(0)  # its stream is fixed for good, unlike that of newer ones
    if pixels:
        return drawn.randint(0, 256, (1, *shape)).astype(np.uint8)
    return drawn.standard_normal((1, *shape)).astype(np.float32)


def _kind(value: "onnx.ValueInfoProto") -> TensorKind:
    """What an input is; of images, one of them."""
    from onnx import helper

    dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    shape = tuple(size.dim_value for size in _sizes(value))
    return TensorKind(str(dtype), shape[1:] if value.name == INPUT else shape)


def _refuse(reasons: Iterator[str]) -> None:
    for reason in reasons:
        raise RefusedGraph(f"refused the graph of a network: {reason}")


def _objections(model: "onnx.ModelProto") -> Iterator[str]:
    """Why a model is not one of tortie's; sizes are looked at later."""
    from onnx import AttributeProto, TensorProto

    graph = model.graph
    plain = {
        AttributeProto.INT, AttributeProto.INTS, AttributeProto.FLOAT, AttributeProto.FLOATS,
    }  # fmt: skip
    if [(one.domain, one.version) for one in model.opset_import] != [("", OPSET)]:
        yield f"expected opset {OPSET} alone"
    if model.functions or model.training_info or graph.sparse_initializer:
        yield "it holds functions, training or sparse tensors"
    if len(graph.node) > _NODES:
        yield f"{len(graph.node):,} operators"
    for node in graph.node:
        if node.op_type not in OPERATORS or node.domain:
            yield f"the operator {node.op_type!r} is not one that tortie writes"
        if any(one.type not in plain for one in node.attribute):
            yield f"an attribute of {node.op_type} is no number"
    for constant in graph.initializer:
        if constant.data_location != TensorProto.DEFAULT or constant.external_data:
            yield "it refers to another file"
    if sum(one.ByteSize() for one in graph.initializer) > _CONSTANTS:
        yield "its constants are too large"
    if not graph.input or graph.input[0].name != INPUT or len(graph.output) != 1:
        yield "expected images in and one result out"
    if graph.value_info:  # believed wherever a size cannot be inferred
        yield "it says sizes of its own"
    if {one.name for one in graph.initializer} & {one.name for one in graph.input}:
        yield "a constant has the name of an input"


def _too_large(graph: "onnx.GraphProto") -> Iterator[str]:
    """Values whose size is unknown or beyond any network's; the batch alone may be open."""
    known = {one.name: one for one in (*graph.value_info, *graph.input, *graph.output)}
    images = _sizes(known[INPUT])
    batch, numbers = images[:1], math.prod(max(one.dim_value, 1) for one in images[1:])
    most = min(_VALUES, max(_SMALL_VALUES, _GROWTH * numbers))
    for name in (INPUT, *(out for node in graph.node for out in node.output if out)):
        if name not in known or not known[name].type.tensor_type.HasField("shape"):
            yield "the size of a value is not known"
            return
        sizes = _sizes(known[name])
        if any(not one.HasField("dim_value") for one in sizes[1:]):
            yield "the size of a value is not known"
            return
        if sizes and not sizes[0].HasField("dim_value") and sizes[:1] != batch:
            yield "it makes another number of images of a batch"
            return
        if math.prod(max(one.dim_value, 1) for one in sizes) > most:
            yield "a value is too large"
            return


def _other_result(graph: "onnx.GraphProto", inferred: "onnx.GraphProto") -> Iterator[str]:
    """A batch that is not open, or a result that is not one of each image, as was said."""
    batch, found = _sizes(inferred.input[0])[:1], _sizes(inferred.output[0])
    if not batch or batch[0].HasField("dim_value") or found[:1] != batch:
        yield "expected any number of images, and a result of each"
    elif graph.output[0].type.tensor_type.HasField("shape") and _sizes(graph.output[0]) != found:
        yield "its result has another size than it says"


def _sizes(value: "onnx.ValueInfoProto") -> "list[onnx.TensorShapeProto.Dimension]":
    return list(value.type.tensor_type.shape.dim)
