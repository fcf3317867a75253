"""What a classifier's file remembers of the fit that made it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tortie import __version__
from tortie.evaluation.coverage import REJECTED_BELOW, coverage_curve
from tortie.evaluation.metrics import calibration_metrics
from tortie.evaluation.strangers import Strangers
from tortie.learning.feature_rows import scored_part
from tortie.learning.options import FitOptions
from tortie.learning.recorded_options import recorded
from tortie.learning.result import FitResult
from tortie.networks.entry import Entry
from tortie.networks.stage_names import stage_names
from tortie.weights.classifier_metadata import Accuracy, Metadata, StoredMember

_OF_PHOTOGRAPHS = ("photographs", "split", "found")  # sources of notes that may name files


def accuracy_of(result: FitResult) -> Accuracy | None:
    """The share of right answers with its interval; ``None`` where there are too few."""
    scores = result.scores
    if scores is None:
        return None
    interval = scores.accuracy
    return Accuracy(
        value=interval.value,
        low=interval.low,
        high=interval.high,
        n=round(interval.n),
        photographs=interval.photographs,
        on=result.data.split.on,
        **scores.context,
    )


def member(
    entry: Entry, weights: str | None, head: str, frozen: list[str], precision: str
) -> StoredMember:
    """What a file says of one network."""
    return StoredMember.model_validate(
        {
            "network": entry.name,
            "arguments": dict(entry.arguments),
            "code": entry.code,
            "weights": weights,
            "head": head,
            "frozen": frozen,
            "preprocessing": entry.preprocessing,
            "precision": precision,
        }
    )


def training_sha256(result: FitResult) -> NDArray[np.uint8]:
    """SHA-256 of the photographs that had a part in the training ``(n, 32)``, sorted."""
    data = result.data
    if result.rows is not None:
        return result.rows.trained_sha256(scored_part(result.rows))
    trained = [
        bytes.fromhex(digest)
        for digest, split in zip(data.sha256, data.split.splits, strict=True)
        if split != data.split.on
    ]
    return np.frombuffer(b"".join(sorted(trained)), np.uint8).reshape(-1, 32)


def strangers_document(strangers: Strangers) -> dict[str, float]:
    """How well strangers are noticed, as JSON."""
    noticed = strangers.noticed
    return {
        "noticed": noticed.value,
        "low": noticed.low,
        "high": noticed.high,
        "doubted": strangers.doubted,
        "classes": strangers.classes,
    }


def describe(result: FitResult, options: FitOptions) -> Metadata:
    """The metadata of the classifier's file.

    Args:
        result: of the fit.
        options: that it was asked for with; whether it is private, too.
    """
    plan, private = result.plan, options.private
    skipped = [one._asdict() for one in result.data.skipped]
    notes = result.notes
    if private:
        skipped = [{**one, "path": None} for one in skipped]
        notes = [
            note
            for source, lines in result.notes_by_source.items()
            for note in lines
            if source not in _OF_PHOTOGRAPHS
        ]
    training: dict[str, Any] = {
        "plan": plan.model_dump(mode="json"),
        "seed": result.data.seed,
        "penalty": result.penalty,
        "calibration": {"on": result.calibration.on, "n": result.calibration.n},
        "strangers": result.strangers and strangers_document(result.strangers),
        "measured": _measured(result),
        "splits": result.split_counts,
        "skipped": skipped,
        "notes": notes,
        "hashes": None if private else len(training_sha256(result)),
    }
    return Metadata(
        tortie=__version__,
        classes=list(result.data.classes),
        members=[_member_of(one) for one in result.each],
        temperature=result.calibration.temperature,
        accuracy=accuracy_of(result),
        accuracy_reason=result.data.too_few,
        training=training,
        label_type=result.data.label_type,
        options=recorded(options),
    )


def _measured(result: FitResult) -> dict[str, Any] | None:
    """What the probabilities were worth, and what rejecting the unsure is."""
    if result.scores is None:
        return None
    weights = result.scored_weights
    curve = coverage_curve(result.probabilities, result.scored_labels, weights)
    rows = [
        {
            "threshold": one.threshold, "coverage": one.coverage, "accuracy": one.accuracy,
            "low": one.interval.low, "high": one.interval.high,
        }
        for one in curve
        if one.threshold in REJECTED_BELOW
    ]  # fmt: skip
    return {**calibration_metrics(result.scores, result.uncalibrated_scores), "coverage": rows}


def _member_of(result: FitResult) -> StoredMember:
    plan = result.plan
    frozen = list(plan.freeze.names(stage_names(result.entry)))
    return member(result.entry, plan.weights, result.head, frozen, plan.precision)
