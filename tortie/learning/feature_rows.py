"""What is known of every row of a folder of features, in a few numbers a row.

The activations stay in their files. A row takes 33 bytes while copies are looked for, and 17
afterwards: its class, its part of the split, its weight and the number of its unit.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tortie.activations.feature_shards import FeatureShard, Manifest
from tortie.errors import TortieError
from tortie.images.facts import THUMBNAIL
from tortie.images.hashed_split import draw_by_hash, fractions_of, hashed
from tortie.images.near_copies import Indices, Keys, copy_pairs, units_of
from tortie.images.split import SPLITS, Row, Split
from tortie.learning.dataset import fraction
from tortie.learning.options import FitOptions

_SAMPLE_SALT = 0x5A4D504C45  # the rows of a sample are not those at the edge of a part


@dataclass
class FeatureRows:
    """The rows of all files, in their order.

    Attributes:
        shards: the files.
        labels: class indices ``(N,)``, int32.
        weights: that a user gave each row ``(N,)``, float32.
        units: rows of one number are copies, or of one group ``(N,)``.
        splits: place among the splits ``(N,)``.
        uncounted: rows that no figure counts, ascending.
        rule: how they were split, in words.
        notes: what the user should know, a line each.
    """

    shards: Sequence[FeatureShard]
    labels: NDArray[np.int32]
    weights: NDArray[np.float32]
    units: Keys
    splits: NDArray[np.uint8]
    uncounted: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    rule: str = ""
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each part."""
        found = Counter({SPLITS[place]: int(n) for place, n in enumerate(np.bincount(self.splits))})
        return {name: found[name] for name in SPLITS if found[name]}

    @property
    def trained(self) -> list[int]:
        """Rows of each class in train."""
        return np.bincount(self.labels[self.part("train")]).tolist()

    def part(self, name: Split) -> Indices:
        """Rows of a part, ascending."""
        return np.flatnonzero(self.splits == SPLITS.index(name))

    def sample(self, name: Split, most: int, seed: int) -> Indices:
        """Rows of a part that count, ascending; of more than ``most``, those of least hash."""
        rows = np.setdiff1d(self.part(name), self.uncounted, assume_unique=True)
        if len(rows) <= most:
            return rows
        places = hashed(self.units[rows], seed + _SAMPLE_SALT)
        return np.sort(rows[np.argpartition(places, most)[:most]])

    def sample_each_class(self, most: int, seed: int) -> Indices:
        """Rows of train, at most so many of each class, of least hash, ascending."""
        rows = self.part("train")
        places = hashed(self.units[rows], seed + _SAMPLE_SALT)
        order = np.lexsort((places, self.labels[rows]))
        labels = self.labels[rows[order]]
        rank = np.arange(len(rows)) - np.searchsorted(labels, labels)
        return np.sort(rows[order[rank < most]])

    def in_files(self, rows: Indices) -> Iterator[tuple[FeatureShard, Indices]]:
        """Each file with those of some rows that it holds, ascending."""
        begin = 0
        for shard in self.shards:
            first, end = np.searchsorted(rows, (begin, begin + len(shard)))
            if first < end:
                yield shard, rows[first:end] - begin
            begin += len(shard)

    def split_rows(self) -> Iterator[Row]:
        """Path, class, part and group of every row."""
        order = np.argsort(self.units, kind="stable")
        same = np.flatnonzero(np.diff(self.units[order]) == 0)
        shared = np.zeros(len(self), bool)
        shared[order[same]] = shared[order[same + 1]] = True
        at = 0
        for shard in self.shards:
            for one in shard.photographs(range(len(shard))):
                group = f"{self.units[at]:016x}" if shared[at] else None
                yield Row(one.path, one.label, SPLITS[self.splits[at]], group)
                at += 1

    def trained_sha256(self, scored: Split) -> NDArray[np.uint8]:
        """SHA-256 of the content of all rows but those of a part ``(n, 32)``."""
        rows = np.flatnonzero(self.splits != SPLITS.index(scored))
        return np.concatenate([s.column("sha256")[own] for s, own in self.in_files(rows)])


def read_rows(
    shards: Sequence[FeatureShard], manifest: Manifest, options: FitOptions
) -> FeatureRows:
    """Read what the files say of their rows, find the copies, and draw the split.

    Raises:
        UsageError: fractions that cannot be, or a class without a row to train on.
        TortieError: a file is damaged.
    """
    columns = [_columns_of(shard, manifest) for shard in shards]
    labels, splits, weights, keys, hashes, groups = map(np.concatenate, zip(*columns, strict=True))
    ends = np.cumsum([len(shard) for shard in shards])

    def thumbnails(rows: Indices) -> NDArray[np.uint8]:
        found, begin = [], 0
        for shard, end in zip(shards, ends.tolist(), strict=True):
            own = rows[(rows >= begin) & (rows < end)] - begin
            found += [one.thumbnail for one in shard.facts(own.tolist())] if len(own) else []
            begin = end
        return np.frombuffer(b"".join(found), np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)

    pairs, notes = copy_pairs(keys, hashes, thumbnails)
    units, look_alikes, contradicting = units_of(keys, labels, pairs, groups)
    rows = FeatureRows(shards, labels, weights, units, splits, notes=notes)
    _draw(rows, splits, options)
    leaks = _leaks(rows)
    rows.uncounted = np.unique(np.concatenate([look_alikes, contradicting, leaks]))
    for what, own in (
        ("copies with different labels", contradicting),
        ("sets of look-alikes too large to be copies", look_alikes),
        ("copies of, or grouped with, photographs of an earlier part", leaks),
    ):
        if len(own):
            rows.notes.append(f"not counted, as they are {what}: {len(own):,} photographs")
    return rows


def _columns_of(shard: FeatureShard, manifest: Manifest) -> list[NDArray[np.generic]]:
    """Labels, splits, weights, keys, hashes and groups of one file."""
    number = {name: place for place, name in enumerate(manifest.classes)}
    try:
        own = np.array([number[name] for name in shard.header.classes], np.int32)
        given = shard.column("labels")
        splits = shard.column("splits")
        if len(given) and not 0 <= given.min() <= given.max() < len(own):
            raise ValueError("a label that no class has")
        if splits.max(initial=0) > len(SPLITS):
            raise ValueError("a split that there is not")
        groups = [_number(group) for group in shard.groups()]
        columns = [
            own[given], splits, shard.column("weights"),
            np.ascontiguousarray(shard.column("sha256")[:, :8]).view(np.uint64).ravel(),
            shard.column("perceptual_hashes"), np.array(groups, np.uint64),
        ]  # fmt: skip
    except (ValueError, IndexError, TypeError):
        raise TortieError(f"{shard.path} is damaged: extract again") from None
    if any(len(one) != len(shard) for one in columns):
        raise TortieError(f"{shard.path} is damaged: extract again")
    return columns


def _number(group: str | None) -> int:
    if group is None:
        return 0
    digest = hashlib.blake2b(group.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") | 1


def _draw(rows: FeatureRows, given: NDArray[np.uint8], options: FitOptions) -> None:
    """Decide the part of each row, by what was given and what is drawn."""
    parts = {SPLITS[place - 1] for place in np.unique(given) if place}
    rows.splits = np.maximum(given, 1) - np.uint8(1)
    train = rows.part("train")
    if parts and (given == 0).any():
        rows.notes.append(f"in no part of the split, which train: {int((given == 0).sum()):,}")
    fractions = fractions_of(parts, len(train), fraction(options.valid), fraction(options.test))
    if fractions:
        labels = rows.labels[train].astype(np.int64)
        rows.splits[train] = draw_by_hash(rows.units[train], labels, fractions, options.seed)
    shares = ", ".join(f"{100 * share:.3g}% {part}" for part, share in fractions.items())
    drawn = f"{len(train):,} images are split by a hash of content and group into {shares}"
    on, chosen = scored_part(rows), chosen_part(rows)
    rule = [f"{drawn} (seed {options.seed})"] if fractions else []
    rule += [f"accuracy: measured once, on {on}", f"hyperparameters: chosen on {chosen}"]
    rows.rule = "; ".join(rule)


def scored_part(rows: FeatureRows) -> Split:
    """The part that the accuracy is measured on."""
    return "test" if "test" in rows.counts else "validation"


def chosen_part(rows: FeatureRows) -> Split:
    """The part that the penalty is chosen on."""
    return "validation" if scored_part(rows) == "test" else "calibration"


def _leaks(rows: FeatureRows) -> Indices:
    """Rows of which a copy, or one of their group, is in an earlier part."""
    order = np.lexsort((rows.splits, rows.units))
    units = rows.units[order]
    first = np.concatenate([[True], units[1:] != units[:-1]])
    earliest = rows.splits[order][first][np.cumsum(first) - 1]
    return np.sort(order[rows.splits[order] > earliest])
