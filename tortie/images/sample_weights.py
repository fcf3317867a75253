"""How much each image counts in a figure: a group of copies counts as one image.

The rule. A group (images of equal bytes, near copies, images that the user gave one name) is one
piece of evidence: it counts as one, and its images share its weight. The number counted is that of
the groups, an image on its own being a group of one. Left out of the count are

- copies of which one image has another label than another: one of the labels is wrong, and which
  cannot be told. (Groups that the user gave may span classes: one site, one patient.)
- images of a set of look-alikes that is too large to be copies of one another: it may be a burst,
  which is one piece of evidence, or a texture, which is many.

Why Wilson's interval with n = the number of groups holds. The accuracy is the mean over the groups
of pᵍ, the share of a group's images that are right, 0 to 1. For a given mean p, the variance of a
quantity between 0 and 1 is at most p(1 − p), that of a coin: where all images of a group are right
or wrong together. So the variance of the mean of n groups is at most p(1 − p)/n, which is what
Wilson's interval assumes for n coins; where images of a group differ it is wider than it need be.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tortie.images.duplicates import Groups, connected, links_of

Integers = NDArray[np.int64]
Weights = NDArray[np.float64]


@dataclass(frozen=True)
class SampleWeights:
    """What each of N images counts.

    Attributes:
        groups: number of the group of each image ``(N,)``; an image on its own is a group of one.
        contradicting: images whose copies have another label, ascending.
        look_alikes: images of a set that is too large to be copies, ascending.
    """

    groups: Integers
    contradicting: tuple[int, ...] = ()
    look_alikes: tuple[int, ...] = ()

    def counted(self, rows: Integers) -> Integers:
        """Those of ``rows`` that count."""
        uncounted = np.array([*self.contradicting, *self.look_alikes], np.int64)
        return rows[~np.isin(rows, uncounted)]

    def of(self, rows: Integers) -> Weights:
        """A weight for each of ``rows`` ``(n,)``: one divided by its group's images among them.

        Images that do not count weigh 0.
        """
        own = self.groups[rows]
        counts = np.isin(rows, self.counted(rows))
        sizes = np.bincount(own[counts], minlength=int(own.max(initial=-1)) + 1)
        return np.where(counts, 1 / np.maximum(sizes[own], 1), 0.0)

    def notes(self) -> list[str]:
        """What is left out of the count and why, a line each."""
        notes = []
        if self.contradicting:
            notes.append(
                f"copies with different labels, which are not counted: {len(self.contradicting):,} "
                "images"
            )
        if self.look_alikes:
            notes.append(
                f"images in sets of look-alikes too large to be copies, which are not counted: "
                f"{len(self.look_alikes):,}"
            )
        return notes


def sample_weights(
    labels: Sequence[str],
    keys: Sequence[str],
    groups: Sequence[Hashable | None],
    duplicates: Groups,
) -> SampleWeights:
    """What each image counts.

    Args:
        labels: the class of each image.
        keys: SHA-256 of each image; equal ones are one group.
        groups: names of groups, those of duplicates joined in; ``None`` for an image on its own.
        duplicates: the copies among them, and the sets too large to be copies.
    """
    same = [*links_of(keys), *((pair.first, pair.second) for pair in duplicates.pairs)]
    copies = connected(len(labels), same)
    names: dict[int, set[str]] = {}
    for copy, label in zip(copies, labels, strict=True):
        names.setdefault(copy, set()).add(label)
    contradicting = tuple(i for i, copy in enumerate(copies) if len(names[copy]) > 1)
    return SampleWeights(
        np.array(connected(len(labels), [*same, *links_of(groups)]), np.int64),
        contradicting,
        tuple(sorted(set(duplicates.look_alikes) - set(contradicting))),
    )
