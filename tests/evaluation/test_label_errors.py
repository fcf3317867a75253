import numpy as np
import pytest

from tortie.evaluation.label_errors import label_errors, thresholds, wrong_count
from tortie.learning.check_labels import out_of_fold
from tortie.learning.cross_fitting import LabelledFeatures
from tortie.learning.softmax import few_threads

# Five images of class 0, five of class 1; one of each looks like the other.
PROBABILITIES = np.array(
    [
        [0.9, 0.1], [0.8, 0.2], [0.9, 0.1], [0.6, 0.4], [0.1, 0.9],
        [0.3, 0.7], [0.2, 0.8], [0.1, 0.9], [0.4, 0.6], [0.7, 0.3],
    ]
)  # fmt: skip
LABELS = np.array([0] * 5 + [1] * 5)


def test_thresholds_are_the_mean_probability_of_each_label():
    # (0.9 + 0.8 + 0.9 + 0.6 + 0.1) / 5 and (0.7 + 0.8 + 0.9 + 0.6 + 0.3) / 5
    assert thresholds(PROBABILITIES, LABELS) == pytest.approx([0.66, 0.66])


def test_confident_learning_by_hand():
    # Image 4 reaches 0.66 for class 1 with 0.9, image 9 for class 0 with 0.7: two are wrong, the
    # first by 0.9 - 0.1, the second by 0.7 - 0.3.
    assert wrong_count(PROBABILITIES, LABELS) == 2
    doubts = label_errors(PROBABILITIES, LABELS)
    assert [(one.index, one.label, one.likely) for one in doubts] == [(4, 0, 1), (9, 1, 0)]
    assert [one.margin for one in doubts] == pytest.approx([0.8, 0.4])
    assert [one.probability for one in doubts] == pytest.approx([0.9, 0.7])
    assert [one.index for one in label_errors(PROBABILITIES, LABELS, count=1)] == [4]


def test_the_count_is_that_of_the_confident_joint():
    """Against the definition, image by image: equation 1 of the paper."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 300)
    probabilities = generator.dirichlet(np.ones(4), 300)
    limits = [probabilities[labels == k, k].mean() for k in range(4)]
    joint = np.zeros((4, 4), int)
    for row, label in zip(probabilities, labels, strict=True):
        reached = [k for k in range(4) if row[k] >= limits[k]]
        if reached:
            joint[label, max(reached, key=lambda k: row[k])] += 1
    assert wrong_count(probabilities, labels) == joint.sum() - joint.trace()


def test_a_class_of_four_is_neither_doubted_nor_suspected():
    probabilities = np.array([[0.9, 0.1]] * 9 + [[0.99, 0.01]] * 4)
    labels = np.array([0] * 9 + [1] * 4)
    assert label_errors(probabilities, labels, count=9) == []
    assert label_errors(probabilities[:, ::-1], labels, count=9) == []
    assert wrong_count(probabilities, labels) == 0


def test_sure_and_right_answers_are_not_doubted():
    probabilities = np.eye(3)[np.arange(30) % 3] * 0.97 + 0.01
    assert label_errors(probabilities, np.arange(30) % 3) == []


def test_planted_labels_are_found_and_copies_do_not_vouch_for_each_other():
    """Three clouds of 60 points; 9 wrong labels, one of them on three copies of one image."""
    generator = np.random.default_rng(1)
    true = np.repeat(np.arange(3), 60)
    features = (np.eye(3, 20)[true] * 6 + generator.normal(size=(180, 20))).astype(np.float32)
    features[1] = features[2] = features[0]
    labels, planted = true.copy(), [0, 1, 2, 20, 70, 75, 90, 140, 150]
    labels[planted] = (true[planted] + 1) % 3
    keys = [f"{i:064x}" for i in range(180)]
    groups = [0, 0, 0, *[None] * 177]
    with few_threads(features):
        probabilities, count = out_of_fold(LabelledFeatures(features, labels, keys, groups, 3), 0)
    found = {one.index for one in label_errors(probabilities, labels, count)}
    assert len(found & set(planted)) >= 8
    assert len(found - set(planted)) <= 1
    assert {0, 1, 2} <= found
