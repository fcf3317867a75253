"""The temperature of a classifier, fitted on photographs that its softmax layer did not learn from.

Where a part of the split is for calibration, that is it. Elsewhere, where photographs are few, the
training photographs are judged by cross-fitting: each by a layer that was trained without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tortie.evaluation.calibration import fit_temperature, too_little_to_calibrate
from tortie.images.split_rules import SplitRules, enough_to_score
from tortie.learning.cross_fitting import (
    HeldOut,
    LabelledFeatures,
    cross_fit,
    cross_fitted_parts,
    judge,
)
from tortie.learning.softmax import Floats, Integers, LinearHead, softmax

CROSS_FITTED = "training part, cross-fitted"
MOST = 2000
"""Photographs whose crops are judged to fit a temperature: they fix it to about 3%."""
_MOST_VIEWS = 50_000  # of all of them: 256 MB at 1,280 activations each


@dataclass(frozen=True)
class Calibration:
    """The temperatures of a classifier.

    Attributes:
        temperature: by crop setting.
        on: the photographs that they were fitted on, in words.
        n: how many.
        notes: what the user should know.
        said: what was said of these photographs, by crop setting; uncalibrated.
    """

    temperature: dict[str, float]
    on: str
    n: int
    notes: tuple[str, ...] = ()
    said: dict[str, HeldOut] = field(default_factory=dict, repr=False, compare=False)


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


def calibration_rows(protocol: SplitRules) -> tuple[Integers, str]:
    """Photographs that the temperature is fitted on, and what to call them."""
    parts = np.array(protocol.splits)
    apart = np.setdiff1d(np.flatnonzero(parts == "calibration"), np.array(protocol.leaks, np.int64))
    if len(apart):
        return apart, "calibration part"
    return np.flatnonzero(parts == "train"), CROSS_FITTED


def cropped_rows(data: LabelledFeatures, protocol: SplitRules, seed: int, crops: int) -> Integers:
    """Those of them whose crops are computed: at most 2,000, by their content's hash."""
    rows, on = calibration_rows(protocol)
    if on == CROSS_FITTED:
        rows = np.concatenate([held for _, held in cross_fitted_parts(data, rows, seed)])
    by_content = np.argsort(np.array([data.keys[i] for i in rows]))
    return np.sort(rows[by_content[: min(MOST, _MOST_VIEWS // crops)]])


def crops_to_compute(protocol: SplitRules, crops: int) -> int:
    """Views that a fit computes beside the undistorted ones to calibrate so many crops, at most."""
    rows, _ = calibration_rows(protocol)
    return min(len(rows), MOST, _MOST_VIEWS // crops) * (crops - 1)


def calibrate(
    data: LabelledFeatures,
    protocol: SplitRules,
    head: LinearHead,
    penalty: float,
    seed: int,
    judged: HeldOut | None,
    cropped: CropFeatures | None,
) -> Calibration:
    """Fit the temperature of one crop, and of more where their activations are given.

    Args:
        data: activations of all photographs.
        protocol: what each is for.
        head: trained; it judges the calibration part.
        penalty: of the layers that judge the training photographs by cross-fitting.
        seed: of the folds.
        judged: training photographs that were cross-fitted already; ``None`` does it here.
        cropped: activations of crops of calibration photographs.
    """
    rows, on = calibration_rows(protocol)
    settings = ["1"] if cropped is None else ["1", str(cropped.crops)]
    too_few = enough_to_score(
        [str(data.labels[i]) for i in rows], [data.groups[i] for i in rows],
        crossed=on == CROSS_FITTED,
    )  # fmt: skip
    if too_few is not None:
        note = f"probabilities are as the network gives them: too little to calibrate ({on})"
        return Calibration(dict.fromkeys(settings, 1.0), on, 0, (note,))
    folds: Sequence[tuple[LinearHead, Integers]] = [(head, rows)]
    if on == CROSS_FITTED and (judged is None or cropped is not None):
        folds = cross_fit(data, rows, seed, penalty)
    if on != CROSS_FITTED or judged is None:
        parts = [judge(data, own, held) for own, held in folds]
        judged = HeldOut(
            np.concatenate([one.positions for one in parts]),
            np.concatenate([one.probabilities for one in parts]),
        )
    said = {"1": judged}
    if cropped is not None:
        said[str(cropped.crops)] = HeldOut(cropped.positions, _of_crops(cropped, folds))
    return calibrated(said, data.labels, on)


def calibrated(said: dict[str, HeldOut], labels: Integers, on: str) -> Calibration:
    """The temperatures that suit what was said.

    Args:
        said: of photographs that were not learnt from, by crop setting.
        labels: class indices ``(N,)`` of all photographs.
        on: what to call those photographs.
    """
    temperature = {
        crops: fit_temperature(one.probabilities, labels[one.positions])
        for crops, one in said.items()
    }
    warning = too_little_to_calibrate(said["1"].probabilities, temperature["1"], on)
    count = len(said["1"].positions)
    return Calibration(temperature, on, count, (warning,) if warning else (), said)


def _of_crops(cropped: CropFeatures, heads: Sequence[tuple[LinearHead, Integers]]) -> Floats:
    """The mean over the crops of each photograph's probabilities, by the head that judges it."""
    mean = np.zeros((len(cropped.positions), len(heads[0][0].bias)), np.float32)
    for head, judges in heads:
        own = np.isin(cropped.positions, judges)
        features = cropped.features[own]  # (n, V, D)
        flat = softmax(head.logits(features.reshape(-1, features.shape[2])))
        mean[own] = flat.reshape(*features.shape[:2], -1).mean(axis=1)
    return mean
