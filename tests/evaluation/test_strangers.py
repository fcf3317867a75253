"""How well strangers are noticed, against strangers that come from where the classes come from."""

import numpy as np
import pytest
from scipy.stats import t

from tortie.evaluation import strangers
from tortie.evaluation.novelty import STRANGE, fit_novelty, quantiles_of
from tortie.evaluation.strangers import interval_over, measure_strangers, told

WIDTH = 40


def photographs(means, each, rng):
    """``each`` photographs of every class: its mean and noise, positive as activations are."""
    labels = np.repeat(np.arange(len(means)), each)
    rows = means[labels] + rng.normal(size=(len(labels), WIDTH))
    return np.exp(rows / 3).astype(np.float32), labels


def kinds(count, rng):
    return rng.normal(size=(count, WIDTH)) * 0.8


def measured(features, labels, weights=None):
    weights = np.ones(len(labels)) if weights is None else weights
    return measure_strangers(features, labels, np.arange(len(labels)) % 5, weights)


def test_what_is_expected_is_what_further_kinds_show():
    """Oracle: 200 further kinds, shown to the classifier whose threshold the fit kept."""
    rng = np.random.default_rng(0)
    expected, seen = [], []
    for _ in range(8):
        features, labels = photographs(kinds(8, rng), 40, rng)
        expected.append(measured(features, labels).noticed.value)
        found = fit_novelty(features, labels, np.arange(len(labels)) % 5)
        new, _ = photographs(kinds(200, rng), 5, rng)
        seen.append((found.percentiles(found.distances(new)) >= STRANGE).mean())
    assert 0.2 < np.mean(seen) < 0.95  # neither easy nor hopeless
    assert np.mean(expected) == pytest.approx(np.mean(seen), abs=0.06)


@pytest.mark.parametrize("each", [10, 60])
def test_of_the_known_five_in_a_hundred_are_doubted(each):
    """Invariant: on new photographs of the known classes, with few and with many trained on."""
    rng = np.random.default_rng(1)
    doubted = []
    for _ in range(20):
        means = kinds(4, rng)
        features, labels = photographs(means, each, rng)
        found = fit_novelty(features, labels, np.arange(len(labels)) % 5)
        new, _ = photographs(means, 200, rng)
        doubted.append((found.percentiles(found.distances(new)) >= STRANGE).mean())
    error = np.std(doubted, ddof=1) / np.sqrt(len(doubted))
    assert np.mean(doubted) < 0.05 + 2 * error
    assert np.mean(doubted) > (0.01 if each == 10 else 0.03)  # held out, a fifth fewer are known


def test_of_few_distances_the_last_is_beyond_one_in_n_plus_one():
    """By hand: 19 distances; 1 in 20 new ones is beyond the largest; bursts count as one."""
    distances = np.arange(1.0, 20)
    assert quantiles_of(distances, np.ones(19), np.array([0.95, 0.5, 0.05])).tolist() == [19, 10, 1]
    burst = np.concatenate([distances, np.full(20, 3.0)])
    weights = np.concatenate([np.ones(19), np.full(20, 0.0)])
    assert quantiles_of(burst, weights, np.array([0.95])).tolist() == [19]
    shared = np.concatenate([np.ones(18), np.full(20, 1 / 20)])
    found = quantiles_of(burst[np.r_[0:18, 19:39]], shared, np.array([0.5]))
    assert found[0] == pytest.approx(9, abs=1e-9)


@pytest.mark.parametrize("count", [3, 6, 12])
@pytest.mark.parametrize(("low", "high"), [(0.5, 0.5), (2, 1), (5, 5)])
def test_the_interval_covers_the_mean_of_all_kinds(count, low, high):
    """Oracle: shares of kinds drawn from a beta distribution, whose mean is known; 30 of each."""
    rng = np.random.default_rng(2)
    hits = []
    for _ in range(300):
        rates = rng.binomial(30, rng.beta(low, high, count)) / 30
        found = interval_over(rates, 30.0 * count)
        hits.append(found.low <= low / (low + high) <= found.high)
    assert (
        np.mean(hits) > 0.9
    )  # of 95; three kinds that are all noticed or not at all are the worst


def test_bursts_count_once():
    """Invariant: every photograph four times is no more evidence."""
    rng = np.random.default_rng(3)
    features, labels = photographs(kinds(6, rng), 12, rng)
    folds = np.repeat(np.arange(len(labels)) % 5, 4)
    four = measure_strangers(
        features.repeat(4, 0), labels.repeat(4), folds, np.full(4 * len(labels), 0.25)
    )
    assert four.noticed.n <= len(labels)


def test_many_classes_and_photographs_are_sampled():
    rng = np.random.default_rng(4)
    features, labels = photographs(kinds(30, rng), 90, rng)
    assert measured(features, labels).classes == 20


def test_two_classes_and_few_photographs_tell_nothing():
    rng = np.random.default_rng(5)
    features, labels = photographs(kinds(2, rng), 40, rng)
    assert measured(features, labels) is None
    assert told(None, 2).startswith("with two classes none can be left out")
    features, labels = photographs(kinds(3, rng), 5, rng)
    assert measured(features, labels) is None
    assert told(None, 3) == "too few photographs to tell how many it would notice"
    assert measure_strangers(features, labels, np.zeros(15, np.int64), np.ones(15)) is None


def test_it_is_said_in_a_sentence():
    rng = np.random.default_rng(6)
    found = measured(*photographs(kinds(5, rng) * 30, 40, rng))
    assert found.noticed.value == 1
    low = round(100 * found.noticed.low)
    assert told(found, 5) == (
        f"shown a kind of thing it never saw, it notices 100% ({low}–100%) of them, and wrongly "
        "doubts 5% of the known (5 classes left out in turn)"
    )


def test_student_s_quantiles_are_those_of_scipy():
    expected = [t.ppf(0.975, count - 1) for count in range(2, strangers.MOST_CLASSES + 1)]
    np.testing.assert_allclose(strangers._STUDENT, expected, rtol=3e-5)  # five digits
