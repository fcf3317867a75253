"""What a JPEG's header says, what proves it whole, and how much work its scans are.

A JPEG is whole if the decoder found every block and an end marker follows the scans: a copy whose
space was laid out, in zeros, before it stopped has blocks enough and no end.
"""

import re
from dataclasses import dataclass
from typing import BinaryIO

from tortie.images.exif import orientation_of
from tortie.images.header import Header, joined
from tortie.images.limits import JPEG_JUNK, JPEG_SAMPLES, JPEG_SCANS, JPEG_SEGMENTS, WHOLE
from tortie.images.unreadable import HeaderGoesOn, UnreadableImage

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # in a scan, other than restarts and stuffing
_ALONE = {0x01, 0xD8, *range(0xD0, 0xD8)}  # markers without a length
_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_KINDS = {
    **dict.fromkeys((195, 199, 203, 207), "lossless JPEG"),
    **dict.fromkeys((197, 198, 205, 206), "hierarchical JPEG"),
}


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the start of a frame says."""

    code: int
    width: int
    height: int
    sampling: dict[int, tuple[int, int]]  # of each component: blocks across and down

    def samples(self, component: int) -> int:
        """Of a component, about."""
        across, down = self.sampling.get(component, (1, 1))
        widest = max(one for one, _ in self.sampling.values())
        tallest = max(one for _, one in self.sampling.values())
        return self.width * self.height * across * down // (widest * tallest)


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A JPEG's parts.

    Attributes:
        header: its size and orientation.
        needed: the segments before the first scan that a decoder needs; no EXIF, XMP or profile.
        scan: where the first scan begins.
        in_scans: whether its pixels come in several scans, so that all coefficients are kept.
    """

    header: Header
    needed: bytes
    scan: int
    in_scans: bool
    frame: _Frame

    def stream(self, data: bytes) -> BinaryIO:
        """What a decoder is given."""
        return joined([self.needed, memoryview(data)[self.scan :]])


def parse(data: bytes) -> Jpeg:
    """Read a JPEG's segments up to its first scan.

    Raises:
        UnreadableImage: what is there is no JPEG, or none that is supported.
        HeaderGoesOn: the bytes end before the scan.
    """
    needed = [b"\xff\xd8"]
    frame: _Frame | None = None
    exif: bytes | None = None
    at, junk = 2, 0
    for _ in range(JPEG_SEGMENTS):
        code, begin, skipped = _marker(data, at)
        junk += skipped
        if junk > JPEG_JUNK or code == 0xD9:
            raise UnreadableImage("damaged")
        if code == 0 or code in _ALONE:
            at = begin
            continue
        if begin + 2 > len(data):
            raise HeaderGoesOn
        end = begin + int.from_bytes(data[begin : begin + 2], "big")
        if end < begin + 2:
            raise UnreadableImage("damaged")
        if end > len(data):
            raise HeaderGoesOn
        body = data[begin + 2 : end]
        if code == 0xDA:
            if frame is None or not body:
                raise UnreadableImage("damaged")
            in_scans = frame.code in (0xC2, 0xCA) or body[0] < len(frame.sampling)
            return Jpeg(
                _header(frame, exif, in_scans), b"".join(needed), begin - 2, in_scans, frame
            )
        if code in _SOF:
            frame = _frame(code, body)
        if code == 0xE1 and exif is None and body.startswith(b"Exif\0\0"):
            exif = body
        if not (0xE0 <= code <= 0xEF or code == 0xFE) or body.startswith((b"JFIF", b"Adobe")):
            needed.append(b"\xff" + bytes([code]) + data[begin:end])
        at = end
    raise UnreadableImage(f"more than {JPEG_SEGMENTS:,} segments before its pixels")


def _marker(data: bytes, at: int) -> tuple[int, int, int]:
    """The next marker, where what follows it begins, and how many bytes were none."""
    start = data.find(b"\xff", at)
    if start < 0:
        if len(data) - at > JPEG_JUNK:
            raise UnreadableImage("damaged")
        raise HeaderGoesOn
    code = start + 1
    while code < len(data) and data[code] == 0xFF:
        code += 1
        if code - at > JPEG_JUNK:
            raise UnreadableImage("damaged")
    if code >= len(data):
        raise HeaderGoesOn
    return data[code], code + 1, code - 1 - at


def _frame(code: int, body: bytes) -> _Frame:
    if code in _KINDS:
        raise UnreadableImage(f"not supported ({_KINDS[code]})")
    if len(body) < 6 or len(body) < 6 + 3 * body[5] or not body[5]:
        raise UnreadableImage("damaged")
    if body[0] != 8:
        raise UnreadableImage(f"not supported ({body[0]}-bit JPEG)")
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    sampling = {
        body[at]: (max(body[at + 1] >> 4, 1), max(body[at + 1] & 15, 1))
        for at in range(6, 6 + 3 * body[5], 3)
    }
    return _Frame(code, width, height, sampling)


def _header(frame: _Frame, exif: bytes | None, in_scans: bool) -> Header:
    kind, most = "JPEG", 200_000_000
    if frame.code in (0xC9, 0xCA):
        kind, most = "arithmetic JPEG", 25_000_000
    elif in_scans:
        kind, most = "progressive JPEG", WHOLE
    # In several scans two bytes a coefficient are kept; and the image, at reduced scale if large.
    memory = 1 + (2 * len(frame.sampling) if in_scans else 0)
    return Header(
        frame.width, frame.height, kind, most, orientation=orientation_of(exif), memory=memory
    )


def check_scans(jpeg: Jpeg, data: bytes) -> None:
    """Check that the scans are no more work than a camera's: an empty one costs 28 bytes.

    Raises:
        UnreadableImage: too many of them.
    """
    if not jpeg.in_scans:
        return
    scans = work = 0
    at = jpeg.scan
    while found := _MARKER.search(data, at):
        at = found.end()
        code = data[at - 1]
        if code == 0xD9:
            return
        if code in _ALONE:
            continue
        end = at + int.from_bytes(data[at : at + 2], "big")
        if code == 0xDA:
            scans += 1
            count = data[at + 2] if at + 2 < len(data) else 0
            components = data[at + 3 : at + 3 + 2 * count : 2]
            work += sum(jpeg.frame.samples(one) for one in components)
            if scans > JPEG_SCANS or work > JPEG_SAMPLES:
                size = f"{jpeg.header.width}×{jpeg.header.height}"
                raise UnreadableImage(f"too many scans for {size} pixels")
        at = max(end, at)


def lacks_end(jpeg: Jpeg, data: bytes) -> bool:
    """Whether no end marker follows the first scan."""
    return data.rfind(b"\xff\xd9", jpeg.scan) < 0
