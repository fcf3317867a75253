"""``tortie predict``: what a classifier says of photographs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tortie.cli import options, show
from tortie.errors import UsageError

if TYPE_CHECKING:
    from tortie.evaluation.prediction import Prediction

NAME = "predict"
STRANGE = 99.0
"""Percent of the training photographs beyond which a photograph is called unlike them."""


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
    reject_below: Annotated[
        float,
        typer.Option(
            help="Reject a photograph (give it no label) if its highest probability is below this.",
            min=0,
            max=1,
        ),
    ] = 0.0,
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
    found = find_files(images)
    for note in found.notes:
        show.say(f"note: {note}")
    with show.progress("photographs") as progress:
        predictions = classifier.classify(found.paths, progress, reject_below=reject_below)
    show.no_temperature(classifier.metadata, crops)
    _say_empty(images, predictions)
    if as_csv:
        show.table(_rows(predictions))
    else:
        show.result(*_told(predictions, top))
    if any(prediction.reason for prediction in predictions):
        raise typer.Exit(1)


def _say_empty(images: list[Path], predictions: "list[Prediction]") -> None:
    """A word where a folder has no photograph: it may be the wrong one."""
    for folder in images:
        if folder.is_dir() and not any(
            folder in Path(str(one.source)).parents for one in predictions
        ):
            show.say(f"note: no image in {folder}")


def _told(predictions: "list[Prediction]", top: int) -> tuple[list[Any], list[str]]:
    """Predictions as JSON, and as lines."""
    document = [
        {"path": str(one.source), "reason": one.reason}
        if one.reason
        else {
            "path": str(one.source),
            "label": one.label,
            "probability": one.probability,
            "rejected": one.rejected,
            "novelty_percentile": one.novelty_percentile,
            "probabilities": one.probabilities,
        }
        for one in predictions
    ]
    for one in predictions:
        if one.reason:
            show.say(f"{one.source}: {one.reason}", always=True)
    return document, [_line(one, top) for one in predictions if not one.reason]


def _line(one: "Prediction", top: int) -> str:
    """One photograph: its classes, or that none is sure enough, and whether it is a stranger."""
    from tortie.evaluation.metrics import shown_probability

    likeliest = list(one.probabilities.items())[:top]
    ranked = ", ".join(f"{name} {shown_probability(p)}" for name, p in likeliest)
    unsure = "rejected: " if one.rejected else ""
    far = ""
    if one.novelty_percentile is not None and one.novelty_percentile >= STRANGE:
        few = "none" if one.novelty_percentile >= 99.95 else "fewer than 1 in 100"
        far = f"; unlike its training photographs: {few} of them lies so far from the others"
    return f"{one.source}  {unsure}{ranked}{far}"


def _rows(predictions: "list[Prediction]") -> Iterator[tuple[object, ...]]:
    """Predictions as the rows of a CSV."""
    yield "path", "label", "probability", "reason", "rejected", "novelty_percentile"
    for one in predictions:
        rejected = None if one.reason else str(one.rejected).lower()
        far = None if one.novelty_percentile is None else round(one.novelty_percentile, 1)
        yield str(one.source), one.label, one.probability, one.reason, rejected, far
