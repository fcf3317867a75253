"""The order in which photographs are listed changes no bit of a classifier: the oracle is another.

Names, and so the order, differ between a folder and the shards of the same photographs.
"""

from dataclasses import replace

import numpy as np
import pytest

import tortie
from tests.conftest import photograph
from tortie.evaluation.novelty import fit_novelty
from tortie.evaluation.strangers import measure_strangers
from tortie.learning import cross_fitting
from tortie.learning.check_labels import out_of_fold
from tortie.learning.cross_fitting import (
    LabelledFeatures,
    choose_among,
    choose_on,
    cross_fit,
    cross_fitted_parts,
    cross_validate,
    predict_by,
    train_on,
)

COUNT = 600  # over the 300 and 1,000 rows that spreads are measured on


@pytest.fixture(scope="module")
def tables():
    """Features of three classes that overlap, as they come and in another order; what maps them."""
    draws = np.random.default_rng(3)
    labels = draws.integers(0, 3, COUNT)
    features = draws.standard_normal((COUNT, 24)).astype(np.float32)
    features[:, :3] += np.eye(3, dtype=np.float32)[labels]
    keys = [f"{number:064x}" for number in draws.permutation(COUNT)]
    groups = [7 if number in (3, 99, 250) else None for number in range(COUNT)]
    weights = np.where([group is None for group in groups], 1, 1 / 3)
    table = LabelledFeatures(features, labels, keys, groups, 3, weights)
    order = draws.permutation(COUNT)
    other = LabelledFeatures(
        features[order], labels[order], [keys[i] for i in order], [groups[i] for i in order], 3,
        weights[order],
    )  # fmt: skip
    return table, other, order


def test_every_step_of_a_fit_is_the_same_in_another_order(tables):
    table, other, order = tables
    every, train, rest = np.arange(COUNT), np.arange(0, COUNT, 2), np.arange(1, COUNT, 2)
    place = np.argsort(order)  # where a row of the first is in the other
    there = {one: np.sort(place[rows]) for one, rows in enumerate((every, train, rest))}

    def the_same(held, other_held):
        np.testing.assert_array_equal(held.positions, order[other_held.positions])
        np.testing.assert_array_equal(held.probabilities, other_held.probabilities)

    heads = train_on(table, train, 0.1), train_on(other, there[1], 0.1)
    np.testing.assert_array_equal(heads[0].weight, heads[1].weight)
    np.testing.assert_array_equal(heads[0].bias, heads[1].bias)
    the_same(predict_by(table, heads[0], rest), predict_by(other, heads[1], there[2]))
    the_same(cross_validate(table, 5), cross_validate(other, 5))
    for one, two in (
        (choose_among(table, every, 5), choose_among(other, there[0], 5)),
        (choose_on(table, train, rest), choose_on(other, there[1], there[2])),
    ):
        assert one.losses == two.losses
        np.testing.assert_array_equal(one.logits, two.logits)
    fits = zip(cross_fit(table, every, 5, 0.1), cross_fit(other, there[0], 5, 0.1), strict=True)
    for (head, held), (again, other_held) in fits:
        np.testing.assert_array_equal(head.weight, again.weight)
        np.testing.assert_array_equal(held, order[other_held])
    found, count = out_of_fold(table, 5)
    again, as_many = out_of_fold(other, 5)
    assert count == as_many
    np.testing.assert_array_equal(found[order], again)


def test_a_training_set_too_large_to_copy_is_the_same_in_another_order(tables, monkeypatch):
    monkeypatch.setattr(cross_fitting, "MOST_COPIED", 0)
    monkeypatch.setattr(cross_fitting, "_ROWS", 70)  # several blocks, a short one last
    table, other, order = tables
    rows = np.arange(0, COUNT, 2)
    there = np.sort(np.argsort(order)[rows])
    heads = train_on(table, rows, 0.1), train_on(other, there, 0.1)
    np.testing.assert_array_equal(heads[0].weight, heads[1].weight)
    np.testing.assert_array_equal(heads[0].bias, heads[1].bias)


def test_a_choice_that_is_shared_goes_with_the_rows_that_it_is_of(tables):
    """What a fit chose is handed to the check of labels: the oracle is the check that chooses."""
    table, _, _ = tables
    own, count = out_of_fold(table, 5)
    shared, as_many = out_of_fold(table, 5, choose_among(table, np.arange(COUNT), 5))
    assert count == as_many
    np.testing.assert_array_equal(own, shared)
    rows = np.concatenate([held for _, held in cross_fitted_parts(table, np.arange(COUNT), 5)])
    choice = choose_among(table, np.arange(COUNT), 5)
    np.testing.assert_array_equal(choice.labels, table.labels[rows])


def test_what_is_drawn_for_distances_is_the_same_in_another_order(tables):
    table, other, _ = tables
    found = []
    for one in (table, other):
        rows = one.by_content(np.arange(COUNT))
        known = one.folds(5, rows), one.weights_of(rows), rows
        novelty = fit_novelty(one.features, one.labels, *known)
        found.append((novelty, measure_strangers(one.features, one.labels, *known)))
    (novelty, strangers), (again, as_strange) = found
    assert strangers == as_strange
    for name, array in novelty.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[name])


def test_equal_contents_of_two_classes_are_in_the_order_of_these():
    features = np.zeros((4, 2), np.float32)
    keys = ["b", "a", "b", "a"]
    table = LabelledFeatures(features, np.array([1, 1, 0, 0]), keys, [None] * 4, 2)
    assert table.by_content(np.arange(4)).tolist() == [3, 1, 2, 0]
    assert table.by_content(np.array([0, 2])).tolist() == [2, 0]
    assert replace(table, keys=["a", "b", "c", "d"]).by_content(np.arange(4)).tolist() == [
        0, 1, 2, 3,
    ]  # fmt: skip


def test_a_fit_is_the_same_in_another_order():
    labels = [("blobs", "stripes")[number % 2] for number in range(44)]
    images = [np.asarray(photograph(label, n)) for n, label in enumerate(labels)]
    order = np.random.default_rng(0).permutation(len(images))
    classifier = tortie.ImageClassifier(threads=1, precision="float32", seed=3)
    first = classifier.fit(images, labels).fitted_
    other = classifier.fit([images[i] for i in order], [labels[i] for i in order]).fitted_
    for name, tensor in first.part.tensors.items():
        np.testing.assert_array_equal(tensor, other.part.tensors[name])
    assert first.scores == other.scores
    assert first.calibration == other.calibration
    for name, array in first.novelty.arrays().items():
        np.testing.assert_array_equal(array, other.novelty.arrays()[name])
    said = [str(row.path) for row in other.split_rows()]
    assert said == [f"image {number}" for number in range(44)]  # in the order that was given
