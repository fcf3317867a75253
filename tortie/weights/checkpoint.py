"""Reading a file of weights, whatever wrote it, without running anything that is in it."""

import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tortie.errors import TortieError, UsageError
from tortie.files import open_regular
from tortie.weights import classifier_file
from tortie.weights.classifier_metadata import Metadata
from tortie.weights.header import open_safetensors, read_header
from tortie.weights.pickle_limits import MOST_TENSORS, check_archive, check_pickles, check_tensors
from tortie.weights.tensors import read_tensors

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".bin")
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80\x02"  # torch writes the second protocol of pickle
# What training scripts wrap the tensors in, beside the epoch and the optimiser.
_WRAPPERS = ("state_dict", "model_state_dict", "model")


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    Attributes:
        tensors: by their names in the file; those of a classifier's first network without
            ``members.0.``.
        classifier: what a classifier's file of tortie says of itself, ``None`` for other files.
    """

    tensors: "dict[str, Tensor]"
    classifier: Metadata | None = None


def read_checkpoint(path: Path) -> Checkpoint:
    """The tensors of a ``.safetensors`` file, or of a pickle of torch that holds tensors alone.

    Raises:
        UsageError: there is no such file, or it is none of weights (a folder, a web page).
        TortieError: it is damaged, or it holds code, which was not run.
    """
    try:
        with open_regular(path) as file:
            start = file.read(512)
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder: weights are one file") from None
    except OSError as error:
        raise UsageError(f"cannot read the weights {path}: {error.strerror}") from None
    if start.startswith((_ZIP, _PICKLE)):
        return Checkpoint(_unpickle(path, zipped=start.startswith(_ZIP)))
    if start[8:9] == b"{":  # safetensors: eight bytes of length, then JSON
        return _safetensors(path)
    raise UsageError(f"{path} is {_what(start)}: weights are a .safetensors, .pth, .pt or .th file")


def _what(start: bytes) -> str:
    text = start.lstrip().lower()
    if not start:
        return "empty"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page, not weights (perhaps a page to log in to, saved in their place)"
    if start.startswith(b"\x80"):
        return "a pickle that torch did not save, and was not run"
    if text.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the weights (`git lfs pull` fetches them)"
    return "not a file of weights, or its beginning is damaged"


def _safetensors(path: Path) -> Checkpoint:
    with open_safetensors(path) as file:
        try:
            header = read_header(file)
            ours = "tortie" in header.metadata
            infos = header.tensors()
            if not ours and len(infos) > MOST_TENSORS:
                raise ValueError(f"{len(infos):,} tensors; at most {MOST_TENSORS:,}")
            content = b"" if ours else file.read()
        except ValueError as error:
            raise _damaged(path, error) from None
    if not ours:
        return Checkpoint(_some(path, read_tensors(bytearray(content), infos)))
    metadata, tensors = classifier_file.read(path)
    prefix = "members.0."
    first = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    return Checkpoint(_some(path, first), metadata)


def _unpickle(path: Path, zipped: bool) -> "dict[str, Tensor]":
    import torch

    try:
        if zipped:
            check_archive(path)
        else:
            with path.open("rb") as file:
                check_pickles(file)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|class) '?([\w.]+)", str(error))
        if found is None:
            raise TortieError(f"{path} is cut short or damaged: get it again") from None
        raise TortieError(
            f"{path} holds code ({found[1]}) beside tensors, and was not run: save the "
            "network's state_dict() alone, or take a .safetensors file"
        ) from None
    except Exception as error:  # a damaged pickle can fail in any step of torch's reader
        raise _damaged(path, error) from None
    tensors = _some(path, content)
    try:
        check_tensors(tensors, path.stat().st_size)
    except ValueError as error:
        raise _damaged(path, error) from None
    return tensors


def _damaged(path: Path, error: Exception) -> TortieError:
    return TortieError(f"{path} is cut short or damaged ({_line(error)}): get it again")


def _some(path: Path, content: Any) -> "dict[str, Tensor]":
    """The tensors by name, out of the dictionary that they may be wrapped in."""
    import torch

    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise UsageError(f"{path} holds no tensors by name: save the network's state_dict()")
    for name, tensor in content.items():
        if not (isinstance(name, str) and isinstance(tensor, torch.Tensor)):
            shown = ascii(name)[:80] if isinstance(name, str) else f"a key of {type(name).__name__}"
            raise UsageError(
                f"{path}: {shown} is no tensor but {type(tensor).__name__}: save the network's "
                "state_dict() alone"
            )
    return content


def _line(error: Exception) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return line if len(line) <= 200 else f"{line[:200]}…"
