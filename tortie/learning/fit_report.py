"""What the report of a fit shows."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from tortie.evaluation.metrics import counted
from tortie.evaluation.report import EnsembleRow, Report
from tortie.learning.result import FitResult


def report_of(result: FitResult, title: str) -> Report:
    """What the report of a fit shows."""
    return Report(
        title=title,
        classes=result.data.classes,
        scores=result.scores,
        reason=result.data.too_few,
        on=result.data.split.on,
        held=[result.data.sources[i] for i in result.held_out.positions],
        labels=result.scored_labels,
        probabilities=result.probabilities,
        weights=result.scored_weights,
        sets=result.measured_sets,
        strangers=result.strangers_told,
        groups=result.data.inspection.weights.groups[result.held_out.positions],
        plan=result.plan.lines(),
        outcome=_outcome(result),
        counts=result.split_counts,
        trained=_trained(result),
        seconds=result.seconds,
        skipped=result.data.skipped,
        notes=result.notes,
        settings=_settings(result),
        history=result.history,
        best_epoch=result.best_epoch,
        uncalibrated=_before_calibration(result),
        ensemble=_ensemble(result),
        ensemble_note="It is in multiplications.",
        network=result.part,
        extractor=result.extractor,
        sha256=[result.data.sha256[i] for i in result.held_out.positions],
    )


def _before_calibration(result: FitResult) -> NDArray[np.float32] | None:
    """Probabilities before the temperature; ``None`` where the classifier has none."""
    return None if result.calibration.temperature["1"] == 1 else result.held_out.probabilities


def _outcome(result: FitResult) -> list[tuple[str, str, str]]:
    """What was planned, the estimate, and what it took."""
    plan, on, weights = result.plan, result.data.split.on, result.scored_weights
    phases = ("activations", "drawn views", "crops to calibrate", "training")
    spent = sum(result.seconds.get(phase, 0) for phase in phases)
    figures = (
        "none: too few"
        if result.data.too_few
        else f"{counted(round(float(weights.sum())), len(weights))} of the {on}"
    )
    skipped = f", {len(result.data.skipped):,} left out" if result.data.skipped else ""
    return [
        ("photographs", f"{plan.images:,}", f"{result.photographs:,}{skipped}"),
        (
            "training" if plan.training else "reading and computing",
            f"{plan.seconds:.1f} s" if plan.seconds or not plan.multiplications else "not timed",
            f"{spent:.1f} s",
        ),
        ("the whole fit", "", f"{sum(result.seconds.values()):.1f} s"),
        ("counted for the accuracy", f"of the {plan.on}", figures),
    ]


def _settings(result: FitResult) -> dict[str, str]:
    settings = {"seed": str(result.data.seed)}
    if result.penalty is not None:
        settings["penalty"] = f"{result.penalty:g}"
    if result.plan.training is not None:
        settings["recipe"] = result.plan.training.recipe
    return settings


def _ensemble(result: FitResult) -> list[EnsembleRow]:
    """Each member on the photographs that are counted, and all of them together."""
    if not result.members or result.data.too_few is not None:
        return []
    rows, whole = [], 0
    for number, one in enumerate(result.members, 1):
        scores = result.score(one.probabilities[one.held_out.places(result.held_out.positions)])
        assert scores is not None
        cost = one.plan.multiplications_per_image
        whole += cost
        name = f"{number}: {one.entry.title}"
        rows.append(EnsembleRow(name, scores.accuracy, scores.log_loss, f"{cost:,}"))
    scores = result.scores
    assert scores is not None
    return [*rows, EnsembleRow("together", scores.accuracy, scores.log_loss, f"{whole:,}")]


def _trained(result: FitResult) -> dict[str, int]:
    """Photographs of each class that were trained on."""
    if result.rows is not None:
        return dict(zip(result.data.classes, result.rows.trained, strict=True))
    pairs = zip(result.data.photographs, result.data.split.splits, strict=True)
    counts = Counter(photograph.label for photograph, split in pairs if split == "train")
    return {name: counts[name] for name in result.data.classes}
