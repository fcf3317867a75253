"""``tortie export``: a classifier as a file that needs no tortie."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tortie.cli import options, show
from tortie.errors import UsageError

if TYPE_CHECKING:
    from tortie.export.export import Exported

NAME = "export"


def command(
    model: options.Model,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write, ending in .onnx or .html.")
    ],
    check: Annotated[
        list[Path] | None,
        typer.Option(
            help="Photographs or folders to compare the exported file with the classifier on.",
            show_default="training photographs, or built-in pictures",
        ),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store the weights in float16: half the size.")
    ] = False,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Quantise to 8 bits, calibrated on training photographs: a quarter of the size.",
        ),
    ] = False,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Labelled photographs to calibrate --int8 on: a folder of classes or a CSV.",
            show_default="the split CSV beside the classifier",
        ),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(
            help="Refuse --int8 if it costs more percentage points of accuracy.",
            min=0,
            show_default="1.0",
        ),
    ] = None,
    crops: Annotated[
        int, typer.Option(help="Average the probabilities over 1 or 10 crops of each image.")
    ] = 1,
    resized: Annotated[
        bool,
        typer.Option(
            "--resized",
            help="Take batches of images that are resized and cropped already, instead of an "
            "image of any size.",
        ),
    ] = False,
    reject_below: Annotated[
        float,
        typer.Option(
            help="Highest probability below which an answer is not sure; kept as metadata.",
            min=0,
            max=1,
        ),
    ] = 0.0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a classifier as an ONNX file, or as a page for a browser.

    Resizing and all else are inside. FILE.html opens by a double click and
    classifies photographs offline, with nothing installed. The file is
    compared with the classifier on photographs before it is written; it is
    not written if a label differs (with --int8, if it costs too much accuracy).

    Example: tortie export pets.safetensors -o pets.html
    """
    show.begin(json, quiet)
    if half and int8:
        raise UsageError("--half or --int8, not both")
    if images is not None and not int8:
        raise UsageError("--images calibrates --int8: add --int8, or leave it out")
    if max_loss is not None and not int8:
        raise UsageError("--max-loss is of --int8: add --int8, or leave it out")
    from tortie.export.export import ExportOptions, export
    from tortie.export.model import Contents

    asked = ExportOptions(
        Contents(crops, reject_below, resized),
        "float16" if half else "int8" if int8 else "float32",
        tuple(check or ()), images, 0.01 if max_loss is None else max_loss / 100,
    )  # fmt: skip
    with show.progress("photographs compared") as progress:
        exported = export(model, output, asked, force, progress)
    show.result(exported.document(), _lines(exported))


def _lines(exported: "Exported") -> list[str]:
    """The export as a person reads it."""
    parity = exported.parity
    lines = [f"{exported.file}: {exported.size / 1e6:.1f} MB"]
    held = "" if exported.tolerance is None else f" (at most {exported.tolerance:g} is accepted)"
    lines.append(
        f"compared with the classifier on {parity.photographs:,} {exported.compared_on}: same "
        f"label on {parity.same_labels:,}; probabilities differ by {parity.largest:.1e} at most, "
        f"{parity.median:.1e} in the median{held}"
    )
    if parity.large:
        lines.append(
            f"of these {parity.large:,} {'is' if parity.large == 1 else 'are'} large, and tortie "
            "predict decodes such JPEGs at reduced scale: there it differs by "
            f"{max(parity.large_differences):.1e} at most, with another label on "
            f"{len(parity.large_other_labels):,}"
        )
    if parity.skipped:
        lines.append(f"{len(parity.skipped):,} cannot be read and were not compared")
    if (loss := exported.loss) is not None:
        lines.append(
            f"8 bits cost {100 * loss.points:.1f} points of accuracy (95% interval "
            f"{100 * loss.low:.1f} to {100 * loss.high:.1f}) on {loss.after.n:,.0f} {loss.on}: "
            f"{loss.before.value:.1%} before, {loss.after.value:.1%} after"
        )
    return lines
