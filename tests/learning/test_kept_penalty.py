"""A penalty that is kept: cross-validation at one penalty, as in the studio's quick figures."""

import numpy as np
import pytest

from tests.learning.examples import dataset_of, labelled, split_of
from tortie.learning.cross_fitting import MANY, cross_fitted_parts, train_on
from tortie.learning.frozen_fit import train_and_measure
from tortie.learning.softmax import softmax

PENALTY = 0.1


@pytest.fixture(scope="module")
def table():
    return labelled(n=240, classes=3)


def measured(table, split, kept):
    return train_and_measure(table, dataset_of(table, split), None, kept=kept)


def test_each_photograph_is_predicted_by_a_head_that_was_solved_without_its_fold(table):
    # Oracle: each fold's softmax layer solved by itself, from zero, to a hundredth of the gap.
    found = measured(table, split_of("cross-validation", train=240), PENALTY)
    assert found.penalty == PENALTY and found.choice.losses.keys() == {PENALTY}
    own = dict(zip(found.held_out.positions.tolist(), found.held_out.probabilities, strict=True))
    assert sorted(own) == list(range(240))
    for train, held in cross_fitted_parts(table, np.arange(240), seed=0):
        alone = softmax(train_on(table, train, PENALTY).logits(table.features[held]))
        assert np.stack([own[i] for i in held.tolist()]) == pytest.approx(alone, abs=3e-3)


def test_the_accuracy_is_that_of_nested_cross_validation_but_for_noise(table):
    # Oracle: nested cross-validation, where nothing that is predicted had a part in any choice.
    split = split_of("cross-validation", train=240)
    nested = measured(table, split, None)
    kept = measured(table, split, nested.penalty)
    right = [
        np.mean(one.held_out.probabilities.argmax(1) == table.labels[one.held_out.positions])
        for one in (nested, kept)
    ]
    assert abs(right[0] - right[1]) <= 0.02
    assert kept.head.weight == pytest.approx(nested.head.weight, abs=1e-6)


def test_a_test_part_is_predicted_by_the_head_of_the_training_part(table):
    # Oracle: the head of the training photographs at this penalty.
    found = measured(table, split_of("test", train=180, validation=20, test=40), PENALTY)
    head = train_on(table, np.arange(180), PENALTY)
    expected = softmax(head.logits(table.features[200:]))
    assert found.held_out.probabilities == pytest.approx(expected, abs=1e-6)
    assert len(table.labels) < MANY
