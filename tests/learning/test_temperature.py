"""When predictions call for a temperature: against draws, and exact leaving out."""

import math

import numpy as np
import pytest

from tortie.evaluation.calibration import fit_temperature, held_out_gain, temperature_scaled
from tortie.learning.temperature import choose_temperature


def drawn(n, temperature, seed):
    """Probabilities, and labels drawn by them at a temperature."""
    generator = np.random.default_rng(seed)
    said = generator.dirichlet([0.4, 0.4, 0.4], n).astype(np.float32)
    meant = temperature_scaled(said, temperature)
    labels = np.array([generator.choice(3, p=row / row.sum()) for row in meant.astype(float)])
    return said, labels


def test_a_temperature_that_is_called_for_is_found_and_copies_do_not_call_for_one():
    said, labels = drawn(400, 2.0, 1)
    weights = np.ones(400)
    found = choose_temperature(said, labels, weights)
    assert found == fit_temperature(said, labels) and 1.5 < found < 2.7
    often = choose_temperature(said.repeat(4, 0), labels.repeat(4), np.full(1600, 0.25))
    assert often == pytest.approx(found, rel=1e-4)


def test_probabilities_that_mean_what_they_say_mostly_keep_a_temperature_of_one():
    kept = [choose_temperature(*drawn(60, 1.0, seed), np.ones(60)) == 1 for seed in range(60)]
    assert np.mean(kept) > 0.7


def test_a_classifier_at_its_baseline_has_no_temperature():
    generator = np.random.default_rng(0)
    said = generator.dirichlet([0.1, 0.1], 300).astype(np.float32)  # sure, and by chance
    labels = generator.integers(0, 2, 300)
    assert fit_temperature(said, labels) > 2
    assert choose_temperature(said, labels, np.ones(300)) == 1


def test_the_gain_of_those_held_out_is_that_of_leaving_each_out():
    said, labels = drawn(80, 1.4, 3)
    temperature = fit_temperature(said, labels)
    exact = 0.0
    for i in range(80):
        others = np.arange(80) != i
        own = fit_temperature(said[others], labels[others])
        before, after = said[i, labels[i]], temperature_scaled(said[[i]], own)[0, labels[i]]
        exact += math.log(after) - math.log(before)
    assert held_out_gain(said, labels, temperature) == pytest.approx(exact, rel=0.05, abs=0.05)
