"""Files of weights, good, bad and hostile: tensors come back, nothing runs, bad ones are named."""

import os
import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from tortie.errors import TortieError, UsageError
from tortie.weights.checkpoint import read_checkpoint

TENSORS = {"conv.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "fc.bias": torch.ones(5)}


class Harmful:
    """What a pickle can carry: unpickled, it makes a folder."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def saved(path, content, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def same(tensors):
    return tensors.keys() == TENSORS.keys() and all(
        torch.equal(tensors[name], TENSORS[name]) for name in TENSORS
    )


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".th", ".bin"])
def test_torch_files_of_both_ages_come_back(tmp_path, suffix, zipped):
    assert same(read_checkpoint(saved(tmp_path / f"a{suffix}", TENSORS, zipped)).tensors)


def test_safetensors_come_back(tmp_path):
    save_file(TENSORS, tmp_path / "a.safetensors", {"format": "pt"})
    found = read_checkpoint(tmp_path / "a.safetensors")
    assert same(found.tensors) and found.classifier is None


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_tensors_that_a_training_script_wrapped_are_found(tmp_path, wrapper):
    content = {wrapper: OrderedDict(TENSORS), "epoch": 3, "best_prec1": torch.tensor(91.7)}
    assert same(read_checkpoint(saved(tmp_path / "a.th", content)).tensors)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_named_and_not_run(tmp_path, zipped):
    ran = tmp_path / "ran"
    path = saved(tmp_path / "a.pth", {"w": torch.ones(2), "x": Harmful(ran)}, zipped)
    with pytest.raises(TortieError, match=r"a\.pth holds code \(\w+\.mkdir\) .* was not run") as no:
        read_checkpoint(path)
    assert "\n" not in str(no.value) and not ran.exists()
    torch.load(path, weights_only=False)  # the trap is a trap
    assert ran.exists()


def test_a_bare_pickle_with_code_is_not_run(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps(Harmful(tmp_path / "ran")))
    with pytest.raises(TortieError, match=r"a\.pth is a pickle that torch did not save"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_a_whole_module_is_refused_with_what_to_save_instead(tmp_path):
    path = saved(tmp_path / "a.pt", nn.Linear(2, 2))
    with pytest.raises(TortieError, match=r"code \(torch\.nn\.modules\.linear\.Linear\).*state_di"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n <!DOCTYPE html><html>", "a web page"),
        (b"<html><body>404", "a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "a pointer of Git LFS.*git lfs pull",
        ),
        (b"hello", "not a file of weights"),
        (b"\x00" * 600, "not a file of weights"),
    ],
)
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_what_is_no_file_of_weights_is_named(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=rf"{name} is {reason}"):
        read_checkpoint(tmp_path / name)


def test_a_folder_and_nothing_are_named(tmp_path):
    with pytest.raises(UsageError, match="is a folder: weights are one file"):
        read_checkpoint(tmp_path)
    with pytest.raises(UsageError, match=r"cannot read the weights .*no\.pth: No such file"):
        read_checkpoint(tmp_path / "no.pth")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (torch.ones(3), "no tensors by name"),
        ({}, "no tensors by name"),
        ({"w": torch.ones(2), "epoch": 3}, "'epoch' is no tensor but int"),
        ({"state_dict": {"a": [1.0]}}, "'a' is no tensor but list"),
        ({0: torch.ones(2)}, "a key of int is no tensor"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, reason):
    with pytest.raises(UsageError, match=rf"a\.pth.*{reason}.*state_dict"):
        read_checkpoint(saved(tmp_path / "a.pth", content))


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as file:
        file.writestr("photographs/cat.jpg", b"meow")
    with pytest.raises(TortieError, match=r"a\.pth is cut short or damaged"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.fixture(params=["zip", "pickle", "safetensors"])
def whole(request, tmp_path):
    if request.param == "safetensors":
        save_file(TENSORS, tmp_path / "whole.safetensors")
        return tmp_path / "whole.safetensors"
    return saved(tmp_path / "whole.pth", TENSORS, request.param == "zip")


def test_a_file_cut_short_anywhere_is_refused(whole, tmp_path):
    content = whole.read_bytes()
    short = tmp_path / f"short{whole.suffix}"
    for length in range(0, len(content), max(1, len(content) // 60)):
        short.write_bytes(content[:length])
        with pytest.raises(TortieError, match=r"short\.(pth|safetensors)") as caught:
            read_checkpoint(short)
        assert "\n" not in str(caught.value), length


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_is_refused_in_a_line_or_leaves_tensors(whole, data):
    content = bytearray(whole.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    broken = whole.with_name(f"broken{whole.suffix}")
    broken.write_bytes(content)
    try:
        found = read_checkpoint(broken).tensors
    except TortieError as error:
        assert "broken" in str(error) and "\n" not in str(error)
    else:
        assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())
