"""The orientation that EXIF gives, and nothing else of it."""

import struct

_ORIENTATION = 0x0112
_NUMBERS = {1: "B", 3: "H", 4: "I"}  # EXIF types of whole numbers without a sign
_MOST = 1000  # entries that are looked at: cameras write some 20


def orientation_of(exif: bytes | None) -> int:
    r"""EXIF orientation, 1 to 8; 1 where there is none, or none that can be understood.

    Args:
        exif: a TIFF structure, with or without ``Exif\0\0`` before it (EXIF 2.32, 4.5.2).
    """
    if not exif:
        return 1
    tiff = exif[6:] if exif.startswith(b"Exif\0\0") else exif
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for at in range(start + 2, start + 2 + 12 * min(count, _MOST), 12):
            tag, kind, number = struct.unpack_from(order + "HHI", tiff, at)
            if tag == _ORIENTATION:
                if number != 1 or kind not in _NUMBERS:
                    return 1
                (value,) = struct.unpack_from(order + _NUMBERS[kind], tiff, at + 8)
                return value if 1 <= value <= 8 else 1
    except struct.error:  # malformed EXIF must not cost the photograph
        pass
    return 1
