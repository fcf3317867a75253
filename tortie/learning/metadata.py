"""What a classifier's file remembers of the fit that made it."""

from collections import Counter
from typing import Any

import numpy as np

from tortie import __version__
from tortie.evaluation.metrics import Scores, score
from tortie.evaluation.report import EnsembleRow, Report
from tortie.learning.result import FitResult
from tortie.networks.table import Entry
from tortie.weights.classifier_file import Accuracy, Member, Metadata


def scores_of(fitted: FitResult) -> Scores | None:
    """Every figure on the photographs that were held out; ``None`` where there are too few."""
    if fitted.too_few is not None:
        return None
    return score(fitted.probabilities, fitted.labels[fitted.held], fitted.classes)


def uncalibrated_scores_of(fitted: FitResult) -> Scores | None:
    """The same figures before the temperature."""
    if fitted.too_few is not None:
        return None
    return score(fitted.uncalibrated, fitted.labels[fitted.held], fitted.classes)


def accuracy_of(fitted: FitResult) -> Accuracy | None:
    """The share of right answers with its interval; ``None`` where there are too few."""
    scores = scores_of(fitted)
    if scores is None:
        return None
    interval = scores.accuracy
    return Accuracy(
        value=interval.value,
        low=interval.low,
        high=interval.high,
        n=interval.n,
        on=fitted.protocol.on,
    )


def member(
    entry: Entry, weights: str | None, head: str, frozen: list[str], precision: str
) -> Member:
    """What a file says of one network."""
    return Member.model_validate(
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


def describe(fitted: FitResult) -> Metadata:
    """The metadata of the classifier's file."""
    plan = fitted.plan
    training: dict[str, Any] = {
        "plan": plan.model_dump(mode="json"),
        "seed": fitted.seed,
        "penalty": fitted.penalty,
        "calibration": {"on": fitted.calibration.on, "n": fitted.calibration.n},
        "splits": dict(Counter(fitted.protocol.splits)),
        "skipped": [one._asdict() for one in fitted.skipped],
        "notes": fitted.notes,
    }
    return Metadata(
        tortie=__version__,
        classes=list(fitted.classes),
        members=[_member_of(one) for one in fitted.each],
        temperature=fitted.calibration.temperature,
        accuracy=accuracy_of(fitted),
        accuracy_reason=fitted.too_few,
        training=training,
    )


def _member_of(fitted: FitResult) -> Member:
    plan = fitted.plan
    frozen = list(fitted.network.stage_names[: plan.freeze.stages])
    return member(fitted.entry, plan.weights, fitted.head, frozen, plan.precision)


def report_of(fitted: FitResult, title: str) -> Report:
    """What the report of a fit shows."""
    return Report(
        title=title,
        classes=fitted.classes,
        scores=scores_of(fitted),
        reason=fitted.too_few,
        on=fitted.protocol.on,
        held=[fitted.sources[i] for i in fitted.held],
        labels=fitted.labels[fitted.held],
        probabilities=fitted.probabilities,
        plan=fitted.plan.lines(),
        outcome=_outcome(fitted),
        counts=dict(Counter(fitted.protocol.splits)),
        trained=_trained(fitted),
        seconds=fitted.seconds,
        skipped=fitted.skipped,
        notes=fitted.notes,
        settings=_settings(fitted),
        history=fitted.history,
        best_epoch=fitted.best_epoch,
        uncalibrated=fitted.uncalibrated,
        ensemble=_ensemble(fitted),
        network=fitted.network,
        preprocessing=fitted.entry.preprocessing,
    )


def _outcome(fitted: FitResult) -> list[tuple[str, str, str]]:
    """What was planned, the estimate, and what it came to."""
    plan, on = fitted.plan, fitted.protocol.on
    phases = ("activations", "drawn views", "crops to calibrate", "training")
    spent = sum(fitted.seconds.get(phase, 0) for phase in phases)
    counted = "none: too few" if fitted.too_few else f"{len(fitted.held):,}, of the {on}"
    skipped = f", {len(fitted.skipped):,} left out" if fitted.skipped else ""
    return [
        ("photographs", f"{plan.images:,}", f"{len(fitted.photographs):,}{skipped}"),
        (
            "training" if plan.training else "reading and computing",
            f"{plan.seconds:.1f} s" if plan.seconds or not plan.multiplications else "not timed",
            f"{spent:.1f} s",
        ),
        ("the whole fit", "", f"{sum(fitted.seconds.values()):.1f} s"),
        ("counted for the accuracy", f"of the {plan.on}", counted),
    ]


def _settings(fitted: FitResult) -> dict[str, str]:
    settings = {"seed": str(fitted.seed)}
    if fitted.penalty is not None:
        settings["penalty"] = f"{fitted.penalty:g}"
    if fitted.plan.training is not None:
        settings["recipe"] = fitted.plan.training.recipe
    return settings


def _ensemble(fitted: FitResult) -> list[EnsembleRow]:
    """Each member on the photographs that are counted, and all of them together."""
    if not fitted.members or fitted.too_few is not None:
        return []
    rows, whole = [], 0
    for number, one in enumerate(fitted.members, 1):
        own = one.probabilities[np.isin(one.held, fitted.held)]
        scores = score(own, fitted.labels[fitted.held], fitted.classes)
        cost = one.plan.multiplications_per_image
        whole += cost
        name = f"{number}: {one.entry.name}"
        rows.append(EnsembleRow(name, scores.accuracy, scores.log_loss, f"{cost:,}"))
    scores = score(fitted.probabilities, fitted.labels[fitted.held], fitted.classes)
    return [*rows, EnsembleRow("together", scores.accuracy, scores.log_loss, f"{whole:,}")]


def _trained(fitted: FitResult) -> dict[str, int]:
    """Photographs of each class that were trained on."""
    pairs = zip(fitted.photographs, fitted.protocol.splits, strict=True)
    counts = Counter(photograph.label for photograph, split in pairs if split == "train")
    return {name: counts[name] for name in fitted.classes}
