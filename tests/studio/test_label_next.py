"""The unlabelled photographs that are offered first are unsure ones, unlike one another."""

import numpy as np

from tortie.studio.label_next import worth_labelling


def test_unsure_before_sure_and_no_copy_after_its_original():
    # By hand: three directions. 0 and 1 are copies and unsure, 2 is as unsure, 3 is sure.
    features = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    said = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.999, 0.001]], np.float32)
    none = np.zeros((0, 3), np.float32)
    assert worth_labelling(features, said, none, 4) in ([0, 2, 3, 1], [0, 2, 1, 3])
    assert worth_labelling(features, said, none, 2) == [0, 2]


def test_like_a_labelled_one_is_worth_little():
    features = np.array([[1, 0], [0.1, 1]], np.float32)
    said = np.array([[0.5, 0.5], [0.7, 0.3]], np.float32)
    labelled = np.array([[2, 0]], np.float32)
    assert worth_labelling(features, said, labelled, 1) == [1]


def test_without_a_classifier_they_are_spread():
    # Invariant: the first four of 40 in four clusters are one of each.
    centres = np.eye(4, 16, dtype=np.float32)
    features = np.repeat(centres, 10, axis=0) + np.random.RandomState(0).normal(
        0, 0.01, (40, 16)
    ).astype(np.float32)
    taken = worth_labelling(features, None, np.zeros((0, 16), np.float32), 4)
    assert sorted(one // 10 for one in taken) == [0, 1, 2, 3]
    assert sorted(worth_labelling(features, None, features[:1], 99)) == list(range(40))
