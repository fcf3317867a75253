"""``tortie evaluate``: how good a classifier is on labelled photographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tortie.cli import options, show

if TYPE_CHECKING:
    from tortie.evaluation.judgement import Evaluation

NAME = "evaluate"


def command(
    model: options.Model,
    images: Annotated[
        Path, typer.Argument(help="IMAGES/class/*; of a folder with splits, its test.")
    ],
    report: Annotated[
        Path | None, typer.Option("--report", "-o", help="Write an HTML report there.")
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    max_megapixels: options.Megapixels = 200,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Count right answers on photographs that the classifier was not trained on.

    Example: tortie evaluate pets.safetensors photos/test
    """
    show.begin(json, quiet)
    from tortie.classifier import load_or_pretrained

    classifier = load_or_pretrained(model).set_params(
        device=device, precision=precision, threads=threads, max_megapixels=max_megapixels
    )
    with show.progress("photographs") as progress:
        evaluation = classifier.evaluate(images, progress=progress)
    if report is not None:
        from tortie.evaluation.report import write_report

        write_report(report, evaluation.report(model.name))
    show.result(*_told(evaluation))


def _told(evaluation: "Evaluation") -> tuple[dict[str, Any], list[str]]:
    """The evaluation as JSON, and as lines."""
    scores = evaluation.scores
    on = evaluation.split or "photographs given"
    document: dict[str, Any] = {
        "accuracy": scores and {**vars(scores.accuracy), "on": evaluation.split or "given"},
        "accuracy_reason": evaluation.reason,
        "log_loss": scores and scores.log_loss,
        "per_class": scores and {name: vars(one) for name, one in scores.per_class.items()},
        "confusion": scores and scores.confusion,
        "trained_on": evaluation.seen,
        "left_out": [one._asdict() for one in evaluation.left_out],
    }
    for one in evaluation.left_out:
        show.say(f"left out: {one.path}: {one.reason}")
    lines = []
    if evaluation.seen:
        lines.append(f"{evaluation.seen:,} photographs it was trained on are not counted")
    if scores is None:
        return document, [*lines, f"accuracy unknown: {evaluation.reason}"]
    right = scores.accuracy
    lines.append(
        f"accuracy {right.value:.1%} (95% interval {right.low:.1%} to {right.high:.1%}) "
        f"on {right.n:,} photographs ({on}), log loss {scores.log_loss:.3f}"
    )
    width = max(len(name) for name in scores.per_class)
    lines.append(f"{'class':{width}}  precision  recall     F1  photographs")
    for name, each in scores.per_class.items():
        figures = f"{each.precision:9.1%}  {each.recall:6.1%}  {each.f1:5.1%}  {each.n:11,}"
        lines.append(f"{name:{width}}  {figures}")
    for true, row in zip(scores.per_class, scores.confusion, strict=True):
        wrong = {
            name: count
            for name, count in zip(scores.per_class, row, strict=True)
            if count and name != true
        }
        lines += [f"{count:,} {true} taken for {name}" for name, count in wrong.items()]
    return document, lines
