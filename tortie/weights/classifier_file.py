"""The classifier's file, version 1: tensors, and JSON that says what they are. Data, never code.

A ``.safetensors`` file whose metadata holds two entries: ``tortie``, the JSON of :class:`Metadata`,
and ``sha256``, over the rest of the header and the tensors, so that one flipped byte is noticed.
Anybody can compute that anew, so before a file is used these are checked, in this order:

1. the header's length, depth and names, each tensor's place (:mod:`tortie.weights.header`);
2. version, and every field of the JSON (:mod:`tortie.weights.classifier_metadata`);
3. the network, by the table's arguments, its preprocessing, and the name, type and shape of every
   tensor, before one is read (:mod:`tortie.networks.restore`);
4. the checksum, and that every number is finite and in its bounds (here);
5. the options of the fit (:mod:`tortie.learning.recorded_options`) and what novelty and prediction
   sets need (:mod:`tortie.evaluation.novelty`, :mod:`tortie.evaluation.prediction_sets`).
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from tortie.errors import TortieError
from tortie.files import replacing
from tortie.text import utf8
from tortie.weights.classifier_metadata import MOST_MEMBERS, Metadata
from tortie.weights.header import (
    FileHeader,
    NoHeader,
    TensorInfo,
    open_safetensors,
    parse,
    read_header,
)
from tortie.weights.tensors import read_tensors

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
_NUMPY = {"F32": np.float32, "I64": np.int64, "U8": np.uint8}
_SETS = re.compile(r"\Asets\.(1|10|144)\.(scores|weights)\Z")
_MOST_SCORES = 10_000
_WORTH_HASHING = 1 << 30  # bytes: of a longer file it is not found out whether it is damaged, too

Check = Callable[["Metadata", Mapping[str, TensorInfo]], None]
"""Told what a file says before any tensor is read; raises a TortieError where it cannot be so."""


def write(path: Path, metadata: Metadata, tensors: "Mapping[str, Tensor | NDArray[Any]]") -> str:
    """Write a classifier so that ``path`` is old or new, never half.

    Returns:
        the SHA-256 that the file says it has.

    Raises:
        TortieError: the disk is full, or the folder cannot be written.
    """
    from safetensors.numpy import save

    arrays = {name: _array(tensor) for name, tensor in tensors.items()}
    content = memoryview(save(arrays, {"tortie": _json(metadata)}))
    end = 8 + int.from_bytes(content[:8], "little")
    header, tensor_bytes = json.loads(bytes(content[8:end])), content[end:]
    header["__metadata__"]["sha256"] = _digest(header, tensor_bytes)
    text = _canonical(header)
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8, as the format asks
    with replacing(path) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        file.write(tensor_bytes)
    return str(header["__metadata__"]["sha256"])


def _json(metadata: Metadata) -> str:
    return json.dumps(_plain(metadata.model_dump(mode="json")), ensure_ascii=False)


def _plain(value: Any) -> Any:
    r"""What JSON can carry: bytes of a name that are no UTF-8 as ``\xe9``, NaN and Inf as null."""
    if isinstance(value, dict):
        return {_plain(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return utf8(value).decode()
    return value


def _array(tensor: "Tensor | NDArray[Any]") -> NDArray[Any]:
    """The values in the processor's memory, row by row."""
    if not isinstance(tensor, np.ndarray):
        tensor = tensor.detach().cpu().numpy()
    return np.ascontiguousarray(tensor).reshape(tensor.shape)


def is_of_tortie(path: Path) -> bool:
    """Whether a file calls itself a classifier of tortie; one that cannot be read may be one.

    Of files that are no safetensors, those that torch wrote are none.
    """
    try:
        with open_safetensors(path) as file:
            return "tortie" in read_header(file).metadata
    except (TortieError, ValueError):
        return path.suffix == ".safetensors"


def stored_digest(path: Path) -> str | None:
    """The SHA-256 that a file says it has, not held against it; ``None`` where it says none."""
    try:
        with open_safetensors(path) as file:
            return read_header(file).metadata.get("sha256")
    except (TortieError, ValueError):
        return None


def read_arrays(path: Path, digest: str) -> tuple[Metadata, dict[str, NDArray[Any]]] | None:
    """As :func:`read`, without torch, and without a look at the values.

    For a file whose very bytes :func:`read` has taken before: that they are the same is held
    against the SHA-256, as there.

    Args:
        path: of the file.
        digest: SHA-256 of the file that was taken.

    Returns:
        ``None`` for a file that says another, or has other types than a classifier.

    Raises:
        TortieError: as :func:`read`.
    """
    metadata, infos, content, own = _whole(path, None)
    if own != digest or any(one.dtype not in _NUMPY for one in infos.values()):
        return None
    arrays = {}
    for name, one in infos.items():
        kind = np.dtype(_NUMPY[one.dtype])
        flat = np.frombuffer(content, kind, (one.end - one.begin) // kind.itemsize, one.begin)
        arrays[name] = (flat if flat.flags.aligned else flat.copy()).reshape(one.shape)
    return metadata, arrays


def read(path: Path, check: Check | None = None) -> tuple[Metadata, "dict[str, Tensor]"]:
    """Check a classifier's file and read it. Nothing in it can run code.

    The tensors are in memory of their own: what becomes of the file later changes nothing.

    Args:
        path: of the file.
        check: told the metadata and each tensor's type and shape before any tensor is read.

    Raises:
        TortieError: it is not a classifier of tortie, it is damaged, its version is unknown, or
            what it says cannot be so.
    """
    metadata, infos, content, _ = _whole(path, check)
    tensors = read_tensors(content, infos)
    _check_values(path, tensors)
    return metadata, tensors


def _whole(
    path: Path, check: Check | None
) -> tuple[Metadata, dict[str, TensorInfo], bytearray, str]:
    """What a file says of itself and of its tensors, their bytes, which are intact, and SHA-256."""
    with open_safetensors(path) as file:
        try:
            header = read_header(file)
        except NoHeader:
            what = "empty" if not path.stat().st_size else "cut short, or another kind of file"
            raise TortieError(f"{path} is no classifier of tortie: it is {what}") from None
        except ValueError as error:
            raise TortieError(f"{path} is no classifier of tortie: {error}") from None
        own = header.metadata
        if "tortie" not in own or "sha256" not in own:
            raise TortieError(f"{path} is a safetensors file, but no classifier of tortie")
        try:
            metadata, infos = _described(path, header)
            if check is not None:
                check(metadata, infos)
        except TortieError:
            if header.size <= _WORTH_HASHING and not _is_intact(header, file.read()):
                raise _damaged(path) from None
            raise
        try:
            content = bytearray(header.size - header.end)
            whole = file.readinto(content) == len(content)  # type: ignore[attr-defined]
        except MemoryError:
            raise TortieError(f"{path} has {header.size:,} bytes: more than the memory") from None
        except OSError as error:
            raise TortieError(f"cannot read {path}: {error.strerror}") from error
    if not (whole and _is_intact(header, content)):
        raise _damaged(path)
    return metadata, infos, content, header.metadata["sha256"]


def _damaged(path: Path) -> TortieError:
    return TortieError(
        f"{path} is damaged: its SHA-256 is not the one it was saved with; "
        "copy it again or fit again"
    )


def _is_intact(header: FileHeader, content: bytes | bytearray) -> bool:
    # JSON has several spellings of one content, \u00e9 and \u00E9: it was saved in one.
    if header.text.rstrip(b" ") != _canonical(header.content):
        return False
    with memoryview(content) as view:
        return _digest(header.content, view) == header.metadata["sha256"]


def _described(path: Path, header: FileHeader) -> tuple[Metadata, dict[str, TensorInfo]]:
    """What a header says, each part of which could be so."""
    try:
        content = parse(header.metadata["tortie"])
        if not isinstance(content, dict) or type(content.get("version")) is not int:
            raise ValueError("it says no version")
        if content["version"] != VERSION:
            raise TortieError(
                f"{path} has version {str(content['version'])[:9]}; this tortie reads version "
                f"{VERSION}: upgrade tortie"
            )
        members = content.get("members")
        if isinstance(members, list) and len(members) > MOST_MEMBERS:
            raise ValueError(f"it has {len(members):,} networks; at most {MOST_MEMBERS}")
        metadata = Metadata.model_validate_json(header.metadata["tortie"], strict=True)
        infos = header.tensors()
        _check_extras(metadata, infos)
    except ValidationError as error:
        raise TortieError(f"{path} does not describe a classifier: {_first(error)}") from None
    except ValueError as error:
        raise TortieError(f"{path} does not describe a classifier: {error}") from None
    return metadata, infos


def _first(error: ValidationError) -> str:
    """The first finding, without what was given."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(one)[:60] for one in first["loc"])
    message = first["msg"].removeprefix("Value error, ")[:200]
    return f"{where}: {message}" if where else message


def _check_extras(metadata: Metadata, infos: Mapping[str, TensorInfo]) -> None:
    """What lies beside the networks: hashes of the training photographs, novelty, prediction sets.

    Raises:
        ValueError: with what is wrong.
    """
    prefixes = tuple(f"members.{number}." for number in range(len(metadata.members)))
    for name, one in infos.items():
        if name == "training.sha256":
            if one.dtype != "U8" or len(one.shape) != 2 or one.shape[1] != 32:
                raise ValueError(f"{name} does not hold SHA-256s")
        elif name in ("novelty.scale", "novelty.means", "novelty.directions", "novelty.quantiles"):
            if one.dtype != "F32":
                raise ValueError(f"{name} is {one.dtype}, expected F32")
        elif _SETS.match(name):
            kind = "weights" if name.endswith("scores") else "scores"
            other = infos.get(f"{name.rpartition('.')[0]}.{kind}")
            if one.dtype != "F32" or len(one.shape) != 1 or not 1 <= one.shape[0] <= _MOST_SCORES:
                raise ValueError(f"{name} does not hold the scores of prediction sets")
            if other is None or other.shape != one.shape:
                raise ValueError(f"{name} has other scores than weights")
        elif not name.startswith(prefixes):
            raise ValueError(f"{ascii(name)[:80]} is no tensor of a classifier")
    hashes = infos.get("training.sha256")
    count = None if hashes is None else hashes.shape[0]
    if metadata.training.get("hashes", count) != count:
        raise ValueError("training.sha256 has another number of photographs than the record")
    means = infos.get("novelty.means")
    if means is not None and not (
        len(means.shape) == 2 and 1 <= means.shape[0] <= len(metadata.classes)
    ):
        raise ValueError("novelty.means has another number of classes")
    directions = infos.get("novelty.directions")
    if directions is not None and not (
        len(directions.shape) == 2 and directions.shape[0] <= directions.shape[1]
    ):
        raise ValueError("novelty.directions has more directions than dimensions")


def _check_values(path: Path, tensors: "Mapping[str, Tensor]") -> None:
    """Refuse numbers that no training gives."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise TortieError(f"{path} is no classifier: NaN or Inf in {name}")
        if name == "novelty.scale" and not bool((tensor > 0).all()):
            raise TortieError(f"{path} is no classifier: {name} is not positive")
        if name.endswith(".running_var") and bool((tensor < 0).any()):
            raise TortieError(f"{path} is no classifier: a negative variance in {name}")
    for name, tensor in tensors.items():
        if not _SETS.match(name):
            continue
        is_score = name.endswith(".scores")
        if bool((tensor > 1).any()) or bool((tensor < 0 if is_score else tensor <= 0).any()):
            raise TortieError(f"{path} is no classifier: {name} is not between 0 and 1")
        if is_score and bool((tensor.diff() < 0).any()):
            raise TortieError(f"{path} is no classifier: {name} fall")
    quantiles = tensors.get("novelty.quantiles")
    if quantiles is not None and bool((quantiles.diff() < 0).any()):
        raise TortieError(f"{path} is no classifier: novelty.quantiles fall")


def _digest(header: Mapping[str, Any], tensors: memoryview) -> str:
    own = {key: value for key, value in header["__metadata__"].items() if key != "sha256"}
    digest = hashlib.sha256(_canonical({**header, "__metadata__": own}))
    digest.update(tensors)
    return digest.hexdigest()


def _canonical(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
