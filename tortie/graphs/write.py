"""A network's program, written once: the ONNX graph of what ``torch.fx`` records.

The graph takes images and the network's own tensors, by their names, and yields what the module
does, for any number of images of one size. It holds no weights: whoever runs it binds them
(:class:`tortie.graphs.graph.Graph`), so that a file has each tensor once. Sizes are known when it
is written, so every padding is in numbers: TensorFlow's "same", and pooling that runs off the edge.

Operators are those of the table's networks. A module with another is refused, with its name.
"""

import copy
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import fx, nn

from tortie.graphs.functions import FUNCTIONS, METHODS
from tortie.graphs.graph import INPUT, IR_VERSION, OPSET, OUTPUT, Graph, UnknownOperator, noise
from tortie.graphs.layers import LAYERS
from tortie.graphs.writer import SHAPE, GraphWriter, shape_of
from tortie.images.preprocess import Preprocessing
from tortie.networks.recording import Recorder

_BATCH = "batch"


def write_graph(name: str, module: nn.Module, given: Preprocessing | Sequence[int]) -> Graph:
    """The graph of what ``module`` computes in evaluation mode.

    Args:
        name: of the module within its network, such as ``stages``: it stands before the names of
            the module's tensors.
        module: takes one tensor and yields one; it is left as it is.
        given: what the graph takes: uint8 images ``(N, H, W, C)`` of this preprocessing, which it
            normalises; or float32 ``(N, *given)``.

    Raises:
        UnknownOperator: an operator or a layer without a translation.
    """
    taken: tuple[int, ...]
    if isinstance(given, Preprocessing):
        traced = _recorded(name, module, (given.channels, given.height, given.width))
        writer = GraphWriter(traced)
        result = _translate(writer, traced, _normalised(writer, given))
        kind, taken = TensorProto.UINT8, given.shape
    else:
        traced = _recorded(name, module, given)
        writer = GraphWriter(traced)
        result = _translate(writer, traced, INPUT)
        kind, taken = TensorProto.FLOAT, tuple(given)
    graph = helper.make_graph(
        writer.nodes,
        name,
        [helper.make_tensor_value_info(INPUT, kind, [_BATCH, *taken]), *writer.tensors()],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [_BATCH, *result])],
        writer.constants,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="tortie",
    )
    onnx.checker.check_model(model, full_check=True)
    return Graph(model.SerializeToString(deterministic=True), _expected(module, given))


@torch.inference_mode()
def _expected(module: nn.Module, given: Preprocessing | Sequence[int]) -> NDArray[np.float32]:
    """What the module yields of one random input, eagerly."""
    if isinstance(given, Preprocessing):
        drawn = torch.from_numpy(noise(given.shape, pixels=True)).permute(0, 3, 1, 2).float()
        drawn -= torch.tensor(given.mean).view(1, -1, 1, 1)
        drawn *= 1 / torch.tensor(given.std).view(1, -1, 1, 1)
    else:
        drawn = torch.from_numpy(noise(given, pixels=False))
    modes = [(one, one.training) for one in module.modules()]
    try:
        expected: NDArray[np.float32] = module.eval()(drawn).float().contiguous().numpy()
    finally:
        for one, training in modes:
            one.training = training
    return expected


class _Recorder(Recorder):
    """Goes down to torch's own layers, and to those that have a translation."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in LAYERS or super().is_leaf_module(m, module_qualified_name)


class _Shapes(fx.Interpreter):
    """Notes the shape of what each call yields.

    torch's own pass, and convolutions without numbers, import its compiler for that.
    """

    def run_node(self, n: fx.Node) -> Any:
        """What the call yields."""
        found = super().run_node(n)
        if isinstance(found, torch.Tensor):
            n.meta[SHAPE] = tuple(found.shape)
        return found


def _recorded(name: str, module: nn.Module, shape: Sequence[int]) -> fx.GraphModule:
    """The module's calls, each with the shape of what it yields for one input of zeros."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    own = nn.Sequential(OrderedDict({name: copy.deepcopy(module, shared)})).eval()
    try:
        traced = fx.GraphModule(own, _Recorder().trace(own))
        with torch.inference_mode():
            _Shapes(traced).run(torch.zeros(1, *shape))
    except Exception as error:  # whatever a pass that looks at values raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnknownOperator(f"its forward pass cannot be recorded ({reason})") from None
    return traced


def _normalised(writer: GraphWriter, preprocessing: Preprocessing) -> str:
    """uint8 ``(N, H, W, C)`` as float32 ``(N, C, H, W)``, normalised."""
    mean = np.array(preprocessing.mean, np.float32).reshape(-1, 1, 1)
    scale = np.float32(1) / np.array(preprocessing.std, np.float32).reshape(-1, 1, 1)
    images = writer.add("Cast", [INPUT], to=TensorProto.FLOAT)
    images = writer.add("Transpose", [images], perm=[0, 3, 1, 2])
    centred = writer.add("Sub", [images, writer.constant(mean)])
    return writer.add("Mul", [centred, writer.constant(scale)])


def _translate(writer: GraphWriter, traced: fx.GraphModule, start: str) -> tuple[int, ...]:
    """Write all calls in their order; the shape of the result, without the batch."""
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            writer.values[node] = start
        elif node.op == "get_attr":
            writer.values[node] = writer.tensor(str(node.target))
        elif node.op == "output":
            (last,) = node.args
            if not isinstance(last, fx.Node):
                raise UnknownOperator("it yields more than one tensor")
            writer.add("Identity", [writer.values[last]], output=OUTPUT)
            return shape_of(last)[1:]
        else:
            writer.values[node] = _call(writer, node, modules)
    raise UnknownOperator("it yields nothing")


def _call(writer: GraphWriter, node: fx.Node, modules: dict[str, nn.Module]) -> str:
    if node.op == "call_module":
        module = modules[str(node.target)]
        if type(module) not in LAYERS:
            raise UnknownOperator(f"no ONNX for the layer {type(module).__name__}")
        return LAYERS[type(module)](writer, node, module)
    known = METHODS.get(str(node.target)) if node.op == "call_method" else None
    translate = known or FUNCTIONS.get(node.target)
    if translate is None:
        name = getattr(node.target, "__name__", node.target)
        raise UnknownOperator(f"no ONNX for the operator {name}")
    return translate(writer, node)
