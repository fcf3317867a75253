"""What a WebP's header says. Its chunks say how long they are, and the file how long it is."""

from tortie.images.exif import orientation_of
from tortie.images.header import Header
from tortie.images.limits import WEBP_CHUNKS, WEBP_PIXELS
from tortie.images.unreadable import HeaderGoesOn, UnreadableImage


def read_header(data: bytes) -> Header:
    """The size of the canvas.

    Raises:
        UnreadableImage: another kind of WebP than the standard knows.
        HeaderGoesOn: the bytes end before it.
    """
    if len(data) < 30:
        raise HeaderGoesOn
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
    elif kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width = int.from_bytes(data[26:28], "little") & 0x3FFF
        height = int.from_bytes(data[28:30], "little") & 0x3FFF
    else:
        raise UnreadableImage("damaged")
    return Header(width, height, "WEBP", WEBP_PIXELS, memory=16)


def check_whole(data: bytes) -> int:
    """Check that the file is as long as it says, and find its orientation.

    Returns:
        EXIF orientation, 1 to 8.

    Raises:
        UnreadableImage: it is shorter.
    """
    end = 8 + int.from_bytes(data[4:8], "little")
    if len(data) < end:
        raise UnreadableImage("truncated")
    at = 12
    for _ in range(WEBP_CHUNKS):
        if at + 8 > end:
            return 1
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            raise UnreadableImage("truncated")
        if data[at : at + 4] == b"EXIF":
            return orientation_of(data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    raise UnreadableImage(f"more than {WEBP_CHUNKS:,} chunks")
