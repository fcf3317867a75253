"""A file that was loaded before is loaded without torch, and only that file."""

import pickle
import shutil

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

import tortie
from tests.conftest import photograph
from tortie.errors import TortieError
from tortie.evaluation import remembered
from tortie.files import together
from tortie.weights.classifier_file import stored_digest

IMAGES = [photograph("blobs", 900), photograph("stripes", 901)]


@pytest.fixture
def known(fitted_file, tmp_path, monkeypatch):
    """A file that is remembered, in a cache of its own, on a plain processor."""
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    path = tmp_path / "pets.safetensors"
    shutil.copy(fitted_file, path)
    first = tortie.load(path).predict_proba(IMAGES)
    return path, first


def built(*_):
    raise AssertionError("torch builds nothing")


def test_a_remembered_file_says_the_same(known):
    path, first = known
    metadata, parts, _ = remembered.recall(path, built)
    assert len(parts) == len(metadata.members) == 1
    np.testing.assert_array_equal(tortie.load(path).predict_proba(IMAGES), first)


@pytest.mark.parametrize("engine", ["eager", "onednn"])
def test_torch_builds_of_what_was_loaded_whatever_lies_there_now(known, engine):
    """The oracle is the classifier that was loaded; the file is another's, then none."""
    path, first = known
    loaded = tortie.load(path).set_params(engine=engine, precision="float32")
    path.write_bytes(b"another file")
    np.testing.assert_allclose(loaded.predict_proba(IMAGES), first, atol=1e-4)
    again = pickle.loads(pickle.dumps(loaded))
    np.testing.assert_allclose(again.predict_proba(IMAGES), first, atol=1e-4)


def test_another_file_is_not_known(known):
    path, _ = known
    remembered._record(stored_digest(path)).unlink()
    assert remembered.recall(path, built) is None


def test_a_known_file_that_was_changed_is_refused(known):
    path, _ = known
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(TortieError, match="is damaged"):
        tortie.load(path)


def test_a_damaged_record_is_passed_over_and_written_anew(known):
    path, first = known
    record = remembered._record(stored_digest(path))
    whole = record.read_bytes()
    record.write_bytes(whole[:100])
    assert remembered.recall(path, built) is None
    np.testing.assert_allclose(tortie.load(path).predict_proba(IMAGES), first, atol=1e-6)
    assert record.read_bytes() == whole


@pytest.mark.parametrize("change", ["a bit of the graph", "no graph", "a shape", "no words"])
def test_a_record_of_other_content_is_passed_over(known, change):
    """A whole file, whose graph is not the one that was checked."""
    path, first = known
    record = remembered._record(stored_digest(path))
    whole = record.read_bytes()
    with safe_open(record, "np") as file:
        told = file.metadata()
        arrays = {name: file.get_tensor(name).copy() for name in file.keys()}  # noqa: SIM118
    if change == "a bit of the graph":
        arrays["0.graph"][len(arrays["0.graph"]) // 2] ^= 1
    elif change == "no graph":
        del arrays["0.graph"]
    elif change == "a shape":
        arrays["0.expected"] = arrays["0.expected"][:, :7].copy()
    else:
        told = {"networks": '{"cuts": [], "tensors": [], "checksums": []}'}
    record.write_bytes(save(arrays, told))
    assert remembered.recall(path, built) is None
    np.testing.assert_allclose(tortie.load(path).predict_proba(IMAGES), first, atol=1e-6)
    assert record.read_bytes() == whole


def test_modules_are_there_when_they_are_asked_for(known):
    path, _ = known
    (network,) = tortie.load(path).networks_
    assert network.classes == 2 and not network.training


def test_what_is_remembered_is_no_output_of_the_command(fitted_file):
    """A fit creates its outputs, and is refused where one is there: the record may be there."""
    parts = tortie.load(fitted_file).member_networks
    for _ in range(2):
        with together(may_replace=False):
            remembered.remember("0" * 64, parts)
