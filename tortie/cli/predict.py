"""``tortie predict``: what a classifier says of photographs."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tortie.cli import options, show
from tortie.errors import UsageError

if TYPE_CHECKING:
    from tortie.evaluation.judgement import Judgement

NAME = "predict"


def command(
    model: options.Model,
    images: Annotated[list[Path], typer.Argument(help="Photographs, or folders of them.")],
    top: Annotated[int, typer.Option(help="How many classes to print for each.", min=1)] = 3,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    max_megapixels: options.Megapixels = 200,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Name the class of each photograph, with probabilities; bad files are named and passed over.

    Example: tortie predict pets.safetensors new.jpg holiday/
    """
    show.begin(json, quiet)
    if json and as_csv:
        raise UsageError("--json or --csv, not both")
    from tortie.classifier import load_or_pretrained

    classifier = load_or_pretrained(model).set_params(
        device=device, precision=precision, threads=threads, max_megapixels=max_megapixels
    )
    with show.progress("photographs") as progress:
        judged = classifier.judge(images, progress)
    show.result(*_told(judged, top, as_csv))
    if any(judgement.reason for judgement in judged):
        raise typer.Exit(1)


def _told(judged: "list[Judgement]", top: int, as_csv: bool) -> tuple[list[Any], list[str]]:
    """Judgements as JSON, and as lines."""
    document = [
        {"path": str(one.source), "reason": one.reason}
        if one.reason
        else {
            "path": str(one.source),
            "label": one.label,
            "probability": one.probabilities[one.label or ""],
            "probabilities": one.probabilities,
        }
        for one in judged
    ]
    if as_csv:
        return document, _csv(judged)
    lines = []
    for one in judged:
        if one.reason:
            show.say(f"{one.source}: {one.reason}", always=True)
            continue
        ranked = list(one.probabilities.items())[:top]
        lines.append(f"{one.source}  " + ", ".join(f"{name} {p:.1%}" for name, p in ranked))
    return document, lines


def _csv(judged: "list[Judgement]") -> list[str]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label", "probability", "reason"))
    for one in judged:
        probability = one.probabilities[one.label] if one.label else None
        writer.writerow((one.source, one.label, probability, one.reason))
    return text.getvalue().splitlines()
