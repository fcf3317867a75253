"""The exported model beside the classifier, on photographs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tortie.images import Source, UnreadableImage, decode
from tortie.images.inputs import named

if TYPE_CHECKING:
    from tortie.classifier import ImageClassifier

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]
Answer = Callable[[NDArray[np.uint8]], Floats]
"""Probabilities ``(K,)`` of an upright image, uint8 ``(H, W, 3)``."""

_AT_ONCE = 8  # photographs that are decoded at a time
_SCALED = 4  # times the size from which on a JPEG may be decoded at reduced scale


@dataclass
class Parity:
    """How the exported model answers beside the classifier.

    Attributes:
        differences: of each photograph, the largest difference of a probability.
        other_labels: photographs that it labels otherwise.
        worst: the photograph with the largest difference.
        large: photographs of at least four times the network's size. The classifier may decode
            those at reduced scale, which the model cannot: it is given the same full pixels.
        large_differences: their differences from what the classifier says of the file.
        large_other_labels: those of them whose label differs from what it says of the file.
        skipped: photographs that cannot be read.
    """

    differences: list[float] = field(default_factory=list)
    other_labels: list[str] = field(default_factory=list)
    worst: str = ""
    large: int = 0
    large_differences: list[float] = field(default_factory=list)
    large_other_labels: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def photographs(self) -> int:
        """How many were compared."""
        return len(self.differences)

    @property
    def largest(self) -> float:
        """The largest difference of a probability; 0 where nothing was compared."""
        return max(self.differences, default=0.0)

    @property
    def median(self) -> float:
        """The median over the photographs of each one's largest difference."""
        return float(np.median(self.differences)) if self.differences else 0.0

    @property
    def same_labels(self) -> int:
        """Photographs with the same label."""
        return self.photographs - len(self.other_labels)

    def document(self) -> dict[str, Any]:
        """The figures as JSON."""
        return {
            "photographs": self.photographs,
            "largest_difference": self.largest,
            "median_difference": self.median,
            "same_labels": self.same_labels,
            "other_labels": self.other_labels,
            "worst": self.worst,
            "large": self.large,
            "large_largest_difference": max(self.large_differences, default=None),
            "large_other_labels": self.large_other_labels,
            "skipped": self.skipped,
        }


def compare(
    answer: Answer,
    classifier: "ImageClassifier",
    sources: Sequence[Source],
    progress: Progress = lambda done, total: None,
) -> Parity:
    """Put the same photographs to both.

    Args:
        answer: the exported model.
        classifier: in float32.
        sources: files or images in memory.
        progress: told photographs done and in all.
    """
    parity = Parity()
    sides = [one.preprocessing.resize for one in classifier.metadata.members]
    numbered = iter(enumerate(sources))
    while some := list(islice(numbered, _AT_ONCE)):
        read = [one for one in (_read(parity, source, i) for i, source in some) if one]
        large = [min(one.pixels.shape[:2]) >= _SCALED * min(sides) for one in read]
        given = [
            one.pixels if scaled else one.source for one, scaled in zip(read, large, strict=True)
        ]
        expected = _expected(classifier, given)
        scaled = [one.source for one, scaled in zip(read, large, strict=True) if scaled]
        of_files = iter(_expected(classifier, scaled))
        for one, own, is_large in zip(read, expected, large, strict=True):
            found = answer(one.pixels)
            _count(parity, one.name, found, own)
            if is_large:
                _count_large(parity, one.name, found, next(of_files))
        progress(some[-1][0] + 1, len(sources))
    return parity


class _Photograph(NamedTuple):
    """A photograph that could be read."""

    source: Source
    name: str
    pixels: NDArray[np.uint8]


def _read(parity: Parity, source: Source, position: int) -> _Photograph | None:
    name = named(source, position)
    try:
        return _Photograph(source, name, np.asarray(decode(source).image))
    except UnreadableImage as error:
        parity.skipped.append(f"{name}: {error.reason}")
        return None


def _expected(classifier: "ImageClassifier", sources: Sequence[Source]) -> Floats:
    return classifier.predict_proba(list(sources)) if sources else np.zeros((0, 0), np.float32)


def _count(parity: Parity, name: str, found: Floats, expected: Floats) -> None:
    difference = float(np.abs(found - expected).max())
    if not difference <= parity.largest:
        parity.worst = name
    parity.differences.append(difference)
    if found.argmax() != expected.argmax():
        parity.other_labels.append(name)


def _count_large(parity: Parity, name: str, found: Floats, of_file: Floats) -> None:
    parity.large += 1
    parity.large_differences.append(float(np.abs(found - of_file).max()))
    if found.argmax() != of_file.argmax():
        parity.large_other_labels.append(name)
