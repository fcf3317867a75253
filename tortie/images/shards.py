"""Sets of images in archives: folders of classes within them, or a label beside each image.

What the members' names mean is read as that of folders is. In the shards of webdataset a member
``KEY.jpg`` has its label in ``KEY.cls`` or ``KEY.json``.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tortie.errors import TortieError, UsageError
from tortie.images.archives import (
    WITH_LABELS,
    Archived,
    has_archive_name,
    has_names,
    images_in,
    is_archive,
    is_table,
    key_of,
    member_bytes,
    member_of,
    names_in,
    row_labels,
)
from tortie.images.labels import LabelType, names_of
from tortie.images.layout import ONE_EACH, Asked, read_layout
from tortie.images.remote import (
    is_remote,
    is_remote_file,
    remote_files,
)
from tortie.images.split import Split
from tortie.images.split_words import EXACT
from tortie.images.unreadable import UnreadableArchive, UnreadableImage
from tortie.images.walk import SUFFIXES, Strays, each_image, image_files, listed
from tortie.text import quoted

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


def all_shards(source: Path, sources: Sequence[Path]) -> list[Path]:
    """The archives that all of the files and folders are for which a source stands.

    Raises:
        UsageError: some are archives, and some are none, or not there.
        TortieError: a folder or a server that cannot be asked.
    """
    found = {one: shards_of(one) for one in sources}
    others = [str(one) for one, own in found.items() if not own]
    if 0 < len(others) < len(found):
        raise UsageError(
            f"{quoted(source)} stands for archives, and for what is none or not there: "
            f"{listed(others)}; give the archives alone"
        )
    return [shard for own in found.values() for shard in own]


def bring_labels(shards: Sequence[Path]) -> bool:
    """Whether archives bring a label along for each image, in no need of folders of classes.

    The first that has an image tells.

    Raises:
        TortieError: it cannot be read.
    """
    for shard in shards:
        member = member_of(shard)
        if member is None or member.name:
            return False
        archive = member.archive
        try:
            if is_table(archive) or has_names(archive, _is_label):
                return True
            if has_names(archive, lambda name: key_of(name)[1] in SUFFIXES):
                return False
        except UnreadableArchive:
            continue
    return False


def _is_label(name: str) -> bool:
    return key_of(name)[1] in WITH_LABELS


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
    every = beside or [member.archive for member in members]
    splits = _splits(every)
    if rows and len(rows) < len(members):
        raise UsageError(f"Parquet beside other archives: {listed(map(str, shards))}")
    images = {one: images_of(one, strays, several=len(every) > 1) for one in members}
    images = {member: names for member, names in images.items() if names}
    whole = len(every) == len(members)  # else others may have some
    if not images and whole:
        met = "".join(f"; {note}" for note in strays.notes())
        raise UsageError(f"no image in {listed(map(str, shards))}: give {ONE_EACH}{met}")
    if rows:
        return _in_rows(images, splits, strays, whole)
    labels = {member: _label_members(member.archive) for member in images}
    if beside or any(labels.values()):
        return _labelled(images, labels, splits, strays)
    return _in_folders(images, asked, known, strays)


def images_of(member: Archived, strays: Strays, several: bool) -> list[str]:
    """Names of the images in an archive; none of one that is damaged, if there are ``several``.

    Raises:
        TortieError: as :func:`tortie.images.archives.images_in`.
    """
    try:
        found = images_in(member, strays)
    except UnreadableArchive as error:
        if not several:
            raise
        strays.unreadable.append(f"{member.archive}: {error.reason}")
        return []
    if not found:
        strays.without_image.append(str(member.path) if member.name else str(member.archive))
    return found


def _label_members(archive: Path) -> dict[str, list[str]]:
    """The members with a label of each key, a ``.cls`` first."""
    found: dict[str, list[str]] = {}
    for name in names_in(archive):
        key, suffix = key_of(name)
        if suffix in WITH_LABELS:
            found.setdefault(key, []).insert(0 if suffix == ".cls" else 1, name)
    return found


@dataclass
class _Samples:
    """What is met in shards of webdataset."""

    paths: list[Path] = field(default_factory=list)
    labels: list[object] = field(default_factory=list)
    splits: list[Split | None] = field(default_factory=list)
    without: list[str] = field(default_factory=list)


def _labelled(
    images: dict[Archived, list[str]],
    labels: dict[Archived, dict[str, list[str]]],
    splits: dict[Path, Split | None],
    strays: Strays,
) -> Sharded:
    """Images with a label beside each."""
    met = _Samples()
    for member, names in images.items():
        seen: dict[str, str] = {}
        for name in names:
            key, suffix = key_of(name)
            if suffix not in SUFFIXES:  # a mask, a second picture: KEY.mask.png
                continue
            if key in seen:
                raise UsageError(
                    f"{quoted(member.archive)}: two images of the key {quoted(key)}, "
                    f"{quoted(seen[key])} and {quoted(name)}: keep one"
                )
            seen[key] = name
            path = Archived(member.archive, name).path
            label = _label_beside(member.archive, labels[member].get(key, ()), strays)
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


def _in_rows(
    images: dict[Archived, list[str]], splits: dict[Path, Split | None], strays: Strays, whole: bool
) -> Sharded:
    """Images that are rows of tables; that none has a label is an error of the ``whole`` set."""
    met = _Samples()
    archives = [member.archive for member in images]
    for (archive, _), names in images.items():
        for name, label in zip(names, row_labels(archive), strict=True):
            path = Archived(archive, name).path
            if label is None:
                strays.unlabelled.append(str(path))
                continue
            met.paths.append(path)
            met.labels.append(label)
            met.splits.append(splits[archive])
    if not met.paths and whole:
        where = quoted(archives[0]) if len(archives) == 1 else listed(map(str, archives))
        raise UsageError(f"no image in {where} has a label: all labels are null or -1")
    names_given, kind = names_of(met.labels)
    places = list(zip(met.paths, names_given, met.splits, strict=True))
    notes = list(strays.notes())
    if kind == "int" and met.paths:
        notes.append(
            "the schema has no names for its labels; the numbers name the classes: "
            f"{listed(set(names_given))}"
        )
    return Sharded(places, tuple(notes), kind)


def _of_one_type(labels: list[object]) -> list[object]:
    """Whole numbers where all are, text otherwise; a label's name is the same in either.

    So ``01`` is text, as it is as a folder's name: of a shard that is listed by itself, where all
    are numbers, it is the class that it is among shards that have others.
    """
    texts = [str(label) for label in labels]
    if all(re.fullmatch(r"-?\d{1,18}", text) and str(int(text)) == text for text in texts):
        return [int(text) for text in texts]
    return list(texts)


def _label_beside(archive: Path, names: Sequence[str], strays: Strays) -> object:
    """The label that the first of a key's members says; ``None`` where there is none."""
    if not names:
        return None
    try:
        label = _label(Archived(archive, names[0]))
    except UnreadableImage:  # where the archive is cut short
        return None
    for name in names[1:]:
        try:
            other = _label(Archived(archive, name))
        except TortieError:  # it says more than labels, or nothing
            continue
        if str(other) != str(label):
            strays.two_labels.append(str(Archived(archive, name).path))
    return label


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
        cut = "".join(f"; {note}" for note in Strays(damaged=strays.damaged).notes())
        beside = ", or beside each KEY.jpg its label, KEY.cls" if has_archive_name(root) else ""
        raise UsageError(
            f"the images in {quoted(root)} lie in no class: give {ONE_EACH}{beside}{cut}"
        )
    return Sharded(places, (*layout.notes, *strays.notes()))
