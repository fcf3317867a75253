"""Archives that are opened and listed: their members, how each is read, and which are kept open.

An archive is listed once, and again when it has changed. Any number of threads may read members.
"""

import os
import tarfile
import threading
import weakref
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tortie.errors import TortieError
from tortie.files import open_regular
from tortie.forks import reset_in_child
from tortie.images.parquet import ParquetFile
from tortie.images.remote import RemoteFile, copied, is_remote, open_remote
from tortie.images.tar_members import plain_name, seekable, tar_members
from tortie.images.unreadable import UnreadableArchive
from tortie.text import quoted

PARQUET = ".parquet"
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError)
_NO_LIST = "cut short (the list of its members, which is at its end, is missing)"
_MOST_OPEN = 64  # archives that are kept listed
_MOST_NAMES = 250_000  # of their members, of about 400 bytes each, where four archives have more
_MOST_REMOTE = 8  # of them with a connection, and some megabytes that were fetched


@dataclass
class ListedArchive:
    """An archive's members and how to read them."""

    key: tuple[int, int]
    sizes: dict[str, int]
    read: Callable[[str], bytes]
    notes: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()
    labels: Callable[[], list[Any]] | None = None
    file: IO[bytes] | None = None

    def content(self, name: str) -> bytes:
        """The content of a member.

        Raises:
            RemoteError: its server fails.
        """
        try:
            content = self.read(name)
        except Exception:
            check_server(self.file)
            raise
        check_server(self.file)
        return content


class Archives:
    """The archives that are listed, the least used of many forgotten."""

    def __init__(self) -> None:
        self.reset()
        reset_in_child(self)

    def reset(self) -> None:
        """None is listed: a forked child shares its parent's places in files, and opens its own."""
        self._listed: OrderedDict[Path, ListedArchive] = OrderedDict()
        self._lock = threading.Lock()
        self._copied: set[Path] = set()

    def listed(self, archive: Path) -> ListedArchive:
        """The archive, listed; again where it has changed since.

        Raises:
            TortieError: it cannot be read.
        """
        if is_remote(archive):
            return self._remote(archive)
        try:
            status = os.stat(archive)
        except OSError as error:
            raise TortieError(f"cannot read {quoted(archive)}: {error.strerror}") from None
        key = (status.st_size, status.st_mtime_ns)
        with self._lock:
            found = self._listed.get(archive)
            if found is None or found.key != key:
                found = self._listed[archive] = _opened(archive, key)
                while len(self._listed) > _MOST_OPEN or (
                    len(self._listed) > 4
                    and sum(len(one.sizes) for one in self._listed.values()) > _MOST_NAMES
                ):
                    self._listed.popitem(last=False)
            self._listed.move_to_end(archive)
        return found

    def forget(self, archive: Path) -> None:
        """Open an archive anew the next time."""
        with self._lock:
            self._listed.pop(archive, None)

    @contextmanager
    def copying(self, archive: Path) -> Iterator[None]:
        """A block in which an archive is read from a copy on this disk, where it is elsewhere."""
        if not is_remote(archive):
            yield
            return
        self.forget(archive)
        self._copied.add(archive)
        try:
            yield
        finally:
            self._copied.discard(archive)
            self.forget(archive)

    def has(self, archive: Path) -> bool:
        """Whether an archive is listed."""
        return archive in self._listed

    def _remote(self, archive: Path) -> ListedArchive:
        """An archive that is not on this disk; what is listed of it holds for this process."""
        with self._lock:
            found = self._listed.get(archive)
            if found is None:
                file, key = copied(archive) if archive in self._copied else open_remote(archive)
                found = self._listed[archive] = _opened(archive, key, file)
                for one in list(filter(is_remote, self._listed))[:-_MOST_REMOTE]:
                    del self._listed[one]
            self._listed.move_to_end(archive)
        return found


def _opened(archive: Path, key: tuple[int, int], file: IO[bytes] | None = None) -> ListedArchive:
    name = archive.name.lower()
    if name.endswith(PARQUET):
        rows = ParquetFile(archive, file)
        listed = ListedArchive(
            key, dict.fromkeys(rows.rows, 0), rows.read, labels=rows.labels, file=file
        )
        weakref.finalize(listed, _close, [*filter(None, [file]), rows])
        return listed
    opened: list[IO[bytes]] = [] if file is None else [file]
    try:
        if not opened:
            opened.append(open_regular(archive))
        if name.endswith((".gz", ".tgz")):
            opened.append(seekable(opened[0]))
        listed = (_zip if name.endswith(".zip") else _tar)(opened[-1], key)
        listed.file = file
        check_server(file)
    except OSError as error:
        _close(opened)
        check_server(file)
        if error.errno:
            raise TortieError(
                f"{quoted(archive)} cannot be read as an archive: {error.strerror}"
            ) from None
        raise UnreadableArchive(archive, str(error)) from None
    except DAMAGED as error:
        cut = isinstance(error, zipfile.BadZipFile) and _begins_as_zip(opened[-1])
        _close(opened)
        check_server(file)
        raise UnreadableArchive(archive, _NO_LIST if cut else str(error)) from None
    weakref.finalize(listed, _close, opened)  # once no thread reads from it any more
    return listed


def check_server(file: IO[bytes] | None) -> None:
    """Raise what a server failed with, whatever the library that reads its file made of that."""
    if isinstance(file, RemoteFile) and file.failure:
        raise file.failure from None


def _close(opened: Sequence[IO[bytes] | ParquetFile]) -> None:
    for file in reversed(opened):
        file.close()


def _begins_as_zip(file: IO[bytes]) -> bool:
    try:
        file.seek(0)
        return file.read(4) == b"PK\3\4"
    except (OSError, ValueError):
        return False


def _zip(file: IO[bytes], key: tuple[int, int]) -> ListedArchive:
    """A zip file, which zipfile reads from several threads."""
    archive = zipfile.ZipFile(file)
    infos: dict[str, zipfile.ZipInfo] = {}
    twice: list[str] = []
    for info in archive.infolist():
        name = plain_name(info.filename)
        if not info.is_dir() and name:
            if name in infos:
                twice.append(name)
            infos[name] = info
    sizes = {name: info.file_size for name, info in infos.items()}
    return ListedArchive(
        key, sizes, lambda name: archive.read(infos[name]), twice=tuple(dict.fromkeys(twice))
    )


def _tar(file: IO[bytes], key: tuple[int, int]) -> ListedArchive:
    """A tar file: where each member begins is found once, and read from there."""
    places: dict[str, tuple[int, int]] = {}
    notes: list[str] = []
    twice: list[str] = []
    for member in tar_members(file, notes):
        name = plain_name(member.name)
        if member.isreg() and name:
            if places.pop(name, None):  # the last of a name is the one that counts, as tar has it
                twice.append(name)
            places[name] = member.offset_data, member.size
    lock = threading.Lock()

    def read(name: str) -> bytes:
        offset, size = places[name]
        with lock:
            file.seek(offset)
            return file.read(size)

    sizes = {name: size for name, (_, size) in places.items()}
    return ListedArchive(key, sizes, read, tuple(notes), tuple(dict.fromkeys(twice)))
