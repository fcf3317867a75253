"""Prediction sets: by hand, and against the theorem, by simulation."""

import itertools
import math

import numpy as np
import pytest

from tortie.errors import UsageError
from tortie.evaluation.prediction_sets import (
    PredictionSets,
    arrays_of,
    check_confidence,
    fit_sets,
    measure_sets,
    scores_of,
    sets_in,
)


def test_a_score_is_the_probability_of_the_classes_above():
    said = np.array([[0.5, 0.2, 0.3], [0.25, 0.5, 0.25]], np.float32)
    assert scores_of(said).tolist() == [[0, pytest.approx(0.8), 0.5], [0.5, 0, 0.75]]


def test_the_threshold_by_hand():
    # n = 9: of (n + 1) 0.8 = 8 the 8th score; of (n + 1) 0.9 = 9 the 9th; of 9.5 there is none.
    sets = PredictionSets(np.arange(9, dtype=np.float32) / 10, np.ones(9, np.float32))
    assert sets.threshold(80) == pytest.approx(0.7)
    assert sets.threshold(90) == pytest.approx(0.8)
    assert math.isinf(sets.threshold(95))
    # Two groups of two and five photographs alone are 7 groups; of 8 · 0.5 = 4 the weights add up
    # to ½, 1, 1½, 2, 3, 4: the sixth.
    halves = PredictionSets(sets.scores, np.array([0.5] * 4 + [1] * 5, np.float32))
    assert halves.groups == 7 and halves.threshold(50) == pytest.approx(0.5)


def test_no_set_is_empty_and_more_confidence_never_makes_one_smaller():
    generator = np.random.default_rng(0)
    said = generator.dirichlet([0.2] * 5, 200).astype(np.float32)
    sets = fit_sets(said, said.argmax(axis=1), np.ones(200))  # always right: all scores are 0
    assert sets.threshold(99) == 0
    assert (sets.of(said, 99).sum(axis=1) == 1).all()
    sets = fit_sets(said, generator.integers(0, 5, 200), np.ones(200))
    sizes = [sets.of(said, level).sum(axis=1) for level in (50, 80, 90, 95, 99)]
    assert sizes[0].min() >= 1
    assert all((more >= fewer).all() for fewer, more in itertools.pairwise(sizes))


@pytest.mark.parametrize("confidence", [80, 90, 95, 99])
@pytest.mark.parametrize("bursts", [False, True])
def test_sets_hold_the_right_class_as_often_as_was_asked(confidence, bursts):
    """Oracle: the theorem. In the mean over calibrations 1 - α at least, 1 - α + 1/(n + 1) at most.

    In bursts photographs of a group share their class and most of what is said of them; the
    photograph predicted is of a new group. The upper bound is for scores without ties.
    """
    generator = np.random.default_rng(confidence)
    covered, groups = [], 120
    for _ in range(400):
        sizes = generator.integers(1, 9, groups + 200) if bursts else np.ones(groups + 200, int)
        base = generator.dirichlet([0.5] * 6, len(sizes))
        labels = (base.cumsum(axis=1) < generator.random((len(sizes), 1))).sum(axis=1).clip(0, 5)
        names = np.repeat(np.arange(len(sizes)), sizes)
        noise = generator.dirichlet([0.5] * 6, len(names)) if bursts else 0
        said = (base[names] ** 1.5 + 0.2 * noise).astype(np.float32)  # too sure of itself
        said /= said.sum(axis=1, keepdims=True)
        known = names < groups
        weights = 1 / sizes[names]
        sets = fit_sets(said[known], labels[names][known], weights[known])
        held = sets.of(said[~known], confidence)
        right = held[np.arange(held.shape[0]), labels[names][~known]]
        covered.append(np.average(right, weights=weights[~known]))
    mean, error = np.mean(covered), np.std(covered) / np.sqrt(len(covered))
    assert mean >= confidence / 100 - 2 * error
    forced = 0.62 if not bursts else 1  # top-1 accuracy, below all levels here
    assert mean <= max(confidence / 100 + 1 / (groups + 1), forced) + 2 * error


def test_copies_do_not_make_a_threshold_surer():
    generator = np.random.default_rng(1)
    said = generator.dirichlet([0.5] * 4, 30).astype(np.float32)
    labels = generator.integers(0, 4, 30)
    once = fit_sets(said, labels, np.ones(30))
    often = fit_sets(said.repeat(5, 0), labels.repeat(5), np.full(150, 0.2))
    assert often.groups == 30
    assert [often.threshold(c) for c in (50, 80, 95, 99)] == [
        once.threshold(c) for c in (50, 80, 95, 99)
    ]


def test_too_few_for_a_confidence_are_said_with_the_one_they_allow():
    sets = PredictionSets(np.zeros(98, np.float32), np.ones(98, np.float32))
    check_confidence(sets, 98)
    with pytest.raises(UsageError, match=r"needs 99 photographs .* has 98, enough for 98.9"):
        check_confidence(sets, 99)
    check_confidence(PredictionSets(np.zeros(99, np.float32), np.ones(99, np.float32)), 99)
    with pytest.raises(UsageError, match="has no prediction sets for 10 crops"):
        check_confidence(None, 95, 10)
    for wrong in (0.95, 0, 100, float("nan")):
        with pytest.raises(UsageError, match="expected a percentage"):
            check_confidence(sets, wrong)


def test_what_is_measured_by_hand_and_kept_in_a_file():
    said = np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3]], np.float32)
    sets = PredictionSets(np.full(20, 0.55, np.float32), np.ones(20, np.float32))
    # Classes above which at most 0.55 lies: {0}, {2}, {1, 2}.
    (eighty, *_) = measured = measure_sets(
        sets, said, np.array([0, 0, 2]), np.ones(3), ["a", "b", "c"]
    )
    assert [one.confidence for one in measured] == [80, 90, 95]  # 20 are too few for 99
    assert eighty.coverage.value == pytest.approx(2 / 3) and eighty.mean_size == pytest.approx(
        4 / 3
    )
    assert eighty.per_class == {"a": (0.5, 1.0), "c": (1.0, 2.0)}
    assert fit_sets(said, np.array([0, 0, 2]), np.zeros(3)) is None
    again = sets_in(arrays_of({"1": sets, "10": sets}))
    assert set(again) == {"1", "10"} and again["10"].threshold(90) == sets.threshold(90)
