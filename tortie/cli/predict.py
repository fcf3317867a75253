"""``tortie predict``: what a classifier says of photographs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tortie.cli import options, show
from tortie.errors import UsageError

if TYPE_CHECKING:
    from tortie.classifier import ImageClassifier
    from tortie.evaluation.prediction import Prediction

NAME = "predict"


def command(
    model: options.Model,
    images: Annotated[
        list[Path],
        typer.Argument(help="Photographs, or folders of photographs.", show_default=False),
    ],
    top: Annotated[
        int, typer.Option(help="Number of classes to print for each photograph.", min=1)
    ] = 3,
    crops: options.Crops = 1,
    reject_below: options.RejectBelow = 0.0,
    confidence: Annotated[
        float | None,
        typer.Option(
            help="Percent: print for each photograph the set of classes that holds the right one "
            "so often.",
        ),
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    max_megapixels: options.Megapixels = 200,
    as_csv: Annotated[
        bool,
        typer.Option("--csv", help="Print a CSV table on stdout.", rich_help_panel=options.OUTPUT),
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict the class of each photograph, with probabilities.

    Files that cannot be read are named and skipped; the exit code is then 1.

    Example: tortie predict pets.safetensors new.jpg holiday/
    """
    show.begin(json, quiet)
    if json and as_csv:
        raise UsageError("--json or --csv, not both")
    from tortie.images import find_files
    from tortie.loading import load_or_pretrained

    classifier = load_or_pretrained(model).set_params(
        crops=crops, device=device, precision=precision, engine=engine, threads=threads,
        max_megapixels=max_megapixels,
    )  # fmt: skip
    show.prediction_cost(classifier.metadata, crops)
    found = find_files(images)
    for note in found.notes:
        show.say(f"note: {note}")
    with show.progress("photographs") as progress:
        predictions = classifier.classify(
            found.paths, progress, reject_below=reject_below, confidence=confidence
        )
    show.no_temperature(classifier.metadata, crops)
    _say_empty(images, predictions)
    if confidence is not None:
        show.say(f"note: {_guarantee(classifier, confidence)}")
    if as_csv:
        show.table(_rows(predictions))
    else:
        show.result(*_told(predictions, top))
    if any(prediction.reason for prediction in predictions):
        raise typer.Exit(1)


def _guarantee(classifier: "ImageClassifier", confidence: float) -> str:
    """What a set promises, and on what condition."""
    sets = classifier.prediction_sets
    on = classifier.metadata.training["calibration"]["on"]
    wrong = 100 - confidence
    words = (
        f"of 100 new photographs of the same kind as the {sets.groups if sets else 0:,} it was "
        f"calibrated on, the set holds the right class of {confidence:g} or more"
    )
    if on == "calibration part":
        return words
    return (
        f"{words} (proven for {max(0, 100 - 2 * wrong):g}, as these were also trained on, each in "
        "its turn held out; tortie evaluate measures it)"
        if on == "training part, cross-fitted"
        else f"{words} (these chose the epoch, too: not proven; tortie evaluate measures it)"
    )


def _say_empty(images: list[Path], predictions: "list[Prediction]") -> None:
    """A word where a folder has no photograph: it may be the wrong one."""
    for folder in images:
        if folder.is_dir() and not any(
            folder in Path(str(one.source)).parents for one in predictions
        ):
            show.say(f"note: no image in {folder}")


def _told(predictions: "list[Prediction]", top: int) -> tuple[list[Any], list[str]]:
    """Predictions as JSON, and as lines."""
    document = [one.document(str(one.source)) for one in predictions]
    for one in predictions:
        if one.reason:
            show.say(f"{one.source!s}: {one.reason}", always=True)
    return document, [_line(one, top) for one in predictions if not one.reason]


def _line(one: "Prediction", top: int) -> str:
    """One photograph: its classes, or that none is sure enough, and whether it is a stranger."""
    from tortie.evaluation.metrics import shown_probability

    likeliest = list(one.probabilities.items())[:top]
    ranked = ", ".join(f"{name} {shown_probability(p)}" for name, p in likeliest)
    unsure = "rejected: " if one.rejected else ""
    far = ""
    if one.is_strange:
        beyond = one.novelty_percentile or 0
        few = "none" if beyond >= 99.95 else f"fewer than 1 in {100 if beyond >= 99 else 20}"
        far = f"; unlike its training photographs: {few} of them lies so far from the others"
    held = ""
    if one.prediction_set is not None:
        held = f"; set: {', '.join(one.prediction_set)}"
    return f"{one.source!s}  {unsure}{ranked}{held}{far}"


def _rows(predictions: "list[Prediction]") -> Iterator[tuple[object, ...]]:
    """Predictions as the rows of a CSV."""
    yield "path", "label", "probability", "reason", "rejected", "novelty_percentile", "set"
    for one in predictions:
        rejected = None if one.reason else str(one.rejected).lower()
        far = None if one.novelty_percentile is None else round(one.novelty_percentile, 1)
        held = None if one.prediction_set is None else "; ".join(one.prediction_set)
        yield str(one.source), one.label, one.probability, one.reason, rejected, far, held
