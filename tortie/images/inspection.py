"""What reading the images told, put together once: for leaving out, for splits, and for findings.

A fit and a check ask the same object, so that what one names is what the other does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tortie.images.duplicates import (
    Groups,
    Pair,
    connected,
    duplicate_groups,
    join_groups,
    links_of,
    usable_groups,
)
from tortie.images.facts import Facts
from tortie.images.find import SPLITS, Photograph
from tortie.images.sample_weights import SampleWeights, sample_weights


@dataclass(frozen=True)
class Inspection:
    """Images of a collection, with what reading them told.

    Attributes:
        photographs: all of them; positions below are places in this sequence.
        sha256: of each image's content; ``None`` where it cannot be opened.
        facts: of each image; ``None`` where it cannot be read.
        reasons: why an image cannot be read, by its position; such an image takes no part.
        feature_pairs: further pairs of indices into :attr:`rows` that show one picture, as
            mirrored or cropped ones, which a network proposed; empty without a network.
    """

    photographs: Sequence[Photograph]
    sha256: Sequence[str | None]
    facts: Sequence[Facts | None]
    reasons: Mapping[int, str]
    feature_pairs: Sequence[tuple[int, int]] = ()

    @cached_property
    def rows(self) -> list[int]:
        """Positions of the images that can be read, ascending: those that take part."""
        return [i for i, facts in enumerate(self.facts) if facts and i not in self.reasons]

    @cached_property
    def labels(self) -> list[str]:
        """The class of each image that takes part."""
        return [self.photographs[i].label for i in self.rows]

    @cached_property
    def keys(self) -> list[str]:
        """SHA-256 of each image that takes part."""
        return [self.sha256[i] or "" for i in self.rows]

    @cached_property
    def duplicates(self) -> Groups:
        """Copies among the images that take part, as indices into :attr:`rows`.

        What a network proposed joins what the hash found. A group that is then too large to be
        copies is one of look-alikes, of which the hash's copies alone stay together.
        """
        facts = [fact for i in self.rows if (fact := self.facts[i])]
        found = duplicate_groups(self.keys, facts)
        sure = usable_groups(found, self.labels)
        if not self.feature_pairs:
            return sure
        names = connected(len(self.rows), ((pair.first, pair.second) for pair in found.pairs))
        seen = [
            Pair(*pair, "near") for pair in self.feature_pairs if names[pair[0]] != names[pair[1]]
        ]
        joined = usable_groups(_gathered(len(self.rows), [*found.pairs, *seen]), self.labels)
        pairs = {(pair.first, pair.second): pair for pair in (*joined.pairs, *sure.pairs)}
        ordered = [pairs[place] for place in sorted(pairs)]
        gathered = _gathered(len(self.rows), ordered)
        return replace(gathered, notes=joined.notes, look_alikes=joined.look_alikes)

    @cached_property
    def groups(self) -> list[int | None]:
        """For each image that takes part, the name of its group: copies, and groups given."""
        return join_groups([self.photographs[i].group for i in self.rows], self.duplicates)

    @cached_property
    def weights(self) -> SampleWeights:
        """What each image that takes part counts in a figure."""
        return sample_weights(self.labels, self.keys, self.groups, self.duplicates)

    def copies(self) -> Iterator[tuple[list[int], bool]]:
        """Groups of copies, as positions, and whether all bytes are equal."""
        for group in self.duplicates.groups:
            equal = len({self.keys[member] for member in group}) == 1
            yield [self.rows[member] for member in group], equal

    def leaking(self) -> Iterator[tuple[list[int], list[int]]]:
        """Sets of copies, or of a given group, in two parts of a given split.

        Yields:
            positions of the set, and those of its images that are in a later part than its first:
            they are left out of what they would measure.
        """
        links = [*links_of(self.keys), *links_of(self.groups)]
        sets: dict[int, list[int]] = {}
        for row, root in zip(self.rows, connected(len(self.rows), links), strict=True):
            sets.setdefault(root, []).append(row)
        for members in sets.values():
            parts = [SPLITS.index(self.photographs[i].split or "train") for i in members]
            later = [i for i, part in zip(members, parts, strict=True) if part > min(parts)]
            if later:
                yield members, later


def _gathered(count: int, pairs: Sequence[Pair]) -> Groups:
    """The groups that pairs connect."""
    members: dict[int, list[int]] = {}
    links = ((pair.first, pair.second) for pair in pairs)
    for index, root in enumerate(connected(count, links)):
        members.setdefault(root, []).append(index)
    groups = tuple(tuple(group) for group in members.values() if len(group) > 1)
    return Groups(groups, tuple(pairs))
