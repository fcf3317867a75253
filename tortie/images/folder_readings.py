"""The readings of a tree of folders: classes alone, SPLIT/CLASS, CLASS/SPLIT, SPLIT_CLASS.

What is clear is read, and said where the names are not plainly train, validation and test; where
two readings fit, the user is asked.
"""

import fnmatch
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

from tortie.errors import UsageError
from tortie.images.class_names import class_name, plain_name
from tortie.images.split import SPLITS, Split
from tortie.images.split_words import EXACT, Meaning, meanings
from tortie.images.walk import listed
from tortie.text import quoted

SPLIT_CELLS: dict[str, Split] = {**EXACT, "calibration": "calibration"}

ONE_EACH = "one folder for each class, IMAGES/CLASS/*.jpg, or IMAGES/{train,validation,test}/CLASS"
_PLAIN: dict[Meaning | None, Split] = {
    "train": "train", "validation": "validation", "test": "test",
}  # fmt: skip
_SHOWN = 4  # folders in a suggestion
_DATED = re.compile(  # years, days, and the folders of cameras: never classes
    r"((19|20)\d\d([-_. ]?\d\d){0,2}|\d{3}[a-z_]{5}|dcim|camera|jan\w*|feb\w*|mar(ch)?|apr\w*"
    r"|may|june?|july?|aug\w*|sept\w*|oct\w*|nov\w*|dec\w*)",
    re.IGNORECASE,
)

Parts = tuple[str, ...]
Asked = Literal["auto", "none"] | tuple[tuple[Split, str], ...]
"""What the user says of the splits: nothing, that there are none, or a folder of each."""


@dataclass(frozen=True)
class Layout:
    """How folders are read.

    Attributes:
        places: class and split of the images below each folder, by its path below the root.
        above: the folders, below the root, whose own folders are classes.
        notes: what is not plain in the names, a line each.
    """

    places: Mapping[Parts, tuple[str, Split | None]]
    above: tuple[Parts, ...]
    notes: tuple[str, ...] = ()

    def place_of(self, above: Parts) -> tuple[str, Split | None] | None:
        """Class and split of an image by the folders above it; ``None`` where it has none."""
        begins = (above[:depth] for depth in range(1, len(above) + 1))
        return next((self.places[begin] for begin in begins if begin in self.places), None)


@dataclass
class FolderTree:
    """A folder of images: how many lie in it, and the folders of images in it."""

    direct: int = 0
    below: "dict[str, FolderTree]" = field(default_factory=dict)


def only_classes(tree: FolderTree) -> Layout:
    """Every folder as a class."""
    return Layout({(name,): (class_name(name), None) for name in tree.below}, ())


@dataclass(frozen=True)
class FolderReading:
    """How the folders of one set are read.

    Attributes:
        root: of the set, for messages.
        known: plain names of classes, where a classifier has them.
    """

    root: Path
    known: frozenset[str]

    def wrapped(self, tree: FolderTree, asked: Asked) -> str | None:
        """Name of the only folder, where it holds the set and is no class or split itself."""
        if len(tree.below) != 1 or (
            isinstance(asked, tuple) and any(_matching(tree, folder) for _, folder in asked)
        ):
            return None
        ((name, inner),) = tree.below.items()
        if self._is_known(name) or (name.strip().lower() in EXACT and asked == "auto"):
            return None
        end = inner
        while len(end.below) == 1 and not end.direct:
            (end,) = end.below.values()
        if end.direct or len(end.below) < 2 or all(map(_DATED.fullmatch, end.below)):
            return None
        inside = all(meanings(end.below).values())
        if asked != "none" and inside and not any(one.below for one in end.below.values()):
            return None  # one class with its splits in it
        return name

    def auto(self, tree: FolderTree) -> Layout:
        """The only reading that fits.

        Raises:
            UsageError: two readings fit, or images in splits lie in no class.
        """
        folders = tree.below
        if any(map(self._is_known, folders)):
            return self._inside(folders) or only_classes(tree)
        parts = meanings(folders)
        named = {name for name, part in parts.items() if part not in (None, "unlabelled")}
        layered = {name for name in named if folders[name].below}
        exact = {name for name in named if name.strip().lower() in EXACT}
        if named and all(parts.values()) and (exact or len(folders) > 1):
            if not layered:
                raise UsageError(
                    f"the images in {listed(folders)} of {quoted(self.root)} lie in no class: give "
                    f"{ONE_EACH}; or --no-splits, if these are the classes"
                )
            return self._splits(folders, parts)
        same_names = _same_names(folders)
        if exact & layered or (named and same_names and layered):
            self._ask(
                folders, parts,
                f"has splits, {listed(sorted(layered))}, beside other folders of images, "
                f"{listed(sorted(folders.keys() - named))}",
            )  # fmt: skip
        if len(folders) > 1 and (joined := _joined(folders)):
            return joined
        inside = self._inside(folders)
        if inside is None and same_names:
            if self.known and all(map(self._is_known, same_names)):
                return self._placed(folders, dict.fromkeys(folders))
            self._ask(
                folders, parts,
                f"holds folders that hold folders of the same names, {listed(sorted(same_names))}",
            )  # fmt: skip
        return inside or only_classes(tree)

    def asked(self, tree: FolderTree, asked: tuple[tuple[Split, str], ...]) -> Layout:
        """The folders that the user names as splits; others are passed over."""
        chosen: dict[Parts, Split] = {}
        inside = False
        for split, pattern in asked:
            found = _matching(tree, pattern)
            if not found:  # perhaps CLASS/SPLIT
                wanted = [_matching(one, pattern) for one in tree.below.values()]
                found = [
                    (name, *parts) for name, own in zip(tree.below, wanted, strict=True)
                    for parts in own
                ]  # fmt: skip
                inside = bool(found)
            if not found:
                raise UsageError(
                    f"splits {split}={pattern}: no folder of images {quoted(pattern)} in "
                    f"{quoted(self.root)}, which has {listed(tree.below)}"
                )
            for parts in found:
                if chosen.setdefault(parts, split) != split:
                    raise UsageError(
                        f"splits: {quoted(Path(*parts))} cannot be {chosen[parts]} and {split}"
                    )
        if inside:
            return Layout({p: (class_name(p[0]), split) for p, split in chosen.items()}, ())
        places: dict[Parts, tuple[str, Split | None]] = {}
        above = []
        for parts, split in chosen.items():
            deeper, folder = self._entered(parts, _at(tree, parts))
            above.append(deeper)
            places |= {(*deeper, name): (class_name(name), split) for name in folder.below}
        if not places:
            raise UsageError(
                f"the images in {listed(str(Path(*parts)) for parts in chosen)} of "
                f"{quoted(self.root)} lie in no class: give {ONE_EACH}"
            )
        return Layout(places, tuple(above))

    def _splits(
        self, folders: dict[str, FolderTree], parts: Mapping[str, Meaning | None]
    ) -> Layout:
        """Folders that all mean splits."""
        splits = self._resolved(folders, parts)
        layout = self._placed(folders, splits)
        labels: dict[Split | None, set[str]] = {}
        for label, split in layout.places.values():
            labels.setdefault(split, set()).add(label)
        plainly = all(name.strip().lower() in EXACT for name in folders)
        if not plainly and len(labels) > 1 and not set.intersection(*labels.values()):
            self._ask(folders, parts, "has folders named as splits whose classes differ")
        if plainly:
            return layout
        said = ", ".join(f"{quoted(name)} is {split}" for name, split in splits.items() if split)
        left = [name for name, split in splits.items() if split is None]
        without = f"; without classes, left out: {listed(left)}" if left else ""
        return Layout(
            layout.places, layout.above,
            (f"folders taken for splits: {said}{without} (--no-splits takes them for classes)",),
        )  # fmt: skip

    def _resolved(
        self, folders: Iterable[str], parts: Mapping[str, Meaning | None]
    ) -> dict[str, Split | None]:
        """The split of each folder; ``None`` for one of images without classes."""
        given = set(parts.values())
        held: Split = "validation" if "test" in given else "test"
        splits: dict[str, Split | None] = {}
        for name in folders:
            part = parts[name]
            splits[name] = held if part == "evaluation" else _PLAIN.get(part)
        twice = [s for s, count in Counter(splits.values()).items() if s and count > 1]
        if twice:
            same = [name for name in splits if splits[name] == twice[0]]
            raise UsageError(
                f"{listed(same)} of {quoted(self.root)} all mean {twice[0]}: keep one, or say "
                f"which is what: {_suggestion(splits)}; or --no-splits, if these are the classes"
            )
        return splits

    def _placed(self, folders: dict[str, FolderTree], splits: Mapping[str, Split | None]) -> Layout:
        """SPLIT/CLASS: the folders in each folder are the classes."""
        places: dict[Parts, tuple[str, Split | None]] = {}
        above = []
        for name, split in splits.items():
            parts, folder = self._entered((name,), folders[name])
            above.append(parts)
            if split is None and any(splits.values()):
                continue
            places |= {(*parts, one): (class_name(one), split) for one in folder.below}
        return Layout(places, tuple(above))

    def _entered(self, parts: Parts, folder: FolderTree) -> tuple[Parts, FolderTree]:
        """The folder of classes in a split's folder: itself, or the only one in it that has any."""
        while len(folder.below) == 1 and not folder.direct:
            ((name, inner),) = folder.below.items()
            means = meanings([name])[name]
            if inner.below and not inner.direct and (len(inner.below) > 1 or means):
                parts, folder = (*parts, name), inner
            elif name.strip() == parts[-1].strip() or plain_name(name) in ("images", "imgs"):
                return parts, FolderTree(inner.direct)  # images of no class
            else:
                break
        return parts, folder

    def _inside(self, folders: dict[str, FolderTree]) -> Layout | None:
        """CLASS/SPLIT, where every image of a class lies in one of its splits' folders."""
        inner = {name for one in folders.values() for name in one.below}
        parts = meanings(inner)
        split_classes = {
            name for name, one in folders.items()
            if one.below and all(parts[n] not in (None, "unlabelled") for n in one.below)
        }  # fmt: skip
        several = {n for n in split_classes if len({parts[one] for one in folders[n].below}) > 1}
        if not several and not (split_classes == folders.keys() and _all_exact(inner)):
            return None
        if split_classes != folders.keys() or any(one.direct for one in folders.values()):
            others = sorted(n for n in folders if n not in split_classes or folders[n].direct)
            raise UsageError(
                f"{quoted(self.root)}: {listed(sorted(several))} hold splits, and {listed(others)} "
                "images in none: give each class its splits, or say --no-splits to draw them anew"
            )
        used = sorted(name for name in inner if parts[name])
        splits = self._resolved(used, parts)
        places: dict[Parts, tuple[str, Split | None]] = {
            (name, one): (class_name(name), splits[one])
            for name, folder in folders.items() for one in folder.below
        }  # fmt: skip
        said = ", ".join(f"{quoted(name)} is {splits[name]}" for name in used)
        return Layout(
            places, (), (f"splits inside the classes: {said} (--no-splits draws them anew)",)
        )

    def _ask(
        self, folders: dict[str, FolderTree], parts: Mapping[str, Meaning | None], what: str
    ) -> NoReturn:
        """Stop with the readings that are possible."""
        inner = sorted({name for one in folders.values() for name in one.below})
        inside = meanings(inner)
        readings = []
        if any(parts.values()) or not any(inside.values()):
            option = _suggestion(_guessed(folders, parts))
            readings.append(f"{option} if they are splits, with the classes in them")
        if not any(parts.values()) and inner:
            option = _suggestion(_guessed(inner, inside))
            readings.append(f"{option} if they are classes, with their splits in them")
        raise UsageError(
            f"{quoted(self.root)} {what}: say {', '.join(readings)}, or --no-splits if they are "
            "classes without splits"
        )

    def _is_known(self, name: str) -> bool:
        return plain_name(class_name(name)) in self.known


def _guessed(
    folders: Iterable[str], parts: Mapping[str, Meaning | None]
) -> dict[str, Split | None]:
    """A split for each folder, those that say nothing filled in, to show how it is written."""
    free: list[Split] = [s for s in ("train", "test", "validation") if s not in parts.values()]
    held: Split = "test" if "test" in free else "validation"
    guessed: dict[str, Split | None] = {}
    for name in folders:
        part = parts[name]
        if part in _PLAIN:
            guessed[name] = _PLAIN[part]
        elif part == "evaluation":
            guessed[name] = held
        elif part is None:
            guessed[name] = free.pop(0) if free else "train"
    return guessed


def _suggestion(splits: Mapping[str, Split | None]) -> str:
    """How the option is written for these folders."""
    given = [(split, name) for name, split in splits.items() if split]
    said = [
        f"{split}={name}" for split, name in sorted(given, key=lambda one: SPLITS.index(one[0]))
    ]
    more = ",..." if len(said) > _SHOWN else ""
    return f"--splits {shlex.quote(','.join(said[:_SHOWN]) + more)}"


def _same_names(folders: dict[str, FolderTree]) -> set[str]:
    """Names of folders that lie in nearly all of the folders, as classes lie in splits."""
    each = [
        {plain_name(class_name(name)): name for name in one.below}
        for one in folders.values()
    ]  # fmt: skip
    if len(each) < 2 or any(one.direct for one in folders.values()):
        return set()
    common = set.intersection(*map(set, each))
    every = set.union(*map(set, each))
    names = {each[0][one] for one in common}
    if len(common) < 2 or 2 * len(common) < len(every) or all(map(_DATED.fullmatch, names)):
        return set()
    return names


def _joined(folders: dict[str, FolderTree]) -> Layout | None:
    """SPLIT_CLASS or CLASS_SPLIT in one name: every split with every class, two or more of each."""
    word, rest = r"(?P<word>[^\W_]+)", r"(?P<label>.+)"
    for pattern in (rf"{word}[\s_.\-]+{rest}", rf"{rest}[\s_.\-]+{word}"):
        found = {name: re.fullmatch(pattern, name.strip()) for name in folders}
        own = {name: (one["word"], one["label"]) for name, one in found.items() if one}
        parts = meanings([split for split, _ in own.values()])
        splits = {_PLAIN[one] for one in parts.values() if one in _PLAIN}
        labels = {label for _, label in own.values()}
        pairs = {(parts[split], label) for split, label in own.values()}
        if not len(pairs) == len(folders) == len(splits) * len(labels):
            continue
        if len(splits) < 2 or len(labels) < 2:
            continue
        name, (split, label) = next(iter(own.items()))
        note = (
            f"names of folders taken for split and class: {quoted(name)} is {parts[split]} of "
            f"{quoted(label)} (--no-splits takes each for a class)"
        )
        places: dict[Parts, tuple[str, Split | None]] = {
            (name,): (class_name(label), _PLAIN[parts[split]])
            for name, (split, label) in own.items()
        }
        return Layout(places, (), (note,))
    return None


def _all_exact(names: Collection[str]) -> bool:
    return all(name.strip().lower() in EXACT for name in names)


def _matching(tree: FolderTree, pattern: str) -> list[Parts]:
    """The folders below one that a path names, in which ``*`` and ``?`` stand for any letters."""
    found: list[Parts] = [()]
    for part in re.split(r"[/\\]", pattern):
        found = [
            (*parts, name) for parts in found for name in _at(tree, parts).below
            if part == name or part == name.strip() or fnmatch.fnmatchcase(name, part)
        ]  # fmt: skip
    return found


def _at(tree: FolderTree, parts: Parts) -> FolderTree:
    for name in parts:
        tree = tree.below[name]
    return tree
