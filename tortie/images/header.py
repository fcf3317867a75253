"""What a header says of an image, and the check of its size before any pixel is decoded."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from tortie.images.limits import MAX_MEMORY, MAX_PIXELS, MAX_SIDE
from tortie.images.unreadable import TooManyPixels, UnreadableImage


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of an image before it is decoded.

    Attributes:
        width: pixels, as stored.
        height: pixels, as stored.
        kind: its format, and what makes it dear to decode, for a person.
        most: pixels that are decoded within the default limit.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
        memory: bytes a pixel that the decoder's image and the one in RGB take together.
    """

    width: int
    height: int
    kind: str
    most: int
    orientation: int = 1
    memory: int = 4

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def check_size(header: Header, max_pixels: int, size: int = 0) -> None:
    """Check the size against the limits.

    Args:
        header: what is known of the image.
        max_pixels: the limit that the user set.
        size: of the file, bytes.

    ``header.most`` pixels are allowed; where the limit was raised above the default, half of it
    if that is more.

    Raises:
        TooManyPixels: over a limit.
        UnreadableImage: an image without pixels.
    """
    size_of = f"{header.width}×{header.height} pixels"
    if header.width < 1 or header.height < 1:
        raise UnreadableImage(f"damaged: {size_of}")
    if max(header.width, header.height) > MAX_SIDE:
        raise TooManyPixels(f"{size_of}: a side is over the limit of {MAX_SIDE:,}")
    raised = max_pixels // 2 if max_pixels > MAX_PIXELS else 0
    limit = min(max_pixels, max(header.most, raised))
    if header.pixels > limit:
        whose = "" if limit == max_pixels else f" for {header.kind}"
        raise TooManyPixels(f"{size_of} is over the limit of {limit / 1e6:g} megapixels{whose}")
    needed = size + header.pixels * header.memory
    if needed > MAX_MEMORY and max_pixels <= MAX_PIXELS:
        raise TooManyPixels(f"{size_of}: it would take {needed / 1e9:.1f} GB of memory, over 1")


_SMALL = 2**24  # bytes whose copy costs less than reading in parts


def joined(parts: Sequence[bytes | memoryview]) -> BinaryIO:
    """Bytes in several pieces as one file; where they are many, without a copy."""
    if sum(len(part) for part in parts) < _SMALL:
        return io.BytesIO(b"".join(parts))
    return cast(BinaryIO, Parts(parts))


class Parts(io.RawIOBase):
    """Bytes in several pieces as one file: what a decoder needs, without a copy of the rest."""

    def __init__(self, parts: Sequence[bytes | memoryview]) -> None:
        self._parts = [memoryview(part) for part in parts]
        self._size = sum(len(part) for part in self._parts)
        self._at = 0

    def read(self, size: int | None = -1) -> bytes:
        """As many bytes as are asked for, or all that are left."""
        stop = self._size if size is None or size < 0 else min(self._at + size, self._size)
        found: list[memoryview] = []
        begin = 0
        for part in self._parts:
            first, last = max(self._at - begin, 0), min(stop - begin, len(part))
            if first < last:
                found.append(part[first:last])
            begin += len(part)
        self._at = max(stop, self._at)
        return bytes(found[0]) if len(found) == 1 else b"".join(found)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place, which may be behind the end."""
        base = (0, self._at, self._size)[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True
