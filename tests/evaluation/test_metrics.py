"""Metrics against scikit-learn, values worked by hand, and exact binomial coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix, log_loss

from tortie.evaluation.calibration import expected_calibration_error
from tortie.evaluation.metrics import score, wilson


def test_wilson_by_hand():
    # Agresti and Coull 1998 give (0.0, 0.2775) for 0 of 10 and Wilson 95%.
    assert wilson(0, 10).low == 0
    assert wilson(0, 10).high == pytest.approx(0.27753, abs=1e-5)
    # 145 of 153: centre (p + z²/2n) / (1 + z²/n) = 0.93675, half-width 0.03674, worked by hand.
    interval = wilson(145, 153)
    assert (interval.low, interval.high) == pytest.approx((0.90006, 0.97327), abs=2e-4)


@given(st.integers(1, 5000), st.data())
def test_wilson_holds_the_share_and_is_symmetric(n, data):
    right = data.draw(st.integers(0, n))
    interval, mirrored = wilson(right, n), wilson(n - right, n)
    assert 0 <= interval.low <= right / n <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirrored.high, abs=1e-12)


@pytest.mark.parametrize("n", [153, 1000])
def test_coverage_is_95_percent(n):
    # Exact: the sum over outcomes of their probability where the interval holds the truth. Near 0
    # and 1 few outcomes are likely and the coverage of any interval jumps; from 5% to 95% it stays.
    outcomes = np.arange(n + 1)
    intervals = [wilson(int(right), n) for right in outcomes]
    low = np.array([interval.low for interval in intervals])
    high = np.array([interval.high for interval in intervals])
    truths = np.linspace(0.05, 0.95, 901)
    coverage = [binom.pmf(outcomes, n, p)[(low <= p) & (p <= high)].sum() for p in truths]
    assert min(coverage) > 0.935 and max(coverage) < 0.97
    assert np.mean(coverage) == pytest.approx(0.95, abs=0.002)
    extremes = np.linspace(0.95, 0.99, 41)
    coverage = [binom.pmf(outcomes, n, p)[(low <= p) & (p <= high)].sum() for p in extremes]
    assert min(coverage) > 0.92


@pytest.mark.parametrize("right, n", [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_what_is_no_share(right, n):
    with pytest.raises(ValueError, match="expected 0 <= right <= n"):
        wilson(right, n)


def test_scores_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), 50).astype(np.float32)
    labels = rng.integers(0, 2, 50)  # the third class never occurs
    scores = score(probabilities, labels, ["a", "b", "c"])
    predicted = probabilities.argmax(axis=1)
    assert scores.accuracy.value == accuracy_score(labels, predicted)
    assert scores.brier == pytest.approx(
        np.square(probabilities - np.eye(3)[labels]).sum(axis=1).mean(), rel=1e-5
    )
    assert scores.ece == expected_calibration_error(probabilities, labels)
    assert scores.log_loss == pytest.approx(
        log_loss(labels, probabilities / probabilities.sum(axis=1, keepdims=True), labels=[0, 1, 2])
    )
    oracle = classification_report(
        labels, predicted, labels=[0, 1, 2], target_names=["a", "b", "c"],
        output_dict=True, zero_division=0,
    )  # fmt: skip
    for name in "abc":
        assert scores.per_class[name].precision == pytest.approx(oracle[name]["precision"])
        assert scores.per_class[name].recall == pytest.approx(oracle[name]["recall"])
        assert scores.per_class[name].f1 == pytest.approx(oracle[name]["f1-score"])
        assert scores.per_class[name].n == oracle[name]["support"]


def test_confusion_rows_are_true_classes():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], np.float32)
    assert score(probabilities, np.array([0, 1, 1]), ["a", "b"]).confusion == [[1, 0], [1, 1]]


def test_a_class_given_no_probability_has_a_finite_loss():
    assert np.isfinite(
        score(np.array([[1.0, 0.0]], np.float32), np.array([1]), ["a", "b"]).log_loss
    )


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=20),
    st.integers(2, 5),
)
def test_each_photograph_so_often_at_that_share_of_its_weight_changes_no_figure(rows, copies):
    labels = np.array([label for label, _ in rows])
    said = np.full((len(rows), 3), 0.2, np.float32)
    said[np.arange(len(rows)), [other for _, other in rows]] = 0.6
    once = score(said, labels, ["a", "b", "c"])
    weights = np.full(copies * len(rows), 1 / copies)
    again = score(said.repeat(copies, 0), labels.repeat(copies), ["a", "b", "c"], weights)
    assert again.confusion == once.confusion
    assert again.per_class == once.per_class
    assert again.accuracy.low == pytest.approx(once.accuracy.low)
    assert again.accuracy.n == once.accuracy.n
    for figure in ("log_loss", "ece", "brier"):
        assert getattr(again, figure) == pytest.approx(getattr(once, figure), abs=1e-7)


def test_weighted_figures_are_scikit_learns():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 60)
    said = generator.dirichlet([1, 1, 1], 60).astype(np.float32)
    weights = generator.uniform(0.1, 1, 60)
    weights *= 30 / weights.sum()
    found = score(said, labels, ["a", "b", "c"], weights)
    answers = said.argmax(axis=1)
    exact = said / said.sum(axis=1, keepdims=True, dtype=np.float64)
    assert np.allclose(found.confusion, confusion_matrix(labels, answers, sample_weight=weights))
    assert found.accuracy.value == pytest.approx(
        accuracy_score(labels, answers, sample_weight=weights)
    )
    assert found.log_loss == pytest.approx(log_loss(labels, exact, sample_weight=weights), rel=1e-5)
