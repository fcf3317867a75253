"""What a classifier says of one photograph, and how good it is on many."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tortie.errors import UsageError
from tortie.evaluation.frames import frame
from tortie.evaluation.metrics import Scores, score, shown_probability
from tortie.evaluation.notebook import NotebookCard, accuracy_line, evaluation_card
from tortie.evaluation.novelty import STRANGE
from tortie.evaluation.prediction_sets import MeasuredSets
from tortie.images import Source, Split
from tortie.images.inputs import Skipped
from tortie.images.labels import LabelType, labels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from tortie.activations.extract import Extractor
    from tortie.evaluation.coverage import Covered
    from tortie.evaluation.member import MemberNetwork
    from tortie.evaluation.plots import PlotKind
    from tortie.evaluation.predict import Predictions
    from tortie.evaluation.report import EnsembleRow, Report

_SHOWN = 3  # predictions in a line
_ROWS = 50  # predictions in a notebook's table


@dataclass(frozen=True)
class Prediction:
    """What the classifier says of one photograph.

    Attributes:
        source: the photograph, as it was given.
        probabilities: by class name, most probable first; empty where it cannot be read.
        reason: why it cannot be read; ``None`` where it can.
        rejected: no class is probable enough to be named.
        novelty_percentile: percentage of the training photographs, 0 to 100, that are less far
            from the others than this one is; ``None`` where the classifier cannot tell.
        prediction_set: the classes that hold the right one with the confidence that was asked for,
            most probable first; ``None`` where none was.
        label_type: of the labels that the class names stand for.
    """

    source: Source
    probabilities: dict[str, float]
    reason: str | None = None
    rejected: bool = False
    novelty_percentile: float | None = None
    prediction_set: tuple[str, ...] | None = None
    label_type: LabelType = "str"

    def __repr__(self) -> str:
        """The photograph, its label and that label's probability."""
        if self.reason:
            return f"Prediction({_named(self.source)}: {self.reason})"
        label = "rejected" if self.label is None else repr(self.label)
        said = shown_probability(self.probability or 0.0)
        return f"Prediction({_named(self.source)}: {label} {said})"

    def rejecting(self, below: float) -> "Prediction":
        """The same, rejected where its highest probability is below this."""
        most = self.probability
        # As the coverage curve counts; no probability is 1, though rounding may make it so.
        under = most is not None and (below >= 1 or bool(np.float32(most) < np.float32(below)))
        return replace(self, rejected=under)

    @property
    def class_name(self) -> str | None:
        """Of the most probable class; ``None`` where it is rejected or cannot be read."""
        return None if self.rejected else next(iter(self.probabilities), None)

    @property
    def label(self) -> str | int | float | bool | None:
        """The label of that class, of the type that was learnt; ``None`` where there is none."""
        name = self.class_name
        return None if name is None else labels_of([name], self.label_type).tolist()[0]

    @property
    def is_strange(self) -> bool:
        """Whether it is unlike the training photographs: as far as the farthest of twenty."""
        return self.novelty_percentile is not None and self.novelty_percentile >= STRANGE

    @property
    def probability(self) -> float | None:
        """Of the most probable class, rejected or not; ``None`` where it cannot be read."""
        return next(iter(self.probabilities.values()), None)

    def document(self, path: str) -> dict[str, Any]:
        """What JSON says of it, of a photograph that goes by this name."""
        if self.reason:
            return {"path": path, "reason": self.reason}
        return {
            "path": path,
            "label": self.class_name,
            "probability": self.probability,
            "rejected": self.rejected,
            "novelty_percentile": self.novelty_percentile,
            "probabilities": self.probabilities,
            **({} if self.prediction_set is None else {"prediction_set": self.prediction_set}),
        }


class PredictionList(list[Prediction]):
    """Predictions in the order of the photographs: a list that can be a table."""

    def __repr__(self) -> str:
        """The first few, and how many there are."""
        shown_ones = ", ".join(map(repr, self[:_SHOWN]))
        more = f", … {len(self):,} in all" if len(self) > _SHOWN else ""
        return f"[{shown_ones}{more}]"

    def to_frame(self) -> "DataFrame":
        """A row for each photograph: source, label, probability, reason, and each class's own."""
        classes = sorted({name for one in self for name in one.probabilities})
        columns: dict[str, list[Any]] = {
            "source": [_named(one.source) for one in self],
            "label": [one.label for one in self],
            "probability": [one.probability for one in self],
            "novelty_percentile": [one.novelty_percentile for one in self],
            "reason": [one.reason for one in self],
        }
        each = {name: [one.probabilities.get(name) for one in self] for name in classes}
        return frame(columns | {f"p({name})": values for name, values in each.items()})

    def _repr_html_(self) -> str:
        rows = [
            (
                _named(one.source),
                one.reason or one.class_name or "rejected",
                "" if one.probability is None else shown_probability(one.probability),
            )
            for one in self[:_ROWS]
        ]
        return NotebookCard(
            f"{len(self):,} predictions" + (f", the first {_ROWS}" if len(self) > _ROWS else ""),
            head=("photograph", "label", "probability"),
            rows=rows,
        ).html()


def _named(source: Source) -> str:
    """A photograph in a few words: its path, or what it is."""
    if isinstance(source, Path):
        return str(source)
    if isinstance(source, bytes):
        return f"{len(source):,} bytes"
    if isinstance(source, np.ndarray):
        return f"array {source.shape}"
    return f"image {source.width}×{source.height}"


def to_predictions(
    sources: Sequence[Source],
    found: "Predictions",
    classes: Sequence[str],
    reject_below: float = 0.0,
    held: NDArray[np.bool_] | None = None,
    label_type: LabelType = "str",
) -> PredictionList:
    """What a classifier says of each source, in words of its classes.

    Args:
        sources: the photographs.
        found: their probabilities.
        classes: names, in the order of the columns.
        reject_below: a photograph whose most probable class has less gets no label.
        held: which classes are in the prediction set of each photograph that can be read
            ``(n, K)``; ``None`` where no confidence was asked for.
        label_type: of the labels that the names stand for.
    """
    predictions = PredictionList(
        Prediction(source, {}, found.reasons.get(i)) for i, source in enumerate(sources)
    )
    for number, (position, row) in enumerate(zip(found.rows, found.probabilities, strict=True)):
        ranked = {classes[k]: float(row[k]) for k in np.argsort(-row, kind="stable")}
        far = None if found.percentiles is None else float(found.percentiles[number])
        within = None
        if held is not None:
            own = {classes[k] for k in np.flatnonzero(held[number]).tolist()}
            within = tuple(name for name in ranked if name in own)
        prediction = Prediction(
            source=sources[position], probabilities=ranked, novelty_percentile=far,
            prediction_set=within, label_type=label_type,
        )  # fmt: skip
        predictions[position] = prediction.rejecting(reject_below)
    return predictions


@dataclass(frozen=True)
class MemberScores:
    """What one network, or all together, was worth with so many crops, before the temperature.

    Attributes:
        of: the network's name, or how many there are.
        crops: number of crops of each photograph.
        forward_passes: runs of a network for one photograph.
        scores: every figure.
    """

    of: str
    crops: int
    forward_passes: int
    scores: Scores

    def row(self) -> "EnsembleRow":
        """Its row in the report."""
        from tortie.evaluation.report import EnsembleRow

        crops = f", {self.crops} crops" if self.crops > 1 else ""
        runs = f"{self.forward_passes:,} run{'s' if self.forward_passes > 1 else ''} of a network"
        return EnsembleRow(self.of + crops, self.scores.accuracy, self.scores.log_loss, runs)


@dataclass(frozen=True)
class Evaluation:
    """How good a classifier is on labelled photographs that it was not trained on.

    Attributes:
        scores: every figure; ``None`` where no photograph could be counted.
        reason: why there are no scores.
        split: which split of the folder was counted; ``None`` where it has none.
        seen: how many photographs were left out of the count as the classifier was trained on
            them; ``None`` where its file does not say which these were.
        not_counted: how many were left out of the count as no figure can count them, and why.
        read_as: how the folders were read, a line each.
        skipped: those that cannot be read, or whose class the classifier does not know.
        paths: the photographs counted.
        labels: their true class indices ``(n,)``.
        probabilities: theirs, ``(n, K)``.
        uncalibrated: theirs before the temperature.
        classes: names, in the order of the columns.
        weights: of each photograph counted ``(n,)``: those of a group add up to one.
        groups: number of each one's group ``(n,)``.
        crops: number of crops of each photograph.
        temperature: that the logarithm of the probabilities was divided by.
        members: each network and all together, with one crop and with those asked for; empty
            where that is one network and one crop.
        sets: coverage and mean size of prediction sets of the usual confidences.
        sha256: of the content of each photograph counted.
        network: the first network, which draws the report's activation maps.
        extractor: of that network.
        label_type: of the labels that the class names stand for.
    """

    scores: Scores | None
    reason: str | None
    split: Split | None
    seen: int | None
    skipped: list[Skipped]
    paths: list[Path]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    uncalibrated: NDArray[np.float32]
    classes: Sequence[str]
    weights: NDArray[np.float64]
    groups: NDArray[np.int64]
    not_counted: Sequence[str] = ()
    read_as: Sequence[str] = ()
    crops: int = 1
    temperature: float = 1.0
    members: Sequence[MemberScores] = ()
    sets: Sequence[MeasuredSets] = ()
    sha256: Sequence[str | None] = ()
    network: "MemberNetwork | None" = None
    extractor: "Extractor | None" = None
    label_type: LabelType = "str"

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle takes along: all but the engine, which is made anew."""
        return {**vars(self), "extractor": None}

    def __repr__(self) -> str:
        """The accuracy with its interval, and what was counted."""
        line = accuracy_line(self.scores, self.reason, self.split or "photographs given")
        return f"Evaluation({line}; {len(self.classes)} classes)"

    def to_frame(self) -> "DataFrame":
        """A row for each photograph counted: path, label, prediction, and each class's probability.

        Labels have the type that was learnt.
        ``weight`` is what it counts: those of a group of copies add up to one.
        """
        predicted = self.probabilities.argmax(axis=1) if len(self.labels) else self.labels
        top = self.probabilities.max(axis=1) if len(self.labels) else self.weights
        names = labels_of(self.classes, self.label_type)
        columns: dict[str, Any] = {
            "path": [str(path) for path in self.paths],
            "label": names[self.labels],
            "predicted": names[predicted],
            "right": predicted == self.labels,
            "probability": top,
            "weight": self.weights,
        }
        each = {f"p({name})": self.probabilities[:, k] for k, name in enumerate(self.classes)}
        return frame(columns | each)

    def plot(self, kind: "PlotKind" = "confusion", ax: "Axes | None" = None) -> "Axes":
        """A picture of it, on ``ax`` or on the axes of a new figure.

        Args:
            kind: ``"confusion"``, ``"reliability"`` or ``"coverage"``.
            ax: matplotlib's axes.

        Raises:
            UsageError: no such picture, or no photograph was counted.
        """
        from tortie.evaluation.plots import PLOTS, check_kind, plotted

        check_kind(kind, PLOTS[:3])
        if self.scores is None:
            raise UsageError(f"nothing to plot: {self.reason}")
        return plotted(
            kind, ax, self.scores, self.classes, self.probabilities, self.labels, self.weights
        )

    def _repr_html_(self) -> str:
        return evaluation_card(self.report("Evaluation")).html()

    @property
    def uncalibrated_scores(self) -> Scores | None:
        """The figures before the temperature."""
        if self.scores is None:
            return None
        return score(self.uncalibrated, self.labels, self.classes, self.weights)

    @property
    def coverage(self) -> "list[Covered]":
        """What is gained by rejecting photographs that the classifier is unsure of."""
        from tortie.evaluation.coverage import coverage_curve

        return coverage_curve(self.probabilities, self.labels, self.weights)

    @property
    def private_notes(self) -> list[str]:
        """That photographs of its training may be counted, where its file names none of them."""
        if self.seen is not None:
            return []
        return [
            "cannot tell photographs it was trained on from others, as it was fitted with "
            "--private: whatever of these it was trained on is counted"
        ]

    @property
    def notes(self) -> list[str]:
        """How the folders were read and what was not counted, a line each."""
        lines = [*self.read_as, *self.private_notes]
        if self.seen:
            lines.append(f"{self.seen:,} photographs it was trained on are not counted")
        return [*lines, *self.not_counted]

    def report(self, title: str) -> "Report":
        """What the report of this evaluation shows."""
        from tortie.evaluation.report import Report

        return Report(
            title=title,
            classes=self.classes,
            scores=self.scores,
            reason=self.reason,
            on=self.split or "folder given",
            held=self.paths,
            labels=self.labels,
            probabilities=self.probabilities,
            uncalibrated=self.uncalibrated,
            ensemble=[one.row() for one in self.members],
            ensemble_note="The log loss is that before the temperature.",
            skipped=self.skipped,
            sets=self.sets,
            weights=self.weights,
            groups=self.groups,
            notes=self.notes,
            network=self.network,
            extractor=self.extractor,
            sha256=self.sha256,
        )
