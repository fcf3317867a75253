"""Which images there are, and of which class: from a folder, or from a CSV."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from tortie.errors import TortieError, UsageError
from tortie.images.class_names import LONGEST, class_name
from tortie.images.labels import LabelType, in_order
from tortie.images.table import EXPECTED, read_table, windows_text
from tortie.images.walk import Strays, entries, images, listed, sort_files, telling

Split = Literal["train", "validation", "calibration", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "calibration", "test")

_SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "valid": "validation",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}
_SPLIT_CELLS: dict[str, Split] = {**_SPLIT_NAMES, "calibration": "calibration"}
_LAYOUT = "one folder for each class, IMAGES/CLASS/*.jpg, or IMAGES/{train,validation,test}/CLASS"
_WINDOWS = re.compile(r"^[A-Za-z]:/|\\")  # a path as Windows writes it


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
        notes: what was found and left out, and which class misses from a split; a line each.
        label_type: of the labels that the class names stand for.
    """

    root: Path
    photographs: tuple[Photograph, ...]
    notes: tuple[str, ...]
    label_type: LabelType = "str"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""
        return in_order({photograph.label for photograph in self.photographs}, self.label_type)

    @property
    def splits(self) -> tuple[Split, ...]:
        """Splits that are given, from train to test; empty where none is."""
        given = {photograph.split for photograph in self.photographs}
        return tuple(split for split in SPLITS if split in given)


def find(source: Path) -> Collection:
    """The images of ``IMAGES/class/**``, ``IMAGES/{train,validation,test}/class/**`` or a CSV.

    Raises:
        UsageError: nothing there that can be meant, or a class that train misses and another
            split has.
        TortieError: a folder or the CSV that cannot be read.
    """
    with telling(source):
        exists, is_folder = source.exists(), source.is_dir()
    if is_folder:
        collection = _find_in_folder(source)
    elif exists and source.suffix.lower() == ".csv":
        collection = _find_in_csv(source)
    elif exists:
        raise UsageError(
            f"{str(source)!r} is neither a folder of images nor a .csv: give {_LAYOUT}"
        )
    else:
        raise UsageError(f"no such folder or CSV: {str(source)!r}")
    return Collection(
        source,
        tuple(sorted(collection.photographs, key=lambda one: str(one.path))),
        (*collection.notes, *_missing_classes(collection)),
    )


class Files(NamedTuple):
    """Files to judge, and what was met and passed over; a line each."""

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
        files.extend(images(source, strays) if os.path.isdir(source) else [source])
    return Files(files, list(strays.notes()))


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


def _find_in_folder(root: Path) -> Collection:
    strays = Strays()
    classes = _class_folders(root, strays)
    if not classes:
        if strays.loose:
            raise UsageError(f"the images in {str(root)!r} lie in no class: put them in {_LAYOUT}")
        raise UsageError(f"no image in {str(root)!r}: give {_LAYOUT}")
    splits = _split_folders(root, classes)
    photographs: list[Photograph] = []
    for name, paths in classes.items():
        if splits:
            photographs.extend(_in_split(root / name, paths, splits[name], strays))
        else:
            photographs.extend(Photograph(path, class_name(name)) for path in paths)
    return Collection(root, tuple(photographs), tuple(strays.notes()))


def _in_split(
    folder: Path, paths: list[Path], split: Split, strays: Strays
) -> Iterator[Photograph]:
    """The images below a split's folder, each of the class whose folder it lies in."""
    met = set()
    for path in paths:
        name, *rest = path.relative_to(folder).parts
        if rest:
            met.add(name)
            yield Photograph(path, class_name(name), split)
        else:
            strays.loose.append(str(path))
    with telling(folder):
        folders, _ = entries(folder, Strays())  # which were told of by now
    barred = set(strays.barred)
    without = [str(folder / name) for name in folders if name not in met]
    strays.empty.extend(name for name in without if name not in barred)


def _split_folders(root: Path, folders: dict[str, list[Path]]) -> dict[str, Split]:
    """Those of the folders that are splits, with their split; none where they are classes."""
    named = {name: _SPLIT_NAMES[name.lower()] for name in folders if name.lower() in _SPLIT_NAMES}
    layered = {name for name in named if any(path.parent != root / name for path in folders[name])}
    if not layered:
        if len(named) == len(folders):
            raise UsageError(
                f"the images in {listed(named)} of {str(root)!r} lie in no class: give {_LAYOUT}"
            )
        return {}
    others = folders.keys() - named.keys()
    if others:
        raise UsageError(
            f"{str(root)!r} has splits, {listed(layered)}, beside other folders of images, "
            f"{listed(others)}: move or rename one kind, or list the images in a CSV"
        )
    for split in SPLITS:
        same = [name for name in named if named[name] == split]
        if len(same) > 1:
            raise UsageError(f"{listed(same)} of {str(root)!r} all mean {split}: keep one")
    return named


def _find_in_csv(source: Path) -> Collection:
    seen: dict[Path, tuple[int, Photograph]] = {}
    repeated: list[str] = []
    cells: list[str] = []
    for line, row in read_table(source):
        photograph = _photograph(source.parent, f"{str(source)!r}, line {line}", row)
        first, earlier = seen.setdefault(photograph.path, (line, photograph))
        if earlier != photograph:
            raise UsageError(
                f"{str(source)!r}, lines {first} and {line}: {str(photograph.path)!r} is listed "
                "twice, and not alike: keep one"
            )
        if first != line:
            repeated.append(str(photograph.path))
        cells.append(row["path"])
    if not seen:
        raise UsageError(f"no image in {str(source)!r}: a header, {EXPECTED}, and a line an image")
    photographs = tuple(photograph for _, photograph in seen.values())
    foreign = next((number for number, cell in enumerate(cells) if _WINDOWS.search(cell)), None)
    if foreign is not None and not any(os.path.lexists(one.path) for one in photographs):
        raise UsageError(
            f"{str(source)!r}: none of its {len(photographs):,} images is here; one would be "
            f"{str(source.parent / cells[foreign])!r}, also tried with /: make the paths relative "
            "to the CSV's folder"
        )
    return Collection(source, photographs, tuple(Strays(repeated=repeated).notes()))


def _photograph(folder: Path, where: str, row: dict[str, str]) -> Photograph:
    for column in ("path", "label", "split"):
        if column in row and not row[column].strip():
            raise UsageError(f"{where}: no {column}; only a group may be left empty")
    split = None
    if "split" in row:
        split = _SPLIT_CELLS.get(row["split"].strip().lower())
        if split is None:
            raise UsageError(
                f"{where}: split {row['split']!r}; expected one of {', '.join(SPLITS)}"
            )
    group = row.get("group", "").strip() or None
    label = class_name(windows_text(row["label"]))
    if len(label) > LONGEST:
        raise UsageError(f"{where}: a label of {len(label):,} characters; at most {LONGEST:,}")
    return Photograph(_path(folder, row["path"]), label, split, group)


def _path(folder: Path, cell: str) -> Path:
    """The file that a cell names: as it is written, or as Windows wrote it."""
    path = folder / cell
    if os.path.lexists(path) or not ("\\" in cell or not _is_utf8(cell)):
        return path
    text = windows_text(cell)
    for other in (cell.replace("\\", "/"), text, text.replace("\\", "/")):
        if os.path.lexists(folder / other):
            return folder / other
    return path


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= one <= "\udfff" for one in text)


def _missing_classes(collection: Collection) -> Iterator[str]:
    """Classes that a split misses, a line each.

    Raises:
        UsageError: a class that cannot be learned, because it is not in train.
    """
    classes: dict[Split | None, Counter[str]] = defaultdict(Counter)
    for photograph in collection.photographs:
        classes[photograph.split][photograph.label] += 1
    train = classes.get("train")
    if train is None:
        return
    for split in collection.splits[1:]:
        unlearned = classes[split].keys() - train.keys()
        if unlearned:
            raise UsageError(
                f"{str(collection.root)!r}: classes in {split}, but not in train: "
                f"{listed(unlearned)}; add images of them to train, or take them out"
            )
        absent = train.keys() - classes[split].keys()
        if absent:
            yield f"classes in train, but not in {split}: {listed(absent)}"
