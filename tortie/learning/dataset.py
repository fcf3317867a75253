"""What reading the photographs came to: which take part, what each is for, and their classes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tortie.errors import TortieError
from tortie.images import Collection, Photograph, Source
from tortie.images.inputs import Skipped
from tortie.images.inspection import Inspection
from tortie.images.split import draw
from tortie.images.split_rules import SplitRules, enough_to_score, split_rules_for
from tortie.learning.fit import enough_classes, fraction
from tortie.learning.options import FitOptions
from tortie.training.photographs import Photographs

Integers = NDArray[np.int64]

_FEW = 0.15
"""Share set aside for validation, and for test, where nothing is given and photographs are few:
training by steps once for each fold of a cross-validation would take as many times as long."""
_CHOOSING = 0.15  # of train, where nothing else can choose the epoch
_CHOOSING_FROM = 20  # photographs of train; with fewer the last epoch is kept


@dataclass(frozen=True)
class Dataset:
    """The photographs of a training by steps. Positions count those that can be read.

    Attributes:
        whole: all photographs, those that cannot be read too.
        examined: what reading them told.
        photographs: those that can be read.
        classes: names in the order of the logits.
        protocol: what each photograph is for.
        seed: of what is drawn.
        skipped: those that cannot be read.
    """

    whole: Photographs
    examined: Inspection
    photographs: list[Photograph]
    classes: tuple[str, ...]
    protocol: SplitRules
    seed: int
    skipped: list[Skipped]

    @cached_property
    def labels(self) -> Integers:
        """Class indices ``(N,)``."""
        return np.array([self.classes.index(one.label) for one in self.photographs], np.int64)

    @cached_property
    def pixels(self) -> Photographs:
        """The photographs, decoded as far as memory allows."""
        return self.whole.only(self.examined.rows)

    @cached_property
    def sources(self) -> list[Source]:
        """What to read for each photograph."""
        return list(self.pixels.sources)

    @cached_property
    def chosen_on(self) -> Integers:
        """Positions of those that choose the epoch: validation, or else a part of train."""
        parts = np.array(self.protocol.splits)
        if self.protocol.on == "test" and (parts == "validation").any():
            leaks = set(self.protocol.leaks)
            own = [i for i in np.flatnonzero(parts == "validation") if i not in leaks]
            return np.array(own, np.int64)
        train = np.flatnonzero(parts == "train")
        if len(train) < _CHOOSING_FROM:
            return train[:0]
        drawn = draw(
            [str(self.labels[i]) for i in train], [self.examined.keys[i] for i in train],
            [self.examined.groups[i] for i in train],
            {"train": 1 - _CHOOSING, "validation": _CHOOSING}, self.seed,
        )  # fmt: skip
        return train[np.array(drawn) == "validation"]

    @cached_property
    def train(self) -> Integers:
        """Positions of those that are trained on."""
        train = np.flatnonzero(np.array(self.protocol.splits) == "train")
        return np.setdiff1d(train, self.chosen_on)

    @cached_property
    def scored(self) -> Integers:
        """Positions of those that the accuracy is counted on; none where they are too few."""
        return np.array([] if self.too_few else self.protocol.scored, np.int64)

    @property
    def calibrated_on(self) -> tuple[Integers, str]:
        """Positions of those that the temperature is fitted on, and what to call them."""
        leaks = set(self.protocol.leaks)
        splits = self.protocol.splits
        apart = [i for i, one in enumerate(splits) if one == "calibration" and i not in leaks]
        if apart:
            return np.array(apart, np.int64), "calibration part"
        return self.chosen_on, "validation that chose the epoch"

    @property
    def rule(self) -> str:
        """How the photographs are split, in words."""
        chosen = {self.protocol.splits[i] for i in self.chosen_on}
        inside = chosen == {"train"}
        own = f"; {len(self.chosen_on)} of train choose the epoch" if inside else ""
        drawn, _, rest = self.protocol.rule.rpartition("accuracy is measured on ")
        return f"{drawn}accuracy is measured on {rest.split(';')[0]}{own}"

    @cached_property
    def too_few(self) -> str | None:
        """Why no accuracy can be told; ``None`` where it can."""
        scored = self.protocol.scored
        return enough_to_score(
            [self.photographs[i].label for i in scored], [self.examined.groups[i] for i in scored]
        )


def gather(collection: Collection, whole: Photographs, options: FitOptions) -> Dataset:
    """Leave out what cannot be read, find the copies, and decide what each photograph is for.

    Raises:
        UsageError: fewer than two classes, or a class of one photograph.
        TortieError: no photograph can be read.
    """
    skipped = [
        Skipped(str(collection.photographs[i].path), reason)
        for i, reason in sorted(whole.reasons.items())
    ]
    examined = Inspection(collection.photographs, whole.sha256, whole.facts, whole.reasons)
    if not examined.rows:
        raise TortieError(
            f"none of the {len(whole.sources)} photographs can be read; the first, "
            f"{skipped[0].path}: {skipped[0].reason}"
        )
    photographs = [collection.photographs[row] for row in examined.rows]
    labels = [photograph.label for photograph in photographs]
    classes = enough_classes(labels)
    given = [photograph.split for photograph in photographs]
    valid, test = fraction(options.valid), fraction(options.test)
    if valid is None and test is None and not {"validation", "test"} & set(given):
        few = len(photographs) < 1000
        valid, test = (_FEW, _FEW) if few else (None, None)
    protocol = split_rules_for(
        labels, given, examined.keys, examined.groups, options.seed, valid, test
    )
    return Dataset(whole, examined, photographs, classes, protocol, options.seed, skipped)
