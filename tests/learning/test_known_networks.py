"""Networks that were loaded before: what is kept equals what torch builds, or is not taken."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save

import tortie
from tests.learning.examples import job_of
from tortie.activations.prefix import Prefix
from tortie.learning.backbone import make_backbone
from tortie.learning.frozen_network import frozen_as_built, frozen_network
from tortie.learning.known_networks import recall_stages, record_of
from tortie.learning.softmax import LinearHead
from tortie.networks.table import find


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path))


@pytest.fixture
def job():
    return job_of(engine="onnxruntime")


def no_modules():
    raise AssertionError("torch's modules are asked for")


def recalled(job):
    """What is kept of the job's network."""
    record = record_of(job.entry, job.options.weights)
    return recall_stages(record, job.entry, no_modules, no_modules)


def test_what_is_kept_is_what_torch_builds(job):
    """The network that torch builds is the oracle, tensor by tensor and figure by figure."""
    frozen_network(job, 2)
    known, built = recalled(job), frozen_as_built(make_backbone(job, 2)).stages
    for name in ("features", "parameters", "multiplications", "notes"):
        assert getattr(known, name) == getattr(built, name)
    for own, other in ((known.prefix, built.prefix), (known.maps, built.maps)):
        assert (own.cut, own.output, own.preprocessing) == (
            other.cut, other.output, other.preprocessing
        )  # fmt: skip
        assert own.graph.content == other.graph.content
        np.testing.assert_array_equal(own.graph.expected, other.graph.expected)
        assert own.tensors.keys() == other.tensors.keys()
        for key, tensor in other.tensors.items():
            np.testing.assert_array_equal(own.tensors[key], tensor)


def test_a_known_network_is_not_built_before_its_modules_are_asked_for(job, monkeypatch):
    frozen_network(job, 2)
    monkeypatch.setattr("tortie.learning.backbone.make_backbone", lambda *_: no_modules())
    head = LinearHead(np.ones((2, 1280), np.float32), np.zeros(2, np.float32))
    member = frozen_network(job, 2).with_head(head)
    assert member.classes == 2
    np.testing.assert_allclose(member.head(np.ones((1, 1280), np.float32)), [[1280, 1280]])
    with pytest.raises(AssertionError, match="asked for"):
        _ = member.network


def test_the_modules_of_a_known_network_are_the_same(job):
    frozen_network(job, 2)
    head = LinearHead(np.ones((2, 1280), np.float32), np.arange(2, dtype=np.float32))
    member = frozen_network(job, 2).with_head(head)
    state = member.network.state_dict()
    assert state.keys() == member.tensors.keys()
    for name, tensor in member.tensors.items():
        np.testing.assert_array_equal(state[name].numpy(), tensor)
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        expected = member.network.stages(images)
        np.testing.assert_array_equal(member.prefix.module(images), expected)
        maps = member.last_maps.prefix.module(images)
    np.testing.assert_allclose(maps.mean(dim=(2, 3)), expected, rtol=1e-5, atol=1e-5)


def test_what_an_engine_without_graphs_keeps_serves_one_with_graphs():
    frozen_network(job_of(engine="eager"), 2)
    assert recalled(job_of(engine="onnxruntime")) is not None


def test_weights_in_a_file_are_known_by_their_content(tmp_path):
    weights = tmp_path / "weights.pth"
    torch.save(tortie.networks.build("lenet5").state_dict(), weights)
    one = job_of(network="lenet5", weights=str(weights))
    frozen_network(one, 2)
    assert recalled(one) is not None
    moved = weights.rename(tmp_path / "moved.pth")
    assert recalled(job_of(network="lenet5", weights=str(moved))) is not None
    torch.save(tortie.networks.build("lenet5").state_dict(), moved)
    assert recalled(job_of(network="lenet5", weights=str(moved))) is None


@pytest.mark.parametrize("place", [0, 0.5, 0.99])
def test_a_damaged_record_is_not_taken(job, place):
    frozen_network(job, 2)
    record = record_of(job.entry, job.options.weights)
    content = bytearray(record.read_bytes())
    spot = int(place * len(content))
    content[spot] ^= 0xFF
    record.write_bytes(content)
    known = recalled(job)
    if known is not None:  # a byte of what is no tensor and is checked when it runs
        for name, tensor in frozen_as_built(make_backbone(job, 2)).stages.prefix.tensors.items():
            np.testing.assert_array_equal(known.prefix.tensors[name], tensor)
    record.write_bytes(content[: len(content) // 2])
    assert recalled(job) is None


@pytest.mark.parametrize("name", ["all.graph", "maps.graph", "all.expected"])
def test_a_graph_that_was_damaged_is_not_taken(job, name):
    """A whole file, one bit of whose graph is another; the next fit writes the record anew."""
    frozen_network(job, 2)
    record = record_of(job.entry, job.options.weights)
    whole = record.read_bytes()
    with safe_open(record, "np") as file:
        told = file.metadata()
        arrays = {key: file.get_tensor(key).copy() for key in file.keys()}  # noqa: SIM118
    arrays[name].reshape(-1).view(np.uint8)[100] ^= 1
    record.write_bytes(save(arrays, told))
    assert recalled(job) is None
    frozen_network(job, 2)
    assert record.read_bytes() == whole


def test_what_changes_the_network_changes_the_record():
    entry = find("efficientnet-lite0")
    other = replace(entry, preprocessing=entry.preprocessing.model_copy(update={"resize": 300}))
    found = {
        record_of(entry, "imagenet"),
        record_of(replace(entry, code=entry.code + 1), "imagenet"),
        record_of(replace(entry, arguments={**entry.arguments, "more": 1}), "imagenet"),
        record_of(other, "imagenet"),
        record_of(find("efficientnet-lite1"), "imagenet"),
    }
    assert len(found) == 5 and None not in found


@pytest.mark.parametrize("weights", [None, "own.safetensors", "hf://somebody/something"])
def test_weights_that_nothing_pins_are_not_kept(weights):
    assert record_of(find("efficientnet-lite0"), weights) is None


def test_a_small_cache_keeps_no_network(monkeypatch):
    monkeypatch.setenv("TORTIE_CACHE_LIMIT", "1MB")
    job = job_of()
    assert isinstance(frozen_network(job, 2).stages.prefix, Prefix)
    assert not record_of(job.entry, job.options.weights).exists()
