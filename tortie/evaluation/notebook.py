"""What a notebook shows of a result: parts of the report, in the notebook's own theme."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tortie.evaluation import page
from tortie.evaluation.metrics import Scores, counted_on
from tortie.images.class_names import names_in_line
from tortie.text import quoted
from tortie.weights.classifier_metadata import Metadata

if TYPE_CHECKING:
    from markupsafe import Markup

    from tortie.evaluation.report import Report

_CLASSES = 20  # rows of the table; of more, those of least recall


@dataclass(frozen=True)
class NotebookCard:
    """What is shown, part by part; what is left empty is left out.

    Attributes:
        title: what it is.
        lines: sentences.
        facts: names and texts.
        names: of the classes, for the confusion matrix.
        classes: rows of the table of classes.
        more: which rows these are, where there are more.
        confusion: as a table or as a picture.
        charts: captions and drawings.
        head: names of the columns of ``rows``.
        rows: cells.
    """

    title: str
    lines: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    names: Sequence[str] = ()
    classes: Sequence[Mapping[str, Any]] = ()
    more: str = ""
    confusion: Mapping[str, Any] = field(default_factory=dict)
    charts: "Sequence[tuple[str, Markup]]" = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()

    def html(self) -> str:
        """The card, in the colours of the notebook that it is shown in."""
        return page.template("notebook.html.j2").render(card=self)


def accuracy_line(scores: Scores | None, reason: str | None, on: str) -> str:
    """An accuracy in a line, never bare: with its interval, what was counted, and its baseline."""
    if scores is None:
        return f"accuracy unknown: {reason}"
    from tortie.evaluation import advice

    right = scores.accuracy
    return (
        f"accuracy {right.value:.1%} (95% interval {right.low:.1%} to {right.high:.1%}) on "
        f"{counted_on(right.n, right.photographs, on)}; {advice.beside(scores)}"
    )


def evaluation_card(report: "Report") -> NotebookCard:
    """The accuracy, the classes, the confusion matrix, calibration and coverage of a report."""
    from tortie.evaluation import advice, charts
    from tortie.evaluation.coverage import coverage_curve
    from tortie.evaluation.report import calibration_of, class_rows, confusion_of, coverage_of

    scores = report.scores
    lines = [accuracy_line(scores, report.reason, report.on)]
    if scores is None:
        return NotebookCard(report.title, [*lines, *report.notes])
    lines += [f"warning: {one}" for one in advice.warnings(scores)]
    rows, more = class_rows(report), ""
    if len(rows) > _CLASSES:
        rows = sorted((row for row in rows if row["span"]), key=lambda row: row["one"].recall)
        more = f"the {_CLASSES} of least recall, of {len(report.classes):,} classes"
    count = len(report.skipped)
    left_out = f"{count:,} file{'s' * (count > 1)}" if count else "none"
    calibration = calibration_of(report)
    drawn = [("How sure it said it was, and how often it was right", calibration["chart"])]
    covered = coverage_of(coverage_curve(report.probabilities, report.labels, report.weights))
    if covered:
        drawn.append(("Accuracy where unsure photographs get no label", covered["chart"]))
    curves = charts.history_charts(report.history, report.best_epoch) if report.history else []
    drawn += [(caption, chart) for caption, _, chart in curves[:2]]
    facts = [
        ("log loss", f"{scores.log_loss:.3f} nats"),
        ("calibration error", f"{scores.ece:.1%}"),
        ("left out", left_out),
    ]
    return NotebookCard(
        title=report.title,
        lines=[*lines, *report.notes[:5]],
        facts=facts,
        names=report.classes,
        classes=rows[:_CLASSES],
        more=more,
        confusion=confusion_of(scores),
        charts=drawn,
    )


def stored_accuracy_line(metadata: Metadata) -> str:
    """The accuracy that a classifier's file has, in a line."""
    found = metadata.accuracy
    if found is None:
        return f"accuracy unknown: {metadata.accuracy_reason}"
    return (
        f"accuracy {found.value:.1%} (95% interval {found.low:.1%} to {found.high:.1%}) on "
        f"{counted_on(found.n, found.photographs, found.on)}"
    )


def classifier_card(metadata: Metadata, networks: Sequence[str]) -> NotebookCard:
    """What a classifier knows of itself: classes, accuracy, network, how it was trained."""
    temperature = metadata.temperature["1"]
    splits = metadata.training.get("splits", {})
    facts = [
        ("classes", names_in_line(metadata.classes)),
        ("network", ", ".join(networks)),
        ("calibration", f"temperature {temperature:.2f}" if temperature != 1 else "not needed"),
    ]
    if isinstance(splits, dict) and splits:
        facts.append(("photographs", ", ".join(f"{n:,} {name}" for name, n in splits.items())))
    line = stored_accuracy_line(metadata)
    base = metadata.accuracy
    if base is not None and base.baseline is not None:
        line += f"; always saying {quoted(base.baseline_class)}: {base.baseline:.1%}"
    return NotebookCard("ImageClassifier", [line], facts)
