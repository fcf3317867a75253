"""Sets of images in archives: folders of classes within them, or a label beside each image.

What the members' names mean is read as that of folders is. In the shards of webdataset a member
``KEY.jpg`` has its label in ``KEY.cls`` or ``KEY.json``.
"""

import glob
import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tortie.errors import UsageError
from tortie.images.archives import (
    Archived,
    has_archive_name,
    has_names,
    images_in,
    is_archive,
    is_table,
    member_bytes,
    member_of,
    name_used_twice,
    names_in,
    row_labels,
)
from tortie.images.labels import LabelType, names_of
from tortie.images.layout import ONE_EACH, Asked, read_layout
from tortie.images.remote import (
    RemotePath,
    is_remote,
    is_remote_file,
    is_there,
    is_web,
    remote_files,
    remote_matches,
)
from tortie.images.split import Split
from tortie.images.split_words import EXACT
from tortie.images.unreadable import UnreadableImage
from tortie.images.walk import SUFFIXES, Strays, each_image, image_files, listed
from tortie.text import quoted

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")
_MOST = 10**6  # names that braces may stand for
_WITH_LABELS = (".cls", ".json")
_IN_JSON = ("label", "cls", "class")


@dataclass(frozen=True)
class Sharded:
    """Images of archives.

    Attributes:
        places: path, class and split of each.
        notes: what was met and passed over; a line each.
        label_type: of the labels that the class names stand for.
    """

    places: list[tuple[Path, str, Split | None]]
    notes: tuple[str, ...] = ()
    label_type: LabelType = "str"


def expanded(source: Path) -> list[Path]:
    """What a pattern stands for, sorted: ``*`` and ``?`` as a shell, ``{000..127}``, ``{a,b}``.

    A path that is there is none, whatever its name, and stands for itself.

    Raises:
        UsageError: a pattern that nothing matches, or with files missing that braces name.
    """
    text = str(source)
    if not any(one in text for one in "*?[{") or os.path.lexists(source):
        return [source]
    if is_web(source):  # where ? begins a query
        return [RemotePath(name) for name in _braces(text)]
    if member_of(source):
        return [source]
    if is_remote(source):
        return _remote_expanded(source)
    found: list[Path] = []
    for name in _braces(text):
        here = sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else [name]
        if not here or not os.path.lexists(here[0]):
            raise UsageError(f"no file matches {quoted(name)}")
        found.extend(map(Path, here))
    return found


def _remote_expanded(source: Path) -> list[Path]:
    """What an address with a pattern stands for, by one listing for all that braces name."""
    if is_there(source):
        return [source]
    there = set(map(str, remote_matches(_BRACES.sub("*", str(source)))))
    found: list[Path] = []
    for name in _braces(str(source)):
        if glob.has_magic(name):
            here = remote_matches(name)
        else:
            here = [RemotePath(name)] if name in there else []
        if not here:
            raise UsageError(f"no file matches {quoted(name)}")
        found.extend(here)
    return found


def _braces(text: str) -> list[str]:
    """The names that braces stand for, in their order."""
    match = _BRACES.search(text)
    if match is None:
        return [text]
    if match[1]:
        first, last = int(match[1]), int(match[2])
        if not 0 <= last - first < _MOST:
            raise UsageError(
                f"{quoted(text)}: {{{match[1]}..{match[2]}}} stands for no sensible range"
            )
        inner: Iterator[str] = (f"{n:0{len(match[1])}}" for n in range(first, last + 1))
    else:
        inner = iter(match[3].split(","))
    rests = _braces(text[match.end() :])
    return [text[: match.start()] + one + rest for one, rest in itertools.product(inner, rests)]


def shards_of(source: Path) -> list[Path]:
    """The archives that a source is: itself, or those in a folder that holds no image."""
    if is_archive(source) or (":" in str(source) and member_of(source)):
        return [source]
    if is_remote(source):
        files = [] if is_remote_file(source) else remote_files(source)
        return [] if image_files(files, Strays()) else list(filter(has_archive_name, files))
    if not source.is_dir() or next(each_image(source, Strays()), None) is not None:
        return []
    return sorted(path for path in source.rglob("*") if is_archive(path))


def has_labels(shard: Path) -> bool:
    """Whether an archive brings a label along for each image, in no need of folders of classes.

    Raises:
        TortieError: the archive cannot be read.
    """
    member = member_of(shard)
    if member is None or member.name:
        return False
    archive = member.archive
    return is_table(archive) or has_names(archive, lambda name: _key(name)[1] in _WITH_LABELS)


def read_shards(
    shards: Sequence[Path], asked: Asked, known: Sequence[str], beside: Sequence[Path] = ()
) -> Sharded:
    """The images of archives, with their classes.

    Args:
        shards: archives, or folders of archives as ``photos.zip:train``.
        asked: what the user says of the splits.
        known: names of classes, where a classifier has them.
        beside: all archives of the set, whose names say which splits there are; by default these.

    Raises:
        UsageError: two members of one key, or images in no class.
        TortieError: an archive cannot be read.
    """
    strays = Strays()
    members = [member for shard in shards if (member := member_of(shard)) is not None]
    rows = [member for member in members if is_table(member.archive)]
    splits = _splits(beside or [member.archive for member in members])
    if rows:
        if len(rows) < len(members):
            raise UsageError(f"Parquet beside other archives: {listed(map(str, shards))}")
        return _in_rows([member.archive for member in rows], splits, strays)
    images = {member: images_in(member, strays) for member in members}
    labels = {member: _label_members(member.archive) for member in members}
    if not any(images.values()):
        raise UsageError(f"no image in {listed(map(str, shards))}: give {ONE_EACH}")
    if any(labels.values()):
        return _labelled(images, labels, splits, strays)
    return _in_folders(images, asked, known, strays)


def _label_members(archive: Path) -> dict[str, str]:
    """The member with the label of each key."""
    found: dict[str, str] = {}
    for name in names_in(archive):
        key, suffix = _key(name)
        if suffix in _WITH_LABELS and not found.get(key, "").endswith(".cls"):
            found[key] = name
    return found


def _key(name: str) -> tuple[str, str]:
    """The key of a member and its suffix: all from the first point of the last part on."""
    folder, _, last = name.rpartition("/")
    stem, point, suffix = last.partition(".")
    return (f"{folder}/{stem}" if folder else stem), (point + suffix).lower()


@dataclass
class _Samples:
    """What is met in shards of webdataset."""

    paths: list[Path] = field(default_factory=list)
    labels: list[object] = field(default_factory=list)
    splits: list[Split | None] = field(default_factory=list)
    without: list[str] = field(default_factory=list)


def _labelled(
    images: dict[Archived, list[str]],
    labels: dict[Archived, dict[str, str]],
    splits: dict[Path, Split | None],
    strays: Strays,
) -> Sharded:
    """Images with a label beside each."""
    met = _Samples()
    strays.others = [name for name in strays.others if not name.lower().endswith(_WITH_LABELS)]
    for member, names in images.items():
        if twice := name_used_twice(member.archive):
            raise UsageError(
                f"{quoted(member.archive)}: two members of the name {quoted(twice)}: keep one"
            )
        seen: dict[str, str] = {}
        for name in names:
            key, suffix = _key(name)
            if suffix not in SUFFIXES:  # a mask, a second picture: KEY.mask.png
                continue
            if key in seen:
                raise UsageError(
                    f"{quoted(member.archive)}: two images of the key {quoted(key)}, "
                    f"{quoted(seen[key])} and {quoted(name)}: keep one"
                )
            seen[key] = name
            path = Archived(member.archive, name).path
            beside = labels[member].get(key)
            try:
                label = None if beside is None else _label(Archived(member.archive, beside))
            except UnreadableImage:  # where the archive is cut short
                label = None
            if label is None:
                met.without.append(str(path))
                continue
            met.paths.append(path)
            met.labels.append(label)
            met.splits.append(splits[member.archive])
    strays.unlabelled.extend(met.without)
    names_given, kind = names_of(_of_one_type(met.labels))
    places = list(zip(met.paths, names_given, met.splits, strict=True))
    return Sharded(places, tuple(strays.notes()), kind)


def _in_rows(archives: Sequence[Path], splits: dict[Path, Split | None], strays: Strays) -> Sharded:
    """Images that are rows of tables."""
    met = _Samples()
    for archive in archives:
        for name, label in zip(names_in(archive), row_labels(archive), strict=True):
            path = Archived(archive, name).path
            if label is None:
                strays.unlabelled.append(str(path))
                continue
            met.paths.append(path)
            met.labels.append(label)
            met.splits.append(splits[archive])
    if not met.paths:
        raise UsageError(f"no image with a label in {listed(map(str, archives))}")
    names_given, kind = names_of(met.labels)
    places = list(zip(met.paths, names_given, met.splits, strict=True))
    notes = list(strays.notes())
    if kind == "int":
        notes.append(
            "the schema has no names for its labels; the numbers name the classes: "
            f"{listed(set(names_given))}"
        )
    return Sharded(places, tuple(notes), kind)


def _of_one_type(labels: list[object]) -> list[object]:
    """Whole numbers where all are, text otherwise."""
    texts = [str(label) for label in labels]
    if all(re.fullmatch(r"-?\d{1,18}", text) for text in texts):
        return [int(text) for text in texts]
    return list(texts)


def _label(member: Archived) -> object:
    """What a ``.cls`` or ``.json`` says.

    Raises:
        UsageError: nothing that is a label.
        TortieError: it cannot be read.
    """
    text = member_bytes(member).decode("utf-8", "replace").strip()
    if not member.name.lower().endswith(".json"):
        label: object = text
    else:
        try:
            document = json.loads(text)
        except ValueError:
            raise UsageError(f"{member.path} is no JSON") from None
        found = document if isinstance(document, dict) else {}
        label = next((found[name] for name in _IN_JSON if name in found), None)
    if not isinstance(label, str | int) or isinstance(label, bool) or not str(label).strip():
        raise UsageError(f"{member.path} has no label: expected text or a whole number")
    return label


def _splits(archives: Sequence[Path]) -> dict[Path, Split | None]:
    """The split that each shard's folder or name says, where all of them say one."""
    found: dict[Path, Split | None] = {}
    for archive in archives:
        first = re.split(r"[-_.\d]", archive.name.lower(), maxsplit=1)[0]
        found[archive] = EXACT.get(archive.parent.name.lower()) or EXACT.get(first)
    return found if all(found.values()) else dict.fromkeys(archives)


def _in_folders(
    images: dict[Archived, list[str]], asked: Asked, known: Sequence[str], strays: Strays
) -> Sharded:
    """Images in folders of classes; the folders of several archives are one tree."""
    first = next(iter(images)).archive
    inside = {
        Archived(member.archive, name).path: first.joinpath(*name.split("/"))
        for member, names in images.items()
        for name in names
    }
    return in_tree(first, inside, asked, known, strays)


def in_tree(
    root: Path, inside: dict[Path, Path], asked: Asked, known: Sequence[str], strays: Strays
) -> Sharded:
    """Images by the folders that they lie in.

    Args:
        root: of the tree.
        inside: where each image lies below the root.
        asked: what the user says of the splits.
        known: names of classes, where a classifier has them.
        strays: what was met on the way.

    Raises:
        UsageError: images in no class.
    """
    layout = read_layout(root, list(inside.values()), asked, known)
    places: list[tuple[Path, str, Split | None]] = []
    for path, below in inside.items():
        place = layout.place_of(below.relative_to(root).parts[:-1])
        if place is None:
            strays.loose.append(str(path))
        else:
            places.append((path, *place))
    if not places:
        raise UsageError(f"the images in {quoted(root)} lie in no class: give {ONE_EACH}")
    return Sharded(places, (*layout.notes, *strays.notes()))
