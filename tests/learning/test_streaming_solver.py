"""The softmax layer from blocks of rows is the one from rows in memory."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.learning.test_softmax import drawn
from tortie.learning import sampled_hessian, streaming_solver
from tortie.learning.softmax import softmax
from tortie.learning.softmax_solver import Problems, TrainingSet
from tortie.learning.streaming_solver import Block, StreamedProblem
from tortie.learning.training_weights import TrainingWeights

N, D, K = 900, 60, 5


@pytest.fixture(scope="module")
def data():
    features, labels = drawn(N, D, K)
    labels[:60] = 0  # classes of unequal size, so that the weights matter
    return features, labels, TrainingWeights().of(np.arange(N), labels, K)


def problem(data, size=100, threads=1):
    """The problem in blocks of ``size`` rows."""
    features, labels, weights = data

    def read(at):
        rows = slice(at, at + size)
        return Block(features[rows].copy(), labels[rows], weights[rows] / np.float32(N))

    blocks = [lambda at=at: read(at) for at in range(0, N, size)]
    return StreamedProblem(blocks, N, (D, K), threads)


@pytest.mark.parametrize("held", [N, 300], ids=["all rows in the sample", "a third"])
def test_the_streamed_solution_is_the_one_in_memory(data, monkeypatch, held):
    """Probabilities to 1e-5 along a path of penalties, both solved further than a fit does."""
    features, labels, weights = data
    monkeypatch.setattr(sampled_hessian, "PART", held / N)
    monkeypatch.setattr(streaming_solver, "GRADIENT", 2e-7)
    streamed = problem(data, threads=2)
    rows = TrainingSet(np.arange(N), weights)
    known = Problems(features.copy(), labels, K, [rows])
    for penalty in (1.0, 0.1, 0.01):
        own, other = streamed.solve(penalty, 0.0)[0], known.solve(penalty, 1e-13)[0]
        expected = softmax(other.logits(features))
        np.testing.assert_allclose(softmax(own.logits(features)), expected, atol=1e-5)
        spread = features.std(axis=0)
        np.testing.assert_allclose(own.weight * spread, other.weight * spread, atol=2e-5)


@pytest.mark.parametrize("penalty", [1.0, 0.01])
def test_solver_agrees_with_scikit_learn(data, penalty):
    """As a fit stops: no loss above scikit-learn's, in float64, by more than 1e-7 nats."""
    features, labels, weights = (one.astype(float) for one in data)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    oracle = LogisticRegression(C=1 / (penalty * N), tol=1e-10, max_iter=10000)
    oracle.fit(standard, labels, sample_weight=weights)
    head = problem(data).solve(penalty, 0.0)[0]
    own = head.weight * features.std(axis=0), oracle.coef_
    logits = features @ head.weight.T + head.bias, oracle.decision_function(standard)
    losses = []
    for weight, one in zip(own, logits, strict=True):
        total = np.log(np.exp(one).sum(axis=1)) - one[np.arange(N), data[1]]
        losses.append((weights * total).mean() + penalty / 2 * (weight**2).sum())
    assert -1e-8 < losses[0] - losses[1] < 1e-7


def test_neither_blocks_nor_threads_nor_the_start_matter(data):
    """Sums in float64: other blocks, and a path from a stronger penalty, end at one place."""
    features = data[0]
    expected = softmax(problem(data).solve(0.1, 0.0)[0].logits(features))
    warm = problem(data, size=77, threads=3)
    warm.solve(10.0)
    np.testing.assert_allclose(
        softmax(warm.solve(0.1, 0.0)[0].logits(features)), expected, atol=1e-4
    )
    again = softmax(problem(data).solve(0.1, 0.0)[0].logits(features))
    np.testing.assert_array_equal(again, expected)


def test_a_constant_feature_is_ignored(data):
    features = data[0].copy()
    features[:, 3] = 7
    head = problem((features, *data[1:])).solve(0.1)[0]
    assert (head.weight[:, 3] == 0).all()
    assert np.isfinite(head.weight).all()


@pytest.mark.parametrize("mean", [0, 5, 5000])  # the last is too far to be left in the rows
def test_the_mean_of_the_features_does_not_matter(data, mean):
    """The oracle is the solution in memory, on rows that are standardised themselves."""
    features, labels, weights = data
    moved = features + np.float32(mean)
    own = problem((moved, labels, weights)).solve(0.1, 0.0)[0]
    rows = TrainingSet(np.arange(N), weights)
    other = Problems(moved.copy(), labels, K, [rows]).solve(0.1, 1e-13)[0]
    expected = softmax(other.logits(moved.astype(np.float64)))
    np.testing.assert_allclose(softmax(own.logits(moved.astype(np.float64))), expected, atol=1e-3)


def test_a_process_without_rows_has_no_sample():
    """Under torchrun there may be more processes than files."""
    scale, shift = np.ones(D, np.float32), np.zeros(D, np.float32)
    assert streaming_solver._together([], scale, shift) == []


def test_an_evaluation_is_a_pass(data):
    """The gradient at zero weights is 1e5 times that at the end; what was solved is kept."""
    streamed = problem(data)
    streamed.solve(1.0, 0.0)
    assert 1 < streamed.passes < 20
    assert streamed.reached <= streaming_solver.GRADIENT
    passes = streamed.passes
    streamed.solve(1.0, 0.0)
    assert streamed.passes == passes


@pytest.mark.parametrize("leading", [N, 20], ids=["all axes", "leading axes"])
def test_the_sample_of_all_rows_has_the_hessian_of_the_problem(data, monkeypatch, leading):
    """The oracle: what the gradient changes by along small steps."""
    monkeypatch.setattr(sampled_hessian, "PART", 1.0)
    monkeypatch.setattr(sampled_hessian, "_AXES", leading)
    monkeypatch.setattr(sampled_hessian, "_LEFT", 1e-5)
    monkeypatch.setattr(sampled_hessian, "_TURNS", 500)
    streamed = problem(data)
    rng = np.random.default_rng(0)
    at, step = (rng.normal(scale=0.03, size=(D + 1, K)) for _ in range(2))
    step -= step.mean(axis=1, keepdims=True)  # what all classes share changes no probability
    parts = np.float32(at[:-1]), np.float32(at[-1])
    streamed._hessian.move(*parts)
    penalised = np.full((D + 1, K), 0.1)
    penalised[-1] = 0
    sides = [streamed._evaluate((at + way * step).ravel()).gradient for way in (0.05, -0.05)]
    change = (sides[0] - sides[1]) / 0.1 + (penalised * step).ravel()
    found = streamed._hessian.solve(change, penalised.ravel())
    np.testing.assert_allclose(found, step.ravel(), atol=2e-3 * np.abs(step).max())
