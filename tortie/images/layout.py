"""What the folders of a set of images mean: which are classes, which are splits.

Sets come as ``CLASS/``, ``SPLIT/CLASS/``, ``CLASS/SPLIT/`` and ``SPLIT_CLASS/``, perhaps within
folders that hold nothing else, under names of any language.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from tortie.errors import UsageError
from tortie.images.class_names import plain_name
from tortie.images.folder_readings import (
    ONE_EACH,
    SPLIT_CELLS,
    Asked,
    FolderReading,
    FolderTree,
    Layout,
    Parts,
    only_classes,
)
from tortie.images.split import SPLITS, Split
from tortie.text import quoted

__all__ = ["ONE_EACH", "SPLIT_CELLS", "Asked", "Layout", "Parts", "parse_splits", "read_layout"]


def parse_splits(text: str) -> Asked:
    """What ``--splits`` says: ``auto``, ``none``, or ``train=FOLDER,test=FOLDER``.

    Raises:
        UsageError: anything else.
    """
    if text in ("auto", "none"):
        return text  # type: ignore[return-value]
    words = "|".join(SPLIT_CELLS)
    found: list[tuple[Split, str]] = []
    for one in re.split(rf",\s*(?=(?:{words})\s*=)", text, flags=re.IGNORECASE):
        name, equals, folder = one.partition("=")
        split = SPLIT_CELLS.get(name.strip().lower())
        folder = folder.strip().strip("/\\")
        if split is None or not equals or not folder:
            raise UsageError(
                f"splits {quoted(text)}: expected auto, none, or SPLIT=FOLDER with commas between, "
                f"as train=Training,test=Testing; SPLIT is one of {', '.join(SPLITS)}"
            )
        found.append((split, folder))
    return tuple(found)


def read_layout(
    root: Path, paths: Iterable[Path], asked: Asked = "auto", known: Iterable[str] = ()
) -> Layout:
    """What the folders below a root mean.

    Args:
        root: of the set.
        paths: its images.
        asked: what the user says of the splits.
        known: names of classes, where a classifier has them: they are classes here, too.

    Raises:
        UsageError: no reading is clear, with those that are possible; a folder that is asked for
            and not there; images in splits and in no class.
    """
    tree = FolderTree()
    for path in paths:
        here = tree
        for name in path.relative_to(root).parts[:-1]:
            here = here.below.setdefault(name, FolderTree())
        here.direct += 1
    reading = FolderReading(root, frozenset(map(plain_name, known)))
    base: Parts = ()
    notes: list[str] = []
    while (inner := reading.wrapped(tree, asked)) is not None:
        base, tree = (*base, inner), tree.below[inner]
    if base:
        notes.append(f"entered {quoted(Path(*base))}, the only folder of images in {quoted(root)}")
    if asked == "none":
        layout = only_classes(tree)
    elif asked == "auto":
        layout = reading.auto(tree)
    else:
        layout = reading.asked(tree, asked)
    padded = {
        (name, label)
        for parts, (label, _) in layout.places.items()
        for name in parts
        if name != name.strip() == label
    }
    notes += [f"folder {quoted(name)} is class {quoted(label)}" for name, label in sorted(padded)]
    return Layout(
        {(*base, *parts): place for parts, place in layout.places.items()},
        tuple((*base, *parts) for parts in layout.above),
        (*notes, *layout.notes),
    )
