"""The classifier's file: what was written comes back, and anything else is refused."""

import json
import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.weights.forge import forged
from tortie.errors import TortieError
from tortie.images.preprocess import Preprocessing
from tortie.weights import classifier_file
from tortie.weights.classifier_metadata import Accuracy, Metadata, StoredMember

METADATA = Metadata(
    tortie="0.1.0",
    classes=["Misty", "Tigger <script>", "猫"],
    members=[
        StoredMember(
            network="lenet5",
            arguments={},
            code=1,
            weights=None,
            head="linear",
            frozen=["c1"],
            preprocessing=Preprocessing(
                resize=28, height=28, width=28, channels=1, interpolation="bicubic",
                mean=(127.5,), std=(127.5,),
            ),
            precision="float32",
        )
    ],
    accuracy=Accuracy(value=0.9, low=0.8, high=0.95, n=50, on="test"),
)  # fmt: skip
TENSORS = {"members.0.head.weight": torch.arange(6.0).reshape(3, 2), "members.0.b": torch.ones(3)}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.safetensors"
    classifier_file.write(path, METADATA, TENSORS)
    return path


def test_what_was_written_comes_back(file):
    metadata, tensors = classifier_file.read(file)
    assert metadata == METADATA
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)


def test_the_same_classifier_is_the_same_bytes(file, tmp_path):
    again = tmp_path / "b.safetensors"
    classifier_file.write(again, METADATA, dict(reversed(TENSORS.items())))
    assert again.read_bytes() == file.read_bytes()


def test_another_spelling_of_the_same_header_is_refused(file):
    """JSON reads them alike; a flipped bit can turn the digits of an escape into capitals."""
    content, broken = file.read_bytes(), file.with_name("broken.safetensors")
    end = 8 + int.from_bytes(content[:8], "little")
    spelt = json.dumps(json.loads(content[8:end]), indent=1).encode()
    broken.write_bytes(len(spelt).to_bytes(8, "little") + spelt + content[end:])
    with pytest.raises(TortieError, match="is damaged"):
        classifier_file.read(broken)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_is_refused(file, data):
    content = bytearray(file.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    broken = file.with_name("broken.safetensors")
    broken.write_bytes(content)
    with pytest.raises(TortieError, match=r"broken\.safetensors"):
        classifier_file.read(broken)


def test_a_file_cut_short_anywhere_is_refused(file):
    content = file.read_bytes()
    for length in range(0, len(content), 7):
        broken = file.with_name("short.safetensors")
        broken.write_bytes(content[:length])
        with pytest.raises(TortieError, match=r"short\.safetensors"):
            classifier_file.read(broken)


def rewritten(file, change):
    """The file with its metadata changed by somebody who also mends the checksum."""
    path = file.with_name("rewritten.safetensors")
    return forged(file, path, metadata=change)


def test_an_unknown_version_is_refused(file):
    path = rewritten(file, lambda content: content.update(version=2))
    with pytest.raises(TortieError, match="has version 2; this tortie reads version 1"):
        classifier_file.read(path)


def test_an_unknown_field_is_refused_with_its_name(file):
    path = rewritten(file, lambda content: content.update(callback="os.system"))
    with pytest.raises(TortieError, match="callback"):
        classifier_file.read(path)


def test_one_class_is_refused(file):
    path = rewritten(file, lambda content: content.update(classes=["cat"]))
    with pytest.raises(TortieError, match="classes"):
        classifier_file.read(path)


def test_somebody_elses_safetensors_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"w": torch.ones(2)}, path)
    with pytest.raises(TortieError, match="no classifier of tortie"):
        classifier_file.read(path)


def test_pickles_web_pages_and_folders_are_refused(tmp_path):
    pickle = tmp_path / "model.pth"
    torch.save({"w": torch.ones(2)}, pickle)
    page = tmp_path / "page.safetensors"
    page.write_text("<!doctype html>" * 9)
    huge = tmp_path / "huge.safetensors"
    huge.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    for path in (pickle, page, huge, tmp_path, tmp_path / "nowhere.safetensors"):
        with pytest.raises(TortieError, match=path.name):
            classifier_file.read(path)


def test_a_full_disk_leaves_the_old_file(file, monkeypatch):
    before = file.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TortieError, match="No space left on device"):
        classifier_file.write(file, METADATA, {"w": torch.zeros(9)})
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_tensors_that_share_memory_come_back_each(tmp_path):
    """Members with one frozen part, transposes and slices: the format itself refuses these."""
    shared = torch.arange(6.0)
    four = METADATA.model_copy(update={"members": METADATA.members * 4})
    tensors = {
        "members.0.a": shared,
        "members.1.a": shared,
        "members.2.a": shared[2:4],
        "members.3.a": shared.reshape(2, 3).T,
    }
    path = tmp_path / "a.safetensors"
    classifier_file.write(path, four, tensors)
    found = classifier_file.read(path)[1]
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf")])
def test_a_temperature_that_divides_by_nothing_is_refused(tmp_path, temperature):
    path = tmp_path / "a.safetensors"
    wrong = METADATA.model_copy(update={"temperature": {"1": temperature}})
    classifier_file.write(path, wrong, TENSORS)
    with pytest.raises(TortieError, match=r"does not describe a classifier: temperature\.1"):
        classifier_file.read(path)
