"""The photographs of a studio: an ordinary folder ``FOLDER/class/*``, which is the only truth.

Each change is one file or one folder that is put in its place, so that the folder is whole at every
moment. What is taken out goes to ``FOLDER/.removed/class/``; nothing is deleted.
"""

import contextlib
import hashlib
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tortie.errors import TortieError, UsageError
from tortie.files import replacing
from tortie.images.class_names import class_name
from tortie.images.find import find
from tortie.images.formats import ENOUGH, format_of
from tortie.images.split_words import meanings
from tortie.images.walk import Strays, entries, images
from tortie.text import quoted

REMOVED = ".removed"
_LONGEST = 100  # bytes of a class name: file systems take 255
_FORBIDDEN = set('/\\:*?"<>|')  # by one file system or another
_BURST = re.compile(r"^burst-([0-9a-z]{1,32})-[0-9a-f]{16}\.")
_SUFFIXES = {"JPEG": ".jpg", "TIFF": ".tif", "HEIF": ".heic"}


@dataclass(frozen=True)
class FolderPhotograph:
    """A photograph of the folder.

    Attributes:
        key: names it to a browser: a hash of its place, so that no name has to come back.
        path: its file.
        label: its class.
        burst: of the camera, that it is one of; ``None`` where it is not.
        changed: nanoseconds of its last change, and its bytes.
    """

    key: str
    path: Path
    label: str
    burst: str | None
    changed: tuple[int, int]


@dataclass(frozen=True)
class Listing:
    """What is in the folder now.

    Attributes:
        folders: of each class, by its name; those without a photograph too.
        photographs: of all classes, by their paths.
    """

    folders: dict[str, Path]
    photographs: tuple[FolderPhotograph, ...]


class PhotographFolder:
    """A folder with one folder for each class.

    Args:
        root: the folder; it is made where it is not there.

    Raises:
        UsageError: it is a file, or holds splits.
        TortieError: it cannot be made or read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        if root.exists() and not root.is_dir():
            raise UsageError(
                f"{quoted(root)} is no folder: expected one with a folder for each class, or a new "
                "name"
            )
        with _telling(root):
            root.mkdir(parents=True, exist_ok=True)
        if self.listing().photographs and find(root).splits:
            raise UsageError(
                f"{quoted(root)} holds splits: the studio teaches from FOLDER/class/*.jpg; give it "
                "the folder of the training photographs"
            )

    def listing(self) -> Listing:
        """What is there now, whoever put it there."""
        names, _ = entries(self.root, Strays())
        folders = {class_name(name): self.root / name for name in sorted(names)}
        found = [
            folder_photograph(path, self.root, label)
            for label, folder in folders.items()
            for path in images(folder, Strays())
        ]
        return Listing(folders, tuple(one for one in found if one is not None))

    def add_class(self, name: str) -> str:
        """Make an empty class, and return its name.

        Raises:
            UsageError: a name that cannot be, or that is taken.
        """
        name = check_class_name(name)
        with _telling(self.root / name):
            (self.root / name).mkdir()
        return name

    def rename_class(self, old: str, new: str) -> None:
        """Give a class another name.

        Raises:
            UsageError: no such class, a name that cannot be, or that is taken.
        """
        folder, name = self._folder_of(old), check_class_name(new)
        with _telling(self.root / name):
            if (self.root / name).exists() and not folder.samefile(self.root / name):
                raise FileExistsError
            folder.rename(self.root / name)

    def remove_class(self, name: str) -> None:
        """Take a class out, with its photographs.

        Raises:
            UsageError: no such class.
        """
        folder = self._folder_of(name)
        with _telling(folder):
            (self.root / REMOVED).mkdir(exist_ok=True)
            folder.rename(_free(self.root / REMOVED / folder.name))

    def add(self, label: str, content: bytes, burst: str | None = None) -> Path:
        """Keep a photograph in a class; the same bytes twice are one file.

        Raises:
            UsageError: no such class, or no image.
            TortieError: the disk is full, or the folder cannot be written.
        """
        folder, format = self._folder_of(label), format_of(content[:ENOUGH])
        if format is None:
            raise UsageError("not an image of a format that is read")
        digest = hashlib.sha256(content).hexdigest()[:16]
        name = f"burst-{burst}-{digest}" if burst else f"photo-{digest}"
        path = folder / f"{name}{_SUFFIXES.get(format, '.' + format.lower())}"
        if not path.exists():
            with replacing(path) as file:
                file.write(content)
        return path

    def move(self, photographs: Sequence[FolderPhotograph], label: str) -> None:
        """Put photographs into another class.

        Raises:
            UsageError: no such class.
        """
        folder = self._folder_of(label)
        for one in photographs:
            if one.label != label:
                _move(one.path, folder)

    def remove(self, photographs: Sequence[FolderPhotograph]) -> None:
        """Take photographs out, into ``.removed/class/``."""
        for one in photographs:
            _move(one.path, self.root / REMOVED / one.path.relative_to(self.root).parts[0])

    def _folder_of(self, label: str) -> Path:
        names, _ = entries(self.root, Strays())
        for name in names:
            if class_name(name) == label:
                return self.root / name
        raise UsageError(f"no class {quoted(label[:60])}")


def folder_photograph(path: Path, root: Path, label: str) -> FolderPhotograph | None:
    """What is to know of a photograph; ``None`` where it went meanwhile."""
    try:
        found = path.stat()
    except OSError:
        return None
    place = os.fsencode(path.relative_to(root))
    burst = _BURST.match(path.name)
    return FolderPhotograph(
        key=hashlib.sha256(place).hexdigest()[:16], path=path, label=label,
        burst=burst[1] if burst else None, changed=(found.st_mtime_ns, found.st_size),
    )  # fmt: skip


def check_class_name(name: str) -> str:
    """A class's name as a folder can have it on any machine.

    Raises:
        UsageError: a name that none can have, or that a fit takes for a part of a split.
    """
    name = unicodedata.normalize("NFC", name).strip()
    wrong = (
        not name or name.startswith(".") or name.endswith(".") or _FORBIDDEN & set(name)
        or class_name(name) != name or len(name.encode()) > _LONGEST
    )  # fmt: skip
    if wrong:
        raise UsageError(
            f"a class cannot be named {quoted(name[:60])}: letters, digits, spaces and hyphens can"
        )
    if meanings([name])[name] is not None:
        raise UsageError(f"{quoted(name)} is the name of a part of a split: give the class another")
    return name


def _move(path: Path, folder: Path) -> None:
    """Put a file into a folder, over nothing that is there."""
    with _telling(path):
        folder.mkdir(parents=True, exist_ok=True)
        target = _free(folder / path.name)
        try:
            os.link(path, target, follow_symlinks=False)  # for a moment it is in both
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            path.rename(target)
        else:
            path.unlink()


def _free(target: Path) -> Path:
    """The target, or beside it a name that nothing has."""
    free, number = target, 1
    while os.path.lexists(free):
        free = target.with_name(f"{target.stem}-{number}{target.suffix}")
        number += 1
    return free


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise UsageError(f"{quoted(path.name)} is there already") from None
    except OSError as error:
        raise TortieError(f"{quoted(path)}: {error.strerror}") from error
