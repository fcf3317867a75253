"""The header of a ``.safetensors`` file, read within bounds: what it says is checked, not believed.

The format: eight bytes of length, JSON of each tensor's type, shape and place, then the tensors.
Nothing is allocated by the header's word: sizes are counted against the length of the file.
"""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tortie.errors import TortieError
from tortie.files import open_regular

MOST_BYTES = 16_000_000
"""Of a header; a hundred networks of three hundred tensors take 4 MB."""
MOST_TENSORS = 100_000
_DEEPEST = 64  # lists and dictionaries within each other
_LONGEST = 1000  # characters of a tensor's name
_DIMENSIONS = 8
BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I16": 2, "U16": 2,
    "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
"""Size of one element by the format's name of its type."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What a header says of one tensor.

    Attributes:
        dtype: the format's name, as ``F32``.
        shape: of the tensor.
        begin: offset of its bytes, counted from the end of the header.
        end: offset after them.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class FileHeader:
    """A header that was read.

    Attributes:
        content: its JSON, the metadata with it.
        text: its bytes as they are in the file.
        metadata: text by name; empty where there is none.
        end: offset of the first tensor's bytes in the file.
        size: length of the file.
    """

    content: dict[str, Any]
    text: bytes
    metadata: dict[str, str]
    end: int
    size: int

    def tensors(self) -> dict[str, TensorInfo]:
        """What it says of the tensors, which fill the rest of the file without gaps.

        Raises:
            ValueError: with what is wrong.
        """
        found = {
            name: _tensor(name, said)
            for name, said in self.content.items()
            if name != "__metadata__"
        }
        at = 0
        for name, one in sorted(found.items(), key=lambda each: (each[1].begin, each[1].end)):
            if one.begin != at:
                raise ValueError(f"{short(name)} does not begin where the tensor before it ends")
            at = one.end
        if at != self.size - self.end:
            raise ValueError(f"its tensors take {at:,} bytes, and it has {self.size - self.end:,}")
        return found


class NoHeader(ValueError):
    """A file that does not begin as ``.safetensors`` does."""


def read_header(file: BinaryIO) -> FileHeader:
    """The header of an open file, which is then at the first tensor's bytes.

    Raises:
        NoHeader: the file is of another kind, or cut short.
        ValueError: the header is too large, no JSON, or not of the format.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= size - 8:
        raise NoHeader("its header is cut short")
    if length > MOST_BYTES:
        raise ValueError(f"its header has {length:,} bytes: more than {MOST_BYTES:,}")
    text = file.read(length)
    if not text.startswith(b"{"):
        raise NoHeader("its header is no JSON")
    content = parse(text)
    if not isinstance(content, dict):
        raise ValueError("its header is not of the format")
    if len(content) > MOST_TENSORS:
        raise ValueError(f"it has {len(content):,} tensors: more than {MOST_TENSORS:,}")
    metadata = content.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its metadata is not text by name")
    return FileHeader(content, text, metadata, 8 + length, size)


def open_safetensors(path: Path) -> BinaryIO:
    """The file, opened to be read.

    Raises:
        TortieError: it is a folder, a pipe or a device, or cannot be opened.
    """
    try:
        return open_regular(path)
    except IsADirectoryError:
        raise TortieError(f"{path} is a folder; expected one .safetensors file") from None
    except OSError as error:
        raise TortieError(f"cannot read {path}: {error.strerror}") from error


def parse(text: bytes | str) -> Any:
    """JSON of bounded depth, in which no name is twice.

    Raises:
        ValueError: it is none.
    """
    try:
        decoded = text if isinstance(text, str) else text.decode()  # json would guess UTF-16
        content = json.loads(decoded, object_pairs_hook=_once, parse_int=_whole)
    except RecursionError:
        raise ValueError("JSON that is too deep") from None
    except UnicodeDecodeError:
        raise ValueError("JSON that is no UTF-8") from None
    level = [content]
    for _ in range(_DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return content
    raise ValueError("JSON that is too deep")


def short(name: str) -> str:
    """A name from a file as a message may carry it: quoted, and cut where it is long."""
    quoted = ascii(name)
    return quoted if len(quoted) <= 80 else f"{quoted[:70]}…'"


def _whole(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError("a number of too many digits")
    return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("JSON with one name twice")
    return content


def _tensor(name: str, said: Any) -> TensorInfo:
    if len(name) > _LONGEST:
        raise ValueError(f"the name of a tensor has {len(name):,} characters")
    if not isinstance(said, dict) or said.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{short(name)} is not described as a tensor")
    dtype, shape, offsets = said["dtype"], said["shape"], said["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BYTES:
        raise ValueError(f"{short(name)} is of an unknown type")
    if not _counts(shape) or len(shape) > _DIMENSIONS or not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"{short(name)} has no shape and place")
    if offsets[1] - offsets[0] != math.prod(shape) * BYTES[dtype]:
        raise ValueError(f"{short(name)} does not have the bytes that its shape takes")
    return TensorInfo(dtype, tuple(shape), offsets[0], offsets[1])


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value < 2**63 for value in values
    )
