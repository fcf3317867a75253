"""The outcome of a fit: the trained network and what was measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tortie.errors import UsageError
from tortie.evaluation.calibration import temperature_scaled
from tortie.evaluation.frames import frame
from tortie.evaluation.metrics import Scores, score
from tortie.evaluation.notebook import accuracy_line, evaluation_card
from tortie.evaluation.novelty import Novelty
from tortie.evaluation.plots import (
    PLOTS,
    PlotKind,
    check_kind,
    new_axes,
    plot_learning_curve,
    plotted,
)
from tortie.evaluation.prediction_sets import (
    MeasuredSets,
    PredictionSets,
    fit_sets,
    measure_sets,
)
from tortie.evaluation.strangers import Strangers, told
from tortie.images.finding import Finding, worst
from tortie.images.findings import file_findings
from tortie.images.labels import labels_of
from tortie.images.split import Row
from tortie.learning.calibration import Calibration
from tortie.learning.cross_fitting import HeldOut
from tortie.learning.dataset import Dataset
from tortie.learning.plan import Plan
from tortie.networks.entry import Entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from tortie.activations.extract import Extractor
    from tortie.evaluation.member import MemberNetwork
    from tortie.learning.feature_rows import FeatureRows
    from tortie.networks.network import Network

NoteSource = Literal["photographs", "network", "split", "views", "calibration", "training", "found"]
Notes = dict[NoteSource, Sequence[str]]
"""What the user should know, by what it is about, in the order in which it is told."""


@dataclass(frozen=True)
class FitResult:
    """What a fit trained and measured.

    Attributes:
        part: the network, its head trained.
        extractor: computes what its last stage yields.
        entry: its row in the table.
        plan: what was planned.
        data: the photographs, their labels, and what each was for.
        held_out: probabilities of those that the accuracy is counted on, before calibration, and
            where each has its own, the temperature that was fitted without it.
        calibration: the temperatures, and what they were fitted on.
        notes_by_source: what the user should know.
        seconds: spent, by phase.
        penalty: λ of the softmax layer; ``None`` where it was trained by steps.
        novelty: how far a photograph is from the training photographs; ``None`` where it cannot be
            told.
        strangers: how well kinds of things that were not trained on are noticed; ``None`` where
            that cannot be told.
        label_errors: labels that may be wrong; ``None`` where they were not looked for.
        history: metrics of each epoch of the training; empty where there was none.
        best_epoch: the one whose weights were kept.
        members: the results of an ensemble's networks; empty for one network.
        rows: all rows of features, of which the photographs are a sample; ``None`` where these are
            all.
    """

    part: "MemberNetwork"
    extractor: "Extractor | None"
    entry: Entry
    plan: Plan
    data: Dataset
    held_out: HeldOut
    calibration: Calibration
    notes_by_source: Notes
    seconds: dict[str, float]
    penalty: float | None = None
    novelty: Novelty | None = None
    strangers: Strangers | None = None
    label_errors: Sequence[Finding] | None = None
    history: list[dict[str, float | None]] = field(default_factory=list)
    best_epoch: int | None = None
    members: "tuple[FitResult, ...]" = ()
    rows: "FeatureRows | None" = None

    def __repr__(self) -> str:
        """Network, photographs and accuracy."""
        line = accuracy_line(self.scores, self.data.too_few, self.data.split.on)
        count = f"{self.photographs:,} photographs in {len(self.data.classes)} classes"
        return f"FitResult({self.plan.network}, {count}; {line})"

    def to_frame(self) -> "DataFrame":
        """A row for each photograph: path, label of the type that was given, split and group."""
        rows = list(self.split_rows())
        columns: dict[str, list[Any]] = {
            "path": [str(row.path) for row in rows],
            "label": list(labels_of([row.label for row in rows], self.data.label_type)),
            "split": [row.split for row in rows],
            "group": [row.group for row in rows],
        }
        return frame(columns)

    def plot(self, kind: PlotKind | None = None, ax: "Axes | None" = None) -> "Axes":
        """A picture of it, on ``ax`` or on the axes of a new figure.

        Args:
            kind: ``"learning curve"``, the default of a training by steps, ``"confusion"``,
                ``"reliability"`` or ``"coverage"``.
            ax: matplotlib's axes.

        Raises:
            UsageError: no such picture, or nothing to draw.
        """
        kind = kind or ("learning curve" if self.history else "confusion")
        check_kind(kind, PLOTS)
        if kind == "learning curve":
            if not self.history:
                raise UsageError("no learning curve: the softmax layer was solved for, in no steps")
            ax = new_axes(ax)
            plot_learning_curve(ax, self.history, self.best_epoch)
            return ax
        if self.scores is None:
            raise UsageError(f"nothing to plot: {self.data.too_few}")
        return plotted(
            kind, ax, self.scores, self.data.classes, self.probabilities, self.scored_labels,
            self.scored_weights,
        )  # fmt: skip

    def _repr_html_(self) -> str:
        from tortie.learning.fit_report import report_of

        return evaluation_card(report_of(self, f"Fit of {self.plan.network}")).html()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle takes along: all but the engine, which is made anew."""
        return {**vars(self), "extractor": None}

    @property
    def network(self) -> "Network":
        """The network as torch's modules, built when they are first asked for."""
        return self.part.network

    @property
    def each(self) -> "tuple[FitResult, ...]":
        """The members, or the one network that this is."""
        return self.members or (self,)

    @cached_property
    def scores(self) -> Scores | None:
        """Every figure on the photographs held out; ``None`` where there are too few."""
        return self.score(self.probabilities)

    @cached_property
    def uncalibrated_scores(self) -> Scores | None:
        """The same figures before the temperature."""
        return self.score(self.held_out.probabilities)

    def score(self, probabilities: NDArray[np.float32]) -> Scores | None:
        """The figures of other probabilities of the photographs held out ``(n, K)``."""
        if self.data.too_few is not None:
            return None
        return score(probabilities, self.scored_labels, self.data.classes, self.scored_weights)

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Of the photographs held out ``(n, K)``, calibrated without the photograph itself."""
        own = self.held_out.temperatures
        temperatures = self.calibration.temperature["1"] if own is None else own
        return temperature_scaled(self.held_out.probabilities, temperatures)

    @cached_property
    def prediction_sets(self) -> dict[str, PredictionSets]:
        """What prediction sets need, by crop setting; empty where too few were held out."""
        found = {
            crops: fit_sets(
                one.probabilities, self.data.labels[one.positions], self.data.weights(one.positions)
            )
            for crops, one in self.calibration.predictions.items()
        }
        return {crops: one for crops, one in found.items() if one is not None}

    @cached_property
    def measured_sets(self) -> list[MeasuredSets]:
        """Coverage and size of prediction sets on the photographs held out.

        In cross-validation the sets were taken from the same photographs: their size alone is
        measured.
        """
        if self.data.too_few is not None:
            return []
        return measure_sets(
            self.prediction_sets.get("1"), self.held_out.probabilities, self.scored_labels,
            self.scored_weights, self.data.classes,
        )  # fmt: skip

    @property
    def scored_labels(self) -> NDArray[np.int64]:
        """Class indices ``(n,)`` of the photographs held out."""
        return self.data.labels[self.held_out.positions]

    @property
    def scored_weights(self) -> NDArray[np.float64]:
        """What each photograph held out counts ``(n,)``: those of a group add up to one."""
        return self.data.weights(self.held_out.positions)

    @property
    def strangers_told(self) -> str | None:
        """How well strangers are noticed, in words; ``None`` where no distance tells them."""
        if self.novelty is None:
            return None
        return told(self.strangers, len(self.data.classes))

    @property
    def photographs(self) -> int:
        """How many can be read."""
        return len(self.data) if self.rows is None else len(self.rows)

    @property
    def split_counts(self) -> dict[str, int]:
        """Number of photographs in each part of the split."""
        return self.data.split_counts if self.rows is None else self.rows.counts

    @property
    def notes(self) -> list[str]:
        """What the user should know, a line each."""
        return [line for lines in self.notes_by_source.values() for line in lines]

    @property
    def head(self) -> str:
        """What the file says of the head: the paper's own, or the one that was asked for."""
        own = self.plan.weights is None and self.plan.head == "linear"
        return "published" if own else self.plan.head

    def split_rows(self) -> Iterator[Row]:
        """The split of every photograph, to be written and given back."""
        if self.rows is not None:
            yield from self.rows.split_rows()
            return
        data = self.data
        for photograph, split, group in zip(
            data.photographs, data.split.splits, data.groups, strict=True
        ):
            name = None if group is None else str(group)
            yield Row(photograph.path, photograph.label, split, name)


def dataset_notes(
    data: Dataset,
    listed: Sequence[str],
    network: Sequence[str],
    label_errors: Sequence[Finding] = (),
) -> Notes:
    """The notes that every fit has: of the photographs, the network, the split and what was found.

    Args:
        data: the photographs.
        listed: what was noted as the photographs were listed.
        network: what the network has to say of its weights.
        label_errors: about labels; empty where they were not looked for.
    """
    empty = [f"class {name} has no readable photograph" for name in data.empty_classes]
    return {
        "photographs": [*listed, *empty, *data.inspection.duplicates.notes],
        "network": network,
        "split": [*data.split.notes, *data.inspection.weights.notes()],
        "found": [*named("not counted", data.leaks()), *_worst_found(data, label_errors)],
    }


def _worst_found(data: Dataset, label_errors: Sequence[Finding]) -> list[str]:
    """The three worst kinds of finding of ``tortie check``, a line each.

    Files that cannot be read are listed elsewhere.
    """
    findings = [
        one for one in file_findings(data.inspection) if one.kind not in ("unreadable", "truncated")
    ]
    return [f"{line}; tortie check names all" for line in worst([*findings, *label_errors])]


def named(what: str, paths: Sequence[Path]) -> list[str]:
    """A note that names the first few of the paths; none where there are none."""
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return [f"{what}: {', '.join(map(str, paths[:3]))}{more}"] if paths else []
