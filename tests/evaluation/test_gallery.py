"""Which photographs a report shows: values worked by hand, and the bound on their number."""

from pathlib import Path

import numpy as np

from tests.conftest import photograph
from tortie.evaluation.gallery import (
    PICTURES,
    LabelledPredictions,
    by_class,
    cards,
    shared_folder,
    surest_mistakes,
    thumbnail,
)


def held(labels, probabilities, classes=("dog", "cat"), sources=None):
    sources = sources or [photograph("blobs", 0)] * len(labels)
    return LabelledPredictions(
        sources, np.array(labels), np.array(probabilities, np.float32), classes
    )


def test_mistakes_are_the_surest_first():
    shown = held([0, 0, 1, 1], [[0.4, 0.6], [0.1, 0.9], [0.3, 0.7], [0.8, 0.2]])
    assert surest_mistakes(shown) == [1, 3, 0]


def test_typical_is_surest_of_its_class_and_doubtful_between_two():
    probabilities = [[0.9, 0.1], [0.55, 0.45], [0.99, 0.01], [0.3, 0.7], [0.2, 0.8]]
    (dog, cat) = by_class(held([0, 0, 0, 0, 1], probabilities))
    assert dog.typical == [2, 0]  # two of four are typical, and two doubtful
    assert dog.doubtful == [1, 3]  # margins 0.1 and 0.4
    assert (cat.typical, cat.doubtful) == ([4], [])


def test_of_three_classes_doubt_is_between_the_two_most_probable():
    probabilities = [[0.8, 0.1, 0.1], [0.45, 0.1, 0.45], [0.5, 0.2, 0.3], [0.9, 0.1, 0]]
    (one,) = by_class(held([0, 0, 0, 0], probabilities, ("dog", "cat", "hen")))
    assert one.doubtful == [1, 2]


def test_pictures_are_bounded_and_the_classes_recognised_least_are_kept():
    rng = np.random.default_rng(0)
    for classes in (2, 31, 100, 500):
        labels = np.repeat(np.arange(classes), 12)
        probabilities = np.eye(classes)[labels] * 0.9 + 0.1 / classes
        wrong = np.flatnonzero(labels == 7 % classes)
        probabilities[wrong] = np.roll(probabilities[wrong], 1, axis=1)
        probabilities += rng.uniform(0, 1e-3, probabilities.shape)
        shown = by_class(held(labels, probabilities, [f"{i}" for i in range(classes)]))
        assert sum(len(one.typical) + len(one.doubtful) for one in shown) <= PICTURES
        assert 7 % classes in [one.label for one in shown]
    assert shown[0].label == 7 and len(shown) == PICTURES // 2


def test_cards_name_photographs_from_the_folder_they_share(tmp_path):
    (tmp_path / "dog").mkdir()
    path = tmp_path / "dog" / "1.png"
    photograph("blobs", 3).save(path)
    shown = held([0, 1], [[0.7, 0.3], [0.6, 0.4]], sources=[path, photograph("blobs", 0)])
    found = cards(shown, [1, 0, 0], tmp_path)
    assert [found[i].name for i in (0, 1)] == ["dog/1.png", "image 1"]
    assert found[0].is_right and not found[1].is_right
    assert found[1].taken_for == "dog" and round(found[1].probability, 3) == 0.6
    assert found[0].thumbnail.startswith("data:image/jpeg;base64,")


def test_the_shared_folder_is_the_deepest():
    paths = [Path("/a/b/dog/1.jpg"), Path("/a/b/cat/2.jpg")]
    assert shared_folder(paths) == Path("/a/b")
    assert shared_folder(paths[:1]) == Path("/a/b/dog")
    assert shared_folder([Path("/a/1.jpg"), Path("b/2.jpg")]) is None
    assert shared_folder([]) is None


def test_a_file_that_is_gone_has_no_thumbnail(tmp_path):
    assert thumbnail(tmp_path / "gone.jpg") == ""


def test_of_a_group_one_photograph_is_shown_in_each_gallery():
    """Eight photographs that are four: the surest of each pair stands for it."""
    said = np.array([0.9, 0.8, 0.7, 0.6, 0.95, 0.85, 0.75, 0.65], np.float32)
    probabilities = np.stack([said, 1 - said], axis=1)
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])  # the last four are wrong
    groups = np.array([0, 0, 2, 2, 4, 4, 6, 6])
    held = LabelledPredictions([None] * 8, labels, probabilities, ["a", "b"], groups)
    assert surest_mistakes(held) == [4, 6]
    first, second = by_class(held)
    assert sorted(first.typical + first.doubtful) == [0, 2]
    assert {groups[i] for i in second.typical + second.doubtful} == {4, 6}
    assert len(second.typical + second.doubtful) == 2
