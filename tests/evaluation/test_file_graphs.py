"""A classifier's file predicts by its graphs, without torch; what does not fit is torch's to judge.

Oracles: the same file by eager PyTorch, what torch's own check says of a forged file, and the key
that a fit files its activations under.
"""

import dataclasses
import logging
import pickle
import shutil

import numpy as np
import onnx
import pytest
import torch

import tortie
import tortie.loading
from tests.conftest import photograph
from tortie.activations.key import hash_tensors
from tortie.errors import TortieError
from tortie.evaluation import file_graphs
from tortie.files import together
from tortie.graphs.graph import Graph, noise
from tortie.networks.table import find
from tortie.weights import classifier_file
from tortie.weights.classifier_file import stored_digest

IMAGES = [photograph("blobs", 900), photograph("stripes", 901)]


@pytest.fixture
def elsewhere(fitted_file, tmp_path, monkeypatch):
    """A file that was written on another machine, and what eager PyTorch says by it."""
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    path = tmp_path / "pets.safetensors"
    shutil.copy(fitted_file, path)
    by_torch = tortie.load(path).set_params(engine="eager", precision="float32")
    return path, by_torch.predict_proba(IMAGES)


def changed(path, change):
    """The file with other arrays, sealed anew."""
    metadata, tensors = classifier_file.read(path)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    described = change(arrays, metadata)
    other = path.with_name("changed.safetensors")
    classifier_file.write(other, described or metadata, arrays)
    return other


def remember(path):
    loaded = tortie.load(path)
    file_graphs.remember(stored_digest(path), loaded.metadata, loaded.member_networks)


def built(*_):
    raise AssertionError("torch builds nothing")


def test_a_file_says_the_same_by_its_graph_as_by_torch(elsewhere):
    path, by_torch = elsewhere
    metadata, parts, _ = file_graphs.read(path, built)
    assert len(parts) == len(metadata.members) == 1
    assert parts[0].last_maps is not None
    loaded = tortie.load(path).set_params(engine="onnxruntime")
    np.testing.assert_allclose(loaded.predict_proba(IMAGES), by_torch, atol=1e-4)


def test_a_file_that_was_written_here_has_the_keys_of_the_fit(elsewhere):
    path, _ = elsewhere
    own = tortie.load(path)
    (part,) = own.member_networks
    tensors = hash_tensors(part.prefix.tensors.items())
    assert part.prefix.sha256 != tensors  # somebody's graph: by the graph too
    assert own.activation_map(IMAGES[0], own.classes_[0]) is not None
    again = path.with_name("again.safetensors")
    digest = classifier_file.write(again, *classifier_file.read(path))
    with_keys = tortie.load(again).member_networks[0]
    restored = tortie.loading._restored(again, lambda _: None)
    file_graphs.remember(digest, *restored[:2])
    (known,) = tortie.load(again).member_networks
    assert with_keys.prefix.sha256 == part.prefix.sha256
    assert known.prefix.sha256 == tensors
    assert known.last_maps.prefix.sha256 == tensors


@pytest.mark.parametrize("engine", ["eager", "onednn"])
def test_torch_builds_of_what_was_loaded_whatever_lies_there_now(elsewhere, engine):
    """The oracle is the classifier that was loaded; the file is another's, then none."""
    path, first = elsewhere
    loaded = tortie.load(path).set_params(engine=engine, precision="float32")
    path.write_bytes(b"another file")
    np.testing.assert_allclose(loaded.predict_proba(IMAGES), first, atol=1e-4)
    again = pickle.loads(pickle.dumps(loaded))
    np.testing.assert_allclose(again.predict_proba(IMAGES), first, atol=1e-4)


@pytest.mark.parametrize("written_here", [False, True])
def test_a_file_that_was_changed_is_refused(elsewhere, written_here):
    path, _ = elsewhere
    if written_here:
        remember(path)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(TortieError, match="is damaged"):
        tortie.load(path)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"[[1]]", b'{"a": 1}', b"\xff", b'[["a", "b", 1], ["c", "d", 1]]']
)
def test_a_damaged_record_is_passed_over(elsewhere, content):
    path, first = elsewhere
    remember(path)
    file_graphs._record(stored_digest(path)).write_bytes(content)
    loaded = tortie.load(path).set_params(precision="float32")
    np.testing.assert_allclose(loaded.predict_proba(IMAGES), first, atol=1e-4)


@pytest.mark.parametrize("network", ["squeezenet", "nin", "mobilenet-v2"])
def test_a_published_network_is_kept_with_whatever_head_it_has(tmp_path, monkeypatch, network):
    """The second time from the cache, where the first, of torch's modules, is the oracle."""
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "cache"))
    weights = tmp_path / "weights.pth"
    torch.save(tortie.networks.build(network).state_dict(), weights)
    first, second = (tortie.loading.pretrained(network, str(weights)) for _ in range(2))
    assert tortie.loading._kept_of(find(network), str(weights)).is_file()
    of_both = []
    for one in (first, second):
        one.set_params(engine="onnxruntime", precision="float32")
        label = one.classes_[0]
        of_both.append((one.predict_proba(IMAGES), one.activation_map(IMAGES[0], label)))
    np.testing.assert_allclose(of_both[1][0], of_both[0][0], atol=1e-6)
    assert of_both[1][1] == of_both[0][1] is not None
    last = [one.member_networks[0].last_maps.prefix.sha256 for one in (first, second)]
    assert last[0] == last[1]


def drop(name):
    def changes(arrays, _):
        del arrays[name]

    return changes


def put(name, change):
    def changes(arrays, _):
        arrays[name] = change(arrays.get(name))

    return changes


STEM = "members.0.stages.stem.conv.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop(STEM), "expected"),
        (put(STEM, lambda one: one[:, :, :1]), "expected"),
        (put(STEM, lambda one: one.astype(np.int64)), "expected float32"),
        (put("members.0.stages.more", lambda _: np.zeros(3, np.float32)), "expected not there"),
        (put("members.0.head.weight", lambda one: one[:, :-1]), "expected"),
        (put("members.0.head.bias", lambda one: np.append(one, one)), "expected"),
        (put("novelty.means", lambda one: one[:, :-1]), "differ in length|dimensions"),
        (lambda _, metadata: metadata.model_copy(update={"classes": list("abc")}), "expected"),
        (put(STEM, lambda one: one * np.float32("nan")), "NaN or Inf"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_as_without_graphs(elsewhere, change, message):
    """The oracle is torch's check of the same file without its graphs."""
    path, _ = elsewhere

    def without(arrays, metadata):
        described = change(arrays, metadata)
        for name in [name for name in arrays if name.startswith("graphs.")]:
            del arrays[name]
        return described

    with pytest.raises(TortieError, match=message) as by_torch:
        tortie.load(changed(path, without))
    with pytest.raises(TortieError) as by_graph:
        tortie.load(changed(path, change))
    assert str(by_graph.value) == str(by_torch.value)


def rewritten(arrays, change):
    """Put another graph of the stages in place, with what it is expected to yield."""
    model = onnx.ModelProto()
    model.ParseFromString(arrays["graphs.0.stages"].tobytes())
    change(model)
    arrays["graphs.0.stages"] = np.frombuffer(model.SerializeToString(), np.uint8)


@pytest.mark.parametrize("kind", ["no graph", "another operator", "an open size", "huge"])
def test_a_graph_that_tortie_does_not_write_is_refused(elsewhere, kind):
    def forge(arrays, _):
        if kind == "no graph":
            arrays["graphs.0.stages"] = np.arange(99, dtype=np.uint8)
        elif kind == "huge":
            arrays["graphs.0.stages"] = np.zeros((1 << 24) + 1, np.uint8)
        elif kind == "an open size":
            rewritten(
                arrays,
                lambda model: (
                    model.graph.input[0].type.tensor_type.shape.dim[1].ClearField("dim_value")
                ),
            )
        else:
            rewritten(arrays, lambda model: setattr(model.graph.node[-1], "op_type", "Loop"))

    with pytest.raises(TortieError, match="graph of a network"):
        tortie.load(changed(elsewhere[0], forge))


def test_a_graph_of_other_images_is_not_used(elsewhere):
    """Its network takes 224×224: torch says that it cannot, or builds one that can."""
    path, _ = elsewhere

    def smaller(arrays, metadata):
        (member,) = metadata.members
        own = member.preprocessing.model_copy(update={"height": 96, "width": 96})
        return metadata.model_copy(
            update={"members": [member.model_copy(update={"preprocessing": own})]}
        )

    assert file_graphs.read(changed(path, smaller), built) is None


def test_a_graph_that_is_wrong_gives_way_to_torch(elsewhere, caplog):
    path, by_torch = elsewhere
    off = put("graphs.0.stages.expected", lambda one: one + 1)
    loaded = tortie.load(changed(path, off)).set_params(engine="onnxruntime")
    with caplog.at_level(logging.WARNING):
        np.testing.assert_allclose(loaded.predict_proba(IMAGES), by_torch, atol=1e-4)
    assert "PyTorch runs the frozen part" in caplog.text


def test_another_graph_of_the_same_tensors_does_not_reach_the_store_of_the_right_one(elsewhere):
    """A forged graph that sees photographs of twice the contrast, with what it yields of noise."""
    path, by_torch = elsewhere
    from tortie.activations.onnxruntime_engine import OnnxRuntimeEngine

    def forge(arrays, _):
        def contrast(model):
            (scale,) = (
                node.input[1]
                for node in model.graph.node
                if node.op_type == "Mul"
                and node.input[1] in {one.name for one in model.graph.initializer}
            )
            for one in model.graph.initializer:
                if one.name == scale:
                    one.CopyFrom(
                        onnx.numpy_helper.from_array(
                            onnx.numpy_helper.to_array(one) * np.float32(2), scale
                        )
                    )

        rewritten(arrays, contrast)
        graph = Graph(arrays["graphs.0.stages"].tobytes(), arrays["graphs.0.stages.expected"])
        tensors = {name.removeprefix("members.0."): one for name, one in arrays.items()}
        session = OnnxRuntimeEngine.__new__(OnnxRuntimeEngine)
        from tortie.activations.onnxruntime_engine import _session, checked

        session._session = _session(checked(graph, None), tensors)
        arrays["graphs.0.stages.expected"] = session(noise((224, 224, 3), pixels=True))

    forged = tortie.load(changed(path, forge)).set_params(engine="onnxruntime")
    assert np.abs(forged.predict_proba(IMAGES) - by_torch).max() > 1e-3
    right = tortie.load(path).set_params(engine="onnxruntime")
    np.testing.assert_allclose(right.predict_proba(IMAGES), by_torch, atol=1e-4)


def test_modules_are_there_when_they_are_asked_for(elsewhere):
    (network,) = tortie.load(elsewhere[0]).networks_
    assert network.classes == 2 and not network.training


def test_outputs_that_are_not_finite_have_no_graph_in_the_file(elsewhere):
    (part,) = tortie.load(elsewhere[0]).member_networks
    graph = part.prefix.graph
    part.prefix.graph = Graph(graph.content, np.full_like(graph.expected, np.inf))
    assert file_graphs.arrays_of([part]) == {}


@pytest.mark.parametrize(
    "shape", [(1, 2049, 64, 32), (1280,), (1, 2, 2, 2, 2)], ids=["17 MB", "no batch", "volumes"]
)
def test_a_graph_that_could_not_be_read_is_not_written(elsewhere, shape):
    """As of large inputs: ``read`` refuses a file whose graph is beyond its bounds."""
    (part,) = tortie.load(elsewhere[0]).member_networks
    part.prefix.graph = Graph(part.prefix.graph.content, np.zeros(shape, np.float32))
    assert file_graphs.arrays_of([part]) == {}


def test_a_graph_that_is_refused_is_not_written(elsewhere):
    (part,) = tortie.load(elsewhere[0]).member_networks
    part.prefix.graph = Graph(b"no graph", part.prefix.graph.expected)
    assert file_graphs.arrays_of([part]) == {}


def test_what_is_remembered_is_no_output_of_the_command(fitted_file):
    """A fit creates its outputs, and is refused where one is there: the record may be there."""
    loaded = tortie.load(fitted_file)
    for _ in range(2):
        with together(may_replace=False):
            file_graphs.remember("0" * 64, loaded.metadata, loaded.member_networks)


def test_a_graph_of_other_code_has_keys_of_its_own(elsewhere, monkeypatch):
    """The network's code is mended, the file is older: what it computes is not of today's code."""
    path, _ = elsewhere
    metadata, parts, _ = tortie.loading._restored(path, lambda _: None)
    file_graphs.remember(stored_digest(path), metadata, parts)
    assert tortie.load(path).member_networks[0].prefix.sha256 == parts[0].prefix.sha256
    of_today = file_graphs.network_of(metadata.members[0])
    mended = dataclasses.replace(of_today, code=of_today.code + 1)
    monkeypatch.setattr(file_graphs, "network_of", lambda _: mended)
    assert tortie.load(path).member_networks[0].prefix.sha256 != parts[0].prefix.sha256


def test_a_graph_that_fails_on_a_photograph_is_said_in_one_line(elsewhere, capfd):
    """A place in the image says which of 300 numbers is taken: of the noise it is among them."""

    def forge(arrays, _):
        def by_pixel(model):
            model.graph.node[-1].output[0] = "was"
            add = onnx.helper.make_node
            for name, value in {"first": [0], "axes": [1, 2, 3], "ends": [1, 1, 1], "zero": 0.0,
                                "zeros": [0, 0, 0], "factor": 300.0}.items():  # fmt: skip
                kind = np.float32 if isinstance(value, float) else np.int64
                array = onnx.numpy_helper.from_array(np.array(value, kind), name)
                model.graph.initializer.append(array)
            model.graph.node.extend([
                add("Slice", ["images", "zeros", "ends", "axes"], ["pixel"]),  # 172 of the noise
                add("Cast", ["pixel"], ["number"], to=1),
                add("ReduceSum", ["number", "axes"], ["sum"], keepdims=0),
                add("Mul", ["sum", "factor"], ["place"]),
                add("Cast", ["place"], ["index"], to=7),
                add("Gather", ["far", "index"], ["taken"], axis=0),
                add("Unsqueeze", ["taken", "one"], ["column"]),
                add("Mul", ["column", "zero"], ["nothing"]),
                add("Add", ["was", "nothing"], ["activations"]),
            ])  # fmt: skip
            far = np.zeros(172 * 300 + 1, np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(far, "far"))
            one = onnx.numpy_helper.from_array(np.array([1], np.int64), "one")
            model.graph.initializer.append(one)

        rewritten(arrays, by_pixel)

    white = np.full((300, 300, 3), 255, np.uint8)
    forged = tortie.load(changed(elsewhere[0], forge)).set_params(engine="onnxruntime")
    with pytest.raises(TortieError, match="ONNX Runtime: ") as said:
        forged.predict_proba([white])
    assert "\n" not in str(said.value)
    assert capfd.readouterr().err == ""
