"""The split protocol: what each image is for, and what the accuracy is measured on.

A split that is given is kept; what the user asks for (``--valid``, ``--test``) is drawn from the
training images; else the number of images decides. 1,000 and more are drawn 70/10/5/15 into train,
validation, calibration and test. Fewer are all trained on and cross-validated; a training by steps,
which would take as long for each fold, draws 15% for validation and 15% for test. Where a training
by steps has a test, validation chooses its epoch; else 15% of train does, of 20 images and more.

A draw is stratified by class, keeps a group of copies on one side, and goes by a hash of the seed
and the images' content (:mod:`tortie.images.split`). A copy of an image of an earlier part counts
nowhere.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tortie.errors import UsageError
from tortie.images.duplicates import connected, links_of
from tortie.images.split import SPLITS, Split, draw
from tortie.text import quoted

ScoredOn = Literal["test", "validation", "cross-validation"]

DRAWN: Mapping[Split, float] = {
    "train": 0.70,
    "validation": 0.10,
    "calibration": 0.05,
    "test": 0.15,
}
DRAWN_FROM = 1000  # images; with fewer, 15% are too few to measure on: cross-validation
STEPS_SHARE = 0.15
"""For validation, and for test, of fewer images by steps: one training and not one a fold."""
CHOOSING_SHARE = 0.15  # of train, where nothing else can choose the epoch
CHOOSING_FROM = 20  # images of train; with fewer the last epoch is kept
ENOUGH = 10  # images scored: with 10 the 95% interval is still up to 53 points wide


@dataclass(frozen=True, slots=True)
class SplitRules:
    """What each image is for, and what the accuracy is measured on.

    Attributes:
        splits: of each image, in the order given.
        on: ``test`` or ``validation``: that part is scored once, and where there is no validation
            part, or it is the one scored, every choice is made by cross-fitting inside train;
            ``cross-validation``: nested, grouped cross-fitting over train, the last fit on all.
        rule: which rule was applied, and how hyperparameters are chosen, in words.
        measured_rule: which rule was applied and what is measured, in words, for a fit that makes
            its choices in another way.
        notes: what the user should know, a sentence each.
        leaks: indices of the images outside train that are copies of, or grouped with, an image
            of an earlier part; they are left out of what they would measure.
    """

    splits: tuple[Split, ...]
    on: ScoredOn
    rule: str
    measured_rule: str = ""
    notes: tuple[str, ...] = ()
    leaks: tuple[int, ...] = ()

    @property
    def scored(self) -> tuple[int, ...]:
        """Indices of the images that the accuracy is measured on, without the leaks."""
        part = "train" if self.on == "cross-validation" else self.on
        leaks = set(self.leaks)
        return tuple(i for i, split in enumerate(self.splits) if split == part and i not in leaks)


def split_rules_for(
    labels: Sequence[str],
    given: Sequence[Split | None],
    keys: Sequence[str],
    groups: Sequence[Hashable | None],
    seed: int,
    valid: float | None = None,
    test: float | None = None,
) -> SplitRules:
    """Decide the split: a given one is kept, a fraction asked for is drawn, else the rule decides.

    Without a test or validation part: under 1,000 images are cross-validated; more are drawn
    70/10/5/15 into train, validation, calibration and test.

    Args:
        labels: the class of each image.
        given: the part that the user gave each image, or ``None``.
        keys: the SHA-256 of each image.
        groups: names of groups, those of duplicates joined in; ``None`` for an image on its own.
        seed: of what is drawn.
        valid: fraction of the training images to draw for validation.
        test: fraction of the training images to draw for test.

    Raises:
        UsageError: a fraction for a part that is given, fractions that leave nothing to train on,
            or a class without a training image.
    """
    splits: list[Split] = [split or "train" for split in given]
    rule, notes = [], []
    if None in given and any(given):
        notes.append(f"images in no part of the split, which train: {given.count(None)}")
    trained = {label for label, split in zip(labels, splits, strict=True) if split == "train"}
    untrained = sorted(set(labels) - trained)
    if untrained:
        raise UsageError(
            f"no training image of class {quoted(untrained[0])}: give it some, or leave the class "
            "out"
        )
    fractions = asked_for(set(splits), valid, test) or drawn_by_rule(set(splits), len(labels))
    if fractions:
        own = [index for index, split in enumerate(splits) if split == "train"]
        named = [labels[i] for i in own], [keys[i] for i in own], [groups[i] for i in own]
        for index, split in zip(own, draw(*named, fractions, seed), strict=True):
            splits[index] = split
        shares = ", ".join(f"{100 * fractions[s]:.3g}% {s}" for s in SPLITS if s in fractions)
        rule.append(f"{len(own):,} images are split into {shares} (seed {seed})")
    parts = set(splits) | set(fractions)
    on: ScoredOn = "cross-validation"
    if "test" in parts:
        on = "test"
    elif "validation" in parts:
        on = "validation"
    leaks = _leaks(splits, keys, groups)
    measured, choices = _scored_rule(on, "validation" in parts, len(labels))
    notes += _missing(labels, splits)
    notes += [
        f"{split} images that are copies of, or grouped with, images of an earlier part, and are"
        f" not counted: {number}"
        for split, number in Counter(splits[index] for index in leaks).items()
    ]
    return SplitRules(
        splits=tuple(splits),
        on=on,
        rule="; ".join([*rule, measured, *choices]),
        measured_rule="; ".join([*rule, measured]),
        notes=tuple(notes),
        leaks=leaks,
    )


def enough_to_score(
    labels: Sequence[str], groups: Sequence[Hashable | None] | None = None, crossed: bool = False
) -> str | None:
    """Why these images are too few to tell an accuracy; ``None`` where they are enough.

    Args:
        labels: the class of each image that would be scored.
        groups: names of groups, as in :func:`folds`.
        crossed: the images are those of cross-validation, so each class must be held out and
            trained on: it needs two groups.
    """
    names = groups if groups is not None else [None] * len(labels)
    count = len({("image", i) if name is None else ("group", name) for i, name in enumerate(names)})
    if count < ENOUGH:
        images = "image" if len(labels) == 1 else "images"
        same = f", which count as {count} (copies and groups once)" if count < len(labels) else ""
        return f"{len(labels)} {images} to measure it on{same}: it takes {ENOUGH} to tell anything"
    if crossed:
        apart: dict[str, set[Hashable]] = defaultdict(set)
        for index, (label, name) in enumerate(zip(labels, names, strict=True)):
            apart[label].add(("image", index) if name is None else ("group", name))
        for label in sorted(apart):
            if len(apart[label]) < 2:
                return (
                    f"class {quoted(label)} has one image, or one group of copies: it cannot be "
                    "held out and trained on"
                )
    return None


def asked_for(parts: set[Split], valid: float | None, test: float | None) -> dict[Split, float]:
    """Fractions to draw from the training images because the user asked for them; or none."""
    fractions: dict[Split, float] = {}
    flags: tuple[tuple[str, Split, float | None], ...] = (
        ("--valid", "validation", valid),
        ("--test", "test", test),
    )
    for flag, split, fraction in flags:
        if fraction is None:
            continue
        if split in parts:
            raise UsageError(f"{flag} {fraction:g}: the images have a {split} part already")
        if not 0 < fraction < 1:
            raise UsageError(f"{flag} {fraction:g}: expected a fraction between 0 and 1")
        fractions[split] = fraction
    rest = 1 - sum(fractions.values())
    if fractions and rest < 1e-9:
        raise UsageError(f"--valid {valid:g} and --test {test:g} leave nothing to train on")
    return {"train": rest, **fractions} if fractions else {}


def drawn_by_rule(parts: set[Split], images: int) -> dict[Split, float]:
    """Fractions to draw because nothing to score is given and there are enough images; or none."""
    if parts & {"validation", "test"} or images < DRAWN_FROM:
        return {}
    fractions = {s: share for s, share in DRAWN.items() if s == "train" or s not in parts}
    whole = sum(fractions.values())
    return {split: share / whole for split, share in fractions.items()}


def _scored_rule(
    on: ScoredOn, chosen_on_validation: bool, images: int
) -> tuple[str, tuple[str, ...]]:
    """What the accuracy is measured on, and how hyperparameters are chosen, in words."""
    inside = "hyperparameters: cross-validated on the training set"
    if on == "test":
        choices = "hyperparameters: chosen on validation" if chosen_on_validation else inside
        return "accuracy: measured once, on test", (choices,)
    if on == "validation":
        return "accuracy: measured once, on validation", (inside,)
    return (
        f"{images} images without a test part are too few to set some aside; accuracy: by nested "
        "cross-validation; the classifier is trained on all of them",
        (),
    )


def _missing(labels: Sequence[str], splits: Sequence[Split]) -> list[str]:
    notes = []
    for part in SPLITS:
        own = {label for label, split in zip(labels, splits, strict=True) if split == part}
        missing = sorted(set(labels) - own)
        if own and missing:
            more = f" and {len(missing) - 5} more classes" if len(missing) > 5 else ""
            notes.append(f"{part} has no image of {', '.join(map(repr, missing[:5]))}{more}")
    return notes


def _leaks(
    splits: Sequence[Split], keys: Sequence[str], groups: Sequence[Hashable | None]
) -> tuple[int, ...]:
    roots = connected(len(keys), [*links_of(keys), *links_of(groups)])
    order = [SPLITS.index(split) for split in splits]
    earliest: dict[int, int] = {}
    for root, place in zip(roots, order, strict=True):
        earliest[root] = min(place, earliest.get(root, place))
    return tuple(i for i, root in enumerate(roots) if order[i] > earliest[root])
