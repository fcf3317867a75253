"""The photographs of a fit: which take part, what each is for, and their classes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tortie.errors import TortieError, UsageError
from tortie.images import Facts, Photograph, Source, hash_all
from tortie.images.inputs import Skipped
from tortie.images.inspection import Inspection
from tortie.images.labels import LabelType, in_order
from tortie.images.split import draw
from tortie.images.split_rules import (
    CHOOSING_FROM,
    CHOOSING_SHARE,
    DRAWN_FROM,
    STEPS_SHARE,
    SplitRules,
    enough_to_score,
    split_rules_for,
)
from tortie.learning.job import Job
from tortie.learning.training_weights import ClassWeight, TrainingWeights, check_class_weight
from tortie.processes import contents
from tortie.text import quoted

Integers = NDArray[np.int64]

CalibratedOn = Literal[
    "calibration part", "validation part", "held-out training part", "training part, cross-fitted"
]


class CalibrationRows(NamedTuple):
    """Photographs that the temperature is fitted on.

    Attributes:
        positions: which photographs.
        on: what part of the split they are.
    """

    positions: Integers
    on: CalibratedOn

    @property
    def is_cross_fitted(self) -> bool:
        """Whether they are training photographs, each predicted by a head trained without it."""
        return self.on == "training part, cross-fitted"


@dataclass(frozen=True)
class Dataset:
    """The photographs that can be read; positions below count these.

    Attributes:
        inspection: what reading all of the listed photographs told.
        photographs: paths, labels, splits and groups.
        sources: what is read for each of them.
        classes: names in the order of the logits.
        split: what each photograph is for.
        seed: of what is drawn.
        by_steps: whether an epoch has to be chosen, on photographs that are not trained on.
        skipped: listed photographs that cannot be read, and why.
        empty_classes: classes that were listed and have no readable photograph.
        class_weight: what a photograph of each class counts in training.
        label_type: of the labels that the class names stand for.
    """

    inspection: Inspection
    photographs: list[Photograph]
    sources: list[Source]
    classes: tuple[str, ...]
    split: SplitRules
    seed: int
    by_steps: bool
    skipped: list[Skipped]
    empty_classes: tuple[str, ...] = ()
    class_weight: ClassWeight = "auto"
    label_type: LabelType = "str"

    def __len__(self) -> int:
        return len(self.photographs)

    def __repr__(self) -> str:
        """How many photographs there are, and what they are for."""
        parts = ", ".join(f"{count:,} {name}" for name, count in self.split_counts.items())
        return f"Dataset({len(self):,} photographs in {len(self.classes)} classes: {parts})"

    @property
    def sha256(self) -> list[str]:
        """Of each photograph's content."""
        return self.inspection.keys

    def weights(self, positions: Integers) -> NDArray[np.float64]:
        """What each of some photographs counts in a figure ``(n,)``: those of a group add to 1."""
        return self.inspection.weights.of(positions)

    def counted(self, positions: Integers) -> Integers:
        """Those of some photographs that figures count."""
        return self.inspection.weights.counted(positions)

    @property
    def groups(self) -> list[int | None]:
        """Photographs of one number are copies, or were given as one group."""
        return self.inspection.groups

    @cached_property
    def labels(self) -> Integers:
        """Class indices ``(N,)``."""
        index = {name: number for number, name in enumerate(self.classes)}
        return np.array([index[one.label] for one in self.photographs], np.int64)

    @cached_property
    def training_weights(self) -> TrainingWeights:
        """What each photograph counts in training."""
        samples = np.array([one.weight for one in self.photographs], np.float64)
        given = None if (samples == 1).all() else samples
        return TrainingWeights(self.class_weight, self.classes, given)

    def part(self, name: str) -> Integers:
        """Positions of the photographs in a part of the split, ascending."""
        return np.flatnonzero(np.array(self.split.splits) == name)

    def _without_leaks(self, name: str) -> Integers:
        return np.setdiff1d(self.part(name), np.array(self.split.leaks, np.int64))

    @cached_property
    def chosen_on(self) -> Integers:
        """Positions of those that choose an epoch: validation, or else a share of train."""
        if not self.by_steps:
            return np.zeros(0, np.int64)
        if self.split.on == "test" and len(self.part("validation")):
            return self._without_leaks("validation")
        train = self.part("train")
        if len(train) < CHOOSING_FROM:
            return train[:0]
        drawn = draw(
            [str(self.labels[i]) for i in train], [self.sha256[i] for i in train],
            [self.groups[i] for i in train],
            {"train": 1 - CHOOSING_SHARE, "validation": CHOOSING_SHARE}, self.seed,
        )  # fmt: skip
        return train[np.array(drawn) == "validation"]

    @cached_property
    def train(self) -> Integers:
        """Positions of those that are trained on."""
        return np.setdiff1d(self.part("train"), self.chosen_on)

    @cached_property
    def scored(self) -> Integers:
        """Positions of those that the accuracy is counted on; none where they are too few."""
        if self.too_few is not None:
            return np.zeros(0, np.int64)
        return self.counted(np.array(self.split.scored, np.int64))

    @cached_property
    def too_few(self) -> str | None:
        """Why no accuracy can be told; ``None`` where it can."""
        return self.too_few_of(
            np.array(self.split.scored, np.int64), self.split.on == "cross-validation"
        )

    def too_few_of(self, positions: Integers, crossed: bool) -> str | None:
        """Why some photographs are too few to judge a classifier by; ``None`` where they are not.

        Args:
            positions: which photographs.
            crossed: whether each is predicted by a head trained on the others.
        """
        positions = self.counted(positions)
        labels = [self.photographs[i].label for i in positions]
        groups = self.inspection.weights.groups[positions].tolist()
        left_out = sorted(set(self.classes) - set(labels)) if crossed else []
        if left_out:
            return (
                f"no photograph of class {quoted(left_out[0])} can be counted: copies of them have "
                "other labels, or too many are similar"
            )
        return enough_to_score(labels, groups, crossed=crossed)

    @cached_property
    def calibration(self) -> CalibrationRows:
        """Photographs that the temperature is fitted on: what the weights were not fitted to."""
        apart = self.counted(self._without_leaks("calibration"))
        if len(apart):
            return CalibrationRows(apart, "calibration part")
        if self.by_steps:
            part: CalibratedOn = "validation part"
            if self.chosen_inside_train:
                part = "held-out training part"
            return CalibrationRows(self.counted(self.chosen_on), part)
        return CalibrationRows(self.part("train"), "training part, cross-fitted")

    @property
    def chosen_inside_train(self) -> bool:
        """Whether a share of train chooses the epoch, as no other photographs can."""
        return len(self.chosen_on) > 0 and self.split.splits[self.chosen_on[0]] == "train"

    @property
    def rule(self) -> str:
        """How the photographs are split, in words."""
        if not self.by_steps:
            return self.split.rule
        inside = self.chosen_inside_train
        epoch = f"; {len(self.chosen_on)} of train choose the epoch" if inside else ""
        return f"{self.split.measured_rule}{epoch}"

    @property
    def split_counts(self) -> dict[str, int]:
        """Number of photographs in each part of the split."""
        return dict(Counter(self.split.splits))

    def leaks(self) -> list[Path]:
        """Photographs that are not counted, as a copy of them is in an earlier part."""
        return [self.photographs[i].path for i in self.split.leaks]


def hash_photographs(job: Job) -> list[str | None]:
    """SHA-256 of each photograph's content, the same in every process.

    Raises:
        TortieError: another process reads other photographs.
    """
    sha256 = hash_all(job.sources, job.threads)
    job.processes.check_equal("photographs", contents(job.collection, sha256))
    return sha256


def make_dataset(
    job: Job,
    sha256: Sequence[str | None],
    facts: Sequence[Facts | None],
    reasons: Mapping[int, str],
    feature_duplicates: Sequence[tuple[int, int]] = (),
) -> Dataset:
    """Skip what cannot be read, find the copies, and decide what each photograph is for.

    Args:
        job: the fit.
        sha256: of each listed photograph's content.
        facts: of each listed photograph; ``None`` where it cannot be read.
        reasons: why one cannot be read, by its place in the list.
        feature_duplicates: pairs of readable photographs that show one picture, beyond those
            that the perceptual hash finds.

    Raises:
        UsageError: fewer than two classes, or a class of one photograph.
        TortieError: no photograph can be read.
    """
    listed = job.collection.photographs
    skipped = [Skipped(str(listed[i].path), reason) for i, reason in sorted(reasons.items())]
    inspection = Inspection(listed, sha256, facts, reasons, feature_duplicates)
    if not inspection.rows:
        raise TortieError(
            f"none of the {len(listed)} photographs can be read; the first, {skipped[0].path}: "
            f"{skipped[0].reason}"
        )
    photographs = [listed[row] for row in inspection.rows]
    labels = [photograph.label for photograph in photographs]
    classes = enough_classes(labels, job.collection.label_type)
    check_class_weight(job.options.class_weight, classes)
    given = [photograph.split for photograph in photographs]
    valid, test = fraction(job.options.valid), fraction(job.options.test)
    unsplit = valid is None and test is None and not {"validation", "test"} & set(given)
    if job.by_steps and unsplit and len(photographs) < DRAWN_FROM:
        valid = test = STEPS_SHARE
    split = split_rules_for(
        labels, given, inspection.keys, inspection.groups, job.options.seed, valid, test
    )
    return Dataset(
        inspection=inspection,
        photographs=photographs,
        sources=[job.sources[row] for row in inspection.rows],
        classes=classes,
        split=split,
        seed=job.options.seed,
        by_steps=job.by_steps,
        skipped=skipped,
        empty_classes=tuple(sorted({one.label for one in listed} - set(classes))),
        class_weight=job.options.class_weight,
        label_type=job.collection.label_type,
    )


def enough_classes(
    labels: Iterable[str], kind: LabelType = "str", notes: Sequence[str] = ()
) -> tuple[str, ...]:
    """The classes in the order of their labels.

    Args:
        labels: of the photographs.
        kind: of the labels.
        notes: what was left out as they were listed, which an error tells, too.

    Raises:
        UsageError: fewer than two classes, or a class of one photograph.
    """
    counts = Counter(labels)
    present = +counts
    met = "".join(f"; {note}" for note in notes)
    if not present:
        raise UsageError(
            f"no photograph: a classifier needs two classes or more, each with some{met}"
        )
    if len(present) < 2:
        raise UsageError(
            f"only one class, {quoted(next(iter(present)))}: a classifier needs two or more, each "
            f"a folder of photographs (a class of anything else will do){met}"
        )
    single = sorted(name for name, count in counts.items() if count < 2)
    if single:
        listed = ", ".join(map(quoted, single))
        raise UsageError(
            f"only one photograph of {listed}: every class needs two or more that can be read; "
            f"add some, or leave the class out{met}"
        )
    return in_order(counts, kind)


def fraction(part: float | Path | None) -> float | None:
    """The share that is asked for; ``None`` where a folder is, or nothing."""
    return part if isinstance(part, float) else None
