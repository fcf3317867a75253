"""The temperature of a classifier, fitted on photographs that its softmax layer did not learn from.

Where a part of the split is for calibration, that is it. Elsewhere, where photographs are few, the
training photographs are predicted by cross-fitting: each by a layer that was trained without it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tortie.evaluation.calibration import too_little_to_calibrate
from tortie.images.split_rules import SplitRules
from tortie.learning.cross_fitting import (
    HeldOut,
    LabelledFeatures,
    cross_fit,
    cross_fitted_parts,
    predict_by,
)
from tortie.learning.dataset import CalibratedOn, Dataset
from tortie.learning.softmax import Floats, Integers, LinearHead, softmax
from tortie.learning.temperature import choose_temperature, is_beyond_baseline

MOST = 2000
"""Photographs whose crops are predicted to fit a temperature: they fix it to about 3%."""
_MOST_VIEWS = 50_000  # of all of them: 256 MB at 1,280 activations each


@dataclass(frozen=True)
class Calibration:
    """The temperatures of a classifier.

    Attributes:
        temperature: by crop setting.
        on: the photographs that they were fitted on, in words.
        n: how many, copies counted once.
        notes: what the user should know.
        predictions: of these photographs, by crop setting, before calibration.
    """

    temperature: dict[str, float]
    on: CalibratedOn
    n: int
    notes: tuple[str, ...] = ()
    predictions: dict[str, HeldOut] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class CropFeatures:
    """Activations of every crop of some photographs.

    Attributes:
        crops: how many crops were asked for.
        features: float32 ``(C, V, D)``.
        positions: which photographs, indices ``(C,)``.
    """

    crops: int
    features: Floats
    positions: Integers


def crop_rows(table: LabelledFeatures, data: Dataset, crops: int) -> Integers:
    """The calibration photographs whose crops are computed: at most 2,000, by content's hash."""
    rows = data.calibration.positions
    if data.calibration.is_cross_fitted:
        rows = np.concatenate([held for _, held in cross_fitted_parts(table, rows, data.seed)])
    by_content = np.argsort(np.array([data.sha256[i] for i in rows]))
    return np.sort(rows[by_content[: min(MOST, _MOST_VIEWS // crops)]])


def crops_to_compute(split: SplitRules, crops: int) -> int:
    """Views that a fit computes beside the undistorted ones to calibrate so many crops, at most."""
    counts = Counter(split.splits)
    rows = counts["calibration"] or counts["train"]
    return min(rows, MOST, _MOST_VIEWS // crops) * (crops - 1)


def calibrate(
    table: LabelledFeatures,
    data: Dataset,
    head: LinearHead,
    penalty: float,
    cross_fitted: HeldOut | None,
    crops: CropFeatures | None,
) -> Calibration:
    """Fit the temperature of one crop, and of more where their activations are given.

    Args:
        table: activations of all photographs.
        data: what each photograph is for.
        head: trained; it predicts the calibration part.
        penalty: of the heads that predict the training photographs by cross-fitting.
        cross_fitted: predictions of training photographs that were cross-fitted already; ``None``
            makes them here.
        crops: activations of crops of calibration photographs.
    """
    rows, crossed = data.calibration.positions, data.calibration.is_cross_fitted
    settings = ["1"] if crops is None else ["1", str(crops.crops)]
    if data.too_few_of(rows, crossed) is not None:
        return uncalibrated(data, settings)
    folds: Sequence[tuple[LinearHead, Integers]] = [(head, rows)]
    if crossed and (cross_fitted is None or crops is not None):
        folds = cross_fit(table, rows, data.seed, penalty)
    held_out = cross_fitted if crossed else None
    if held_out is None:
        parts = [predict_by(table, own, held) for own, held in folds]
        held_out = HeldOut(
            np.concatenate([one.positions for one in parts]),
            np.concatenate([one.probabilities for one in parts]),
        )
    by_crops = {"1": held_out}
    if crops is not None:
        by_crops[str(crops.crops)] = HeldOut(crops.positions, _of_crops(crops, folds))
    return calibrated(by_crops, data)


def uncalibrated(data: Dataset, settings: Sequence[str]) -> Calibration:
    """Temperatures of 1, where the photographs are too few to fit any.

    Args:
        data: what each photograph is for.
        settings: numbers of crops.
    """
    on = data.calibration.on
    note = f"probabilities are not calibrated: too few photographs for it ({on})"
    return Calibration(dict.fromkeys(settings, 1.0), on, 0, (note,))


def calibrated(by_crops: dict[str, HeldOut], data: Dataset) -> Calibration:
    """The temperatures that suit predictions.

    Args:
        by_crops: predictions of photographs that were not trained on, by crop setting.
        data: their labels, and what part of the split they are.
    """
    on, first = data.calibration.on, by_crops["1"]
    weights = data.weights(first.positions)
    if not is_beyond_baseline(first.probabilities, data.labels[first.positions], weights):
        note = (
            "probabilities are not calibrated: the classifier is not shown to be better than "
            f"always naming the most frequent class ({on})"
        )
        return Calibration(dict.fromkeys(by_crops, 1.0), on, 0, (note,), by_crops)
    temperature = {
        crops: choose_temperature(
            one.probabilities, data.labels[one.positions], data.weights(one.positions)
        )
        for crops, one in by_crops.items()
    }
    warning = too_little_to_calibrate(first.probabilities, temperature["1"], on, weights)
    count = round(float(weights.sum()))
    return Calibration(temperature, on, count, (warning,) if warning else (), by_crops)


def _of_crops(cropped: CropFeatures, heads: Sequence[tuple[LinearHead, Integers]]) -> Floats:
    """The mean over the crops of each photograph's probabilities, by the head that judges it."""
    mean = np.zeros((len(cropped.positions), len(heads[0][0].bias)), np.float32)
    for head, judges in heads:
        own = np.isin(cropped.positions, judges)
        features = cropped.features[own]  # (n, V, D)
        flat = softmax(head.logits(features.reshape(-1, features.shape[2])))
        mean[own] = flat.reshape(*features.shape[:2], -1).mean(axis=1)
    return mean
