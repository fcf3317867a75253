"""``tortie evaluate``: how good a classifier is on labelled photographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tortie.cli import options, show
from tortie.cli.columns import columns
from tortie.errors import UsageError
from tortie.files import check_output, together

if TYPE_CHECKING:
    from tortie.evaluation.metrics import Interval, Scores
    from tortie.evaluation.prediction import Evaluation

NAME = "evaluate"
_THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
_CONFUSED = 20  # pairs of classes; --json has the whole table
_SHOWN = 5  # photographs left out for one reason; --json names the others


def command(
    model: options.Model,
    images: Annotated[
        Path,
        typer.Argument(
            help=f"{options.LABELLED} If it has splits, the test set is evaluated, or else the "
            "validation set.",
            show_default=False,
        ),
    ],
    report: Annotated[
        Path | None, typer.Option("--report", "-o", help="Write an HTML report to this file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing report.")] = False,
    splits: options.Splits = "auto",
    no_splits: options.NoSplits = False,
    weights: options.Weights = None,
    crops: options.Crops = 1,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    max_megapixels: options.Megapixels = 200,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure accuracy and calibration on labelled photographs.

    Photographs that the classifier was trained on are recognised by their
    content and not counted. Where nothing is left to count, no report is
    written and the exit code is 1.

    Example: tortie evaluate pets.safetensors photos/test
    """
    show.begin(json, quiet)
    if report is not None:
        _check_report(report, force, [model, images])
    from tortie.loading import load_or_pretrained

    classifier = load_or_pretrained(model, weights).set_params(
        crops=crops, device=device, precision=precision, engine=engine, threads=threads,
        max_megapixels=max_megapixels, splits=options.chosen_splits(splits, no_splits),
    )  # fmt: skip
    with show.progress("photographs") as progress:
        evaluation = classifier.evaluate(images, progress=progress)
    show.no_temperature(classifier.metadata, crops)
    counted = evaluation.scores is not None
    if report is not None and counted:
        from tortie.evaluation.report import write_report

        with together(may_replace=force):
            write_report(report, evaluation.report(model.name))
    show.result(_document(evaluation), _lines(evaluation))
    if not counted:
        raise typer.Exit(1)


def _check_report(report: Path, force: bool, inputs: list[Path]) -> None:
    """Refuse what could not or should not be written before any work is done."""
    if report.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report {report}: expected a name that ends in .html")
    check_output(report, force, inputs)


def _document(evaluation: "Evaluation") -> dict[str, Any]:
    """The evaluation as JSON."""
    from tortie.evaluation.advice import warnings
    from tortie.evaluation.metrics import calibration_metrics

    scores = evaluation.scores
    return {
        "accuracy": scores
        and {
            **vars(scores.accuracy),
            "on": evaluation.split or "given",
            **scores.context,
        },
        "warnings": [*(warnings(scores) if scores else []), *evaluation.private_notes],
        "accuracy_reason": evaluation.reason,
        "crops": evaluation.crops,
        **calibration_metrics(scores, evaluation.uncalibrated_scores),
        "temperature": evaluation.temperature,
        "per_class": scores and {name: vars(one) for name, one in scores.per_class.items()},
        "confusion": scores and scores.confusion,
        "members": [
            {
                "of": one.of,
                "crops": one.crops,
                "forward_passes": one.forward_passes,
                "accuracy": vars(one.scores.accuracy),
                "log_loss": one.scores.log_loss,
            }
            for one in evaluation.members
        ],
        "coverage": [{**vars(one), "interval": vars(one.interval)} for one in evaluation.coverage],
        "sets": [{**vars(one), "coverage": vars(one.coverage)} for one in evaluation.sets],
        "skipped_training_images": evaluation.seen,
        "not_counted": list(evaluation.not_counted),
        "read_as": list(evaluation.read_as),
        "skipped": [one._asdict() for one in evaluation.skipped],
    }


def _lines(evaluation: "Evaluation") -> list[str]:
    """The evaluation as a person reads it."""
    scores = evaluation.scores
    _say_left_out(evaluation)
    lines = evaluation.notes
    if scores is None:
        return [*lines, f"accuracy unknown: {evaluation.reason}"]
    crops = "" if evaluation.crops == 1 else f", {evaluation.crops} crops"
    where = f"{evaluation.split or 'photographs given'}{crops}"
    lines += show.accuracy(scores, None, where)
    if left_out := len(evaluation.skipped):
        lines.append(f"left out: {left_out:,} photograph{'s' * (left_out > 1)}, not counted")
    lines.append(
        f"probabilities: log loss {scores.log_loss:.3f}, calibration error {scores.ece:.1%}, "
        f"Brier {scores.brier:.3f}"
    )
    return [
        *lines,
        *_classes(scores),
        *_members(evaluation),
        *_coverage(evaluation),
        *_sets(evaluation),
    ]


def _say_left_out(evaluation: "Evaluation") -> None:
    """Each photograph that was left out; many with one reason in one line."""
    by_reason: dict[str, list[str]] = {}
    for one in evaluation.skipped:
        by_reason.setdefault(one.reason, []).append(one.path)
    for reason, paths in by_reason.items():
        if len(paths) <= _SHOWN:
            for path in paths:
                show.say(f"left out: {path}: {reason}")
        else:
            many = f"left out, {len(paths):,} photographs"
            show.say(f"{many}: {reason}, such as {paths[0]}; --json names all")


def _classes(scores: "Scores") -> list[str]:
    """Each class, and what was taken for what."""
    from tortie.evaluation.metrics import amount

    width = max(len("class"), *(len(name) for name in scores.per_class))
    called = dict(zip(scores.per_class, map(sum, zip(*scores.confusion, strict=True)), strict=True))
    lines = [f"{'class':{width}}  precision  recall     F1  photographs"]
    for name, each in scores.per_class.items():
        # Of a class that was not there, recall and F1 are no figures, nor is the precision of one
        # that nothing was taken for.
        recall, f1 = (f"{each.recall:.1%}", f"{each.f1:.1%}") if each.n else ("–", "–")
        precision = f"{each.precision:.1%}" if called[name] else "–"
        lines.append(f"{name:{width}}  {precision:>9}  {recall:>6}  {f1:>5}  {amount(each.n):>11}")
    return [*lines, *_confused(scores)]


def _confused(scores: "Scores") -> list[str]:
    """What was taken for what, most often first; a name that could be a number in quotes."""
    from tortie.evaluation.advice import confused
    from tortie.evaluation.metrics import amount

    pairs = confused(scores, most=len(scores.confusion) ** 2)
    lines = [
        f"{amount(count)} {_told(true)} taken for {_told(other)}" for true, other, count, _ in pairs
    ]
    more = len(lines) - _CONFUSED
    return [*lines[:_CONFUSED], *([f"and {more:,} more pairs: --json has all"] if more > 0 else [])]


def _told(name: str) -> str:
    return name if any(letter.isalpha() for letter in name) else repr(name)


def _members(evaluation: "Evaluation") -> list[str]:
    """Each network and all together, by crops; nothing where there is one of each."""
    rows = [
        (
            one.of,
            one.crops,
            one.forward_passes,
            _share(one.scores.accuracy),
            f"{one.scores.log_loss:.3f}",
        )
        for one in evaluation.members
    ]
    heading = ("network", "crops", "forward passes", "accuracy", "log loss before the temperature")
    return columns(heading, rows) if rows else []


def _coverage(evaluation: "Evaluation") -> list[str]:
    """What a few thresholds of ``predict --reject-below`` would leave, and what it is worth."""
    rows = [
        (f"{one.threshold:g}", f"{one.coverage:.1%}", _share(one.interval))
        for one in evaluation.coverage
        if one.threshold in _THRESHOLDS
    ]
    return columns(("reject below", "answered", "accuracy of these"), rows) if rows else []


def _sets(evaluation: "Evaluation") -> list[str]:
    """What sets of a few values of ``predict --confidence`` come to; ``--json`` has each class."""
    rows = [
        (f"{one.confidence:g}%", _share(one.coverage), f"{one.mean_size:.2f}")
        for one in evaluation.sets
    ]
    heading = ("confidence", "sets with the right class", "classes in a set")
    return columns(heading, rows) if rows else []


def _share(right: "Interval") -> str:
    return f"{right.value:.1%} ({right.low:.1%} to {right.high:.1%})"
