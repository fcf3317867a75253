"""Which photographs a report shows, as small pictures: mistakes, typical and doubtful ones."""

import base64
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tortie.images import Source, UnreadableImage, decode
from tortie.images.inputs import named

MISTAKES = 12
EACH = 4  # typical photographs of a class, and as many doubtful ones
PICTURES = 240  # typical and doubtful ones in all: a page of some 3 MB
_SIDE = 220  # pixels of the longer side


@dataclass(frozen=True)
class LabelledPredictions:
    """The photographs that were counted.

    Attributes:
        sources: what was read for each.
        labels: true class indices ``(n,)``.
        probabilities: theirs, ``(n, K)``.
        classes: K names.
        groups: number of the group of each ``(n,)``: of one group, one is shown in a gallery.
            ``None`` where each is on its own.
    """

    sources: Sequence[Source]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    classes: Sequence[str]
    groups: NDArray[np.int64] | None = None

    @property
    def taken_for(self) -> NDArray[np.int64]:
        """The most probable class of each, ``(n,)``."""
        return self.probabilities.argmax(axis=1)

    def apart(self, ordered: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions without those whose group stands at an earlier place."""
        if self.groups is None:
            return ordered
        first = np.unique(self.groups[ordered], return_index=True)[1]
        return ordered[np.sort(first)]


@dataclass(frozen=True)
class Card:
    """A photograph with what the classifier said of it.

    Attributes:
        name: its path below the folder that all share, or its place in the sequence.
        true: its class.
        taken_for: the most probable class.
        probability: of that class.
        thumbnail: a JPEG as a data URI; empty where it cannot be read any more.
    """

    name: str
    true: str
    taken_for: str
    probability: float
    thumbnail: str

    @property
    def is_right(self) -> bool:
        """Whether the most probable class is the true one."""
        return self.true == self.taken_for


@dataclass(frozen=True)
class OfClass:
    """Positions, among those counted, of a class's most typical and most doubtful photographs."""

    label: int
    typical: list[int]
    doubtful: list[int]


def surest_mistakes(held: LabelledPredictions) -> list[int]:
    """Positions of the wrong answers that the classifier was surest of, surest first."""
    given = held.probabilities.max(axis=1)
    wrong = np.flatnonzero(held.taken_for != held.labels)
    ordered = held.apart(wrong[np.argsort(-given[wrong], kind="stable")])
    return [int(i) for i in ordered[:MISTAKES]]


def by_class(held: LabelledPredictions) -> list[OfClass]:
    """Of each class the photographs it was surest of, and those between two classes.

    Typical: the highest probability of their own class. Doubtful: the least distance between the
    two most probable classes. None is both. Four of either; fewer where the classes are many, and
    then of those alone that are recognised least, weakest first.
    """
    sides = np.sort(held.probabilities, axis=1)
    margin = sides[:, -1] - sides[:, -2]
    counted = [k for k in range(len(held.classes)) if (held.labels == k).any()]
    each = max(1, min(EACH, PICTURES // max(1, 2 * len(counted))))
    if 2 * each * len(counted) > PICTURES:
        right = held.taken_for == held.labels
        counted.sort(key=lambda k: float(right[held.labels == k].mean()))
        counted = counted[: PICTURES // (2 * each)]
    return [_of_class(held, k, each, margin) for k in counted]


def _of_class(
    held: LabelledPredictions, label: int, each: int, margin: NDArray[np.float32]
) -> OfClass:
    own = np.flatnonzero(held.labels == label)
    own = held.apart(own[np.argsort(-held.probabilities[own, label], kind="stable")])
    each = min(each, (len(own) + 1) // 2)
    sure = own[:each]
    others = own[~np.isin(own, sure)]
    unsure = others[np.argsort(margin[others], kind="stable")][:each]
    return OfClass(label, [int(i) for i in sure], [int(i) for i in unsure])


def shared_folder(paths: Sequence[Path]) -> Path | None:
    """The deepest folder that holds all of the paths; ``None`` where they share none."""
    if not paths:
        return None
    try:
        return Path(os.path.commonpath({os.path.dirname(path) for path in paths}))
    except ValueError:  # absolute and relative ones
        return None


def cards(
    held: LabelledPredictions, positions: Sequence[int], folder: Path | None
) -> dict[int, Card]:
    """The cards of the photographs at these positions; each is decoded once, in threads.

    Args:
        held: the photographs that were counted.
        positions: among them; repeated ones cost nothing.
        folder: paths are named from there.
    """
    wanted = sorted(set(positions))
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="tortie-report") as executor:
        thumbnails = list(executor.map(thumbnail, (held.sources[i] for i in wanted)))
    taken_for = held.taken_for
    return {
        i: Card(
            name=below(held.sources[i], i, folder),
            true=held.classes[held.labels[i]],
            taken_for=held.classes[taken_for[i]],
            probability=float(held.probabilities[i].max()),
            thumbnail=picture,
        )
        for i, picture in zip(wanted, thumbnails, strict=True)
    }


def below(source: Source, position: int, folder: Path | None) -> str:
    """What to call a photograph: its path below the folder, or its place in the sequence."""
    if isinstance(source, Path) and folder is not None and source.is_relative_to(folder):
        return str(source.relative_to(folder))
    return named(source, position)


def thumbnail(source: Source) -> str:
    """A photograph as a small JPEG in a data URI; empty where it cannot be read any more."""
    try:
        image = decode(source, at_least=_SIDE // 2).image
    except UnreadableImage:
        return ""
    image.thumbnail((_SIDE, _SIDE))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=78)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
