"""``tortie check``: know the images before a fit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tortie.cli import options, show
from tortie.errors import UsageError
from tortie.files import check_output, together

if TYPE_CHECKING:
    from tortie.learning.check import CheckResult

NAME = "check"
_SHOWN = 5  # findings of a kind; the others are in the page and in --json


def command(
    images: options.LabelledImages,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", "-o", help="Write an HTML page that shows the findings with their images."
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(help="Write a CSV of the images without a problem, as input for tortie fit."),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Keep images with this kind of problem in the CSV of --write. Can be repeated.",
        ),
    ] = None,
    network: Annotated[
        str, typer.Option(help="Network whose features are used to find label errors, or none.")
    ] = "efficientnet-lite0",
    labels: Annotated[bool, typer.Option(help="Whether to look for label errors.")] = True,
    splits: options.Splits = "auto",
    no_splits: options.NoSplits = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    max_megapixels: options.Megapixels = 200,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find problems in images, their labels and their split.

    Finds unreadable files, duplicates, leaks between splits, label errors and
    class imbalance. No image is changed. The exit code is 1 if a serious
    problem was found.

    Example: tortie check photos --report photos.check.html
    """
    show.begin(json, quiet)
    from tortie.learning.check import check_images

    _check_outputs(images, [report, write], accept or [], write, force)
    with show.progress("photographs") as progress:
        checked = check_images(
            images, labels=labels, progress=progress, note=show.say, network=network, seed=seed,
            device=device, precision=precision, engine=engine, threads=threads,
            max_megapixels=max_megapixels, splits=options.chosen_splits(splits, no_splits),
        )  # fmt: skip
    with together(may_replace=force):
        _write(checked, report, write, accept or [])
    show.result([one.document() for one in checked.findings], _lines(checked))
    raise typer.Exit(int(checked.is_serious))


def _check_outputs(
    images: Path, outputs: list[Path | None], accept: list[str], write: Path | None, force: bool
) -> None:
    """Refuse what could not be written before any work is done."""
    from tortie.images.finding import check_kinds

    check_kinds(accept)
    if accept and write is None:
        raise UsageError("--accept keeps images in the CSV of --write: give that too")
    if write is not None and write.suffix.lower() != ".csv":
        raise UsageError(f"{write} does not end in .csv, as the CSV for fit does")
    for path in outputs:
        if path is not None:
            check_output(path, force, [images])


def _write(
    checked: "CheckResult", report: Path | None, write: Path | None, accept: list[str]
) -> None:
    from tortie.images.manifest import dropped, write_manifest

    out = dropped(checked.findings, accept)
    if write is not None:
        every = checked.collection.photographs
        write_manifest(write, [one for i, one in enumerate(every) if i not in out])
        show.say(f"{write}: {len(every) - len(out):,} images, without {len(out):,} found wanting")
    if report is not None:
        from tortie.evaluation.check_page import write_page

        root = checked.collection.root
        write_page(report, checked.inspection, checked.findings, root, out)
        show.say(f"page {report}")


def _lines(checked: "CheckResult") -> list[str]:
    """The findings for a person, a few of each kind."""
    from tortie.images.finding import by_kind, summary

    count, classes = len(checked.collection.photographs), len(checked.collection.classes)
    lines = [f"{count:,} images in {classes:,} classes: {summary(checked.findings)}"]
    for kind, severity, own in by_kind(checked.findings):
        lines += ["", f"{severity}  {kind.title} ({kind.name}): {len(own):,}"]
        for one in own[:_SHOWN]:
            lines.append(f"  {one.detail}")
            lines += [f"    {path}" for path in one.paths[:_SHOWN]]
            if len(one.paths) > _SHOWN:
                lines.append(f"    and {len(one.paths) - _SHOWN:,} more")
        if len(own) > _SHOWN:
            lines.append(f"  and {len(own) - _SHOWN:,} more: --report or --json names all")
    return lines
