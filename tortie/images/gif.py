"""What a GIF says up to its first frame, and what of it a decoder is given.

The first frame is whole if every row of it could be decoded. What it leaves free of the screen is
transparent, as browsers show it; the background colour that the file names is not used.
"""

from dataclasses import dataclass
from typing import BinaryIO

from tortie.images.header import Header, joined
from tortie.images.limits import GIF_BLOCKS, WHOLE
from tortie.images.unreadable import HeaderGoesOn, UnreadableImage


@dataclass(frozen=True, slots=True)
class Gif:
    """A GIF's first frame.

    Attributes:
        header: the size of the screen, which grows where the frame is larger.
        frame: left, top, right and bottom of the frame on the screen.
        needed: the screen, its palette, and what says which colour is transparent.
        start: where the frame's own description begins.
    """

    header: Header
    frame: tuple[int, int, int, int]
    needed: bytes
    start: int

    def stream(self, data: bytes) -> BinaryIO:
        """What a decoder is given: no comments."""
        return joined([self.needed, memoryview(data)[self.start :]])


def parse(data: bytes) -> Gif:
    """Read up to the first frame.

    Raises:
        UnreadableImage: there is none, or too much before it.
        HeaderGoesOn: the bytes end before it.
    """
    if len(data) < 13:
        raise HeaderGoesOn
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    screen = data[:at]
    control = b""
    blocks = 0
    while True:
        if at + 10 > len(data):
            raise HeaderGoesOn
        introducer = data[at]
        if introducer == 0x2C:
            left, top, wide, tall = (
                int.from_bytes(data[at + place : at + place + 2], "little")
                for place in (1, 3, 5, 7)
            )
            width = max(int.from_bytes(data[6:8], "little"), left + wide)
            height = max(int.from_bytes(data[8:10], "little"), top + tall)
            frame = left, top, left + wide, top + tall
            return Gif(Header(width, height, "GIF", WHOLE, memory=5), frame, screen + control, at)
        if introducer == 0x3B:
            raise UnreadableImage("damaged: no frame")
        if introducer != 0x21:  # between blocks: passed over, as decoders do
            at += 1
            blocks += 1
        else:
            begin, label = at, data[at + 1]
            at += 2
            while size := data[at]:
                at += 1 + size
                blocks += 1
                if at >= len(data):
                    raise HeaderGoesOn
                if blocks > GIF_BLOCKS:
                    break
            at += 1
            if label == 0xF9:
                control = data[begin:at]
        if blocks > GIF_BLOCKS:
            raise UnreadableImage(f"more than {GIF_BLOCKS:,} blocks before its pixels")
