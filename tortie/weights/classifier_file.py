"""The classifier's file, version 1: tensors, and JSON that says what they are. Data, never code.

A ``.safetensors`` file whose metadata holds two entries: ``tortie``, the JSON of :class:`Metadata`,
and ``sha256``, over the rest of the header and the tensors, so that one flipped byte is noticed.
"""

import hashlib
import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tortie.errors import TortieError
from tortie.files import replacing
from tortie.images.preprocess import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
_HEADER_LIMIT = 100_000_000


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""What log-probabilities are divided by; 1 changes nothing."""


class Accuracy(_Data):
    """A share of right answers with its 95% Wilson interval, and what it was counted on."""

    value: float
    low: float
    high: float
    n: int
    on: Literal["test", "validation", "cross-validation"]


class Member(_Data):
    """One network of the classifier; its tensors are ``members.I.stages…`` and ``members.I.head…``.

    Attributes:
        network: its name in the table of networks.
        arguments: the builder's arguments.
        code: revision of the network's code that it was trained with.
        weights: where its parameters began.
        head: ``linear`` for a softmax layer of one's own, ``mlp:N`` with N hidden units before it,
            ``published`` for the paper's head.
        frozen: stages that were frozen, by name.
        stages: all of its stages, by name; the graph beside its tensors is that of all.
        preprocessing: how an image becomes its input.
        precision: of the activations that its head was trained on.
    """

    network: str
    arguments: dict[str, Any]
    code: int
    weights: str | None
    head: str = Field(pattern=r"^(linear|published|mlp:[1-9]\d{0,4})$")
    frozen: list[str]
    stages: list[str] = []
    preprocessing: Preprocessing
    precision: Literal["float32", "bfloat16"]


class Metadata(_Data):
    """What a classifier's file says of itself.

    Attributes:
        version: of this layout.
        tortie: version of tortie that wrote it.
        classes: names, in the order of the logits.
        members: the networks; the classifier averages their probabilities.
        temperature: for each crop setting, what the log-probabilities are divided by; that of
            ``"1"`` stands in for a setting that has none.
        accuracy: measured, or ``None`` where there was too little to tell.
        accuracy_reason: why there is no accuracy.
        training: the record of the fit: plan, counts, penalty, left-out files.
    """

    version: Literal[1] = 1
    tortie: str
    classes: list[str] = Field(min_length=2)
    members: list[Member] = Field(min_length=1)
    temperature: dict[str, Temperature] = {"1": 1.0}
    accuracy: Accuracy | None = None
    accuracy_reason: str | None = None
    training: dict[str, Any] = {}


def write(path: Path, metadata: Metadata, tensors: "Mapping[str, Tensor | NDArray[Any]]") -> None:
    """Write a classifier so that ``path`` is old or new, never half.

    Raises:
        TortieError: the disk is full, or the folder cannot be written.
    """
    from safetensors.numpy import save

    arrays = {name: _array(tensor) for name, tensor in tensors.items()}
    content = memoryview(save(arrays, {"tortie": metadata.model_dump_json()}))
    end = 8 + int.from_bytes(content[:8], "little")
    header, tensor_bytes = json.loads(bytes(content[8:end])), content[end:]
    header["__metadata__"]["sha256"] = _digest(header, tensor_bytes)
    text = _canonical(header)
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8, as the format asks
    with replacing(path) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        file.write(tensor_bytes)


def _array(tensor: "Tensor | NDArray[Any]") -> NDArray[Any]:
    """The values in the processor's memory, row by row."""
    if not isinstance(tensor, np.ndarray):
        tensor = tensor.detach().cpu().numpy()
    return np.ascontiguousarray(tensor).reshape(tensor.shape)


def read(path: Path) -> tuple[Metadata, "dict[str, Tensor]"]:
    """Check a classifier's file and read it, its tensors as torch's.

    Raises:
        TortieError: it is not a classifier of tortie, it is damaged, or its version is unknown.
    """
    metadata = _checked(path)
    from safetensors.torch import load_file

    return metadata, load_file(path)


def read_arrays(path: Path) -> tuple[Metadata, dict[str, NDArray[Any]]]:
    """As :func:`read`, its tensors as numpy's, without torch.

    Raises:
        TortieError: as :func:`read`.
    """
    metadata = _checked(path)
    from safetensors.numpy import load_file

    return metadata, load_file(path)


def _checked(path: Path) -> Metadata:
    """The metadata of an intact file; torch is not needed to refuse one."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            header, end = _header(path, whole)
            own = header.get("__metadata__") or {}
            if "tortie" not in own or "sha256" not in own:
                raise TortieError(f"{path} is a safetensors file, but no classifier of tortie")
            with memoryview(whole) as view, view[end:] as tensors:
                digest = _digest(header, tensors)
            # JSON has several spellings of one content, \u00e9 and \u00E9: it was saved in one.
            intact = whole[8:end].rstrip(b" ") == _canonical(header) and digest == own["sha256"]
    except IsADirectoryError:
        raise TortieError(f"{path} is a folder; a classifier is one .safetensors file") from None
    except OSError as error:
        raise TortieError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise TortieError(f"{path} is empty: no classifier") from error
    if not intact:
        raise TortieError(
            f"{path} is damaged: its SHA-256 is not the one it was saved with; "
            "copy it again or fit again"
        )
    content = json.loads(own["tortie"])
    if content.get("version") != VERSION:
        raise TortieError(
            f"{path} has version {content.get('version')!r}; this tortie reads version {VERSION}: "
            "upgrade tortie"
        )
    try:
        return Metadata.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TortieError(
            f"{path} does not describe a classifier: {where}: {first['msg']}"
        ) from None


def _header(path: Path, whole: mmap.mmap) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(whole[:8], "little")
    if not 2 <= length <= min(_HEADER_LIMIT, len(whole) - 8):
        raise TortieError(f"{path} is not a classifier of tortie, or it is cut short")
    try:
        header = json.loads(whole[8 : 8 + length])
    except ValueError:
        raise TortieError(f"{path} is not a classifier of tortie, or it is damaged") from None
    if not isinstance(header, dict):
        raise TortieError(f"{path} is not a classifier of tortie")
    return header, 8 + length


def _digest(header: Mapping[str, Any], tensors: memoryview) -> str:
    own = {key: value for key, value in header["__metadata__"].items() if key != "sha256"}
    digest = hashlib.sha256(_canonical({**header, "__metadata__": own}))
    digest.update(tensors)
    return digest.hexdigest()


def _canonical(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
