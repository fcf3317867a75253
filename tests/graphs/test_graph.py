"""A graph that somebody else wrote can at worst be refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tortie.graphs.fold import with_weights
from tortie.graphs.graph import OPSET, Graph, RefusedGraph, noise

NOTHING = np.zeros((1, 4), np.float32)


def graph_of(*nodes, tensors=(), constants=(), opset=OPSET, out="activations", width=4, **rest):
    """A graph from ``width`` numbers an image to ``out``."""
    given = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", width])
    wanted = helper.make_tensor_value_info(out, TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph(list(nodes), "g", [given, *tensors], [wanted], list(constants)),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
        **rest,
    )
    return Graph(model.SerializeToString(), NOTHING)


def node(kind, *inputs, out="activations", **attributes):
    return helper.make_node(kind, inputs, [out], **attributes)


def lying(graph, name, *shape):
    """The graph with a size in it that nobody inferred."""
    model = onnx.ModelProto.FromString(graph.content)
    model.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return Graph(model.SerializeToString(), NOTHING)


def fixed(graph):
    """The graph for one image alone."""
    model = onnx.ModelProto.FromString(graph.content)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return Graph(model.SerializeToString(), NOTHING)


def numbers(name, *values, kind=np.int64):
    return onnx.numpy_helper.from_array(np.array(values, kind), name)


def test_a_plain_graph_is_taken():
    assert graph_of(node("Relu", "images")).runnable().tensors == {}


PADDED = [
    node("Cast", "images", out="a", to=TensorProto.INT64), node("Pad", "images", "a", out="b"),
    node("Identity", "b"),
]  # fmt: skip
HUGE = [0, 0, 0, 2**40]
WIDE = [0, 0, 0, 2**25]  # bounded, but no network makes this of a vector
DOUBLED = [node("Concat", "images", "images", out="a0", axis=1)] + [
    node("Concat", f"a{i}", f"a{i}", out=f"a{i + 1}" if i < 29 else "activations", axis=1)
    for i in range(30)
]


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (Graph(b"\xff\xff\xff", NOTHING), "damaged"),
        (Graph(b"", NOTHING), "opset"),
        (graph_of(node("Relu", "images"), opset=17), "opset 18 alone"),
        (graph_of(node("Loop", "images")), "'Loop' is not one"),
        (graph_of(node("Relu", "images", domain="ai.other")), "'Relu' is not one"),
        (graph_of(node("Relu", "missing")), "damaged"),
        (graph_of(node("Gemm", "images", "images", note="text")), "is no number"),
        (graph_of(node("Pad", "images", "p"), constants=[numbers("p", *HUGE)]), "too large"),
        (graph_of(node("Pad", "images", "p"), constants=[numbers("p", *WIDE)]), "too large"),
        (graph_of(*DOUBLED), "too large"),
        (graph_of(node("Relu", "images"), width=2**40), "too large"),
        (graph_of(node("Concat", "images", "images", axis=0)), "another number of images"),
        (graph_of(node("Relu", "images"), constants=[numbers("c", *range(140_000))]), "constants"),
        (fixed(graph_of(node("Relu", "images"))), "any number of images"),
        (graph_of(node("ReduceMean", "images", "c"), constants=[numbers("c", 0)]),
         "result of each"),
        (graph_of(node("ReduceMean", "images", "c", keepdims=0), constants=[numbers("c", 0)]),
         "result of each"),
        (lying(graph_of(*PADDED), "b", "batch", 4), "sizes of its own"),
        (graph_of(*PADDED), "not known"),
        (graph_of(node("Relu", "images"), constants=[numbers("images", 1.0)]), "name of an input"),
        (graph_of(node("Add", "images", "w"), tensors=[
            helper.make_tensor_value_info("w", 99, [4])]), "damaged"),
        (Graph(graph_of(node("Relu", "missing")).content.replace(b"missing", b"\xffissing"),
               NOTHING), "damaged"),
        (graph_of(node("Relu", "images"), functions=[helper.make_function(
            "", "F", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])],
            [helper.make_opsetid("", OPSET)])]), "functions"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)  # fmt: skip
def test_what_tortie_could_not_have_written_is_refused(graph, message):
    with pytest.raises(RefusedGraph, match=message):
        graph.runnable()


def test_a_graph_cannot_name_a_file():
    outside = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[4])
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(RefusedGraph, match="another file"):
        graph_of(node("Add", "images", "c"), constants=[outside]).runnable()


def weight(*shape):
    return helper.make_tensor_value_info("w", TensorProto.FLOAT, shape)


def test_the_tensors_are_those_that_the_graph_declares():
    graph = graph_of(node("Add", "images", "w"), tensors=[weight(4)])
    assert graph.runnable().tensors == {"w": ("float32", (4,))}
    model = with_weights(graph, {"w": np.ones(4, np.float32), "other": NOTHING})
    assert [one.name for one in model.graph.initializer] == ["w"]
    with pytest.raises(RefusedGraph, match="missing: w"):
        with_weights(graph, {})
    with pytest.raises(
        RefusedGraph, match=r"w is float32 \(5,\); the graph expects float32 \(4,\)"
    ):
        with_weights(graph, {"w": np.ones(5, np.float32)})
    with pytest.raises(RefusedGraph, match="w is float64"):
        with_weights(graph, {"w": np.ones(4)})


def test_noise_is_the_same_for_good():
    # The first draws of MT19937 with seed 0, which numpy froze: randint(0, 256) gives 172, 47, 117.
    assert noise((1, 1, 3), pixels=True).ravel().tolist() == [172, 47, 117]
    assert noise((2,), pixels=False).ravel() == pytest.approx([1.7640524, 0.4001572])
