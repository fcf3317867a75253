"""What a user may give as photographs, with or without labels: a folder, a CSV, or any images."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tortie.errors import UsageError
from tortie.images.find import (
    Collection,
    Photograph,
    Split,
    checked,
    find,
    find_files,
    split_of,
)
from tortie.images.given import given_images
from tortie.images.labels import is_missing, names_of
from tortie.images.read import Source
from tortie.text import quoted

Images = str | Path | Collection | Iterable[Any]
"""A folder, a CSV, or what :func:`tortie.images.given.given_images` takes."""

Labels = Iterable[object]
"""A label for each image: text, whole numbers or booleans."""


class Skipped(NamedTuple):
    """A photograph that takes no part, and why."""

    path: str
    reason: str


def labelled(
    images: Images,
    labels: Labels | None = None,
    sample_weight: Iterable[float] | None = None,
    *,
    splits: str = "auto",
    known: Sequence[str] = (),
) -> tuple[Collection, list[Source]]:
    """Photographs with their classes, and what to read for each.

    Args:
        images: a folder of classes, a CSV, a collection, or a sequence of paths, PIL images or
            uint8 arrays ``(H, W)`` or ``(H, W, 3)``, or a table of these.
        labels: of the images, for a sequence: text, whole numbers, booleans. A table may bring
            them itself.
        sample_weight: what each image counts in training; ``None`` for one each.
        splits: which folders are splits, as :func:`tortie.images.find.find` takes it.
        known: names of classes, where a classifier has them.

    Raises:
        UsageError: labels are missing, too many, or not wanted; something that is no image.
    """
    if isinstance(images, str | Path | Collection):
        if labels is not None:
            raise UsageError("labels go with a sequence of images; a folder names its classes")
        if sample_weight is not None:
            raise UsageError("sample_weight goes with a sequence of images")
        collection = images if isinstance(images, Collection) else find(Path(images), splits, known)
        return collection, [photograph.path for photograph in collection.photographs]
    if splits != "auto":
        raise UsageError("splits are of folders: a sequence of images has none")
    given = given_images(images)
    sources = given.sources
    labels = given.labels if labels is None else labels
    if labels is None:
        raise UsageError(f"{len(sources)} images need as many labels, got none")
    names, kind = names_of(labels)
    if len(names) != len(sources):
        raise UsageError(f"{len(sources)} images need as many labels, got {len(names)}")
    weights = _weights(sample_weight, len(sources))
    _check_weighted(names, weights)
    splits_given = given.splits or [None] * len(sources)
    groups = given.groups or [None] * len(sources)
    photographs = tuple(
        Photograph(
            source if isinstance(source, Path) else Path(named(source, position)),
            name,
            split_of(splits_given[position], f"row {position}"),
            _group(groups[position]),
            weights[position],
        )
        for position, (source, name) in enumerate(zip(sources, names, strict=True))
    )
    root = Path("the table") if given.splits else Path()
    collection = Collection(root, photographs, (), kind)
    return checked(collection, known), sources


def unlabelled(images: Images) -> list[Source]:
    """Photographs to classify: files, folders, or images in memory.

    Raises:
        UsageError: something that is no image.
    """
    if isinstance(images, str | Path):
        images = [Path(images)]
    if isinstance(images, Collection):
        return [photograph.path for photograph in images.photographs]
    sources: list[Source] = []
    for source in given_images(images).sources:
        sources.extend(find_files([source]).paths if isinstance(source, Path) else [source])
    return sources


def with_split(
    collection: Collection, sources: Sequence[Source], folder: Path, split: Split
) -> tuple[Collection, list[Source]]:
    """The collection with the images of another folder, or another source, as its ``split``.

    What its names say of all of it, as ``val-000.tar`` does, gives way: shards of one split are it.

    Raises:
        UsageError: the collection has that split already, or the folder has splits of its own.
    """
    other = find(folder)
    folder = other.root  # an address with both its slashes
    if split in collection.splits:
        raise UsageError(f"{collection.root} has a {split} split already; leave {folder} out")
    if other.splits not in ((), ("validation",), ("test",)):
        raise UsageError(f"{folder} has splits of its own; give one folder of classes")
    unknown = sorted(set(other.classes) - set(collection.classes))
    if unknown:
        raise UsageError(f"{folder} has classes that are not trained: {', '.join(unknown)}")
    photographs = [
        photograph if photograph.split else replace(photograph, split="train")
        for photograph in collection.photographs
    ]
    photographs += [replace(photograph, split=split) for photograph in other.photographs]
    paths = [photograph.path for photograph in other.photographs]
    both = replace(
        collection,
        photographs=tuple(photographs),
        notes=(*collection.notes, *other.notes),
        incomplete=(*collection.incomplete, *other.incomplete),
    )
    return both, [*sources, *paths]


def named(source: Source, position: int) -> str:
    """What to call a source in a message: its path, or its place in the sequence."""
    return str(source) if isinstance(source, Path) else f"image {position}"


def _group(cell: object) -> str | None:
    """The group of a table's cell; ``None`` for an empty one."""
    return None if is_missing(cell) or cell == "" else str(cell)


def _check_weighted(names: Sequence[str], weights: Sequence[float]) -> None:
    """Refuse weights that leave nothing of a class to learn from."""
    weighted = {name for name, weight in zip(names, weights, strict=True) if weight}
    missing = sorted(set(names) - weighted)
    if missing:
        raise UsageError(
            f"sample_weight is zero for every image of class {quoted(missing[0])}: give one of "
            "them a weight above 0, or leave the class out"
        )


def _weights(given: Iterable[float] | None, count: int) -> list[float]:
    """A weight for each of ``count`` images."""
    if given is None:
        return [1.0] * count
    weights = []
    for position, value in enumerate(given):
        try:
            weights.append(float(value))
        except (TypeError, ValueError):
            weights.append(math.nan)
        if not 0 <= weights[-1] < math.inf:
            raise UsageError(f"sample_weight {position} is {value!r}: expected a number from 0 on")
    if len(weights) != count:
        raise UsageError(
            f"{count} images need as many weights in sample_weight, got {len(weights)}"
        )
    return weights
