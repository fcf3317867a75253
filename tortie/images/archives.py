"""Members of archives, read where they are: ``photos.zip:cats/1.jpg`` is a file's name like any.

Zip files, tar files, tar files within gzip, and Parquet, whose rows are members. Nothing is
unpacked to the disk. An archive is listed once, and again when it has changed. Any number of
threads may read members.
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
from typing import IO, Any, NamedTuple, cast

from tortie.errors import TortieError
from tortie.files import open_regular
from tortie.forks import reset_in_child
from tortie.images.limits import MAX_BYTES
from tortie.images.parquet import ParquetFile
from tortie.images.remote import (
    RemoteError,
    RemoteFile,
    copied,
    is_remote,
    is_remote_file,
    located,
    open_remote,
)
from tortie.images.tar_members import plain_name, seekable, tar_members
from tortie.images.unreadable import UnreadableImage
from tortie.images.walk import SUFFIXES as IMAGES
from tortie.images.walk import SYSTEM, Strays
from tortie.text import quoted

PARQUET = ".parquet"
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", PARQUET)
_MOST_OPEN = 64  # archives that are kept listed
_MOST_NAMES = 250_000  # of their members, of about 400 bytes each, where four archives have more
_MOST_REMOTE = 8  # of them with a connection, and some megabytes that were fetched
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError)
_SAYS = "cannot be read as an archive"


class Archived(NamedTuple):
    """A file in an archive.

    Attributes:
        archive: its path.
        name: of the member, with ``/`` between folders.
    """

    archive: Path
    name: str

    @property
    def path(self) -> Path:
        """What the member goes by: ``photos.zip:cats/1.jpg``."""
        return located(Path(f"{self.archive}:{self.name}"))


@dataclass
class _Listed:
    """An archive's members and how to read them."""

    key: tuple[int, int]
    sizes: dict[str, int]
    read: Callable[[str], bytes]
    notes: tuple[str, ...] = ()
    twice: str | None = None
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
            _check_server(self.file)
            raise
        _check_server(self.file)
        return content


class _Archives:
    """The archives that are listed, the least used of many forgotten."""

    def __init__(self) -> None:
        self.reset()
        reset_in_child(self)

    def reset(self) -> None:
        """None is listed: a forked child shares its parent's places in files, and opens its own."""
        self._listed: OrderedDict[Path, _Listed] = OrderedDict()
        self._lock = threading.Lock()
        self._copied: set[Path] = set()

    def listed(self, archive: Path) -> _Listed:
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

    def _remote(self, archive: Path) -> _Listed:
        """An archive that is not on this disk; what is listed of it holds for this process."""
        with self._lock:
            found = self._listed.get(archive)
            if found is None:
                file, key = copied(archive) if archive in self._copied else open_remote(archive)
                found = self._listed[archive] = _opened(archive, key, cast(IO[bytes], file))
                for one in list(filter(is_remote, self._listed))[:-_MOST_REMOTE]:
                    del self._listed[one]
            self._listed.move_to_end(archive)
        return found


_archives = _Archives()

copying = _archives.copying


def is_archive(path: Path) -> bool:
    """Whether a path is an archive by its name, and there."""
    if not has_archive_name(path):
        return False
    if is_remote(path):
        return _archives.has(path) or is_remote_file(path)
    return path.is_file()


def has_archive_name(path: Path) -> bool:
    """Whether a path's suffix is an archive's."""
    return path.name.lower().endswith(SUFFIXES)


def is_table(path: Path) -> bool:
    """Whether an archive's members are rows, each with its label."""
    return path.name.lower().endswith(PARQUET)


def member_of(path: Path) -> Archived | None:
    """The member that a path names; ``None`` for a path that names none.

    A folder of an archive counts, and so does the archive, as its folder of no name.
    """
    if is_archive(path):
        return Archived(path, "")
    text = str(path)
    begin = text.find(":")
    while begin > 0:
        archive = located(Path(text[:begin]))
        if is_archive(archive):
            return Archived(archive, text[begin + 1 :].strip("/"))
        begin = text.find(":", begin + 1)
    return None


def is_file_in(member: Archived) -> bool:
    """Whether a member is a file that its archive has.

    Raises:
        TortieError: the archive cannot be read.
    """
    return member.name in _of(member.archive).sizes


def images_in(member: Archived, strays: Strays) -> list[str]:
    """Names of the images in a folder of an archive, or in all of it, sorted.

    Raises:
        TortieError: the archive cannot be read.
    """
    listed = _of(member.archive)
    strays.damaged.extend(f"{member.archive}: {note}" for note in listed.notes)
    if listed.labels is not None:
        return list(listed.sizes)
    below = f"{member.name}/" if member.name else ""
    found = []
    for name in listed.sizes:
        if not name.startswith(below):
            continue
        *above, last = name.split("/")
        if any(part.startswith(".") for part in (*above, last)):
            strays.hidden.append(last)
        elif any(part.lower() in SYSTEM for part in above):
            strays.system.append(name)
        elif os.path.splitext(last)[1].lower() in IMAGES:
            found.append(name)
        else:
            strays.others.append(last)
    return sorted(found)


def names_in(archive: Path) -> list[str]:
    """Names of all members, in the archive's order.

    Raises:
        TortieError: the archive cannot be read.
    """
    return list(_of(archive).sizes)


def has_names(archive: Path, wanted: Callable[[str], bool]) -> bool:
    """Whether a member has a name of some kind; a tar file elsewhere is read up to the first.

    Raises:
        TortieError: the archive cannot be read.
    """
    if not is_remote(archive) or archive.suffix.lower() != ".tar" or _archives.has(archive):
        return any(map(wanted, names_in(archive)))
    file, _ = open_remote(archive)
    with file:
        found = any(wanted(one.name) for one in tar_members(cast(IO[bytes], file), []))
        _check_server(cast(IO[bytes], file))
    return found


def name_used_twice(archive: Path) -> str | None:
    """A name that two members of a tar file have; ``None`` where there is none.

    Raises:
        TortieError: the archive cannot be read.
    """
    return _of(archive).twice


def row_labels(archive: Path) -> list[Any]:
    """The labels of the rows of a Parquet file; ``None`` for a row that has none.

    Raises:
        UsageError: no row has one.
        TortieError: it cannot be read.
    """
    labels = _of(archive).labels
    assert labels is not None, archive
    return labels()


def member_bytes(member: Archived) -> bytes:
    """The content of a member.

    Raises:
        UnreadableImage: it is not there, damaged, encrypted or too large.
        RemoteError: the server that has the archive fails.
    """
    path = member.path
    try:
        listed = _of(member.archive)
        size = listed.sizes.get(member.name)
        if size is None:
            raise UnreadableImage("not in the archive", path)
        if size > MAX_BYTES:
            raise UnreadableImage(
                f"{size / 2**20:,.0f} MiB is over the limit of {MAX_BYTES / 2**20:.0f}", path
            )
        content = listed.content(member.name)
    except UnreadableImage:
        raise
    except RemoteError:
        _archives.forget(member.archive)  # it may be there again
        raise
    except TortieError as error:
        raise UnreadableImage(f"cannot be opened: {error}", path) from None
    except RuntimeError:  # zipfile's word for a password that it lacks
        raise UnreadableImage("encrypted", path) from None
    except (*_DAMAGED, OSError) as error:
        raise UnreadableImage(f"damaged in its archive: {error}", path) from None
    if len(content) < size:
        raise UnreadableImage("cut short in its archive", path)
    if not size and len(content) > MAX_BYTES:  # a row, of which the size is not known before
        raise UnreadableImage(f"over the limit of {MAX_BYTES / 2**20:.0f} MiB", path)
    return content


def _of(archive: Path) -> _Listed:
    return _archives.listed(archive)


def _opened(archive: Path, key: tuple[int, int], file: IO[bytes] | None = None) -> _Listed:
    name = archive.name.lower()
    if name.endswith(PARQUET):
        rows = ParquetFile(archive, file)
        listed = _Listed(key, dict.fromkeys(rows.rows, 0), rows.read, labels=rows.labels, file=file)
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
        _check_server(file)
    except (OSError, *_DAMAGED) as error:
        _close(opened)
        _check_server(file)
        reason = getattr(error, "strerror", None) or error
        raise TortieError(f"{quoted(archive)} {_SAYS}: {reason}") from None
    weakref.finalize(listed, _close, opened)  # once no thread reads from it any more
    return listed


def _check_server(file: IO[bytes] | None) -> None:
    """Raise what a server failed with, whatever the library that reads its file made of that."""
    if isinstance(file, RemoteFile) and file.failure:
        raise file.failure from None


def _close(opened: Sequence[IO[bytes] | ParquetFile]) -> None:
    for file in reversed(opened):
        file.close()


def _zip(file: IO[bytes], key: tuple[int, int]) -> _Listed:
    """A zip file, which zipfile reads from several threads."""
    archive = zipfile.ZipFile(file)
    infos = {
        name: info
        for info in archive.infolist()
        if not info.is_dir() and (name := plain_name(info.filename))
    }
    return _Listed(
        key, {name: info.file_size for name, info in infos.items()},
        lambda name: archive.read(infos[name]),
    )  # fmt: skip


def _tar(file: IO[bytes], key: tuple[int, int]) -> _Listed:
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
    return _Listed(key, sizes, read, tuple(notes), next(iter(twice), None))
