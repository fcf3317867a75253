"""What a BMP's header says. It is whole if all its rows are there."""

import struct

from tortie.images.header import Header
from tortie.images.limits import BMP_RUN_BYTES, WHOLE
from tortie.images.unreadable import HeaderGoesOn, UnreadableImage

_RUN_LENGTHS = {1, 2}
_OTHERS = {4: "BMP around a JPEG", 5: "BMP around a PNG"}


def read_header(data: bytes, size: int) -> Header:
    """The size, which is negative where rows go down.

    Args:
        data: the first bytes, or all.
        size: of the file, bytes.

    Raises:
        UnreadableImage: a kind that is not supported.
        HeaderGoesOn: the bytes end before it.
    """
    if len(data) < 54:
        raise HeaderGoesOn
    (length,) = struct.unpack_from("<I", data, 14)
    if length == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return Header(width, height, "BMP", WHOLE)
    width, height = struct.unpack_from("<ii", data, 18)
    (compression,) = struct.unpack_from("<I", data, 30)
    if compression in _OTHERS:
        raise UnreadableImage(f"not supported ({_OTHERS[compression]})")
    if compression in _RUN_LENGTHS and size > BMP_RUN_BYTES:
        raise UnreadableImage(f"a BMP of run lengths of over {BMP_RUN_BYTES >> 20} MiB")
    return Header(width, abs(height), "BMP", WHOLE, memory=8 if data[28] == 32 else 5)
