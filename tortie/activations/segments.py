"""How entries lie on the disk: one after another in segment files that only ever grow.

A segment is a sequence of entries and nothing else, so that it can be read without an index. An
entry, little-endian:

=====  ==========================================================================
bytes  what
=====  ==========================================================================
4      CRC-32 of all that follows in the entry; certain to notice one changed byte
4      magic
1      version of this table
1      type of the values: 1 uint8, 2 float32, 3 bfloat16, 4 float16
1      number of dimensions, n
5      zero
32     key
8      bytes of the payload
8n     the dimensions
...    the payload
=====  ==========================================================================
"""

import contextlib
import fcntl
import math
import os
import secrets
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC = b"\x93TRT"
VERSION = 1
KEY_BYTES = 32
_HEADER = struct.Struct("<I4sBBB5x32sQ")
_MAGIC_AT = 4

# numpy has no bfloat16: uint16 carries its bits.
_CARRIERS: dict[int, np.dtype[Any]] = {
    1: np.dtype("u1"),
    2: np.dtype("<f4"),
    3: np.dtype("<u2"),
    4: np.dtype("<f2"),
}
_NUMBERS = {carrier: number for number, carrier in _CARRIERS.items()}

# Entries that lie close together are read at once, up to so many bytes.
_READ_BYTES = 4 << 20
_GAP_BYTES = 64 << 10

# Offset and length of an entry in its segment, and its key.
Place = tuple[int, int, bytes]


class Entry(NamedTuple):
    """An intact entry; ``payload`` is a window on the bytes that it was read from.

    Attributes:
        dtype: type of the values; uint16 carries bfloat16.
        shape: dimensions of the array.
        payload: the values, row by row.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    payload: memoryview

    def array(self) -> NDArray[Any]:
        """The array, as a copy of its own."""
        return np.frombuffer(self.payload, self.dtype).reshape(self.shape).copy()


def encode(key: bytes, array: NDArray[Any]) -> tuple[bytes, memoryview]:
    """An entry as the bytes before its payload, and the payload.

    Args:
        key: 32 bytes.
        array: any shape; uint8, float32, float16, or uint16, which carries bfloat16.

    Raises:
        TypeError: an array of another type.
    """
    assert len(key) == KEY_BYTES
    number = _NUMBERS.get(array.dtype)
    if number is None:
        raise TypeError(
            f"the store keeps uint8, float32, float16 and uint16 (bfloat16), not {array.dtype}"
        )
    payload = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    dimensions = struct.pack(f"<{array.ndim}Q", *array.shape)
    head = _HEADER.pack(0, MAGIC, VERSION, number, array.ndim, key, payload.nbytes) + dimensions
    checksum = zlib.crc32(payload, zlib.crc32(memoryview(head)[_MAGIC_AT:]))
    return checksum.to_bytes(4, "little") + head[_MAGIC_AT:], payload


def decode(block: memoryview, key: bytes) -> Entry | None:
    """The entry that fills ``block``, or ``None`` where that is not an intact entry of ``key``."""
    if len(block) < _HEADER.size:
        return None
    checksum, magic, version, number, count, found, length = _HEADER.unpack_from(block)
    start = _HEADER.size + 8 * count
    if magic != MAGIC or version != VERSION or found != key or start + length != len(block):
        return None
    if zlib.crc32(block[_MAGIC_AT:]) != checksum:
        return None
    dtype, shape = _CARRIERS.get(number), struct.unpack_from(f"<{count}Q", block, _HEADER.size)
    if dtype is None or math.prod(shape) * dtype.itemsize != length:
        return None
    return Entry(dtype, shape, block[start:])


def scan(data: bytes, start: int) -> tuple[list[Place], int]:
    """Finds the intact entries of a segment without an index.

    What is torn or changed is stepped over: the next magic with a matching checksum goes on.

    Args:
        data: the whole segment.
        start: where to begin, at an entry's first byte.

    Returns:
        The places of the intact entries, and the end of the last one (or ``start``).
    """
    places: list[Place] = []
    view, offset, end = memoryview(data), start, start
    while offset + _HEADER.size <= len(data):
        _, _, _, _, count, key, length = _HEADER.unpack_from(view, offset)
        total = _HEADER.size + 8 * count + length
        if offset + total <= len(data) and decode(view[offset : offset + total], key) is not None:
            places.append((offset, total, key))
            offset = end = offset + total
            continue
        magic_at = data.find(MAGIC, offset + _MAGIC_AT + 1)
        if magic_at < 0:
            break
        offset = magic_at - _MAGIC_AT
    return places, end


def read(path: Path, places: Sequence[Place]) -> Iterator[tuple[Place, memoryview]]:
    """Reads entries of one segment, neighbours together.

    Args:
        path: the segment.
        places: sorted by offset. A place beyond the end of the file yields an empty block.

    Yields:
        A place and its bytes, which hold until the next is asked for.

    Raises:
        OSError: the segment is gone, or the disk fails.
    """
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        buffer = bytearray()
        first = 0
        while first < len(places):
            begin = places[first][0]
            last, end = first, begin
            while last < len(places):
                offset, length, _ = places[last]
                far = offset > end + _GAP_BYTES or offset + length > begin + _READ_BYTES
                if offset + length > size or (far and last > first):
                    break
                last, end = last + 1, max(end, offset + length)
            if last == first:
                yield places[first], memoryview(b"")
                first += 1
                continue
            if len(buffer) < end - begin:
                buffer = bytearray(end - begin)
            window = memoryview(buffer)[: end - begin]
            file.seek(begin)
            filled = 0
            while filled < len(window) and (count := file.readinto(window[filled:])):
                filled += count
            for place in places[first:last]:
                at = place[0] - begin
                yield place, window[at : min(at + place[1], filled)]
            first = last


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Size in bytes and time of last use in nanoseconds of each segment in ``folder``, by name.

    The time of last use is the file's time of modification, which :func:`touch` sets: it needs no
    lock, and outlives the index.
    """
    found = {}
    with os.scandir(folder) as files:
        for file in files:
            if file.name.startswith("segment-") and file.name.endswith(".bin"):
                with contextlib.suppress(FileNotFoundError):  # evicted by another process
                    status = file.stat()
                    found[file.name] = (status.st_size, status.st_mtime_ns)
    return found


def touch(path: Path) -> bool:
    """Notes that a segment was used just now; says whether it is there at all."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except OSError:  # no right to set times: then the order of eviction is coarser
        return path.exists()
    return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int | None]:
    """The descriptor of a segment that no live writer holds, locked for the block, or ``None``."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield descriptor if _lock(descriptor) else None
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Locks a segment for this open file alone, unless it is locked or no longer in its folder."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


class OpenSegment:
    """A segment that this process alone appends to; the lock ends with the process.

    Attributes:
        name: file name within the store's folder.
        end: bytes of whole entries; what lies beyond is torn and is written over.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.end = os.fstat(descriptor).st_size
        self._descriptor = descriptor

    @classmethod
    def create(cls, folder: Path) -> "OpenSegment":
        """A new, empty segment in ``folder``.

        Raises:
            OSError: the folder cannot be written.
        """
        while True:
            name = f"segment-{os.getpid()}-{secrets.token_hex(8)}.bin"
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(folder / name, flags, 0o666)
            try:
                if _lock(descriptor):
                    return cls(name, descriptor)
            except OSError:  # a file system without locks
                os.close(descriptor)
                os.unlink(folder / name)
                raise
            os.close(descriptor)  # another process took it for a leftover and removed it

    @classmethod
    def adopt(cls, folder: Path, name: str) -> "OpenSegment | None":
        """An existing segment that no live writer holds, or ``None``."""
        try:
            descriptor = os.open(folder / name, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        if _lock(descriptor):
            return cls(name, descriptor)
        os.close(descriptor)
        return None

    @property
    def gone(self) -> bool:
        """Whether another process removed the file, as when the store was cleared."""
        return os.fstat(self._descriptor).st_nlink == 0

    def append(self, data: memoryview) -> None:
        """Appends whole entries, or none.

        Raises:
            OSError: the disk is full or fails; the segment is as it was.
        """
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], self.end + written)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.end)
            raise
        self.end += written

    def close(self) -> None:
        """Closes the file, which unlocks it."""
        os.close(self._descriptor)
