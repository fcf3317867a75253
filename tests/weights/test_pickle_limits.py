"""Files of weights that claim more than they hold are refused before they cost anything."""

import pickle
import zipfile

import pytest
import torch

from tortie.errors import TortieError, UsageError
from tortie.weights.checkpoint import read_checkpoint


def refused(path, reason):
    with pytest.raises(TortieError, match=rf"{path.name}.*{reason}") as error:
        read_checkpoint(path)
    assert len(str(error.value)) < 500


def test_a_tensor_of_more_elements_than_are_stored_is_refused(tmp_path):
    """10**12 elements over one number, in a file of 1.2 kB."""
    torch.save({"w": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "'w' has more elements than are stored")


def test_views_that_overlap_without_end_are_refused(tmp_path):
    """Each element is stored, and counted again in every one of the tensors."""
    base = torch.zeros(1000)
    torch.save({f"w{i}": base.as_strided((900, 100), (1, 1)) for i in range(50)}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "its tensors take")


def test_tied_weights_come_back(tmp_path):
    shared = torch.arange(1000.0)
    torch.save({"a": shared, "b": shared, "c": shared[10:20]}, tmp_path / "a.pth")
    found = read_checkpoint(tmp_path / "a.pth").tensors
    assert torch.equal(found["b"], shared)
    assert torch.equal(found["c"], shared[10:20])


def test_a_zip_bomb_is_refused_unopened(tmp_path):
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(20_000_000))
    assert path.stat().st_size < 100_000
    refused(path, "unpack to more than the file has")


def test_a_torchscript_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/constants.pkl", pickle.dumps((), 2))
    refused(tmp_path / "a.pt", "TorchScript")


def test_endless_operations_of_an_old_pickle_are_refused(tmp_path):
    """Whatever comes after the magic number: here four million duplications."""
    torch.save({"w": torch.ones(2)}, tmp_path / "good.pth", _use_new_zipfile_serialization=False)
    good = (tmp_path / "good.pth").read_bytes()
    end = good.index(b".", good.index(b"little_endian")) + 1
    (tmp_path / "a.pth").write_bytes(good[:end] + b"\x80\x02}" + b"20" * 4_000_000 + b".")
    refused(tmp_path / "a.pth", "too many operations")


@pytest.mark.parametrize("kind", ["sparse", "meta"])
def test_tensors_that_are_no_plain_numbers_are_refused(tmp_path, kind):
    odd = torch.eye(3).to_sparse() if kind == "sparse" else torch.empty(3, device="meta")
    torch.save({"w": odd}, tmp_path / "a.pth")
    with pytest.raises((TortieError, UsageError), match=r"a\.pth"):
        read_checkpoint(tmp_path / "a.pth")


def test_many_names_are_refused(tmp_path):
    names = ",".join(
        f'"t{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for i in range(30_000)
    )
    header = f"{{{names}}}".encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    refused(path, "30,000 tensors; at most 20,000")
