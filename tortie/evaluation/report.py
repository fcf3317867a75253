"""The report of a fit or an evaluation: one HTML file that asks nothing of the network."""

import base64
import io
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tortie import __version__
from tortie.evaluation.metrics import Scores
from tortie.files import replacing
from tortie.images import Source, UnreadableImage, decode

MISTAKES = 12
_THUMBNAIL = 220  # pixels of the longer side
_CONFUSION_CLASSES = 30


@dataclass(frozen=True)
class Report:
    """What a report shows.

    Attributes:
        title: the classifier's file name.
        classes: names, in the order of the columns.
        scores: every figure, or ``None`` where there was too little to tell.
        reason: why there are no scores.
        on: what the accuracy was counted on.
        held: the photographs counted.
        labels: their true class indices.
        probabilities: theirs, ``(n, K)``.
        plan: headings and lines of the plan.
        counts: photographs by split.
        seconds: spent, by phase.
        left_out: path and reason of photographs that took no part.
        notes: what the user should know.
    """

    title: str
    classes: Sequence[str]
    scores: Scores | None
    reason: str | None
    on: str
    held: Sequence[Source]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    plan: Sequence[tuple[str, str]] = ()
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    left_out: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Mistake:
    """A photograph that was taken for another class.

    Attributes:
        path: the photograph.
        true: its class.
        taken_for: the class it was given.
        probability: given to that class.
        thumbnail: a JPEG as a data URI; empty where the file is gone.
    """

    path: str
    true: str
    taken_for: str
    probability: float
    thumbnail: str


def write_report(path: Path, report: Report) -> None:
    """Write the report as one self-contained HTML file; ``path`` is old or new, never half.

    Raises:
        TortieError: the disk is full, or the folder cannot be written.
    """
    import torch
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = "{:.1%}".format
    template = environment.from_string(
        files("tortie.evaluation").joinpath("report.html.j2").read_text(encoding="utf-8")
    )
    html = template.render(
        report=report,
        sentence=sentence(report),
        mistakes=worst_mistakes(report),
        confusion=_confusion(report.scores),
        environment={
            "tortie": __version__,
            "torch": torch.__version__,
            "Python": platform.python_version(),
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        },
    )
    with replacing(path) as file:
        file.write(html.encode("utf-8", "surrogateescape"))


def sentence(report: Report) -> str:
    """How far to trust the number, in plain words."""
    if report.scores is None:
        return f"How good this classifier is cannot be said yet: {report.reason}."
    accuracy = report.scores.accuracy
    wrong = (1 - accuracy.low) * 100, (1 - accuracy.high) * 100
    words = (
        f"Of 100 new photographs like these, expect it to be wrong on "
        f"{_whole(wrong[1])} to {_whole(wrong[0])}."
    )
    weakest, one = min(report.scores.per_class.items(), key=lambda pair: pair[1].recall)
    if one.recall < 0.5 * (1 + accuracy.value) - 0.15 and one.n:
        words += f" It is weakest on {weakest}: {one.recall:.0%} of them are recognised."
    if accuracy.high - accuracy.low > 0.1:
        words += (
            f" The range is wide because only {accuracy.n} photographs were counted; "
            "more photographs would narrow it."
        )
    return words


def worst_mistakes(report: Report) -> list[Mistake]:
    """The wrong answers that the classifier was surest of, surest first."""
    if not len(report.labels):
        return []
    taken_for = report.probabilities.argmax(axis=1)
    given = report.probabilities.max(axis=1)
    wrong = np.flatnonzero(taken_for != report.labels)
    surest = wrong[np.argsort(-given[wrong], kind="stable")][:MISTAKES]
    return [
        Mistake(
            path=str(report.held[i]),
            true=report.classes[report.labels[i]],
            taken_for=report.classes[taken_for[i]],
            probability=float(given[i]),
            thumbnail=thumbnail(report.held[i]),
        )
        for i in surest
    ]


def thumbnail(source: Source) -> str:
    """A photograph as a small JPEG in a data URI; empty where it cannot be read any more."""
    try:
        image = decode(source, at_least=_THUMBNAIL).image
    except UnreadableImage:
        return ""
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


def _confusion(scores: Scores | None) -> list[list[tuple[int, float]]] | None:
    """Counts with the share of their row, for the picture; ``None`` where it would not fit."""
    if scores is None or len(scores.confusion) > _CONFUSION_CLASSES:
        return None
    return [[(count, count / max(1, sum(row))) for count in row] for row in scores.confusion]


def _whole(value: float) -> str:
    return "fewer than 1" if 0 < value < 1 else f"{value:.0f}"
