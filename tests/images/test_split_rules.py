"""The split protocol: each rule of it on images few enough to follow by hand."""

from collections import Counter

import pytest

from tortie.errors import UsageError
from tortie.images.split_rules import enough_to_score, split_rules_for


def plan(labels, given=None, keys=None, groups=None, **options):
    count = len(labels)
    return split_rules_for(
        labels,
        given or [None] * count,
        keys or [str(index) for index in range(count)],
        groups or [None] * count,
        seed=0,
        **options,
    )


def two_classes(count):
    return ["cat", "dog"] * (count // 2)


@pytest.mark.parametrize("given", [None, "train"])
def test_under_a_thousand_images_are_cross_validated(given):
    protocol = plan(two_classes(998), [given] * 998)
    assert protocol.on == "cross-validation"
    assert set(protocol.splits) == {"train"}
    assert protocol.scored == tuple(range(998))
    assert "998 images" in protocol.rule and "cross-validation" in protocol.rule


def test_a_thousand_images_are_drawn_70_10_5_15():
    protocol = plan(two_classes(1000))
    assert protocol.on == "test"
    assert Counter(protocol.splits) == {
        "train": 700, "validation": 100, "calibration": 50, "test": 150,
    }  # fmt: skip
    assert protocol.scored == tuple(i for i, s in enumerate(protocol.splits) if s == "test")
    assert "70% train, 10% validation, 5% calibration, 15% test (seed 0)" in protocol.rule
    assert "hyperparameters: chosen on validation" in protocol.rule


def test_a_given_calibration_part_is_kept_and_the_rest_drawn_in_proportion():
    given = ["calibration"] * 50 + [None] * 950
    protocol = plan(two_classes(1000), given)
    # 950 in the proportions 70 : 10 : 15 of 95.
    assert Counter(protocol.splits) == {
        "calibration": 50, "train": 700, "validation": 100, "test": 150,
    }  # fmt: skip
    assert protocol.splits[:50] == ("calibration",) * 50
    assert protocol.notes[0] == "images in no part of the split, which train: 950"


@pytest.mark.parametrize("count", [8, 2000])
def test_a_given_split_is_kept(count):
    given = ["train", "train", "train", "train", "test", "test", "train", "train"] * (count // 8)
    protocol = plan(two_classes(count), given)
    assert protocol.on == "test" and list(protocol.splits) == given
    assert "cross-validated on the training set" in protocol.rule
    given = ["validation" if split == "test" else split for split in given]
    protocol = plan(two_classes(count), given)
    assert protocol.on == "validation" and list(protocol.splits) == given
    assert [given[i] for i in protocol.scored] == ["validation"] * (count // 4)
    assert protocol.rule == (
        "accuracy: measured once, on validation; hyperparameters: cross-validated on the training "
        "set"
    )
    assert protocol.notes == ()


@pytest.mark.parametrize(
    ("options", "on", "expected"),
    [
        ({"test": 0.25}, "test", {"train": 30, "test": 10}),
        ({"valid": 0.25}, "validation", {"train": 30, "validation": 10}),
        ({"valid": 0.1, "test": 0.2}, "test", {"train": 28, "validation": 4, "test": 8}),
    ],
)
def test_fractions_asked_for_are_drawn(options, on, expected):
    protocol = plan(two_classes(40), **options)
    assert protocol.on == on and Counter(protocol.splits) == expected


def test_a_fraction_is_drawn_from_the_training_images_alone():
    given = ["train"] * 20 + ["test"] * 10
    protocol = plan(two_classes(30), given, valid=0.2)
    assert Counter(protocol.splits[:20]) == {"train": 16, "validation": 4}
    assert protocol.splits[20:] == ("test",) * 10
    assert protocol.on == "test" and "hyperparameters: chosen on validation" in protocol.rule


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ("validation", {"valid": 0.1}, "--valid 0.1: the images have a validation part already"),
        ("test", {"test": 0.1}, "--test 0.1: the images have a test part already"),
        ("train", {"test": 1.0}, "--test 1: expected a fraction between 0 and 1"),
        ("train", {"valid": 0.0}, "--valid 0: expected a fraction between 0 and 1"),
        ("train", {"valid": 0.6, "test": 0.4}, "leave nothing to train on"),
    ],
)
def test_fractions_that_cannot_be_drawn_are_refused(given, options, message):
    with pytest.raises(UsageError, match=message):
        plan(two_classes(20), ["train"] * 18 + [given] * 2, **options)


def test_a_class_without_training_images_is_refused():
    with pytest.raises(UsageError, match="no training image of class 'dog'"):
        plan(["cat", "cat", "dog"], ["train", "test", "test"])


def test_a_class_that_a_part_lacks_is_said():
    protocol = plan(["cat", "dog", "cat"], ["train", "train", "test"])
    assert protocol.notes[-1] == "test has no image of 'dog'"
    labels = [f"class {index}" for index in range(9)]
    protocol = plan([*labels, "class 0"], ["train"] * 9 + ["test"])
    assert protocol.notes[-1].endswith("'class 5' and 3 more classes")


def test_copies_in_a_later_part_are_left_out_of_the_count_and_said():
    #        0        1        2             3             4       5       6
    given = ["train", "train", "validation", "validation", "test", "test", "test"]
    keys = ["a", "b", "a", "c", "c", "d", "e"]
    groups = [None, "burst", None, None, None, "burst", None]
    protocol = plan(["cat"] * 7, given, keys, groups)
    assert list(protocol.splits) == given  # nothing is moved
    # 2 is a copy of 0 in train; 4 of 3 in validation; 5 is grouped with 1 in train.
    assert protocol.leaks == (2, 4, 5)
    assert protocol.scored == (6,)
    assert [note for note in protocol.notes if "copies" in note] == [
        "validation images that are copies of, or grouped with, images of an earlier part, and are"
        " not counted: 1",
        "test images that are copies of, or grouped with, images of an earlier part, and are"
        " not counted: 2",
    ]


def test_a_drawn_split_has_no_leaks():
    labels = two_classes(1200)
    keys = [str(index // 3) for index in range(1200)]
    groups = [index // 9 if index % 2 else None for index in range(1200)]
    assert plan(labels, keys=keys, groups=groups).leaks == ()


def test_a_split_given_back_is_the_split():
    drawn = plan(two_classes(1000))
    again = plan(two_classes(1000), list(drawn.splits))
    assert again.splits == drawn.splits and again.on == drawn.on


def test_too_few_images_tell_nothing():
    assert enough_to_score(["cat"] * 10) is None
    assert enough_to_score(["cat"] * 9) == (
        "9 images to measure it on: it takes 10 to tell anything"
    )
    assert enough_to_score(["cat"]) == ("1 image to measure it on: it takes 10 to tell anything")


def test_cross_validation_needs_two_groups_of_each_class():
    labels = ["cat"] * 10 + ["dog"] * 2
    assert enough_to_score(labels, crossed=True) is None
    assert enough_to_score(labels, [None] * 12, crossed=True) is None
    one_group = [None] * 10 + [4, 4]
    assert "class 'dog' has one image, or one group" in enough_to_score(
        labels, one_group, crossed=True
    )
    assert enough_to_score(labels, one_group) is None  # on a test part, all of it can be scored
    assert "'dog'" in enough_to_score(labels[:11], crossed=True)
