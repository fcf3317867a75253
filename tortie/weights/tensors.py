"""Tensors of a ``.safetensors`` file from its bytes in memory."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tortie.weights.header import BYTES, TensorInfo

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def read_tensors(content: bytearray, infos: Mapping[str, TensorInfo]) -> "dict[str, Tensor]":
    """The tensors that a header describes, in the memory of ``content``, which is theirs from now.

    They are not mapped from the file, so that nothing that becomes of it later changes them.

    Args:
        content: what follows the header, whole.
        infos: of :meth:`tortie.weights.header.FileHeader.tensors`, which has checked every place.
    """
    import torch

    tensors = {}
    for name, one in infos.items():
        dtype = torch_type(one.dtype)
        if one.begin == one.end:
            tensors[name] = torch.empty(one.shape, dtype=dtype)
            continue
        buffer, offset = content, one.begin
        if offset % BYTES[one.dtype]:  # the format asks for alignment and does not enforce it
            buffer, offset = content[one.begin : one.end], 0
        count = (one.end - one.begin) // BYTES[one.dtype]
        flat = torch.frombuffer(buffer, dtype=dtype, count=count, offset=offset)
        tensors[name] = flat.reshape(one.shape)
    return tensors


def torch_type(name: str) -> "torch.dtype":
    """The type that the format calls so."""
    import torch

    types = {
        "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16,
        "U16": torch.uint16, "F16": torch.float16, "BF16": torch.bfloat16, "I32": torch.int32,
        "U32": torch.uint32, "F32": torch.float32, "I64": torch.int64, "U64": torch.uint64,
        "F64": torch.float64, "C64": torch.complex64, "F8_E4M3": torch.float8_e4m3fn,
        "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu,
    }  # fmt: skip
    return types[name]
