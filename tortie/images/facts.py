"""What one decode tells of an image: kept in the store, so that nothing is decoded twice."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """An image's own facts.

    Attributes:
        width: pixels, after the EXIF orientation is applied.
        height: pixels, after the EXIF orientation is applied.
        format: the decoder's name of the format, such as ``JPEG``.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
        perceptual_hash: 64 bits; images that look alike differ in few of them.
        thumbnail: 32×32 grey levels, row by row: near duplicates are confirmed on it.
        reason: why the image cannot be read; ``None`` where it can (then the rest holds).
    """

    width: int
    height: int
    format: str
    orientation: int
    perceptual_hash: int
    thumbnail: bytes
    reason: str | None = None
