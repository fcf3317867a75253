"""Bounds of a file of tensors that torch pickled, looked at before any of it is unpickled.

What such a file says may ask for any memory and any time: a zip archive that unpacks to gigabytes,
millions of operations, a tensor of 10¹² elements over one stored number.
"""

import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from torch import Tensor

MOST_TENSORS = 20_000
"""Of a file of weights; a ResNet of 1,202 layers has 7,213."""
_MOST_MEMBERS = 2 * MOST_TENSORS
_MOST_PICKLE = 8_000_000  # bytes of the pickle that names the tensors; 200 a tensor are usual
_MOST_OPERATIONS = 2_000_000
_BEFORE = 3  # pickles of a file from before 2020: a magic number, the protocol, the system


def check_archive(path: Path) -> None:
    """Refuse a zip archive that is more than its tensors, as torch stores them.

    Raises:
        ValueError: with what is wrong.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    if len(members) > _MOST_MEMBERS:
        raise ValueError(f"{len(members):,} members")
    if sum(one.file_size for one in members) > path.stat().st_size:
        raise ValueError("its members unpack to more than the file has")
    for one in members:
        if one.filename.endswith("/data.pkl") and one.file_size > _MOST_PICKLE:
            raise ValueError(f"{one.file_size:,} bytes of names")
        if one.filename.endswith("/constants.pkl"):
            raise ValueError("a TorchScript archive, which is a program")


def check_pickles(file: BinaryIO) -> None:
    """Refuse a file of the older form whose names are pickled in too many operations.

    Raises:
        ValueError: with what is wrong.
    """
    count = 0
    for _ in range(_BEFORE + 1):
        for _ in pickletools.genops(file):
            count += 1
            if count > _MOST_OPERATIONS or file.tell() > _MOST_PICKLE:
                raise ValueError("its names take too many operations")


def check_tensors(tensors: "Mapping[str, Tensor]", size: int) -> None:
    """Refuse tensors that are not ordinary, or claim more than a file of ``size`` bytes stores.

    Raises:
        ValueError: with what is wrong.
    """
    import torch

    if len(tensors) > MOST_TENSORS:
        raise ValueError(f"{len(tensors):,} tensors; at most {MOST_TENSORS:,}")
    total = 0
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise ValueError(f"{ascii(name)[:80]} is no ordinary tensor")
        total += tensor.numel() * tensor.element_size()
        if tensor.numel() and 0 in tensor.stride() and tensor.numel() > _stored(tensor):
            raise ValueError(f"{ascii(name)[:80]} has more elements than are stored")
    if total > 8 * size:  # tensors may share a little, as tied weights do
        raise ValueError(f"its tensors take {total:,} bytes, and it has {size:,}")


def _stored(tensor: "Tensor") -> int:
    return tensor.untyped_storage().nbytes() // max(1, tensor.element_size())
