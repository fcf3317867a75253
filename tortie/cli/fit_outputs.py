"""What ``tortie fit`` writes: the classifier, its report, its split and the folder of its run."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tortie.cli import show
from tortie.errors import TortieError, UsageError
from tortie.files import check_output, together
from tortie.processes import rank

if TYPE_CHECKING:
    from tortie.classifier import ImageClassifier

_BEGAN = time.monotonic()
_REPORT, _SPLIT = ".report.html", ".split.csv"


def check_outputs(output: Path, may_replace: bool, inputs: list[Path]) -> Path:
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


def begun_runs(run: Path) -> set[tuple[Path, int]]:
    """The runs that have begun in a folder, its own and its members'."""
    names = [run / "run.json", *run.glob("*/run.json")]
    return {(path, path.stat().st_mtime_ns) for path in names if path.exists()}


@contextlib.contextmanager
def telling(images: Path, output: Path, run: Path, begun: set[tuple[Path, int]]) -> Iterator[None]:
    """Work of which Ctrl-C says truly what is there and how it goes on."""
    from tortie.activations.feature_shards import is_feature_folder

    written, of_features = _written_at(output), is_feature_folder(images)
    try:
        yield
    except KeyboardInterrupt:
        if _written_at(output) != written:
            raise TortieError(f"stopped; {output}, its report and its split are written") from None
        if begun_runs(run) - begun:
            from tortie.runs.folder import resume_hint

            raise TortieError(f"stopped; {resume_hint(run)}") from None
        if of_features:
            raise TortieError(
                f"stopped; the features in {images} are kept, and nothing that was solved for from "
                "them: the same command solves for it anew"
            ) from None
        raise


def _written_at(output: Path) -> int | None:
    return output.stat().st_mtime_ns if output.exists() else None


def write_outputs(
    classifier: "ImageClassifier", output: Path, may_replace: bool
) -> tuple[dict[str, Any], list[str]]:
    """Write the classifier, its report and its split; the result as JSON and as lines."""
    fitted = classifier.fitted_
    if rank() or fitted is None:
        return {}, []
    from tortie.evaluation.advice import warnings
    from tortie.evaluation.metrics import calibration_metrics
    from tortie.evaluation.report import write_report
    from tortie.images.class_names import names_in_line
    from tortie.images.split import write_split
    from tortie.learning.fit_report import report_of

    report, split = output.with_suffix(_REPORT), output.with_suffix(_SPLIT)
    for one in fitted.data.skipped:
        show.say(f"left out: {one.path}: {one.reason}")
    for note in fitted.notes:
        show.say(f"note: {note}")
    try:
        with together(may_replace):
            classifier.save(output, force=True)  # together() keeps what may not be replaced
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
        "images": fitted.photographs,
        "skipped": [one._asdict() for one in fitted.data.skipped],
        "network": fitted.plan.network,
        "members": [member.network for member in metadata.members],
        "freeze": fitted.plan.freeze.model_dump(),
        "plan": fitted.plan.model_dump(mode="json"),
        "accuracy": metadata.accuracy and metadata.accuracy.model_dump(),
        "accuracy_reason": metadata.accuracy_reason,
        "warnings": warnings(fitted.scores) if fitted.scores else [],
        "strangers": metadata.training["strangers"],
        "temperature": metadata.temperature,
        "calibration": metadata.training["calibration"],
        **calibration_metrics(fitted.scores, fitted.uncalibrated_scores),
        "notes": fitted.notes,
        "phases": fitted.seconds,
        "seconds": round(time.monotonic() - _BEGAN, 2),
    }
    lines = [
        f"{output}: {names_in_line(metadata.classes)}; {fitted.photographs:,} photographs"
        + (f", {len(fitted.data.skipped)} left out" if fitted.data.skipped else ""),
        *show.accuracy(fitted.scores, metadata.accuracy_reason, fitted.data.split.on),
        *([f"strangers: {fitted.strangers_told}"] if fitted.strangers_told else []),
        f"report {report}, split {split}",
    ]
    return document, lines
