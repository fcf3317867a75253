"""``tortie fit``: a folder of photographs to a classifier."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tortie.cli import options, show
from tortie.errors import TortieError, UsageError
from tortie.files import check_output, together
from tortie.processes import rank

if TYPE_CHECKING:
    from tortie.classifier import ImageClassifier

_BEGAN = time.monotonic()

NAME = "fit"
_REPORT, _SPLIT = ".report.html", ".split.csv"


def command(
    images: Annotated[Path, typer.Argument(help="IMAGES/class/*, with or without splits; a CSV.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The classifier's file, .safetensors.")
    ],
    network: Annotated[
        str, typer.Option(help="See: tortie networks; A,B,C make an ensemble.")
    ] = "efficientnet-lite0",
    weights: Annotated[
        str, typer.Option(help="imagenet, a file, hf://OWNER/NAME, or none.")
    ] = "imagenet",
    freeze: Annotated[
        str, typer.Option(help="all: train the softmax layer; none, N stages, a STAGE, or auto.")
    ] = "all",
    head: Annotated[str, typer.Option(help="linear, or mlp:N with N hidden units.")] = "linear",
    recipe: Annotated[
        str | None, typer.Option(help="Of training by steps: a name, or a JSON file.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="In place of the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option(help="Photographs a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="In place of the recipe's.")] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Parts of a batch, one after another, in less memory.")
    ] = None,
    track: Annotated[
        str | None, typer.Option(help="Tell each epoch to tensorboard, mlflow or wandb, too.")
    ] = None,
    input: Annotated[str | None, typer.Option(help="HEIGHTxWIDTHxCHANNELS, as 64x64x3.")] = None,
    valid: Annotated[
        str | None, typer.Option(help="Validation: a folder of classes, or a fraction.")
    ] = None,
    test: Annotated[
        str | None, typer.Option(help="Test: a folder of classes, or a fraction.")
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="none, mirror, standard, full, or a paper's; see tortie augment.",
            show_default="none, or the recipe's",
        ),
    ] = None,
    mirror: Annotated[
        bool, typer.Option("--mirror/--no-mirror", help="A mirrored photograph keeps its class.")
    ] = True,
    views: Annotated[int, typer.Option(help="Drawn views of each training photograph.")] = 4,
    crops: Annotated[
        int, typer.Option(help="Fit a temperature for 10 or 144 crops, too, for predict --crops.")
    ] = 1,
    members: Annotated[
        int, typer.Option(help="Networks trained apart, whose probabilities are averaged.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    max_megapixels: options.Megapixels = 200,
    budget: Annotated[str, typer.Option(help="Time for --freeze auto, as 90s or 10m.")] = "10m",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run of this output.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing file and its run.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Stop after the plan.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Learn to tell classes of photographs apart, and measure how well.

    Writes the classifier, and beside it NAME.report.html and NAME.split.csv; a training by steps,
    where --freeze is not all, also NAME.run/, from which --resume goes on after Ctrl-C or a kill.

    Example: tortie fit photos -o pets.safetensors
    """
    show.begin(json, quiet)
    from tortie.classifier import ImageClassifier
    from tortie.learning.job import Events

    inputs = [images, *(Path(one) for one in (weights, recipe, valid, test) if one)]
    # What lies beside a classifier that is not there was written by the run that goes on.
    may_replace = force or (resume and not os.path.lexists(output))
    run = _check_outputs(output, may_replace or plan, [] if plan else inputs)
    begun = _begun(run)
    choices = ImageClassifier(
        network, weights=None if weights == "none" else weights, freeze=freeze, head=head,
        recipe=recipe, epochs=epochs, batch=batch, learning_rate=learning_rate,
        accumulate=accumulate, track=track, input=input,
        valid=valid, test=test, augment=augment, mirror=mirror, views=views, crops=crops,
        members=members, seed=seed, device=device, precision=precision, engine=engine,
        threads=threads, max_megapixels=max_megapixels, budget=budget, run=None if plan else run,
        resume=resume and not plan, force=force and not plan,
    )  # fmt: skip
    with _told(output, run, begun):
        with show.progress("photographs") as progress, show.progress("steps") as steps:
            events = Events(show.plan, progress, steps, show.say)
            if plan:
                show.result(choices.plan(images, events=events).model_dump(mode="json"), [])
            else:
                choices.fit(images, events=events)
        if not plan:
            show.result(*_written(choices, output, may_replace))


def _check_outputs(output: Path, may_replace: bool, inputs: list[Path]) -> Path:
    """Refuse outputs that could not be written before any work is done; the run's folder."""
    run = output.with_suffix(".run")
    if rank():  # the first process alone writes, perhaps on another machine
        return run
    if output.suffix != ".safetensors":
        raise UsageError(f"{output} does not end in .safetensors, as a classifier's file does")
    for path in (output, output.with_suffix(_REPORT), output.with_suffix(_SPLIT)):
        check_output(path, may_replace, inputs)
    if os.path.lexists(run) and not run.is_dir():
        raise UsageError(f"{run} is no folder, where a run would be kept: choose another name")
    return run


def _begun(run: Path) -> set[tuple[Path, int]]:
    """The runs that have begun in a folder, its own and its members'."""
    names = [run / "run.json", *run.glob("*/run.json")]
    return {(path, path.stat().st_mtime_ns) for path in names if path.exists()}


@contextlib.contextmanager
def _told(output: Path, run: Path, begun: set[tuple[Path, int]]) -> Iterator[None]:
    """Work of which Ctrl-C says truly what is there and how it goes on."""
    written = _written_at(output)
    try:
        yield
    except KeyboardInterrupt:
        if _written_at(output) != written:
            raise TortieError(f"stopped; {output}, its report and its split are written") from None
        if _begun(run) - begun:
            raise TortieError(
                f"stopped; {run} keeps the last checkpoint, and the same command with --resume "
                "goes on"
            ) from None
        raise


def _written_at(output: Path) -> int | None:
    return output.stat().st_mtime_ns if output.exists() else None


def _written(
    classifier: "ImageClassifier", output: Path, may_replace: bool
) -> tuple[dict[str, Any], list[str]]:
    """Write the classifier, its report and its split; the result as JSON and as lines."""
    fitted = classifier.fitted_
    if rank() or fitted is None:
        return {}, []
    from tortie.evaluation.metrics import calibration_metrics
    from tortie.evaluation.report import write_report
    from tortie.images.split import write_split
    from tortie.learning.fit_report import report_of, scores_of, uncalibrated_scores_of

    report, split = output.with_suffix(_REPORT), output.with_suffix(_SPLIT)
    for one in fitted.data.skipped:
        show.say(f"left out: {one.path}: {one.reason}")
    for note in fitted.notes:
        show.say(f"note: {note}")
    try:
        with together(may_replace):
            classifier.save(output)
            write_split(split, fitted.split_rows())
            write_report(report, report_of(fitted, output.name))
    except TortieError as error:
        if not fitted.history or (
            output.exists() and not may_replace
        ):  # another fit has written it
            raise
        raise TortieError(
            f"{error}; nothing that was learnt is lost: the same command with --resume goes on"
        ) from error
    metadata = classifier.metadata
    document = {
        "file": str(output),
        "report": str(report),
        "split": str(split),
        "classes": metadata.classes,
        "images": len(fitted.data.photographs),
        "skipped": [one._asdict() for one in fitted.data.skipped],
        "network": fitted.plan.network,
        "members": [member.network for member in metadata.members],
        "freeze": fitted.plan.freeze.model_dump(),
        "plan": fitted.plan.model_dump(mode="json"),
        "accuracy": metadata.accuracy and metadata.accuracy.model_dump(),
        "accuracy_reason": metadata.accuracy_reason,
        "temperature": metadata.temperature,
        "calibration": metadata.training["calibration"],
        **calibration_metrics(scores_of(fitted), uncalibrated_scores_of(fitted)),
        "notes": fitted.notes,
        "phases": fitted.seconds,
        "seconds": round(time.monotonic() - _BEGAN, 2),
    }
    lines = [
        f"{output}: {', '.join(metadata.classes)}; {len(fitted.data.photographs):,} photographs"
        + (f", {len(fitted.data.skipped)} left out" if fitted.data.skipped else ""),
        show.accuracy(metadata.accuracy, metadata.accuracy_reason),
        f"report {report}, split {split}",
    ]
    return document, lines
