"""``tortie predict``: what a classifier says of photographs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tortie.cli import options, show
from tortie.cli.prediction_output import chosen_output, predict_each
from tortie.errors import UsageError

if TYPE_CHECKING:
    from tortie.classifier import ImageClassifier

NAME = "predict"
_STANDARD_INPUT = Path("-")


def command(
    model: options.Model,
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Photographs, folders, archives or CSVs of photographs, a quoted pattern, or - "
            "for names on standard input, one per line.",
            show_default=False,
        ),
    ],
    top: Annotated[
        int | None,
        typer.Option(
            help="Number of classes to print for each photograph.",
            show_default="3 in lines, all in JSON",
            min=1,
        ),
    ] = None,
    weights: options.Weights = None,
    crops: options.Crops = 1,
    reject_below: options.RejectBelow = 0.0,
    confidence: Annotated[
        float | None,
        typer.Option(
            help="Percent: print for each photograph the set of classes that holds the right one "
            "so often.",
        ),
    ] = None,
    null: Annotated[
        bool,
        typer.Option(
            "--null", "-0", help="Names on standard input end with a null byte (find -print0)."
        ),
    ] = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    max_megapixels: options.Megapixels = 200,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the predictions to this file: .csv, .parquet, .jsonl or .json.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="With -o: go on after Ctrl-C or a kill.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="With -o: overwrite an existing file.", rich_help_panel=options.OUTPUT
        ),
    ] = False,
    as_csv: Annotated[
        bool,
        typer.Option(
            "--csv",
            help="Print a CSV table on stdout, with one column per class.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    jsonl: Annotated[
        bool,
        typer.Option(
            "--jsonl",
            help="Print one JSON document per line on stdout.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict the class of each photograph, with probabilities.

    Predictions appear in the order of the photographs, as they are made.
    Files that cannot be read are named and skipped; the exit code is then 1.

    Example: tortie predict pets.safetensors new.jpg holiday/

    Example: find . -name "*.jpg" | tortie predict pets.safetensors - -o all.csv
    """
    show.begin(json, quiet)
    form = _format(output, {"json": json, "jsonl": jsonl, "csv": as_csv}, top)
    if null and _STANDARD_INPUT not in images:
        raise UsageError("--null is for names on standard input: give - in place of photographs")
    if (resume or force) and output is None:
        raise UsageError(f"--{'resume' if resume else 'force'} is for -o FILE")
    from tortie.evaluation.journal import Journal
    from tortie.images.names import each_name, survey
    from tortie.loading import load_or_pretrained

    classifier = load_or_pretrained(model, weights).set_params(
        crops=crops, device=device, precision=precision, engine=engine, threads=threads,
        max_megapixels=max_megapixels,
    )  # fmt: skip
    show.prediction_cost(classifier.metadata, crops)
    surveyed = survey(images)
    for note in surveyed.notes:
        show.say(f"note: {note}")
    for folder in surveyed.empty:
        show.say(f"note: no image in {folder}")
    journal = None
    if output is not None:
        asked = {"classifier": _identity(model), "crops": crops, "reject_below": reject_below}
        asked |= {"confidence": confidence, "top": top, "format": form, "weights": weights}
        journal = Journal(output, asked, resume=resume, force=force, inputs=[model])
    to = chosen_output(form, top, classifier.metadata.classes, journal)
    with to, show.progress("photographs", beside_results=form == "lines") as progress:
        predict_each(
            to,
            each_name(images, _standard_input, b"\0" if null else b"\n"),
            lambda part, told: classifier.classify(
                part, told, reject_below=reject_below, confidence=confidence
            ),
            lambda done: progress(done, surveyed.total),
        )
    if surveyed.total is None and not to.done:
        show.say("note: no names on standard input")
    show.no_temperature(classifier.metadata, crops)
    if confidence is not None:
        show.say(f"note: {_guarantee(classifier, confidence)}")
    if to.unreadable:
        raise typer.Exit(1)


def _format(output: Path | None, printed: dict[str, bool], top: int | None) -> str:
    """The format that the file's suffix or an option asks for: json, jsonl, csv, lines."""
    asked = [name for name, given in printed.items() if given]
    if len(asked) > 1:
        raise UsageError(f"--{asked[0]} or --{asked[1]}, not both")
    form = asked[0] if asked else "lines"
    if output is not None:
        if form in ("jsonl", "csv"):
            raise UsageError(f"--{form} prints on stdout, and -o FILE writes what its suffix says")
        from tortie.evaluation.prediction_formats import format_of

        form = format_of(output)
    if top is not None and form in ("csv", "parquet"):
        kind = "CSV" if form == "csv" else "Parquet"
        raise UsageError(f"--top and {kind}, which has one column for each class: leave --top out")
    return form


def _identity(model: Path) -> str:
    """What tells one classifier from another: the SHA-256 in its file, or its name."""
    from tortie.loading import local_file
    from tortie.weights.classifier_file import stored_digest

    return stored_digest(local_file(model)) or str(model)


def _standard_input() -> int:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or none, as in a program's window
        raise UsageError("there is no standard input to read names from") from None


def _guarantee(classifier: "ImageClassifier", confidence: float) -> str:
    """What a set promises, and on what condition."""
    sets = classifier.prediction_sets
    on = classifier.metadata.training["calibration"]["on"]
    kind = f"of new photographs of the same kind as the {sets.groups if sets else 0:,} it was "
    held = "get a set with the right class, on average"
    if on == "calibration part":
        return f"{kind}calibrated on, {confidence:g}% at least {held}"
    if on == "training part, cross-fitted":
        proven = max(0, 100 - 2 * (100 - confidence))
        return (
            f"{kind}trained on, {proven:g}% at least {held}, and {confidence:g}% are expected to "
            "(each was held out in its turn; tortie evaluate measures it)"
        )
    return (
        f"{kind}calibrated on, {confidence:g}% are expected to {held}; not proven, as these chose "
        "the epoch, too (tortie evaluate measures it)"
    )
