"""Members of archives, read where they are: ``photos.zip:cats/1.jpg`` is a file's name like any.

Zip files, tar files, tar files within gzip, and Parquet, whose rows are members. Nothing is
unpacked to the disk. An archive is listed once, and again when it has changed. Any number of
threads may read members.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tortie.errors import TortieError, UsageError
from tortie.images.limits import MAX_BYTES
from tortie.images.listed_archives import DAMAGED, PARQUET, Archives, ListedArchive, check_server
from tortie.images.remote import (
    RemoteError,
    is_remote,
    is_remote_file,
    located,
    open_remote,
)
from tortie.images.tar_members import tar_members
from tortie.images.unreadable import UnreadableImage
from tortie.images.walk import SUFFIXES as IMAGES
from tortie.images.walk import SYSTEM, Strays
from tortie.text import quoted

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", PARQUET)
WITH_LABELS = (".cls", ".json")
"""Suffixes of the label beside an image, in shards of webdataset."""


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


_archives = Archives()

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


def is_row(path: Path) -> bool:
    """Whether a path is that of a row of a table, which has no suffix."""
    return f"{PARQUET}:" in path.name.lower()


def key_of(name: str) -> tuple[str, str]:
    """The key of a member and its suffix: all from the first point of the last part on."""
    folder, _, last = name.rpartition("/")
    stem, point, suffix = last.partition(".")
    return (f"{folder}/{stem}" if folder else stem), (point + suffix).lower()


def images_in(member: Archived, strays: Strays) -> list[str]:
    """Names of the images in a folder of an archive, or in all of it, sorted.

    Raises:
        UsageError: two members of one name, in an archive that has labels beside its images.
        UnreadableArchive: it is damaged.
        TortieError: it cannot be read.
    """
    listed = _of(member.archive)
    strays.damaged.extend(f"{member.archive}: {note}" for note in listed.notes)
    _tell_names_used_twice(member.archive, listed, strays)
    if listed.labels is not None:
        return list(listed.sizes)
    below = f"{member.name}/" if member.name else ""
    found = []
    labels: list[str] = []
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
        elif last.lower().endswith(WITH_LABELS):
            labels.append(name)
        else:
            strays.others.append(last)
    if labels:
        keys = {key_of(name)[0] for name in found}
        strays.others.extend(
            name.rpartition("/")[2] for name in labels if key_of(name)[0] not in keys
        )
    return sorted(found)


def _tell_names_used_twice(archive: Path, listed: ListedArchive, strays: Strays) -> None:
    """Tell of members of one name, of which the last counts, or refuse them beside labels."""
    if not listed.twice:
        return
    if any(key_of(name)[1] in WITH_LABELS for name in listed.sizes):
        raise UsageError(
            f"{quoted(archive)}: two members of the name {quoted(listed.twice[0])}: keep one"
        )
    strays.repeated.extend(f"{archive}:{name}" for name in listed.twice)


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
        found = any(wanted(one.name) for one in tar_members(file, []))
        check_server(file)
    return found


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
    except (*DAMAGED, OSError) as error:
        raise UnreadableImage(f"damaged in its archive: {error}", path) from None
    if len(content) < size:
        raise UnreadableImage("cut short in its archive", path)
    if not size and len(content) > MAX_BYTES:  # a row, of which the size is not known before
        raise UnreadableImage(f"over the limit of {MAX_BYTES / 2**20:.0f} MiB", path)
    return content


def _of(archive: Path) -> ListedArchive:
    return _archives.listed(archive)
