"""Whether predictions call for a temperature, and which.

It is fitted on photographs that the softmax layer did not learn from, by the log loss and a weak
expectation that it is near 1 (ln T normal, of deviation 0.25), between 1/16 and 16. It stays at 1
where these photographs are fewer than ten (:func:`tortie.learning.calibration.uncalibrated`), and
where :func:`choose_temperature` says.
"""

import math

import numpy as np
from numpy.typing import NDArray

from tortie.evaluation.calibration import fit_temperature, held_out_gain, temperature_error
from tortie.evaluation.metrics import score
from tortie.learning.softmax import Floats, Integers


def choose_temperature(
    probabilities: Floats, labels: Integers, weights: NDArray[np.float64]
) -> float:
    """The temperature fitted on predictions, or 1 where they do not call for another.

    It stays at 1 where the classifier is not shown to be better than its baseline (what it says is
    then no probability at any temperature), and where 1 lies within the 95% interval of the
    temperature fitted and the log loss of photographs held out of the fit does not fall.

    Args:
        probabilities: ``(N, K)`` of photographs that had no part in training.
        labels: true class indices ``(N,)``.
        weights: of each photograph; those of a group add up to one.
    """
    if not is_beyond_baseline(probabilities, labels, weights):
        return 1.0
    temperature = fit_temperature(probabilities, labels, weights)
    error = temperature_error(probabilities, temperature, weights)
    is_sure = abs(math.log(temperature)) > 1.96 * error
    gains = held_out_gain(probabilities, labels, temperature, weights) > 0
    return temperature if is_sure or gains else 1.0


def is_beyond_baseline(
    probabilities: Floats, labels: Integers, weights: NDArray[np.float64]
) -> bool:
    """Whether predictions are shown to be better than always naming the most frequent class."""
    counted = weights > 0
    if not counted.any():
        return False
    names = [str(number) for number in range(probabilities.shape[1])]
    found = score(probabilities[counted], labels[counted], names, weights[counted])
    return found.is_beyond_baseline
