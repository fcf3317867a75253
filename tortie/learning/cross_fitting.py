"""Choosing the penalty and measuring the classifier on photographs that chose nothing.

The penalty is the one of least log loss on photographs held out, tried from the strongest, 10, to
1e-4 by half decades until two in turn are worse, or one by 1%. Held out are the validation
photographs where there is a test beside them; otherwise each of five folds of the training
photographs in turn, which keep groups together. From 5,000 training photographs on one fold is held
out, and whole decades are tried. Where the accuracy is measured by cross-validation too, the
penalty is chosen anew within each fold's training photographs.

Photographs are taken in the order of their contents' hashes: rounding, and samples that are drawn
of them, depend on their order, and the order in which they are listed is that of names.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tortie.images.split import folds
from tortie.learning.softmax import (
    PENALTIES,
    Floats,
    Integers,
    LinearHead,
    PenaltyChoice,
    Weights,
    choose,
    held_out_parts,
    is_small,
    softmax,
)
from tortie.learning.softmax_solver import FOLD_GAP, GAP, Problems, TrainingSet
from tortie.learning.temperature import choose_temperature
from tortie.learning.training_weights import TrainingWeights
from tortie.processes import core_count

FOLDS = 5
MANY = 5000
"""From so many training photographs on, one fold chooses the penalty: a fifth of them tells as
much, and five fits would take five times the time and the memory."""

MOST_COPIED = 2**25
"""Numbers of a training set up to which they are copied to be standardised: 134 MB."""
_ROWS = 2048  # that are worked on at once, of more: 10 MB of 1,280 features


@dataclass(frozen=True)
class LabelledFeatures:
    """Activations with what is known of the photographs they come from.

    Attributes:
        features: float32 ``(N, D)``.
        labels: class indices ``(N,)``.
        keys: SHA-256 of each photograph's content: draws depend on nothing else.
        groups: photographs of one group are never on two sides of a split.
        classes: K.
        weights: what each photograph counts where it is predicted ``(N,)``; ``None`` where each is
            one.
        drawn: float32 ``(T, V, D)``, V drawn views of the photographs that may be trained on; they
            are trained on beside the undistorted view, and never predicted.
        training: what each photograph counts where it is trained on.
        drawn_rows: row among ``drawn`` of each photograph ``(N,)``; −1 where it has none.
    """

    features: Floats
    labels: Integers
    keys: Sequence[str]
    groups: Sequence[int | None]
    classes: int
    weights: Weights | None = None
    drawn: Floats | None = None
    drawn_rows: Integers | None = None
    training: TrainingWeights = field(default_factory=TrainingWeights)

    def with_drawn(self, drawn: Floats, of: Integers) -> "LabelledFeatures":
        """The same with drawn views ``(T, V, D)`` of the photographs ``of`` ``(T,)``."""
        rows = np.full(len(self.keys), -1)
        rows[of] = np.arange(len(of))
        return replace(self, drawn=drawn, drawn_rows=rows)

    @cached_property
    def _ranks(self) -> Integers:
        """The place of each photograph in the order of contents; of equal ones, of their labels."""
        labels = self.labels.tolist()
        order = sorted(range(len(labels)), key=lambda row: (self.keys[row], labels[row]))
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        return ranks

    def by_content(self, rows: Integers) -> Integers:
        """Some rows in the order of their contents, which no name and no folder changes."""
        return rows[np.argsort(self._ranks[rows])]

    def weights_of(self, rows: Integers) -> Weights:
        """What each of ``rows`` counts where it is predicted."""
        return np.ones(len(rows)) if self.weights is None else self.weights[rows]

    def problems(self, trains: Sequence[Integers]) -> Problems:
        """Softmax regression on all views of each of ``trains``."""
        rows = self.by_content(np.unique(np.concatenate(trains)))
        copied = self.drawn is not None or len(rows) * self.features[0].size <= MOST_COPIED
        features, of = self.features[rows] if copied else self.features, rows
        if self.drawn is not None and self.drawn_rows is not None:
            numbers = self.drawn_rows[rows]
            drawn = self.drawn[numbers[numbers >= 0]]  # (n, V, D)
            features = np.concatenate([features, drawn.reshape(-1, drawn.shape[2])])
            of = np.concatenate([rows, rows[numbers >= 0].repeat(drawn.shape[1])])
        labels = self.labels[of]
        sets = []
        for train in trains:
            own = np.flatnonzero(np.isin(of, train))
            weights = self.training.of(of[own], labels[own], self.classes)
            sets.append(TrainingSet(own, weights))
        threads = 1 if is_small(self.features) else core_count()
        kept = None if copied else rows
        return Problems(features, labels, self.classes, sets, rows=kept, threads=threads)

    def folds(self, seed: int, among: Integers) -> NDArray[np.int64]:
        """A fold for each photograph ``among`` them, stratified, groups kept together."""
        known = self._folds.get((seed, among.tobytes()))
        if known is not None:
            return known
        labels = [str(self.labels[i]) for i in among]
        keys, groups = [self.keys[i] for i in among], [self.groups[i] for i in among]
        units = {key if group is None else group for key, group in zip(keys, groups, strict=True)}
        count = max(2, min(FOLDS, len(units)))
        found = folds(labels, keys, groups, count, seed)
        self._folds[seed, among.tobytes()] = found
        return found

    @cached_property
    def _folds(self) -> dict[tuple[int, bytes], NDArray[np.int64]]:
        """Folds that were asked for, of a seed and some photographs: of many, they take seconds."""
        return {}


@dataclass(frozen=True)
class HeldOut:
    """Probabilities of photographs that had no part in training or choosing.

    Attributes:
        positions: which photographs, indices ``(n,)``.
        probabilities: float32 ``(n, K)``, uncalibrated.
        temperatures: of each photograph, fitted without it ``(n,)``; ``None`` where that is the
            classifier's own.
    """

    positions: Integers
    probabilities: Floats
    temperatures: Floats | None = None

    def places(self, positions: Integers) -> Integers:
        """Where some of the photographs stand among these, in the order that is asked for."""
        order = np.argsort(self.positions)
        places: Integers = order[np.searchsorted(self.positions, positions, sorter=order)]
        return places

    def only(self, positions: Integers) -> "HeldOut":
        """Those of some photographs."""
        kept = np.isin(self.positions, positions)
        own = None if self.temperatures is None else self.temperatures[kept]
        return HeldOut(self.positions[kept], self.probabilities[kept], own)


def choose_among(
    data: LabelledFeatures, train: Integers, seed: int, kept: float | None = None
) -> PenaltyChoice:
    """The penalty by cross-fitting inside ``train``, of which every photograph is held out once.

    Of 5,000 photographs and more, one fold is held out. A penalty that is ``kept`` is the only one
    that is tried.
    """
    return _choose(data, cross_fitted_parts(data, train, seed), kept)


def cross_fitted_parts(
    data: LabelledFeatures, train: Integers, seed: int
) -> list[tuple[Integers, Integers]]:
    """What is trained on and what is held out, fold by fold; one fold of 5,000 and more."""
    parts = fold_parts(data, train, seed)
    return parts[:1] if len(train) >= MANY else parts


def fold_parts(
    data: LabelledFeatures, train: Integers, seed: int
) -> list[tuple[Integers, Integers]]:
    """What is outside a fold and what is in it, for each fold of some photographs."""
    train = data.by_content(train)
    return [
        (train[outside], train[inside])
        for outside, inside in held_out_parts(data.folds(seed, train))
    ]


def choose_on(data: LabelledFeatures, train: Integers, validation: Integers) -> PenaltyChoice:
    """The penalty by training on ``train`` and scoring on ``validation``."""
    return _choose(data, [(train, data.by_content(validation))])


def _choose(
    data: LabelledFeatures, parts: Sequence[tuple[Integers, Integers]], kept: float | None = None
) -> PenaltyChoice:
    problems = data.problems([train for train, _ in parts])
    held = [(data.features[rows], data.labels[rows], data.weights_of(rows)) for _, rows in parts]
    if kept is not None:
        return choose(problems, held, (kept,))
    many = len(parts[0][0]) >= MANY
    return choose(problems, held, PENALTIES[::2] if many else PENALTIES)  # whole decades


def train_on(
    data: LabelledFeatures, train: Integers, penalty: float, gap: float = GAP
) -> LinearHead:
    """The softmax layer of ``train``, its loss no more than ``gap`` above the least."""
    return data.problems([train]).solve(penalty, gap)[0]


def cross_validate(data: LabelledFeatures, seed: int, threads: int = 1) -> HeldOut:
    """Nested cross-fitting: each photograph is predicted by a head that it did not train or choose.

    In each outer fold the penalty is chosen, and the temperature fitted, by an inner cross-fitting
    of the other folds.

    Args:
        data: the photographs.
        seed: of the folds.
        threads: outer folds that are computed at once, where a matrix product takes one thread.
    """
    everything = data.by_content(np.arange(len(data.labels)))
    outer = fold_parts(data, everything, seed)
    probabilities = np.zeros((len(data.labels), data.classes), np.float32)
    temperatures = np.ones(len(data.labels), np.float32)

    def predict(number: int) -> None:
        train, held = outer[number]
        inner = choose_among(data, train, seed + number + 1)
        head = train_on(data, train, inner.penalty, FOLD_GAP)
        probabilities[held] = softmax(head.logits(data.features[held]))
        temperatures[held] = choose_temperature(softmax(inner.logits), inner.labels, inner.weights)

    with ThreadPoolExecutor(threads if is_small(data.features) else 1) as pool:
        list(pool.map(predict, range(len(outer))))
    return HeldOut(everything, probabilities[everything], temperatures[everything])


def cross_fit(
    data: LabelledFeatures, train: Integers, seed: int, penalty: float
) -> list[tuple[LinearHead, Integers]]:
    """Heads, each with the photographs of ``train`` that neither they nor their groups trained."""
    parts = cross_fitted_parts(data, train, seed)
    heads = data.problems([own for own, _ in parts]).solve(penalty, FOLD_GAP)
    return [(head, held) for head, (_, held) in zip(heads, parts, strict=True)]


def predict_by(data: LabelledFeatures, head: LinearHead, positions: Integers) -> HeldOut:
    """Probabilities of ``positions`` by a trained head."""
    positions = data.by_content(positions)
    blocks = [positions[at : at + _ROWS] for at in range(0, len(positions), _ROWS)]
    logits = [head.logits(data.features[rows]) for rows in blocks]
    return HeldOut(
        positions, softmax(np.concatenate([np.empty((0, data.classes), np.float32), *logits]))
    )
