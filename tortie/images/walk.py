"""Walking through folders: which image files are there, and what is met and passed over.

Nothing that is met ends the walk: a folder that may not be entered, a link that leads to itself, a
path that is too long for the system are named and passed over, as are hidden files and what file
servers and systems keep beside one's own files.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tortie.errors import TortieError, UsageError
from tortie.text import quoted, shortened

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".heic", ".heif", ".avif", ".ppm", ".pgm", ".pbm", ".pnm"),
)
"""Suffixes of image files, in lower case; what a file holds is found out when it is decoded."""

SYSTEM = {
    "__macosx",  # in archives that macOS wrote
    *("network trash folder", "temporary items", "thevolumesettingsfolder"),  # macOS, on a server
    *("@eadir", "@tmp", "#recycle", "#snapshot"),  # Synology: thumbnails, deleted files, old ones
    *("@recycle", "@recently-snapshot", "@thumb"),  # QNAP
    "~snapshot",  # NetApp
    *("$recycle.bin", "recycler", "recycled", "system volume information", "$extend", "found.000"),
    *("lost+found", "lost.dir"),  # what a repair of the file system found
    *("thumbnails", "thumbs"),
}
"""Folders that systems keep among one's own, in lower case: thumbnails and deleted files."""

FEATURES = "features.json"
"""The manifest in a folder of features, which holds no photographs."""

_SHOWN = 5  # names in a note
_LONGEST = 200  # characters of a name in a note


@dataclass
class Strays:
    """What is met on the way and left out."""

    hidden: list[str] = field(default_factory=list)
    system: list[str] = field(default_factory=list)
    barred: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    without_image: list[str] = field(default_factory=list)
    two_labels: list[str] = field(default_factory=list)

    def notes(self) -> Iterator[str]:
        """One line for each kind that was met."""
        kinds = (
            (self.hidden, "left out, hidden"),
            (self.system, "left out, the system's own"),
            (self.barred, "left out, cannot be entered"),
            (self.others, "left out, no images by their suffix"),
            (self.empty, "no class, without an image"),
            (self.loose, "left out, in no class's folder"),
            (self.repeated, "met twice, counted once"),
            (self.damaged, "read as far as it goes"),
            (self.unreadable, "left out, cannot be read as archives"),
            (self.without_image, "left out, no image in them"),
            (self.unlabelled, "left out, without a label"),
            (self.two_labels, "another label in the .json, that of the .cls counts"),
        )
        for names, what in kinds:
            if names:
                yield f"{what}: {listed(names)}"


def listed(names: Iterable[str]) -> str:
    """How many, and the first few different names; quoted, so that a line stays a line."""
    names = list(names)
    different = [quoted(shortened(name, _LONGEST)) for name in sorted(set(names))]
    more = ", ..." if len(different) > _SHOWN else ""
    return f"{len(names)} ({', '.join(different[:_SHOWN])}{more})"


def entries(folder: Path, strays: Strays) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in a folder, sorted; links count as their target.

    Hidden and system ones are strays.

    Raises:
        OSError: the folder cannot be read.
    """
    folders: list[str] = []
    files: list[str] = []
    with os.scandir(folder) as found:
        for entry in found:
            if entry.name.startswith("."):
                strays.hidden.append(entry.name)
            elif _is_folder(entry):
                own = entry.name.lower() not in SYSTEM
                (folders if own else strays.system).append(entry.name)
            else:
                files.append(entry.name)
    return sorted(folders), sorted(files)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: reading it says so
        return False


def refuse_features(folder: Path) -> None:
    """Refuse a folder of features where photographs are meant.

    Raises:
        UsageError: it is one.
    """
    if os.path.isfile(os.path.join(folder, FEATURES)):
        raise UsageError(
            f"{quoted(folder)} holds features, which tortie fit takes: give the photographs that "
            "they are of"
        )


@contextlib.contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into errors that name the path."""
    try:
        yield
    except OSError as error:
        raise TortieError(f"cannot read {quoted(path)}: {error.strerror}") from error


def images(folder: Path, strays: Strays) -> list[Path]:
    """Image files below a folder, sorted; a folder that links lead to again is entered once.

    Raises:
        TortieError: the folder itself cannot be read; one below it is a stray.
    """
    return list(each_image(folder, strays))


def each_image(folder: Path, strays: Strays) -> Iterator[Path]:
    """As :func:`images`, one after the other: held are the names in the folders on the way alone.

    Raises:
        TortieError: as there.
    """
    entered: set[tuple[int, int]] = set()
    ahead: list[Iterator[tuple[Path, bool]]] = [iter([(folder, True)])]
    while ahead:
        here, is_folder = next(ahead[-1], (None, False))
        if here is None:
            ahead.pop()
        elif not is_folder:
            yield here
        else:
            try:
                status = os.stat(here)
                if (status.st_dev, status.st_ino) in entered:
                    strays.repeated.append(str(here))
                    continue
                entered.add((status.st_dev, status.st_ino))
                ahead.append(_inside(here, strays))
            except OSError as error:
                if here == folder:
                    raise TortieError(f"cannot read {quoted(here)}: {error.strerror}") from error
                strays.barred.append(str(here))


def _inside(folder: Path, strays: Strays) -> Iterator[tuple[Path, bool]]:
    """What to see in a folder, in the order of the whole paths; whether it is a folder."""
    folders, files = entries(folder, strays)
    names = sorted([*_image_names(files, strays), *(f"{name}/" for name in folders)])
    return ((folder / name, name.endswith("/")) for name in names)


def sort_files(folder: Path, names: list[str], images: list[Path], strays: Strays) -> None:
    """Add files to the images, or to the strays, by their suffix."""
    images.extend(folder / name for name in _image_names(names, strays))


def image_files(files: Iterable[Path], strays: Strays) -> list[Path]:
    """Those of files with an image's suffix that are neither hidden nor a system's."""
    found = []
    for path in files:
        if path.name.startswith("."):
            strays.hidden.append(path.name)
        elif any(part.lower() in SYSTEM for part in path.parts[:-1]):
            strays.system.append(str(path))
        elif path.suffix.lower() in SUFFIXES:
            found.append(path)
        else:
            strays.others.append(path.name)
    return found


def _image_names(names: list[str], strays: Strays) -> Iterator[str]:
    """Those of an image's suffix; the others are strays."""
    for name in names:
        if os.path.splitext(name)[1].lower() in SUFFIXES:
            yield name
        else:
            strays.others.append(name)
