"""Drawing parts and folds of images, and keeping a split in a CSV.

What is drawn is stratified by class, keeps groups on one side, and places each image by a hash of
the seed and of its content: neither the order of the files, nor their names, nor the machine can
change it.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tortie.errors import UsageError
from tortie.images.duplicates import connected, links_of
from tortie.images.table import write_table

Split = Literal["train", "validation", "calibration", "test"]

# In the order of use: what an earlier part has seen, a later part cannot measure.
SPLITS: tuple[Split, ...] = ("train", "validation", "calibration", "test")


@dataclass(frozen=True, slots=True)
class _Unit:
    """Images that stay together: a group, or an image on its own."""

    members: tuple[int, ...]
    held: Counter[str]  # images a class
    rank: bytes  # the lowest keyed hash among its members

    @property
    def size(self) -> tuple[int, bytes]:
        return len(self.members), self.rank


def draw(
    labels: Sequence[str],
    keys: Sequence[str],
    groups: Sequence[Hashable | None],
    fractions: Mapping[Split, float],
    seed: int,
) -> list[Split]:
    """Draw a split: stratified by class, groups on one side, the same in any order of the images.

    Without groups, a part holds of every class its fraction, rounded up or down so that the whole
    part comes out right; with groups, as nearly as they allow. Every class keeps two images for
    train, or one where it has one, before any other part gets some.

    Args:
        labels: the class of each image.
        keys: what identifies the content of each image, its SHA-256; equal keys stay together.
        groups: images of one name stay together; ``None`` for an image on its own.
        fractions: of each part, summing to 1; train above 0.
        seed: another seed draws another split.

    Raises:
        UsageError: the fractions are not such.
    """
    parts = [split for split in SPLITS if split in fractions]
    weights = [fractions[split] for split in parts]
    if (
        len(parts) < len(fractions)
        or not all(0 <= weight <= 1 for weight in weights)
        or abs(sum(weights) - 1) > 1e-6
        or not fractions.get("train")
    ):
        raise UsageError(
            f"cannot split by {dict(fractions)}: expected fractions of {', '.join(SPLITS)} that sum"
            " to 1, with some for train"
        )
    units = _units(labels, keys, groups, seed)
    places = _place(units, _quotas(Counter(labels), weights, first_keeps=2))
    _train_all(units, places)
    by_image = _by_image(units, places, len(labels))
    return [parts[place] for place in by_image]


def folds(
    labels: Sequence[str],
    keys: Sequence[str],
    groups: Sequence[Hashable | None],
    count: int,
    seed: int,
) -> NDArray[np.int64]:
    """The fold of each image, 0 to ``count - 1``: stratified, grouped, in any order the same.

    What is outside a fold holds every class of two or more groups (an image without a group is one
    of its own), where groups that span classes allow it. Large groups can leave a fold empty.

    Args:
        labels: the class of each image.
        keys: what identifies the content of each image, its SHA-256; equal keys stay together.
        groups: images of one name stay together; ``None`` for an image on its own.
        count: of folds, 2 or more.
        seed: another seed draws other folds.

    Raises:
        UsageError: fewer than two folds, or more folds than groups.
    """
    units = _units(labels, keys, groups, seed)
    if not 2 <= count <= len(units):
        raise UsageError(
            f"cannot make {count} folds of {len(units)} groups of images: 2 to that many are meant"
        )
    places = _place(units, _quotas(Counter(labels), [1 / count] * count))
    _spread(units, places, count)
    return np.array(_by_image(units, places, len(labels)), np.int64)


class Row(NamedTuple):
    """One image in the CSV of a split."""

    path: Path
    label: str
    split: Split
    group: str | None = None


def write_split(path: Path, rows: Iterable[Row]) -> None:
    """Write the split as CSV (RFC 4180), ``path,label,split,group``, so that it can be given back.

    A path below the CSV's folder is written relative to it, any other in full. The encoding is
    UTF-8; bytes of a file name that are none are kept as they are.

    Raises:
        TortieError: the file cannot be written.
    """
    write_table(path, Row._fields, (row._asdict() for row in rows))


def _units(
    labels: Sequence[str], keys: Sequence[str], groups: Sequence[Hashable | None], seed: int
) -> list[_Unit]:
    """What stays together, in the order of rank, which is that of no file system."""
    members: dict[int, list[int]] = defaultdict(list)
    for index, root in enumerate(connected(len(keys), [*links_of(keys), *links_of(groups)])):
        members[root].append(index)
    ranks = [
        hashlib.blake2b(f"{seed}:{key}".encode("utf-8", "surrogateescape"), digest_size=16).digest()
        for key in keys
    ]
    units = [
        _Unit(tuple(own), Counter(labels[index] for index in own), min(ranks[i] for i in own))
        for own in members.values()
    ]
    return sorted(units, key=lambda unit: unit.rank)


def _train_all(units: Sequence[_Unit], places: list[int]) -> None:
    """Move to train the smallest unit of every class that has none there."""
    trained: set[str] = set()
    for unit, place in zip(units, places, strict=True):
        trained.update(unit.held if place == 0 else ())
    for label in sorted({label for unit in units for label in unit.held}):
        if label not in trained:  # else an earlier class may have brought it along
            own = [index for index, unit in enumerate(units) if label in unit.held]
            least = min(own, key=lambda index: units[index].size)
            places[least] = 0
            trained.update(units[least].held)


def _by_image(units: Sequence[_Unit], places: Sequence[int], count: int) -> list[int]:
    by_image = [0] * count
    for unit, place in zip(units, places, strict=True):
        for member in unit.members:
            by_image[member] = place
    return by_image


def _quotas(
    sizes: Mapping[str, int], weights: Sequence[float], first_keeps: int = 0
) -> dict[str, list[int]]:
    """How many images of each class each part should get: the exact share, rounded up or down.

    What rounding leaves goes to the part that is furthest behind over the classes so far. (Were
    each class rounded alone, a hundred classes of ten images would all round 5% to none.)
    """
    behind = [0.0] * len(weights)
    quotas = {}
    for label in sorted(sizes):
        exact = [sizes[label] * weight / sum(weights) for weight in weights]
        quota = [int(share + 1e-9) for share in exact]
        behind = [
            debt + share - seats for debt, share, seats in zip(behind, exact, quota, strict=True)
        ]
        open_parts = [part for part, share in enumerate(exact) if share - quota[part] > 1e-9]
        open_parts.sort(key=lambda part: (-round(behind[part], 9), part))
        for part in open_parts[: sizes[label] - sum(quota)]:
            quota[part] += 1
            behind[part] -= 1
        while quota[0] < min(first_keeps, sizes[label]):
            given = [part for part in range(1, len(quota)) if quota[part]]
            most = max(given, key=lambda part: quota[part] - exact[part])
            for part, seats in ((0, 1), (most, -1)):
                quota[part] += seats
                behind[part] -= seats
        quotas[label] = quota
    return quotas


def _place(units: Sequence[_Unit], need: dict[str, list[int]]) -> list[int]:
    """A part for each unit: the large ones where most is wanted, then single images to fill up.

    Single images are dealt in runs of their rank, so that one image more moves few others.
    """
    need = {label: list(wanted) for label, wanted in need.items()}
    parts = range(len(next(iter(need.values()), [])))
    total = [sum(wanted[part] for wanted in need.values()) for part in parts]
    places = [0] * len(units)
    singles: dict[str, list[int]] = defaultdict(list)
    for index in sorted(range(len(units)), key=lambda i: -len(units[i].members)):
        held = units[index].held
        if len(units[index].members) == 1:
            singles[next(iter(held))].append(index)
            continue
        # Squared needs fall most where the sum of (images × images wanted) is largest.
        gains = [sum(n * need[label][part] for label, n in held.items()) for part in parts]
        places[index] = best = max(parts, key=lambda part: (gains[part], total[part], -part))
        total[best] -= len(units[index].members)
        for label, n in held.items():
            need[label][best] -= n
    for label, own in singles.items():
        wanted = [max(n, 0) for n in need[label]]
        quota = _quotas({label: len(own)}, wanted)[label]
        dealt = [part for part in parts for _ in range(quota[part])]
        for index, part in zip(own, dealt, strict=True):
            places[index] = part
    return places


def _spread(units: Sequence[_Unit], places: list[int], count: int) -> None:
    """Move units, the smallest first, so that no class of two or more is within one fold."""
    holding: dict[str, list[int]] = defaultdict(list)
    for index, unit in enumerate(units):
        for label in unit.held:
            holding[label].append(index)

    def gathered(label: str, moved: int, fold: int) -> bool:
        own = holding[label]
        return len(own) > 1 and all(places[i] == fold for i in own if i != moved)

    for label in sorted(holding):
        own = holding[label]
        if not gathered(label, own[0], places[own[0]]):
            continue
        moves = (
            (index, fold)
            for index in sorted(own, key=lambda i: units[i].size)
            for fold in range(count)
            if not any(gathered(other, index, fold) for other in units[index].held)
        )
        index, fold = next(moves, (own[0], places[own[0]]))
        places[index] = fold
