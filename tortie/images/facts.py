"""What one decode tells of an image: kept in the store, so that nothing is decoded twice."""

import struct
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
from PIL import Image

from tortie.images.decode import Decoded

THUMBNAIL = 32
"""Side of the thumbnail, pixels."""

_VERSION = 2
_HEADER = struct.Struct(">BIIBQIIIBHH")  # version, the numbers, then the lengths of the rest
_NARROW = 1 / 16  # of the possible values: 12 bits in 16, or four grey levels in a hundred


def _cosines() -> np.ndarray:
    """The cosines of the DCT-II, ``(THUMBNAIL, THUMBNAIL)``: one frequency a row."""
    frequencies, places = np.ogrid[:THUMBNAIL, :THUMBNAIL]
    return np.cos(np.pi * frequencies * (2 * places + 1) / (2 * THUMBNAIL))


# The 64 lowest frequencies but the mean, by distance from it; ties by row and column.
_LOWEST = sorted(
    ((row, column) for row in range(9) for column in range(9)),
    key=lambda place: (place[0] ** 2 + place[1] ** 2, place),
)[1:65]
_ROWS, _COLUMNS = np.array(_LOWEST).T
_COSINES = _cosines()[:9]
# An average of 1,024 whole grey levels moves by rounding; below this a coefficient is such noise.
_SILENCE = 16.0


@dataclass(frozen=True, slots=True)
class Facts:
    """An image's own facts.

    Attributes:
        width: pixels, after the EXIF orientation is applied.
        height: pixels, after the EXIF orientation is applied.
        format: the decoder's name of the format, such as ``JPEG``.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
        perceptual_hash: 64 bits; those of similar images differ in few.
        thumbnail: 32×32 grey levels, row by row: near duplicates are confirmed on it.
        reason: why the image cannot be read; ``None`` where it can (then the rest holds).
        narrow: lowest, highest and largest possible value, where those in use span less than a
            sixteenth of what is possible; else ``None``.
    """

    width: int
    height: int
    format: str
    orientation: int
    perceptual_hash: int
    thumbnail: bytes
    reason: str | None = None
    narrow: tuple[int, int, int] | None = None

    @classmethod
    def unreadable(cls, reason: str) -> Self:
        """The facts of an image that cannot be read: the reason, and nothing else."""
        return cls(0, 0, "", 1, perceptual_hash=0, thumbnail=b"", reason=reason)

    def encode(self) -> bytes:
        """About 1 kB: a version, and the facts; :meth:`decode` reads it back."""
        format, reason = self.format.encode(), (self.reason or "").encode("utf-8", "replace")
        reason = reason[:65535]
        header = _HEADER.pack(
            _VERSION,
            self.width,
            self.height,
            self.orientation,
            self.perceptual_hash,
            *(self.narrow or (0, 0, 0)),
            len(format),
            len(reason),
            len(self.thumbnail),
        )
        return header + format + reason + self.thumbnail

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """The facts that :meth:`encode` wrote.

        Raises:
            ValueError: another version, or not what ``encode`` writes.
        """
        if len(encoded) < _HEADER.size or encoded[0] != _VERSION:
            raise ValueError(f"these are no facts of version {_VERSION}: {encoded[:16]!r}")
        _, width, height, orientation, perceptual_hash, low, high, most, *lengths = (
            _HEADER.unpack_from(encoded)
        )
        if len(encoded) != _HEADER.size + sum(lengths):
            raise ValueError(f"facts of {len(encoded)} bytes instead of {sum(lengths)}")
        start, parts = _HEADER.size, []
        for length in lengths:
            parts.append(encoded[start : start + length])
            start += length
        format, reason, thumbnail = parts
        return cls(
            width,
            height,
            format.decode(),
            orientation,
            perceptual_hash=perceptual_hash,
            thumbnail=thumbnail,
            reason=reason.decode() or None,
            narrow=(low, high, most) if most else None,
        )


def facts_of(decoded: Decoded) -> Facts:
    """The facts of an image that was decoded.

    A thumbnail's level averages its part of the image by a Hamming window: its soft edges give
    the same levels at another resolution, to about one, where a box's give up to ten others.
    """
    small = decoded.image.resize(
        (THUMBNAIL, THUMBNAIL), Image.Resampling.HAMMING, box=decoded.extent, reducing_gap=2.0
    )
    thumbnail = small.convert("L").tobytes()
    return Facts(
        decoded.width,
        decoded.height,
        decoded.format,
        decoded.orientation,
        perceptual_hash=perceptual_hash(thumbnail),
        thumbnail=thumbnail,
        narrow=_narrow(decoded, thumbnail),
    )


def _narrow(decoded: Decoded, thumbnail: bytes) -> tuple[int, int, int] | None:
    """The values in use, where they are few of those that are possible."""
    span = decoded.span
    if span is None:
        if max(thumbnail) - min(thumbnail) >= 255 * _NARROW:  # which averages, and never widens
            return None
        levels = [level for pair in decoded.image.getextrema() for level in cast(Any, pair)]
        span = min(levels), max(levels), 255
    return span if span[1] - span[0] < span[2] * _NARROW else None


def perceptual_hash(thumbnail: bytes) -> int:
    """64 bits: the signs of the lowest frequencies of a 32×32 grey thumbnail.

    A change of brightness or contrast keeps every sign, unless levels clip. Re-encoding and
    resizing turn few, those of frequencies that the image hardly has. Bit 63 is the lowest
    frequency; an image of one grey level has hash 0.

    Args:
        thumbnail: 1,024 grey levels, row by row.
    """
    grey = np.frombuffer(thumbnail, np.uint8).reshape(THUMBNAIL, THUMBNAIL)
    spectrum = _COSINES @ grey.astype(np.float64) @ _COSINES.T  # (9, 9)
    positive = spectrum[_ROWS, _COLUMNS] > _SILENCE  # (64,)
    return int.from_bytes(np.packbits(positive).tobytes(), "big")
