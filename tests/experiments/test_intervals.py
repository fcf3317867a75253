"""The rule of the verdict, against numbers worked by hand and scipy's own paired test."""

import math

import pytest
from scipy.stats import ttest_rel

from tests.experiments.toy import MADE_UP, toy
from tortie.experiments.intervals import decide, mean_of, overall
from tortie.experiments.study import Criterion
from tortie.experiments.study_result import Finished, Result


def result_of(arms, study=None):
    """A result of made-up values: by arm, one a seed."""
    seeds = tuple(range(1, len(next(iter(arms.values()))) + 1))
    cells = tuple(
        Finished(arm, seed, 0.0, {arm: {"right": values[seed - 1]}})
        for arm, values in arms.items()
        for seed in seeds
    )
    return Result(study or toy(), "quick", seeds, cells, data={}, machine={})


def verdict(one, other, **claimed):
    criterion = Criterion("", "right", "one", "other", **claimed)
    return decide(result_of({"one": one, "other": other}), criterion).verdict


def test_the_interval_is_students():
    # mean 2, standard deviation 1, t of 2 degrees of freedom 4.302653
    mean = mean_of([1.0, 2.0, 3.0])
    assert mean.value == 2
    assert mean.high - mean.value == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert mean.value - mean.low == pytest.approx(mean.high - mean.value)


def test_a_difference_is_paired_as_scipy_pairs_it():
    one, other = list(MADE_UP["better"].values()), list(MADE_UP["worse"].values())
    criterion = Criterion("", "right", "one", "other", above=0)
    found = decide(result_of({"one": one, "other": other}), criterion).mean
    wanted = ttest_rel(one, other).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


@pytest.mark.parametrize(
    ("one", "other", "claimed", "wanted"),
    [
        ([5, 6, 7], [1, 2, 2], {"above": 0}, "held"),  # differences 4, 4, 5
        ([1, 2, 2], [5, 6, 7], {"above": 0}, "did not hold"),
        ([1, 5, 2], [2, 1, 3], {"above": 0}, "undecided at this scale"),  # -1, 4, -1
        ([5, 6, 7], [1, 2, 2], {"above": 4.3}, "undecided at this scale"),
        ([1.0, 1.1, 1.0], [1.0, 1.0, 1.1], {"above": -1, "below": 1}, "held"),
        ([9, 9.1, 9], [1, 1, 1.1], {"above": -1, "below": 1}, "did not hold"),
        ([8, 16, 32], [2, 4.1, 7.9], {"above": 3, "ratio": True}, "held"),  # four times
        ([8, 16, 32], [2, 4.1, 7.9], {"above": 5, "ratio": True}, "did not hold"),
        ([1], [0], {"above": 0}, "undecided at this scale"),  # one seed has no interval
        ([1], [0], {"above": 0, "exact": True}, "held"),
        ([0], [0], {"above": 0, "exact": True}, "did not hold"),
        ([0.9, 0.9, 0.9], [0.9, 0.9, 0.9], {"above": -0.01}, "held"),
        ([0.9, 0.9, 0.9], [0.9, 0.9, 0.9], {"above": -0.01, "resolution": 0.02},
         "undecided at this scale"),
        ([math.nan, 1, 1], [0, 0, 0], {"above": 0}, "undecided at this scale"),
    ],
)  # fmt: skip
def test_known_answers(one, other, claimed, wanted):
    assert verdict(one, other, **claimed) == wanted


def test_one_criterion_that_fails_decides_and_one_that_is_open_leaves_open():
    held = decide(
        result_of({"one": [5, 6, 7], "other": [1, 2, 2]}),
        Criterion("", "right", "one", "other", above=0),
    )
    failed = decide(
        result_of({"one": [1, 2, 2], "other": [5, 6, 7]}),
        Criterion("", "right", "one", "other", above=0),
    )
    unknown = decide(
        result_of({"one": [1, 5, 2], "other": [2, 1, 3]}),
        Criterion("", "right", "one", "other", above=0),
    )
    assert overall([held, held]) == "held"
    assert overall([held, unknown, failed]) == "did not hold"
    assert overall([held, unknown]) == "undecided at this scale"
