"""Calibration by hand, against scikit-learn, and by what must always hold."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from tortie.evaluation.calibration import (
    brier,
    expected_calibration_error,
    fit_temperature,
    reliability,
    temperature_error,
    temperature_scaled,
    too_little_to_calibrate,
)

# Four photographs of two classes: confidences 0.9, 0.9, 0.6, 0.6, right, wrong, right, right.
FOUR = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.4, 0.6]], np.float32)
TRUTH = np.array([0, 0, 0, 1])


def drawn(n, temperature, classes=3, seed=0):
    """Probabilities, and labels drawn from the same at a temperature: the true one is known."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = temperature_scaled(probabilities.astype(np.float32), temperature)
    labels = (truth.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=classes - 1)
    return probabilities.astype(np.float32), labels


@st.composite
def judged(draw):
    n, classes = draw(st.integers(1, 40)), draw(st.integers(2, 5))
    logits = draw(arrays(np.float64, (n, classes), elements=st.floats(-40, 40)))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    labels = draw(arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32), labels


def loss(probabilities, labels):
    given = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.maximum(given, np.finfo(np.float32).tiny)).mean()


def test_expected_calibration_error_by_hand():
    # Bins of a tenth: at 0.9 half are right, |0.9 - 0.5| = 0.4; at 0.6 all, 0.4; each is a half.
    assert expected_calibration_error(FOUR, TRUTH, bins=10) == pytest.approx(0.4)
    # One bin: mean confidence 0.75, three of four right.
    assert expected_calibration_error(FOUR, TRUTH, bins=1) == pytest.approx(0.0, abs=1e-7)


def test_brier_by_hand():
    # 0.1² + 0.1², 0.9² + 0.9², 0.4² + 0.4² twice: 0.02 + 1.62 + 0.32 + 0.32 = 2.28, of four.
    assert brier(FOUR, TRUTH) == pytest.approx(0.57)
    assert brier(np.eye(2, dtype=np.float32), np.array([0, 1])) == 0
    assert brier(np.eye(2, dtype=np.float32), np.array([1, 0])) == 2


def test_tempered_by_hand():
    # At T = 2 the square roots count: 0.9 and 0.1 become 3 to 1; at T = 1/2 the squares: 81 to 1.
    np.testing.assert_allclose(temperature_scaled(FOUR[:1], 2), [[0.75, 0.25]], rtol=1e-5)
    np.testing.assert_allclose(temperature_scaled(FOUR[:1], 0.5), [[81 / 82, 1 / 82]], rtol=1e-5)
    assert temperature_scaled(FOUR, 1) is FOUR
    certain = temperature_scaled(np.array([[1, 0]], np.float32), 16)
    assert np.isfinite(certain).all()


@given(judged(), st.sampled_from([1, 5, 10, 15]))
def test_reliability_is_scikit_learns(case, bins):
    probabilities, labels = case
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    accuracy, mean = calibration_curve(right, confidence, n_bins=bins, pos_label=True)
    found = reliability(probabilities, labels, bins)
    np.testing.assert_allclose([one.accuracy for one in found], accuracy, atol=1e-6)
    np.testing.assert_allclose([one.confidence for one in found], mean, atol=1e-6)
    assert sum(one.count for one in found) == len(labels)
    for one in found:
        assert one.low - 1e-7 <= one.confidence <= one.high + 1e-7


def test_brier_is_twice_scikit_learns_for_two_classes():
    probabilities, labels = drawn(200, 1, classes=2)
    oracle = brier_score_loss(labels, probabilities[:, 1])
    assert brier(probabilities, labels) == pytest.approx(2 * oracle, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 3.0])
def test_the_temperature_of_drawn_labels_is_found(temperature):
    probabilities, labels = drawn(8000, temperature)
    found = fit_temperature(probabilities, labels)
    error = temperature_error(probabilities, found)
    assert abs(math.log(found / temperature)) < 4 * error < 0.12


def test_the_temperature_is_the_least_log_loss_of_a_fine_search():
    probabilities, labels = drawn(5000, 1.7, seed=1)
    search = np.arange(1.5, 1.9, 0.004)
    powers = [probabilities.astype(np.float64) ** (1 / t) for t in search]
    losses = [log_loss(labels, one / one.sum(axis=1, keepdims=True)) for one in powers]
    costs = 5000 * np.array(losses) + (np.log(search) / 0.25) ** 2 / 2  # ln T is near 0
    assert fit_temperature(probabilities, labels) == pytest.approx(
        search[int(np.argmin(costs))], abs=0.005
    )


@given(judged())
@settings(max_examples=60)
def test_the_log_loss_is_never_worse_and_the_order_stays(case):
    probabilities, labels = case
    temperature = fit_temperature(probabilities, labels)
    assert 1 / 16 <= temperature <= 16
    after = temperature_scaled(probabilities, temperature)
    assert loss(after, labels) <= loss(probabilities, labels) + 1e-5
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-5)
    assert (after.argmax(axis=1) == probabilities.argmax(axis=1)).mean() == 1 or (
        np.take_along_axis(probabilities, after.argmax(axis=1)[:, None], 1)[:, 0]
        == pytest.approx(probabilities.max(axis=1))
    )


def test_few_right_answers_do_not_make_it_certain():
    """Without the expectation, every photograph right would drive the temperature to its bound."""
    right = np.repeat(np.array([[0.9, 0.1]], np.float32), 6, axis=0)
    assert 0.5 < fit_temperature(right, np.zeros(6, np.int64)) < 1
    assert fit_temperature(right[:0], np.zeros(0, np.int64)) == 1


def test_the_error_of_the_temperature_is_what_repeated_draws_show():
    fits = [math.log(fit_temperature(*drawn(400, 1.5, seed=seed))) for seed in range(60)]
    predicted = temperature_error(drawn(400, 1.5)[0], 1.5)
    assert np.std(fits) == pytest.approx(predicted, rel=0.35)  # 60 draws: ±9% is one deviation


def test_too_little_is_said_with_the_count():
    few, labels = drawn(12, 1)
    words = too_little_to_calibrate(few, fit_temperature(few, labels), "calibration split")
    assert "12 photographs of the calibration split; temperature within a factor of" in words
    many, labels = drawn(2000, 1)
    assert too_little_to_calibrate(many, 1.0, "calibration split") is None
    sure = np.repeat(np.array([[1, 0]], np.float32), 50, axis=0)
    assert "temperature unknown" in too_little_to_calibrate(sure, 1.0, "calibration split")


@pytest.mark.parametrize("figure", [brier, expected_calibration_error, reliability])
def test_nothing_to_count_is_refused(figure):
    with pytest.raises(ValueError, match="at least one photograph"):
        figure(FOUR[:0], TRUTH[:0])


def test_a_few_sure_mistakes_do_not_flatten_all_probabilities():
    """By hand: 24 photographs, 18 right at 99.9%, 6 wrong at 99.9%.

    Without an expectation the best temperature makes the share said the share right, 75%, of
    logits ±ln 999: T = ln 999 / ln 3 = 6.3. With it, ln T is where the slope of the log loss is
    ln T / 0.25², which is looked for on a grid here.
    """
    sure = np.array([0.999, 0.001], np.float32)
    probabilities, labels = np.tile(sure, (24, 1)), np.array([0] * 18 + [1] * 6)
    logs = np.arange(0, math.log(16), 1e-4)
    half = math.log(999) / np.exp(logs) / 2
    losses = 18 * np.log1p(np.exp(-2 * half)) + 6 * np.log1p(np.exp(2 * half))
    expected = math.exp(logs[np.argmin(losses + (logs / 0.25) ** 2 / 2)])
    assert fit_temperature(probabilities, labels) == pytest.approx(expected, rel=1e-3)
    assert expected < 4
