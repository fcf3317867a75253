"""The bytes of a file, which is looked at before it is read: what it is, and how large."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tortie.errors import TortieError
from tortie.images.archives import member_bytes, member_of
from tortie.images.formats import ENOUGH, format_of, refuse
from tortie.images.limits import MAX_BYTES, MAX_PIXELS
from tortie.images.pixels import examine
from tortie.images.remote import MissingFile, RemoteError, is_remote, remote_bytes
from tortie.images.unreadable import HeaderGoesOn, UnreadableImage

_SMALL = 2**20  # bytes: so much is read of anything


def file_bytes(path: Path, max_pixels: int = MAX_PIXELS) -> bytes:
    """The bytes of a regular file; if it is large, of one whose header is within the limits.

    Args:
        path: the file.
        max_pixels: as :func:`tortie.images.decode` takes it.

    Raises:
        UnreadableImage: it cannot be opened, is no regular file (reading a pipe would hang), or is
            large and of none of the formats that are read, over 512 MiB or over another limit.
        RemoteError: the server that has it fails.
    """
    if (content := _elsewhere(path)) is not None:
        if len(content) > _SMALL:
            _check_header(path, content[:_SMALL], len(content), max_pixels)
        return content
    with _opened(path) as descriptor:
        size = os.fstat(descriptor).st_size
        if size > _SMALL:
            _check_header(path, _read(descriptor, _SMALL), size, max_pixels)
            os.lseek(descriptor, 0, os.SEEK_SET)
        return _read(descriptor, size)


def _elsewhere(path: Path) -> bytes | None:
    """The content of a member of an archive, or of a file that is not on this disk."""
    if ":" not in str(path) or os.path.lexists(path):
        return None
    try:
        member = member_of(path)
        if member and member.name:
            return member_bytes(member)
        return remote_bytes(path, MAX_BYTES) if is_remote(path) else None
    except (UnreadableImage, RemoteError):
        raise
    except TortieError as error:
        reason = error.reason if isinstance(error, MissingFile) else error
        raise UnreadableImage(f"cannot be opened: {reason}", path) from None


def _check_header(path: Path, head: bytes, size: int, max_pixels: int) -> None:
    try:
        examine(head, format_of(head) or "", size, max_pixels)
    except HeaderGoesOn:
        pass  # the whole will tell
    except UnreadableImage as error:
        raise UnreadableImage(error.reason, path) from None


def file_digest(path: Path) -> str:
    """SHA-256 of the bytes of such a file, hexadecimal; they are not kept in memory.

    Raises:
        UnreadableImage: as :func:`file_bytes`.
    """
    if (content := _elsewhere(path)) is not None:
        return hashlib.sha256(content).hexdigest()
    with _opened(path) as descriptor:
        digest = hashlib.sha256()
        while piece := os.read(descriptor, 2**20):
            digest.update(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A file that is worth reading, at its start."""
    try:
        _check_kind(path, os.stat(path))  # before it is opened: a device may act on that
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
        try:
            status = os.fstat(descriptor)
            _check_kind(path, status)
            if status.st_size > _SMALL:
                head = _read(descriptor, ENOUGH)
                if format_of(head) is None:
                    raise UnreadableImage(refuse(head).reason, path)
            if status.st_size > MAX_BYTES:
                size, limit = status.st_size / 2**20, MAX_BYTES / 2**20
                raise UnreadableImage(f"{size:,.0f} MiB is over the limit of {limit:.0f}", path)
            os.lseek(descriptor, 0, os.SEEK_SET)
            yield descriptor
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UnreadableImage(f"cannot be opened: {reason}", path) from error


def _check_kind(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableImage("a folder", path)
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImage("not a regular file", path)


def _read(descriptor: int, size: int) -> bytes:
    """As many bytes, or all up to the end."""
    pieces = []
    while size > 0 and (piece := os.read(descriptor, min(size, 2**30))):
        pieces.append(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
