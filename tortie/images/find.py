"""Which images there are, and of which class: from a folder, or from a CSV."""

import os
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from tortie.errors import TortieError, UsageError
from tortie.images.archives import Archived, is_file_in, member_of
from tortie.images.class_names import LONGEST, class_name
from tortie.images.csv_paths import CsvPaths, csv_files, is_list
from tortie.images.labels import LabelType, in_order, is_missing
from tortie.images.layout import (
    ONE_EACH,
    SPLIT_CELLS,
    Asked,
    Parts,
    parse_splits,
    read_layout,
)
from tortie.images.patterns import expanded
from tortie.images.remote import (
    is_remote,
    is_remote_file,
    is_there,
    is_web,
    located,
    remote_files,
    remote_stamp,
)
from tortie.images.shards import (
    Sharded,
    all_shards,
    images_of,
    in_tree,
    read_shards,
    shards_of,
)
from tortie.images.split import SPLITS, Split
from tortie.images.table import EXPECTED, read_table, windows_text
from tortie.images.walk import (
    Strays,
    each_image,
    entries,
    image_files,
    images,
    listed,
    refuse_features,
    sort_files,
    telling,
)
from tortie.text import quoted


@dataclass(frozen=True, slots=True)
class Photograph:
    """An image file and what is said of it.

    Attributes:
        path: the file; whether it can be read is not known yet.
        label: its class.
        split: the part of the data that it is said to belong to; ``None`` where nothing is said.
        group: images of one group (one animal, one scene) stay on one side of any split.
        weight: what it counts in training, beside its class's weight.
    """

    path: Path
    label: str
    split: Split | None = None
    group: str | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Collection:
    """The images of a folder or a CSV, in an order that depends on their names alone.

    Attributes:
        root: the folder, or the CSV.
        photographs: sorted by path.
        notes: what was found and left out; a line each.
        label_type: of the labels that the class names stand for.
        incomplete: which classes a split misses; a line each.
    """

    root: Path
    photographs: tuple[Photograph, ...]
    notes: tuple[str, ...]
    label_type: LabelType = "str"
    incomplete: tuple[str, ...] = ()

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The notes, and which classes a split misses; a line each."""
        return *self.notes, *self.incomplete

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""
        return in_order({photograph.label for photograph in self.photographs}, self.label_type)

    @property
    def splits(self) -> tuple[Split, ...]:
        """Splits that are given, from train to test; empty where none is."""
        given = {photograph.split for photograph in self.photographs}
        return tuple(split for split in SPLITS if split in given)


def find(source: Path, splits: str = "auto", known: Sequence[str] = ()) -> Collection:
    """The images of ``IMAGES/class/**``, ``IMAGES/{train,validation,test}/class/**`` or a CSV.

    Args:
        source: the folder or the CSV.
        splits: ``none`` where folders named as splits are classes; which folder is which, as
            ``train=Training,test=Testing``; ``auto`` to tell by their names and what is in them.
        known: names of classes, where a classifier has them.

    Raises:
        UsageError: nothing there that can be meant, two readings of the folders, or, without
            ``known``, a class that train misses and another split has.
        TortieError: a folder or the CSV that cannot be read.
    """
    asked, source = parse_splits(splits), located(source)
    if (sharded := _find_in_shards(source, asked, known)) is not None:
        return sharded
    with telling(source):
        exists, is_folder = source.exists() or is_remote(source), source.is_dir()
    if is_folder:
        collection = _find_in_folder(source, asked, known)
    elif exists and source.suffix.lower() == ".csv":
        if asked != "auto":
            raise UsageError(f"splits are of folders; those of {quoted(source)} are in its column")
        collection = _find_in_csv(source)
    elif exists:
        raise UsageError(
            f"{quoted(source)} is neither a folder of images nor a .csv: give {ONE_EACH}"
        )
    else:
        raise UsageError(f"no such folder or CSV: {quoted(source)}")
    photographs = tuple(sorted(collection.photographs, key=lambda one: str(one.path)))
    return checked(Collection(source, photographs, collection.notes), known)


def _find_in_shards(source: Path, asked: Asked, known: Sequence[str]) -> Collection | None:
    """The images of archives, or of what a pattern stands for; ``None`` for any other source."""
    sources = expanded(source)
    if len(sources) == 1 and sources[0] != source:
        return find(sources[0], "auto" if asked == "auto" else "none", known)
    with telling(source):
        shards = all_shards(source, sources)
    if not shards and is_remote(source) and sources == [source]:
        return _find_remote(source, asked, known)
    if not shards:
        if sources != [source]:
            raise UsageError(
                f"{quoted(source)} stands for {len(sources):,} files that are no archives: give "
                f"{ONE_EACH}"
            )
        return None
    return _collected(source, read_shards(shards, asked, known), known)


def _find_remote(source: Path, asked: Asked, known: Sequence[str]) -> Collection | None:
    """The images below an address, or of a CSV there (``None``, as it is read as any other)."""
    if is_remote_file(source):
        if source.suffix.lower() == ".csv":
            return None
        raise UsageError(
            f"{quoted(source)} is neither a folder of images nor a .csv: give {ONE_EACH}"
        )
    if is_web(source):
        remote_stamp(source)  # which says why it is not there
    strays = Strays()
    paths = image_files(remote_files(source), strays)
    if not paths:
        nothing = "no image in" if is_there(source) else "there is nothing at"
        raise UsageError(f"{nothing} {quoted(source)}: give {ONE_EACH}")
    inside = dict(zip(paths, paths, strict=True))
    return _collected(source, in_tree(source, inside, asked, known, strays), known)


def _collected(source: Path, sharded: Sharded, known: Sequence[str]) -> Collection:
    photographs = sorted(
        (Photograph(*one) for one in sharded.places), key=lambda one: str(one.path)
    )
    collection = Collection(source, tuple(photographs), sharded.notes, sharded.label_type)
    return checked(collection, known)


class Files(NamedTuple):
    """Files to classify, and what was met and passed over; a line each."""

    paths: list[Path]
    notes: list[str]


def find_files(sources: Sequence[Path]) -> Files:
    """Files as they are given, and folders' images in sorted order, for prediction.

    A file with an unusual suffix, or that is missing, is kept: reading it tells.

    Raises:
        TortieError: a folder that is given cannot be listed.
    """
    files: list[Path] = []
    strays = Strays()
    for source in sources:
        files.extend(each_source(source, strays))
    return Files(files, list(strays.notes()))


def each_source(source: Path, strays: Strays) -> Iterator[Path]:
    """The images that a path or a pattern stands for: of a folder, archive or CSV; a file itself.

    Raises:
        UsageError: a pattern that nothing matches, or a CSV without a column of paths.
        TortieError: a folder, an archive or a CSV that cannot be read.
    """
    every = expanded(located(source))
    for one in every:
        if is_list(one):
            yield from csv_files(one)
            continue
        if is_web(one) and not member_of(one):
            yield one
            continue
        if is_remote(one) and not is_remote_file(one) and not member_of(one):
            here: Iterable[Path] = image_files(remote_files(one), strays)
        elif os.path.isdir(one):
            here = each_image(one, strays)
        else:
            yield from _each_member(one, strays, len(every) > 1)
            continue
        empty = True
        for path in here:
            empty = False
            yield path
        if empty:  # a folder of shards, it may be
            shards = shards_of(one)
            taken = {shard.name for shard in shards}
            strays.others = [name for name in strays.others if name not in taken]
            for shard in shards:
                yield from _each_member(shard, strays, len(shards) > 1)
            if not is_remote(one):
                refuse_features(one)
            elif not shards and not is_there(one):
                yield one


def _each_member(path: Path, strays: Strays, several: bool) -> Iterator[Path]:
    """The images of an archive, or of a folder in it; any other path itself.

    Raises:
        UnreadableArchive: it is damaged; of ``several``, it is passed over.
    """
    member = member_of(path)
    if member is None or (member.name and is_file_in(member)):
        yield path
    else:
        for name in images_of(member, strays, several):
            yield Archived(member.archive, name).path


def _class_folders(folder: Path, strays: Strays) -> dict[str, list[Path]]:
    """Names of the folders that hold images, with the images; those without are strays."""
    with telling(folder):
        folders, files = entries(folder, strays)
    loose: list[Path] = []
    sort_files(folder, files, loose, strays)
    strays.loose.extend(str(path) for path in loose)
    classes: dict[str, list[Path]] = {}
    for name in folders:
        try:
            found = images(folder / name, strays)
        except TortieError:  # it may not be entered, which is no reason to leave the others
            strays.barred.append(str(folder / name))
            continue
        if found:
            classes[name] = found
        else:
            strays.empty.append(str(folder / name))
    return classes


def _find_in_folder(root: Path, asked: Asked, known: Sequence[str]) -> Collection:
    strays = Strays()
    folders = _class_folders(root, strays)
    if not folders:
        if strays.loose:
            raise UsageError(
                f"the images in {quoted(root)} lie in no class: put them in {ONE_EACH}"
            )
        refuse_features(root)
        raise UsageError(f"no image in {quoted(root)}: give {ONE_EACH}")
    paths = [path for own in folders.values() for path in own]
    layout = read_layout(root, paths, asked, known)
    photographs: list[Photograph] = []
    for path in paths:
        above = path.relative_to(root).parts[:-1]
        place = layout.place_of(above)
        if place is None:
            strays.loose.append(str(path))
        else:
            photographs.append(Photograph(path, *place))
    for parts in layout.above:
        _note_empty(root.joinpath(*parts), layout.places, parts, strays)
    return Collection(root, tuple(photographs), (*layout.notes, *strays.notes()))


def _note_empty(folder: Path, places: Container[Parts], parts: Parts, strays: Strays) -> None:
    """Folders of a split without an image, which are no classes."""
    with telling(folder):
        folders, _ = entries(folder, Strays())  # which were told of by now
    barred = set(strays.barred)
    without = [str(folder / name) for name in folders if (*parts, name) not in places]
    strays.empty.extend(name for name in without if name not in barred)


def _find_in_csv(source: Path) -> Collection:
    seen: dict[Path, tuple[int, Photograph]] = {}
    repeated: list[str] = []
    rows = [(line, row, f"{quoted(source)}, line {line}") for line, row in read_table(source)]
    for _, row, where in rows:
        for column in ("path", "label", "split"):
            if column in row and not row[column].strip():
                raise UsageError(f"{where}: no {column}; only a group may be left empty")
    paths = CsvPaths(source, [row["path"] for _, row, _ in rows])
    for line, row, where in rows:
        photograph = _photograph(paths.path(row["path"]), where, row)
        first, earlier = seen.setdefault(photograph.path, (line, photograph))
        if earlier != photograph:
            raise UsageError(
                f"{quoted(source)}, lines {first} and {line}: {quoted(photograph.path)} is listed "
                "twice, with other columns: keep one"
            )
        if first != line:
            repeated.append(str(photograph.path))
    if not seen:
        raise UsageError(f"no image in {quoted(source)}: a header, {EXPECTED}, and a line an image")
    paths.check(list(seen))
    photographs = tuple(photograph for _, photograph in seen.values())
    return Collection(source, photographs, (*paths.notes(), *Strays(repeated=repeated).notes()))


def _photograph(path: Path, where: str, row: dict[str, str]) -> Photograph:
    split = split_of(row["split"], where) if "split" in row else None
    group = row.get("group", "").strip() or None
    label = class_name(windows_text(row["label"]))
    if len(label) > LONGEST:
        raise UsageError(f"{where}: a label of {len(label):,} characters; at most {LONGEST:,}")
    return Photograph(path, label, split, group)


def split_of(cell: object, where: str) -> Split | None:
    """The split that a cell of a table names; ``None`` for no cell.

    Raises:
        UsageError: no such split.
    """
    if is_missing(cell):
        return None
    split = SPLIT_CELLS.get(str(cell).strip().lower())
    if split is None:
        raise UsageError(f"{where}: split {quoted(cell)}; expected one of {', '.join(SPLITS)}")
    return split


def checked(collection: Collection, known: Sequence[str] = ()) -> Collection:
    """The collection, which says what its splits miss.

    Args:
        collection: images with their splits.
        known: names of classes, where a classifier has learned them already.

    Raises:
        UsageError: a class that is to be learned and cannot, because it is not in train.
    """
    return replace(collection, incomplete=tuple(_missing_classes(collection, bool(known))))


def _missing_classes(collection: Collection, learned: bool) -> Iterator[str]:
    classes: dict[Split | None, Counter[str]] = defaultdict(Counter)
    for photograph in collection.photographs:
        classes[photograph.split][photograph.label] += 1
    train = classes.get("train")
    if train is None:
        return
    for split in collection.splits[1:]:
        unlearned = classes[split].keys() - train.keys()
        if unlearned and not learned:
            raise UsageError(
                f"{quoted(collection.root)}: classes in {split}, but not in train: "
                f"{listed(unlearned)}; add images of them to train, or take them out"
            )
        absent = train.keys() - classes[split].keys()
        if absent:
            yield f"classes in train, but not in {split}: {listed(absent)}"
