"""The softmax layer's solver against scikit-learn, and the choice of its penalty."""

import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from tortie.learning import cross_fitting, softmax_solver, training_rows
from tortie.learning import softmax as S
from tortie.learning.cross_fitting import LabelledFeatures, train_on
from tortie.learning.softmax_solver import LinearHead, Problems, TrainingSet
from tortie.learning.training_rows import TrainingRows
from tortie.learning.training_weights import TrainingWeights


def drawn(n: int, d: int, classes: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d)) * 0.4
    labels = np.arange(n) % classes
    spread = 0.5 + 3 * rng.random(d)
    features = (centres[labels] + rng.normal(size=(n, d))) * spread + 5
    return features.astype(np.float32), labels


@pytest.mark.parametrize("n, d", [(90, 40), (60, 400)])  # features fewer, and images far fewer
@pytest.mark.parametrize("penalty", [10.0, 1.0, 0.01, 1e-4])
def test_solver_agrees_with_scikit_learn(n, d, penalty):
    features, labels = drawn(n, d, 3)
    labels[:6] = 0  # classes of unequal size, so that the weights matter
    head = S.Problem(features.copy(), labels, 3).solve(penalty)
    scaler = StandardScaler().fit(features.astype(np.float64))
    standard = scaler.transform(features.astype(np.float64))
    weights = TrainingWeights().of(np.arange(n), labels, 3).astype(np.float64)
    # scikit-learn minimises C times the summed loss plus half the squared weights.
    oracle = LogisticRegression(C=1 / (penalty * n), tol=1e-10, max_iter=10000, solver="newton-cg")
    oracle.fit(standard, labels, sample_weight=weights)
    expected = oracle.predict_proba(standard)
    np.testing.assert_allclose(S.softmax(head.logits(features)), expected, atol=2e-6)
    # The weights differ even where every image is all but sure to be of its class.
    most = abs(oracle.coef_).max()
    np.testing.assert_allclose(head.weight * scaler.scale_, oracle.coef_, atol=5e-5 * most)


@pytest.mark.parametrize("seed", range(4))
def test_rounding_makes_no_step_shorter(monkeypatch, seed):
    """Of few images with many features, whose losses in float32 are far from exact.

    The oracle is Newton's method, whose whole steps are taken where the last solution is near.
    """
    calls = dict.fromkeys(["_evaluate", "_newton_step"], 0)

    def counted(name):
        function = getattr(softmax_solver._Group, name)

        def call(*given):
            calls[name] += 1
            return function(*given)

        return call

    for name in calls:
        monkeypatch.setattr(softmax_solver._Group, name, counted(name))
    features, labels = drawn(30, 1500, 3, seed)
    problem = S.Problem(features, labels, 3)
    for penalty in S.PENALTIES:
        problem.solve(penalty)
    assert calls["_evaluate"] == calls["_newton_step"] + len(S.PENALTIES)


def test_folds_side_by_side_come_to_what_each_comes_to_alone():
    """The oracle is scikit-learn in double precision: no loss lies above its by more than 1e-7."""
    n, penalty = 600, 0.01
    features, labels = drawn(n, 100, 4)
    parts = S.held_out_parts(np.arange(n) // 7 % 5)
    sets = [TrainingSet(rows, TrainingWeights().of(rows, labels[rows], 4)) for rows, _ in parts]
    for one, head in zip(
        sets, Problems(features.copy(), labels, 4, sets).solve(penalty), strict=True
    ):
        own, true, weights = features[one.rows].astype(float), labels[one.rows], one.weights
        scaler = StandardScaler().fit(own)
        oracle = LogisticRegression(C=1 / (penalty * len(own)), tol=1e-10, max_iter=10000)
        oracle.fit(scaler.transform(own), true, sample_weight=weights.astype(float))
        least = _loss(oracle.predict_proba(scaler.transform(own)), true, weights)
        least += penalty / 2 * (oracle.coef_**2).sum()
        found = _loss(S.softmax(head.logits(features[one.rows]).astype(float)), true, weights)
        found += penalty / 2 * ((head.weight * scaler.scale_) ** 2).sum()
        assert -1e-7 < found - least < 1e-7


def test_a_class_that_a_fold_has_no_image_of_is_all_but_impossible():
    """The oracle is the infimum, by hand: probability 0, and those of the others without it."""
    features, labels = drawn(120, 20, 3)
    rows = np.flatnonzero(labels != 2)
    one = TrainingSet(rows, np.ones(len(rows), np.float32))
    other = TrainingSet(np.arange(120), np.ones(120, np.float32))
    head = Problems(features.copy(), labels, 3, [one, other]).solve(0.1)[0]
    found = S.softmax(head.logits(features))
    assert found[:, 2].max() < 2e-6
    scaler = StandardScaler().fit(features[rows].astype(np.float64))
    oracle = LogisticRegression(C=2 / (0.1 * len(rows)), tol=1e-10, max_iter=10000)
    # Of two classes it penalises the difference of their weights: twice the sum of the squares.
    oracle.fit(scaler.transform(features[rows].astype(np.float64)), labels[rows])
    expected = oracle.predict_proba(scaler.transform(features.astype(np.float64)))
    np.testing.assert_allclose(found[:, :2], expected, atol=1e-5)


def test_a_fold_that_trains_on_one_class_alone_is_sure_of_it():
    # Oracle: by hand. Nothing tells the classes apart in that fold; the others keep their sides.
    draws = np.random.default_rng(0)
    for count in (5, 8, 11):
        features, labels = draws.gamma(1, 1, (count, 1280)).astype(np.float32), np.zeros(count, int)
        labels[-1] = 1
        sets = [
            TrainingSet(np.delete(np.arange(count), out), np.ones(count - 1, np.float32))
            for out in range(count)
        ]
        problems = Problems(features.copy(), labels, 2, sets)
        for penalty in (10.0, 0.1, 1e-3):
            *others, last = problems.solve(penalty)
        assert (S.softmax(last.logits(features))[:, 0] > 0.999).all()
        assert np.abs(last.bias).max() < 100
        for head in others:
            assert head.logits(features).argmax(axis=1).tolist()[-1] == 1


def _loss(probabilities, labels, weights):
    return float(np.mean(-np.log(probabilities[np.arange(len(labels)), labels]) * weights))


def test_warm_start_ends_where_a_cold_start_ends():
    features, labels = drawn(80, 30, 4)
    path = S.Problem(features.copy(), labels, 4)
    for penalty in (10.0, 1.0):
        path.solve(penalty)
    warm = path.solve(0.1).logits(features)
    cold = S.Problem(features.copy(), labels, 4).solve(0.1).logits(features)
    np.testing.assert_allclose(S.softmax(warm), S.softmax(cold), atol=2e-3)


def test_two_photographs_a_class_are_separated():
    features = np.eye(4, 1280, dtype=np.float32) * 10
    labels = np.array([0, 0, 1, 1])
    head = S.Problem(features.copy(), labels, 2).solve(1e-3)
    assert (head.logits(features).argmax(axis=1) == labels).all()


def test_constant_features_are_ignored():
    features, labels = drawn(40, 10, 2)
    features[:, 3] = 7
    head = S.Problem(features.copy(), labels, 2).solve(0.1)
    assert (head.weight[:, 3] == 0).all()
    assert np.isfinite(head.weight).all()


def test_class_weights_by_hand():
    # Counts 9 and 1: 1/3 and 1 before scaling; their mean over ten images is (9/3 + 1) / 10 = 0.4.
    weights = TrainingWeights("sqrt").of(np.arange(10), np.array([0] * 9 + [1]), 2)
    np.testing.assert_allclose(weights, [1 / 3 / 0.4] * 9 + [1 / 0.4], rtol=1e-6)


def test_log_loss_by_hand():
    logits = np.log(np.array([[0.5, 0.5], [0.9, 0.1]], np.float32))
    assert S.log_loss(logits, np.array([0, 1])) == pytest.approx((np.log(2) + np.log(10)) / 2)


def test_softmax_does_not_overflow():
    probabilities = S.softmax(np.array([[1e4, 0.0]], np.float32))
    np.testing.assert_array_equal(probabilities, [[1, 0]])


def test_choice_is_the_least_of_the_losses_it_reports():
    features, labels = drawn(60, 200, 3)
    choice = chosen(features, labels, 3, np.arange(60) // 3 % 5)
    assert choice.penalty == min(choice.losses, key=choice.losses.get)
    assert S.log_loss(choice.logits, np.array(labels)[choice_order()]) == pytest.approx(
        choice.losses[choice.penalty]
    )


@pytest.mark.parametrize(
    "losses, tried, best",
    [
        ((0.5, 0.4, 0.403, 0.402, 0.3), 4, 1),  # two that are worse, by less than 1%
        ((0.5, 0.4, 0.403, 0.39, 0.5), 5, 3),  # one, and then a better one
        ((0.5, 0.4, 0.405, 0.1), 3, 1),  # one by more than 1%
    ],
)
def test_the_search_ends_at_two_that_are_worse_or_one_that_is_clearly(losses, tried, best):
    """The oracle is the rule by hand: of one photograph of class 0, loss = log(1 + exp(−bias))."""

    class Given:
        def solve(self, penalty, within):
            bias = np.array([-np.log(np.expm1(losses[penalty])), 0], np.float32)
            return [LinearHead(np.zeros((2, 1), np.float32), bias)]

    one = np.zeros((1, 1), np.float32), np.zeros(1, np.int64), np.ones(1)
    choice = S.choose(Given(), [one], range(len(losses)))
    assert (len(choice.losses), choice.penalty) == (tried, best)


def chosen(features, labels, classes, folds):
    parts = S.held_out_parts(folds)
    labels = np.array(labels)
    sets = [
        TrainingSet(train, TrainingWeights().of(train, labels[train], classes))
        for train, _ in parts
    ]
    problems = Problems(features.copy(), labels, classes, sets)
    return S.choose(
        problems, [(features[held], labels[held], np.ones(len(held))) for _, held in parts]
    )


def choice_order():
    folds = np.arange(60) // 3 % 5
    return np.concatenate([np.flatnonzero(folds == fold) for fold in range(5)])


def test_noise_is_penalised_hardest_and_clean_signal_least():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(80, 50)).astype(np.float32)
    folds = np.arange(80) // 2 % 5
    on_noise = chosen(noise, np.arange(80) % 2, 2, folds).penalty
    signal = noise.copy()
    signal[:, 0] = (np.arange(80) % 2) * 10
    on_signal = chosen(signal, np.arange(80) % 2, 2, folds).penalty
    assert on_noise >= 1 > on_signal


def test_features_are_standardised_where_they_lie():
    features, labels = drawn(50, 20, 2)
    S.Problem(features, labels, 2)
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-3)


@pytest.mark.parametrize("shift", [0, -5], ids=["means far from 0", "near"])
@pytest.mark.parametrize("many", [1, 10_000], ids=["all axes", "few"])
def test_a_large_training_set_is_not_copied(monkeypatch, shift, many):
    """The oracle is the same fit where it is small enough to be copied."""
    features, labels = drawn(200, 30, 3)
    features += shift
    features[:, 7] = 3  # a constant one
    data = LabelledFeatures(features, labels, [f"{n:064x}" for n in range(200)], [None] * 200, 3)
    copied = train_on(data, np.arange(0, 200, 2), 0.1)
    monkeypatch.setattr(cross_fitting, "MOST_COPIED", 100 * 30 - 1)
    monkeypatch.setattr(training_rows, "_BLOCK", 64 * 30)  # several blocks, a short one last
    monkeypatch.setattr(training_rows, "_MANY", many)
    monkeypatch.setattr(training_rows, "_TIMES", 1)
    before = features.copy()
    kept = train_on(data, np.arange(0, 200, 2), 0.1)
    np.testing.assert_array_equal(features, before)
    np.testing.assert_allclose(kept.weight, copied.weight, atol=1e-5 * abs(copied.weight).max())


@pytest.mark.parametrize("many", [1, 10_000], ids=["all axes", "few"])
def test_neither_threads_nor_the_axes_change_the_solution(monkeypatch, many):
    """The oracle is scikit-learn in double precision; of threads, equality of every bit."""
    monkeypatch.setattr(training_rows, "_BLOCK", 64 * 70)
    monkeypatch.setattr(training_rows, "_MANY", many)
    monkeypatch.setattr(training_rows, "_TIMES", 1)
    features, labels = drawn(900, 70, 4)
    weights = TrainingWeights().of(np.arange(900), labels, 4)
    sets = [TrainingSet(np.arange(900), weights)]

    def solved(threads: int):
        with threadpool_limits(1, "blas"):
            return Problems(features.copy(), labels, 4, sets, threads=threads).solve(0.01, 1e-12)[0]

    one, two = solved(1), solved(2)
    np.testing.assert_array_equal(one.weight, two.weight)
    np.testing.assert_array_equal(one.bias, two.bias)
    scaler = StandardScaler().fit(features.astype(float))
    oracle = LogisticRegression(C=1 / (0.01 * 900), tol=1e-12, max_iter=10000)
    oracle.fit(
        scaler.transform(features.astype(float)), labels, sample_weight=weights.astype(float)
    )
    expected = oracle.predict_proba(scaler.transform(features.astype(float)))
    np.testing.assert_allclose(S.softmax(one.logits(features)), expected, atol=1e-5)


def test_axes_of_wide_features_are_few_and_found_without_a_copy(monkeypatch):
    """The oracle is the size of the arrays: 17 MB of rows, and a spread of 67 MB."""
    monkeypatch.setattr(training_rows, "_MANY", 1)
    features = drawn(1024, 4096, 2)[0]
    zero, one = np.zeros(4096, np.float32), np.ones(4096, np.float32)
    rows = TrainingRows(features, None, zero, one)
    tracemalloc.start()
    axes = rows.axes()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert axes.vectors.shape == (4096, 64)
    assert most < features.nbytes


def test_fewer_blocks_than_parts_are_added_up():
    features = drawn(100, 5, 2)[0]  # the oracle is a product at once
    rows = TrainingRows(features, None, features.mean(axis=0), np.ones(5, np.float32), 2)
    (found,) = rows.summed(2, lambda part, _: [part.T @ part])
    np.testing.assert_allclose(found, features.T @ features, rtol=1e-5)
    assert rows.shape == (100, 5)
