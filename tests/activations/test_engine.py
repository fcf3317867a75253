"""Which engine runs, and that all of them compute the same."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from tests.activations.conftest import SMALL
from tortie import processor
from tortie.activations.device import device_name
from tortie.activations.engine import EngineChoice, choose, native_precision, revision
from tortie.activations.onnxruntime_engine import EngineFailed, OnnxRuntimeEngine, checked
from tortie.activations.prefix import Prefix
from tortie.activations.ready import ready
from tortie.activations.torch_engine import TorchEngine
from tortie.errors import UsageError
from tortie.graphs.graph import Graph, RefusedGraph
from tortie.networks import build

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)


@pytest.fixture
def prefix():
    torch.manual_seed(0)
    return Prefix.of(build("efficientnet-lite0").eval(), SMALL)


def set_flags(monkeypatch, tmp_path, flags):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"flags : {flags}\n")
    monkeypatch.setattr(processor, "_FLAGS", cpuinfo)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)


@pytest.mark.parametrize(
    ("flags", "cap", "engine", "precision", "wanted"),
    [
        ("avx2", None, "auto", None, ("onnxruntime", "float32")),
        ("avx2 amx_bf16", None, "auto", None, ("onednn", "bfloat16")),
        ("avx2 avx512_bf16", None, "auto", None, ("onednn", "bfloat16")),
        ("avx2 amx_bf16", "AVX2", "auto", None, ("onnxruntime", "float32")),
        ("avx2 amx_bf16", None, "auto", "float32", ("onnxruntime", "float32")),
        ("avx2 amx_bf16", None, "onnxruntime", None, ("onnxruntime", "float32")),
        ("avx2", None, "onednn", None, ("onednn", "float32")),
        ("avx2 amx_bf16", None, "eager", None, ("eager", "bfloat16")),
    ],
)
def test_the_processor_chooses(monkeypatch, tmp_path, flags, cap, engine, precision, wanted):
    set_flags(monkeypatch, tmp_path, flags)
    if cap:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", cap)
    assert choose(engine, "cpu", precision) == wanted


def test_a_graphics_card_keeps_to_pytorch():
    assert choose("auto", "cuda:0", "float32") == ("eager", "float32")
    with pytest.raises(UsageError, match="onednn runs on processors, not on cuda"):
        choose("onednn", torch.device("cuda"), "float32")


def test_what_cannot_be_chosen_is_refused():
    with pytest.raises(UsageError, match="no engine 'tvm': expected auto, onnxruntime, onednn"):
        choose("tvm", "cpu", None)
    with pytest.raises(UsageError, match="onnxruntime has no bfloat16"):
        choose("onnxruntime", "cpu", "bfloat16")


def test_the_key_knows_the_engine_and_its_version():
    import onnxruntime

    assert revision("onnxruntime").endswith(f"-{onnxruntime.__version__}")
    assert len({revision("onnxruntime"), revision("onednn"), revision("eager")}) == 3


def test_a_processor_is_found_without_torch(monkeypatch):
    monkeypatch.setattr("tortie.activations.device._DRIVERS", ())
    monkeypatch.setitem(__import__("sys").modules, "torch", None)  # importing it would raise
    assert device_name("auto") == device_name("cpu") == "cpu"


def test_weights_may_lie_channels_last(tmp_path):
    network = build("efficientnet-lite0").eval().to(memory_format=torch.channels_last)
    run = ready(Prefix.of(network, SMALL), "cpu", EngineChoice("onnxruntime", "float32"), tmp_path)
    assert isinstance(run, OnnxRuntimeEngine)


@pytest.mark.parametrize("engine", ["onnxruntime", "onednn", "eager"])
def test_engines_compute_what_eager_pytorch_does(prefix, tmp_path, engine):
    run = ready(prefix, "cpu", choose(engine, "cpu", "float32"), tmp_path)
    assert isinstance(run, OnnxRuntimeEngine if engine == "onnxruntime" else TorchEngine)
    with torch.inference_mode():
        images = (torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float() - 127) / 128
        wanted = prefix.module(images).numpy()
    got = run(PIXELS)
    assert got.dtype == np.float32 and got.shape == (3, 1280)
    assert np.linalg.norm(got - wanted) / np.linalg.norm(wanted) < 1e-5


def test_an_image_does_not_depend_on_its_batch(prefix, tmp_path):
    run = ready(prefix, "cpu", EngineChoice("onnxruntime", "float32"), tmp_path)
    alone = np.concatenate([run(PIXELS[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(alone, run(PIXELS), rtol=1e-5, atol=1e-5)


def test_a_checked_graph_is_kept_and_a_damaged_one_written_anew(prefix, tmp_path):
    first = checked(prefix.graph, tmp_path)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    assert checked(Graph(prefix.graph.content, prefix.graph.expected), tmp_path) == first
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert checked(prefix.graph, tmp_path) == first
    assert path.read_bytes() != content
    assert checked(prefix.graph, tmp_path / "missing" / "folder") == first
    (tmp_path / "file").touch()
    assert checked(prefix.graph, tmp_path / "file") == first  # nothing can be kept there


def test_a_graph_that_older_rules_let_pass_is_checked_again(prefix, tmp_path, monkeypatch):
    checked(prefix.graph, tmp_path)

    def refuse(graph):
        raise RefusedGraph("by today's rules")

    monkeypatch.setattr(Graph, "runnable", refuse)
    checked(prefix.graph, tmp_path)  # of the same rules: taken as it is
    monkeypatch.setattr("tortie.activations.onnxruntime_engine.RULES", -1)
    with pytest.raises(RefusedGraph, match="by today's rules"):
        checked(prefix.graph, tmp_path)


class Other(nn.Module):
    """A layer without a translation."""

    def forward(self, images):
        return torch.erf(images).mean((2, 3))


def test_what_has_no_graph_runs_by_pytorch_and_says_so(caplog):
    prefix = Prefix({}, "other", (3,), SMALL, Other)
    with caplog.at_level(logging.WARNING):
        run = ready(prefix, "cpu", EngineChoice("onnxruntime", "float32"), None)
    assert isinstance(run, TorchEngine)
    (said,) = caplog.messages
    assert said == (
        "PyTorch runs the frozen part, slower than ONNX Runtime: no ONNX for the operator erf"
    )


def test_a_wrong_result_is_noticed_and_said(prefix, caplog):
    wrong = {name: tensor + (name == "stem.norm.bias") for name, tensor in prefix.tensors.items()}
    own = Prefix(wrong, "avgpool", (1280,), SMALL, lambda: prefix.module, prefix.graph)
    with pytest.raises(EngineFailed, match="is off by"):
        OnnxRuntimeEngine(own.graph, own.graph_tensors, None)
    with caplog.at_level(logging.WARNING):
        assert isinstance(
            ready(own, "cpu", EngineChoice("onnxruntime", "float32"), None), TorchEngine
        )
    assert len(caplog.messages) == 1 and "is off by" in caplog.text


def test_tensors_that_do_not_fit_are_named(prefix):
    short = {**prefix.graph_tensors, "stages.stem.conv.weight": np.zeros((1, 3, 3, 3), np.float32)}
    with pytest.raises(EngineFailed, match=r"stem.conv.weight is \(1, 3, 3, 3\), expected \(32"):
        OnnxRuntimeEngine(prefix.graph, short, None)


def test_both_engines_give_the_same_probabilities():
    """A classifier made on one kind of processor says the same on the other."""
    network = build("efficientnet-lite0", weights="imagenet")
    entry = SMALL.model_copy(update={"resize": 64, "height": 64, "width": 64})
    prefix = Prefix.of(network, entry)
    side = np.linspace(0, 255, 64)
    pictures = np.stack([np.add.outer(side, side[::-1]) / 2, np.outer(side, side) / 255])
    pixels = np.repeat(pictures[..., None], 3, 3).astype(np.uint8)
    said = []
    for engine in ("onnxruntime", "onednn"):
        features = ready(prefix, "cpu", choose(engine, "cpu", "float32"), None)(pixels)
        with torch.inference_mode():
            said.append(network.head(torch.from_numpy(features)).softmax(dim=1).numpy())
    assert (said[0].argmax(axis=1) == said[1].argmax(axis=1)).all()
    np.testing.assert_allclose(said[0], said[1], atol=1e-4)


def test_native_precision_takes_a_name_or_a_device():
    assert native_precision("cpu") == native_precision(torch.device("cpu"))
