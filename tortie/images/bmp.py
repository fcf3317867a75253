"""What a BMP's header says. It is whole if all its rows are there."""

import struct

from tortie.images.header import WHOLE, Header
from tortie.images.unreadable import HeaderGoesOn, UnreadableImage

_RUN_LENGTHS = {1, 2}
_RUN_BYTES = 4 * 2**20  # Pillow reads run lengths in Python, about a microsecond for two bytes
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
    if compression in _RUN_LENGTHS and size > _RUN_BYTES:
        raise UnreadableImage(f"a BMP of run lengths of over {_RUN_BYTES >> 20} MiB")
    return Header(width, abs(height), "BMP", WHOLE, memory=8 if data[28] == 32 else 5)
