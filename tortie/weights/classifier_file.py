"""The classifier's file, version 1: tensors, and JSON that says what they are. Data, never code.

A ``.safetensors`` file whose metadata holds two entries: ``tortie``, the JSON of :class:`Metadata`,
and ``sha256``, over the rest of the header and the tensors, so that one flipped byte is noticed.
Anybody can compute that anew, so before a file is used these are checked, in this order:

1. the header's length, depth and names, each tensor's place (:mod:`tortie.weights.header`);
2. version, and every field of the JSON (:mod:`tortie.weights.classifier_metadata`);
3. the network, by the table's arguments, its preprocessing, and the name, type and shape of every
   tensor, before one is read: against its graph, where the file has it
   (:mod:`tortie.evaluation.file_graphs`), or torch's modules (:mod:`tortie.networks.restore`);
4. the checksum, and that every number is finite and in its bounds (here);
5. the options of the fit (:mod:`tortie.learning.recorded_options`) and what novelty and prediction
   sets need (:mod:`tortie.evaluation.novelty`, :mod:`tortie.evaluation.prediction_sets`).
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

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

_GRAPH = re.compile(r"\Agraphs\.([0-9]{1,3})\.(stages|maps)(\.expected)?\Z")
LONGEST_GRAPH = 1 << 24
"""Bytes of a graph, and of what is expected of it, at most; ResNet-152's graph has 0.2 MB."""
GRAPH_DIMENSIONS = (2, 3, 4)
"""Of what is expected of a graph."""


@dataclass(frozen=True)
class Said:
    """What a file says, before any tensor but those that are asked for is read.

    Attributes:
        metadata: what it says of itself, each part of which could be so.
        infos: type, shape and place of each tensor.
        sha256: what it says that it has.
    """

    metadata: Metadata
    infos: Mapping[str, TensorInfo]
    sha256: str
    _file: BinaryIO
    _end: int

    def tensor(self, name: str) -> NDArray[Any]:
        """One tensor, not held against the SHA-256 yet."""
        one = self.infos[name]
        self._file.seek(self._end + one.begin)
        return _array_of(bytearray(self._file.read(one.end - one.begin)), one, 0)


Check = Callable[[Said], Any]
"""Told what a file says; raises a TortieError where it cannot be so."""


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


def read_arrays(path: Path, check: Check) -> tuple[Metadata, dict[str, NDArray[Any]]]:
    """As :func:`read`, without torch.

    Args:
        path: of the file.
        check: as there, and says whether a file of this SHA-256 was written here, whose values need
            no look at them. It admits tensors of the types that classifiers have, and no others.

    Raises:
        TortieError: as :func:`read`.
    """
    metadata, infos, content, known = _whole(path, check)
    arrays = {name: _array_of(content, one, one.begin) for name, one in infos.items()}
    if not known:
        _check_values(path, arrays)
    return metadata, arrays


def _array_of(content: bytearray, one: TensorInfo, begin: int) -> NDArray[Any]:
    """A tensor of a classifier, in the memory of ``content`` where its place allows."""
    kind = np.dtype(_NUMPY[one.dtype])
    flat = np.frombuffer(content, kind, (one.end - one.begin) // kind.itemsize, begin)
    return (flat if flat.flags.aligned else flat.copy()).reshape(one.shape)


def read(path: Path, check: Check | None = None) -> tuple[Metadata, "dict[str, Tensor]"]:
    """Check a classifier's file and read it. Nothing in it can run code.

    The tensors are in memory of their own: what becomes of the file later changes nothing.

    Args:
        path: of the file.
        check: told what the file says before the tensors are read.

    Raises:
        TortieError: it is not a classifier of tortie, it is damaged, its version is unknown, or
            what it says cannot be so.
    """
    metadata, infos, content, _ = _whole(path, check or (lambda said: None))
    tensors = read_tensors(content, infos)
    known = {name: tensors[name].numpy() for name, one in infos.items() if one.dtype in _NUMPY}
    _check_values(path, known)
    return metadata, tensors


def _whole(path: Path, check: Check) -> tuple[Metadata, dict[str, TensorInfo], bytearray, Any]:
    """What a file says of itself and its tensors, their bytes, which are intact, and the check."""
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
            checked = check(Said(metadata, infos, own["sha256"], file, header.end))
        except TortieError:
            file.seek(header.end)
            if header.size <= _WORTH_HASHING and not _is_intact(header, file.read()):
                raise _damaged(path) from None
            raise
        try:
            file.seek(header.end)
            content = bytearray(header.size - header.end)
            whole = file.readinto(content) == len(content)  # type: ignore[attr-defined]
        except MemoryError:
            raise TortieError(f"{path} has {header.size:,} bytes: more than the memory") from None
        except OSError as error:
            raise TortieError(f"cannot read {path}: {error.strerror}") from error
    if not (whole and _is_intact(header, content)):
        raise _damaged(path)
    return metadata, infos, content, checked


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
        elif found := _GRAPH.match(name):
            fits = int(found[1]) < len(metadata.members) and one.end - one.begin <= LONGEST_GRAPH
            if found[3]:
                fits = fits and one.dtype == "F32" and len(one.shape) in GRAPH_DIMENSIONS
            else:
                fits = fits and one.dtype == "U8" and len(one.shape) == 1
            if not fits:
                raise ValueError(f"{name} does not hold the graph of a network")
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


def _check_values(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse numbers that no training gives."""
    for name, array in arrays.items():
        if array.dtype == np.float32 and not np.isfinite(array).all():
            raise TortieError(f"{path} is no classifier: NaN or Inf in {name}")
        if name == "novelty.scale" and not (array > 0).all():
            raise TortieError(f"{path} is no classifier: {name} is not positive")
        if name.endswith(".running_var") and (array < 0).any():
            raise TortieError(f"{path} is no classifier: a negative variance in {name}")
    for name, array in arrays.items():
        if not _SETS.match(name):
            continue
        is_score = name.endswith(".scores")
        if (array > 1).any() or (array < 0 if is_score else array <= 0).any():
            raise TortieError(f"{path} is no classifier: {name} is not between 0 and 1")
        if is_score and (np.diff(array) < 0).any():
            raise TortieError(f"{path} is no classifier: {name} fall")
    quantiles = arrays.get("novelty.quantiles")
    if quantiles is not None and (np.diff(quantiles) < 0).any():
        raise TortieError(f"{path} is no classifier: novelty.quantiles fall")


def _digest(header: Mapping[str, Any], tensors: memoryview) -> str:
    own = {key: value for key, value in header["__metadata__"].items() if key != "sha256"}
    digest = hashlib.sha256(_canonical({**header, "__metadata__": own}))
    digest.update(tensors)
    return digest.hexdigest()


def _canonical(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
