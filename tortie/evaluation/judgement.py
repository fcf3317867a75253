"""What a classifier says of one photograph, and how good it is on many."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tortie.evaluation.metrics import Scores
from tortie.evaluation.report import Report
from tortie.images import Source, Split
from tortie.images.given import LeftOut


@dataclass(frozen=True)
class Judgement:
    """What the classifier says of one photograph.

    Attributes:
        source: the photograph, as it was given.
        probabilities: by class name, most probable first; empty where it cannot be read.
        reason: why it cannot be read; ``None`` where it can.
    """

    source: Source
    probabilities: dict[str, float]
    reason: str | None = None

    @property
    def label(self) -> str | None:
        """The most probable class; ``None`` where the photograph cannot be read."""
        return next(iter(self.probabilities), None)


@dataclass(frozen=True)
class Evaluation:
    """How good a classifier is on labelled photographs that it was not trained on.

    Attributes:
        scores: every figure; ``None`` where no photograph could be counted.
        reason: why there are no scores.
        split: which split of the folder was counted; ``None`` where it has none.
        seen: how many photographs were left out of the count as the classifier was trained on them.
        left_out: those that cannot be read, or whose class the classifier does not know.
        paths: the photographs counted.
        labels: their true class indices ``(n,)``.
        probabilities: theirs, ``(n, K)``.
        classes: names, in the order of the columns.
    """

    scores: Scores | None
    reason: str | None
    split: Split | None
    seen: int
    left_out: list[LeftOut]
    paths: list[Path]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    classes: Sequence[str]

    def report(self, title: str) -> Report:
        """What the report of this evaluation shows."""
        return Report(
            title=title,
            classes=self.classes,
            scores=self.scores,
            reason=self.reason,
            on=self.split or "folder given",
            held=self.paths,
            labels=self.labels,
            probabilities=self.probabilities,
            left_out=self.left_out,
            notes=[f"{self.seen:,} photographs it was trained on are not counted"]
            if self.seen
            else [],
        )
