"""The members of a tar file, within gzip or not, one after another, and what they go by."""

import io
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, cast

_SPACING = 2**22  # bytes between points in gzip, each of which takes 32 kB of memory


def tar_members(file: IO[bytes], notes: list[str]) -> Iterator[tarfile.TarInfo]:
    """The members, up to where the file ends too soon, of which a note tells."""
    seen = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # which it would keep
                seen += 1
                yield member
            notes.extend(_end(file, archive.offset, seen))
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        if not seen:
            raise
        notes.append(f"cut short after {seen:,} members ({error})")


def _end(file: IO[bytes], offset: int, members: int) -> Iterator[str]:
    """What is wrong where the members end.

    Blocks of zeros end a tar file; tarfile stops without a word at whatever else there is.
    """
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if not block:
        yield f"cut short, it may be: no mark of the end after {members:,} members"
    elif len(block) < tarfile.BLOCKSIZE:
        yield f"cut short within a header after {members:,} members"
    elif block.strip(b"\0"):
        yield f"damaged after {members:,} members: what follows is no header"


def plain_name(name: str) -> str:
    """A member's name without ``./``; empty for one that leads out of the archive."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    return "" if ".." in parts else "/".join(parts)


def seekable(file: IO[bytes]) -> IO[bytes]:
    """A file within gzip, with points from which it can be read on."""
    import indexed_gzip

    if getattr(file, "mode", "rb") != "rb":
        file = cast(IO[bytes], _Reading(file))
    found: IO[bytes] = indexed_gzip.IndexedGzipFile(fileobj=file, spacing=_SPACING)
    return found


class _Reading(io.BufferedIOBase):
    """A file that is open for writing, too, as a temporary one is, which indexed_gzip refuses."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int | None = -1) -> bytes:
        return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
