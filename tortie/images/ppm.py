"""Portable pixmaps, graymaps and bitmaps (netpbm's P4, P5 and P6), of which the first counts."""

import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tortie.images.header import Header
from tortie.images.limits import DEEP
from tortie.images.unreadable import HeaderGoesOn, UnreadableImage

_NUMBER = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])*(\d{1,10})(?=\s|#)")
_HEAD = 4096  # bytes of comments and numbers
_ROWS = 2**22  # samples that are scaled at once


def read_header(data: bytes) -> Header:
    """The size.

    Raises:
        UnreadableImage: the header is none.
        HeaderGoesOn: the bytes end before it.
    """
    width, height = _numbers(data)[0][:2]
    return Header(width, height, "PPM", DEEP, memory=8)


def decode(data: bytes) -> tuple[Image.Image, tuple[int, int, int]]:
    """The picture, grey or RGB, its levels scaled to 255; and the range that it uses.

    Returns:
        the image; and its lowest, its highest and the largest possible level.

    Raises:
        UnreadableImage: it is damaged or cut.
    """
    numbers, at = _numbers(data)
    width, height = numbers[:2]
    if data[:2] == b"P4":
        row = (width + 7) // 8
        bits = np.frombuffer(_rows(data, at, row * height), np.uint8).reshape(height, row)
        black = np.unpackbits(bits, axis=1, count=width)
        return Image.fromarray((1 - black) * np.uint8(255)), (0, 255, 255)
    most = numbers[2]
    channels = 3 if data[:2] == b"P6" else 1
    kind = ">u2" if most > 255 else ">u1"
    samples = width * height * channels
    raw = _rows(data, at, samples * np.dtype(kind).itemsize)
    values = np.frombuffer(raw, kind)
    levels = np.empty(samples, np.uint8)
    for start in range(0, samples, _ROWS):
        some = np.minimum(values[start : start + _ROWS], most).astype(np.uint32)
        levels[start : start + _ROWS] = (some * 255 + most // 2) // most
    shape: tuple[int, ...] = (height, width, 3) if channels == 3 else (height, width)
    span = int(values.min()), int(values.max()), most
    return Image.fromarray(levels.reshape(shape)), span


def _rows(data: bytes, at: int, size: int) -> NDArray[np.uint8]:
    if at + size > len(data):
        raise UnreadableImage("truncated")
    return np.frombuffer(data, np.uint8, size, at)


def _numbers(data: bytes) -> tuple[list[int], int]:
    """Width, height and the largest level, if there is one; and where the pixels begin."""
    numbers: list[int] = []
    at = 2
    wanted = 2 if data[:2] == b"P4" else 3
    while len(numbers) < wanted:
        found = _NUMBER.match(data, at, _HEAD)
        if found is None:
            if len(data) < _HEAD:
                raise HeaderGoesOn
            raise UnreadableImage("damaged")
        numbers.append(int(found[1]))
        at = found.end()
    if wanted == 3 and not 1 <= numbers[2] <= 65535:
        raise UnreadableImage("damaged")
    return numbers, at + 1
