"""The report of a fit or an evaluation: one HTML file that asks nothing of the network."""

import platform
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
from numpy.typing import NDArray

from tortie import __version__
from tortie.evaluation import advice, charts, page
from tortie.evaluation.calibration import brier, expected_calibration_error, reliability
from tortie.evaluation.coverage import Covered, coverage_curve
from tortie.evaluation.gallery import (
    Card,
    LabelledPredictions,
    OfClass,
    below,
    by_class,
    cards,
    shared_folder,
    surest_mistakes,
)
from tortie.evaluation.metrics import Interval, Scores, amount, shown_probability, wilson
from tortie.evaluation.prediction_sets import MeasuredSets
from tortie.files import replacing
from tortie.images import Source
from tortie.processes import core_count
from tortie.text import utf8

if TYPE_CHECKING:
    from jinja2 import Template

    from tortie.activations.extract import Extractor
    from tortie.evaluation.activation_maps import ActivationMap
    from tortie.evaluation.member import MemberNetwork

MAPS = 6  # activation maps: the network runs on these photographs again
MOST_SKIPPED = 200  # files that are listed
_TABLE_CLASSES = 16  # above these the confusion is a picture
_ENOUGH = 20  # answers, below which a point of the curve says nothing
_ROWS = 20  # classes in a table; of more, the weakest come first and the others are folded
_CONFUSED = 12  # pairs listed beside that picture
_COVERED = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)  # thresholds of the table


@dataclass(frozen=True)
class EnsembleRow:
    """A row of the table of an ensemble: a member, or all of them together.

    Attributes:
        name: of the member, with its crops.
        accuracy: with its interval.
        log_loss: in nats.
        cost: of one photograph, in words: multiplications, or runs of a network.
    """

    name: str
    accuracy: Interval
    log_loss: float
    cost: str


@dataclass(frozen=True)
class Report:
    """What a report shows. What is left empty is left out of the page.

    Attributes:
        title: the classifier's file name.
        classes: names, in the order of the columns.
        scores: every figure, or ``None`` where there was too little to tell.
        reason: why there are no scores.
        on: what the accuracy was counted on.
        held: the photographs counted.
        labels: their true class indices.
        probabilities: theirs, ``(n, K)``.
        weights: of each ``(n,)``: those of a group of copies add up to one; ``None`` where each
            is one.
        groups: number of each one's group ``(n,)``; ``None`` where each is on its own.
        uncalibrated: theirs before the temperature, ``(n, K)``; ``None`` where there is none.
        sets: coverage and mean size of prediction sets of the usual confidences.
        strangers: how well kinds of things that were not trained on are noticed, in words.
        plan: headings and lines of the plan.
        outcome: what was planned, the estimate, the measured value.
        history: a mapping an epoch, of ``epoch``, ``train_loss``, ``validation_loss``,
            ``validation_accuracy`` and ``learning_rate``.
        best_epoch: the epoch whose parameters were kept.
        ensemble: each member, and what they are worth together.
        ensemble_note: a sentence on their figures.
        counts: photographs by split.
        trained: photographs of each class that were trained on.
        seconds: spent, by phase.
        skipped: path and reason of photographs that took no part.
        notes: what the user should know.
        settings: what it takes to repeat this beside the versions: the seed, the penalty.
        network: draws the class activation maps; ``None`` for none.
        extractor: of the network: what runs it, and where activations are kept.
        sha256: of the content of each of ``held``.
    """

    title: str
    classes: Sequence[str]
    scores: Scores | None
    reason: str | None
    on: str
    held: Sequence[Source]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    weights: NDArray[np.float64] | None = None
    groups: NDArray[np.int64] | None = None
    uncalibrated: NDArray[np.float32] | None = None
    sets: Sequence[MeasuredSets] = ()
    strangers: str | None = None
    plan: Sequence[tuple[str, str]] = ()
    outcome: Sequence[tuple[str, str, str]] = ()
    history: Sequence[Mapping[str, float | None]] = ()
    best_epoch: int | None = None
    ensemble: Sequence[EnsembleRow] = ()
    ensemble_note: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    trained: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    skipped: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    network: "MemberNetwork | None" = None
    extractor: "Extractor | None" = None
    sha256: Sequence[str | None] = ()


def write_report(path: Path, report: Report) -> None:
    """Write the report as one self-contained HTML file; ``path`` is old or new, never half.

    The page has no script. Pictures lie in it as data; those of classes are at most 240, so that
    10,000 photographs of 100 classes make some 3 MB.

    Raises:
        TortieError: the disk is full, or the folder cannot be written.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="tortie-report") as beside:
        context = beside.submit(_context, report)
        template = _template()  # jinja2's import and work, while pictures are decoded
        html = template.render(report=report, **context.result())
    with replacing(path) as file:
        file.write(utf8(html))


def _template() -> "Template":
    environment = page.environment()
    environment.filters["percent"] = "{:.1%}".format
    environment.filters["probability"] = shown_probability
    environment.filters["count"] = amount
    environment.filters["span"] = lambda one: f"{one.low * 100:.1f}–{one.high:.1%}"
    return page.template("report.html.j2", environment)


def _context(report: Report) -> dict[str, Any]:
    """All that the template needs beside the report, by name."""
    held = LabelledPredictions(
        report.held, report.labels, report.probabilities, report.classes, report.groups
    )
    paths = [one for one in report.held if isinstance(one, Path)]
    folder = shared_folder(paths)
    mistakes, classes = surest_mistakes(held), by_class(held)
    explained = _explained(mistakes, classes)
    positions = [i for one in classes for i in (*one.typical, *one.doubtful)]
    with ThreadPoolExecutor(1, thread_name_prefix="tortie-maps") as beside:
        maps = beside.submit(_maps, report, held, explained)
        shown = cards(held, [*mistakes, *positions, *explained], folder)
    curve = coverage_curve(report.probabilities, report.labels, report.weights)
    rows = class_rows(report)
    return {
        "trust": advice.trust(report.scores, report.reason),
        "baseline": report.scores.baseline if report.scores else None,
        "advice": advice.next_photographs(report.scores, report.trained),
        "folder": folder,
        "rows": rows,
        "weakest": _weakest(rows),
        "confusion": confusion_of(report.scores),
        "calibration": calibration_of(report),
        "coverage": coverage_of(curve),
        "mistakes": [shown[i] for i in mistakes],
        "wrong": len(held.apart(np.flatnonzero(held.taken_for != report.labels))),
        "galleries": [_gallery(one, held, shown) for one in classes],
        "uncounted": len(set(report.labels.tolist())) - len(classes),
        "maps": [(shown[i], one) for i, one in maps.result()[0].items()],
        "no_maps": maps.result()[1],
        "history": charts.history_charts(report.history, report.best_epoch),
        "skipped": [(_named(one[0], folder), one[1]) for one in report.skipped[:MOST_SKIPPED]],
        "environment": _environment(report),
    }


def _explained(mistakes: Sequence[int], classes: Sequence[OfClass]) -> list[int]:
    """The photographs that get an activation map: half of them mistakes, if there are so many."""
    typical = [one.typical[turn] for turn in (0, 1) for one in classes if turn < len(one.typical)]
    return [*mistakes[: max(MAPS // 2, MAPS - len(typical))], *typical][:MAPS]


def class_rows(report: Report) -> list[dict[str, Any]]:
    """The table of the classes; the interval is that of the recall, and ``None`` without any.

    What no photograph bears on is left open: recall and F1 of a class without one, and the
    precision of a class that nothing was ``called``.
    """
    if report.scores is None:
        return []
    return [
        {
            "name": name,
            "one": one,
            "span": wilson(one.recall * one.n, one.n) if one.n else None,
            "called": sum(row[number] for row in report.scores.confusion),
            "trained": report.trained.get(name),
        }
        for number, (name, one) in enumerate(report.scores.per_class.items())
    ]


def _weakest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ten rows of least recall, where there are too many to show all at once; else none."""
    if len(rows) <= _ROWS:
        return []
    counted = [row for row in rows if row["span"]]
    return sorted(counted, key=lambda row: row["one"].recall)[:10]


def confusion_of(scores: Scores | None) -> dict[str, Any]:
    """The confusion as a table of counts with the share of their row, or as a picture."""
    if scores is None:
        return {}
    if len(scores.confusion) > _TABLE_CLASSES:
        picture = charts.confusion_picture(scores.confusion)
        return {"picture": picture, "pairs": advice.confused(scores, _CONFUSED)}
    rows = [[(count, count / (sum(row) or 1)) for count in row] for row in scores.confusion]
    return {"table": rows}


def calibration_of(report: Report) -> dict[str, Any]:
    """Reliability and its error, before and after; empty without scores."""
    if report.scores is None:
        return {}
    weights = report.weights
    after = reliability(report.probabilities, report.labels, weights=weights)
    given = report.probabilities.max(axis=1).astype(np.float64)
    found: dict[str, Any] = {
        "error": expected_calibration_error(report.probabilities, report.labels, weights=weights),
        "brier": brier(report.probabilities, report.labels, weights),
        "said": float(np.average(given, weights=weights)),
        "before": None,
    }
    before, raw = [], report.uncalibrated
    if raw is not None and not np.array_equal(raw, report.probabilities):
        before = reliability(raw, report.labels, weights=weights)
        found["before"] = expected_calibration_error(raw, report.labels, weights=weights)
    found["chart"] = charts.reliability_chart(after, before)
    return found


def coverage_of(curve: Sequence[Covered]) -> dict[str, Any]:
    """The curve, a few of its points as rows, and the one worth a sentence."""
    curve = [one for one in curve if one.n >= min(_ENOUGH, curve[0].n)]
    if not curve or curve[-1].n == curve[0].n:
        return {}
    refusing = advice.worth_refusing(curve)
    rows: list[Covered] = []
    for one in curve:
        shown = one.threshold in _COVERED or one is refusing
        if shown and not (rows and rows[-1].n == one.n):
            rows.append(one)
    return {"chart": charts.coverage_chart(curve), "rows": rows, "refusing": refusing}


def _gallery(one: OfClass, held: LabelledPredictions, shown: Mapping[int, Card]) -> dict[str, Any]:
    return {
        "name": held.classes[one.label],
        "typical": [(shown[i], float(held.probabilities[i, one.label])) for i in one.typical],
        "doubtful": [(shown[i], float(held.probabilities[i, one.label])) for i in one.doubtful],
    }


def _maps(
    report: Report, held: LabelledPredictions, positions: Sequence[int]
) -> tuple[dict[int, "ActivationMap"], str | None]:
    """Activation maps by position, and why there are none where they were wanted."""
    if report.network is None or report.extractor is None or not positions:
        return {}, None
    from tortie.evaluation.activation_maps import activation_maps

    last = report.network.last_maps
    if last is None:
        return {}, "the network does not end in global average pooling and a linear map"
    sources = [held.sources[i] for i in positions]
    classes = [int(held.taken_for[i]) for i in positions]
    sha256 = [report.sha256[i] for i in positions]
    drawn = activation_maps(last, report.extractor, sources, sha256, classes)
    return {i: one for i, one in zip(positions, drawn, strict=True) if one is not None}, None


def _named(path: str, folder: Path | None) -> str:
    return below(Path(path), 0, folder)


def _environment(report: Report) -> dict[str, str]:
    return {
        **report.settings,
        "tortie": __version__,
        "torch": version("torch"),
        "Pillow": PIL.__version__,
        "NumPy": np.__version__,
        "Python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {core_count()} threads",
        "written": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }
