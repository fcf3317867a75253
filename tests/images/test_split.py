"""Splits and folds: hashes worked by hand, and invariants on any labels and groups."""

import hashlib
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tortie.errors import TortieError, UsageError
from tortie.images.split import SPLITS, Row, draw, folds, write_split
from tortie.images.table import read_table

PARTS = {"train": 0.7, "validation": 0.1, "calibration": 0.05, "test": 0.15}


@st.composite
def images(draw_from, grouped=True, most=80):
    """Labels, keys (some equal) and groups (some ``None``) of a few images."""
    count = draw_from(st.integers(1, most))
    labels = draw_from(st.lists(st.sampled_from("abc"), min_size=count, max_size=count))
    names = st.one_of(st.none(), st.integers(0, 12)) if grouped else st.none()
    groups = draw_from(st.lists(names, min_size=count, max_size=count))
    keys = [f"key {index}" for index in range(count)]
    if grouped and count > 2:
        keys[1] = keys[0]
    return labels, keys, groups


def rank(seed, key):
    return hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=16).digest()


def test_without_groups_the_images_are_dealt_by_their_keyed_hash():
    keys = [f"image {index}" for index in range(20)]
    by_hash = sorted(keys, key=lambda key: rank(7, key))
    # 20 images: 14 train, 2 validation, 1 calibration, 3 test.
    parts = ["train"] * 14 + ["validation"] * 2 + ["calibration"] + ["test"] * 3
    expected = dict(zip(by_hash, parts, strict=True))
    assert draw(["cat"] * 20, keys, [None] * 20, PARTS, seed=7) == [expected[key] for key in keys]


@given(images=images(), seed=st.integers(0, 5), data=st.data())
def test_a_draw_and_folds_are_the_same_in_any_order(images, seed, data):
    labels, keys, groups = images
    order = data.draw(st.permutations(range(len(labels))))
    mixed = [labels[i] for i in order], [keys[i] for i in order], [groups[i] for i in order]
    plain = draw(labels, keys, groups, PARTS, seed)
    assert draw(*mixed, PARTS, seed) == [plain[i] for i in order]
    if len(set(keys)) > 15:
        whole = folds(labels, keys, groups, 2, seed)
        assert np.array_equal(folds(*mixed, 2, seed), whole[order])


def shares_a_side(places, names):
    sides = defaultdict(set)
    for place, name in zip(places, names, strict=True):
        if name is not None:
            sides[name].add(place)
    return all(len(side) == 1 for side in sides.values())


@given(images=images(), seed=st.integers(0, 5))
def test_groups_and_equal_keys_never_straddle_and_every_class_trains(images, seed):
    labels, keys, groups = images
    places = draw(labels, keys, groups, PARTS, seed)
    assert shares_a_side(places, groups)
    assert shares_a_side(places, keys)
    trained = Counter(
        label for label, place in zip(labels, places, strict=True) if place == "train"
    )
    assert set(trained) == set(labels)


@given(images=images(grouped=False), seed=st.integers(0, 5))
def test_without_groups_each_part_holds_its_fraction_to_within_rounding(images, seed):
    labels, keys, groups = images
    places = draw(labels, keys, groups, PARTS, seed)
    for label, number in Counter(labels).items():
        held = Counter(p for p, own in zip(places, labels, strict=True) if own == label)
        assert held["train"] >= min(2, number)
        for split, fraction in PARTS.items():
            # Train's two images may be taken from another part's share.
            slack = 2 if number < 4 else 1
            assert abs(held[split] - fraction * number) < slack


def test_rounding_evens_out_over_many_small_classes():
    labels = [f"class {index // 10}" for index in range(1000)]
    keys = [str(index) for index in range(1000)]
    # Alone, each class of ten would round 5% to none, or to one: 0 or 100 images for calibration.
    assert Counter(draw(labels, keys, [None] * 1000, PARTS, seed=0)) == {
        "train": 700, "validation": 100, "calibration": 50, "test": 150,
    }  # fmt: skip


def test_groups_come_as_near_to_the_fractions_as_they_can():
    # 200 images of each of two classes, in groups of four.
    labels = ["cat"] * 200 + ["dog"] * 200
    keys = [str(index) for index in range(400)]
    held = Counter(
        zip(draw(labels, keys, [i // 4 for i in range(400)], PARTS, 3), labels, strict=True)
    )
    for (split, _), number in held.items():
        assert abs(number - 200 * PARTS[split]) <= 4


def test_another_image_moves_few_others():
    keys = [str(index) for index in range(200)]
    before = draw(["cat"] * 200, keys, [None] * 200, PARTS, seed=0)
    after = draw(["cat"] * 201, [*keys, "new"], [None] * 201, PARTS, seed=0)
    assert sum(one != other for one, other in zip(before, after, strict=False)) <= 4


def test_another_seed_draws_another_split():
    keys = [str(index) for index in range(100)]
    draws = {tuple(draw(["cat"] * 100, keys, [None] * 100, PARTS, seed)) for seed in range(5)}
    assert len(draws) == 5


@pytest.mark.parametrize(
    ("sizes", "trains"), [([1], 1), ([1, 1], 2), ([1, 1, 1], 2), ([2, 2], 2), ([3], 3)]
)
def test_a_tiny_class_keeps_two_images_for_train_where_it_can(sizes, trains):
    groups = [name for name, size in enumerate(sizes) for _ in range(size)]
    keys = [str(index) for index in range(len(groups))]
    places = draw(["cat"] * len(groups), keys, groups, {"train": 0.1, "test": 0.9}, seed=0)
    assert places.count("train") == trains


def test_a_class_that_greed_leaves_without_training_images_gets_a_group():
    # Of b alone most is wanted in train, where group 1 goes: a, all in group 2, would be test.
    labels, groups = ["a", "b", "b", "b", "b"], [2, 0, 2, 1, 1]
    places = draw(labels, list("01234"), groups, {"train": 0.5, "test": 0.5}, seed=0)
    assert places[0] == places[2] == "train"


def test_no_part_gives_train_an_image_that_it_has_not():
    # Shares of two images: 0.27, 0.13, 1.6; train's two can come from the last part alone.
    fractions = {"train": 0.1 / 0.75, "validation": 0.05 / 0.75, "test": 0.6 / 0.75}
    assert draw(["a"] * 2, ["x", "y"], [None] * 2, fractions, seed=0) == ["train", "train"]


@pytest.mark.parametrize(
    "fractions",
    [
        {"train": 0.5, "test": 0.4},
        {"train": 0.0, "test": 1.0},
        {"test": 1.0},
        {"train": 1.5, "test": -0.5},
        {"train": 0.5, "exam": 0.5},
    ],
)
def test_fractions_that_are_none_are_refused(fractions):
    with pytest.raises(UsageError, match="expected fractions of train, validation"):
        draw(["cat"], ["key"], [None], fractions, seed=0)


@given(images=images(), count=st.integers(2, 6), seed=st.integers(0, 5))
def test_folds_keep_groups_and_leave_every_class_outside(images, count, seed):
    labels, keys, groups = images
    # Classes of their own groups: what spans classes cannot always be spread.
    groups = [None if name is None else (label, name)
              for label, name in zip(labels, groups, strict=True)]  # fmt: skip
    keys = [f"{label} {key}" for label, key in zip(labels, keys, strict=True)]
    try:
        fold = folds(labels, keys, groups, count, seed)
    except UsageError:
        return
    assert fold.shape == (len(labels),) and fold.dtype == np.int64
    assert fold.min() >= 0 and fold.max() < count
    assert shares_a_side(fold.tolist(), groups) and shares_a_side(fold.tolist(), keys)
    for label in set(labels):
        own = {groups[i] or keys[i] for i, name in enumerate(labels) if name == label}
        own_folds = {int(fold[i]) for i, name in enumerate(labels) if name == label}
        # Two groups that share a key are one; the fixture makes one such pair at most.
        assert len(own_folds) > 1 or len(own) <= 2


@given(images=images(grouped=False), count=st.integers(2, 6), seed=st.integers(0, 5))
def test_without_groups_folds_are_even_in_each_class_and_in_all(images, count, seed):
    labels, keys, groups = images
    if len(labels) < count:
        return
    fold = folds(labels, keys, groups, count, seed)
    for chosen in [[True] * len(labels), *([own == label for own in labels] for label in "abc")]:
        sizes = np.bincount(fold[np.array(chosen)], minlength=count)
        assert sizes.max() - sizes.min() <= 1


def test_folds_of_groups_that_span_classes_still_leave_each_class_outside():
    # Group 0 holds two of a and one of b: dealt by size alone, all three of a meet in one fold.
    labels, groups = ["a", "b", "a", "b", "a", "b"], [0, 1, 0, 2, 1, 2]
    fold = folds(labels, [str(index) for index in range(6)], groups, 2, seed=0)
    assert len(set(fold[::2])) == 2 and len(set(fold[1::2])) == 2
    assert shares_a_side(fold.tolist(), groups)


def test_folds_of_many_classes_of_two_groups_are_nearly_even():
    # Each class fills two of the four folds: which two must depend on what the others filled.
    labels = [str(index // 4) for index in range(80)]
    groups = [index // 2 for index in range(80)]
    fold = folds(labels, [str(index) for index in range(80)], groups, 4, seed=0)
    sizes = np.bincount(fold, minlength=4)
    assert sizes.sum() == 80 and np.abs(sizes - 20).max() <= 2  # one group


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_few_or_too_many_folds_are_refused(count):
    with pytest.raises(UsageError, match=f"cannot make {count} folds of 3 groups"):
        folds(["a"] * 4, list("wxyz"), [None, None, 1, 1], count, seed=0)


def test_hash_randomisation_does_not_matter():
    code = (
        "from tortie.images.split import draw, folds\n"
        "labels = ['ab'[i % 3 // 2] for i in range(60)]; keys = [f'k{i}' for i in range(60)]\n"
        "groups = [f'g{i // 3}' if i % 2 else None for i in range(60)]\n"
        "print(draw(labels, keys, groups, {'train': .7, 'test': .3}, 1))\n"
        "print(folds(labels, keys, groups, 5, 1).tolist())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(outputs) == 1 and "train" in outputs.pop()


def test_a_split_is_written_relative_to_its_folder(tmp_path):
    (tmp_path / "photos").mkdir()
    rows = [
        Row(tmp_path / "photos" / "cat.jpg", "Tigger", "train", "0"),
        Row(Path("/elsewhere/dog.jpg"), "dog, or not", "test"),
        Row(tmp_path / "photos" / ".." / "up.jpg", "Misty", "validation"),
    ]
    write_split(tmp_path / "pets.split.csv", rows)
    assert (tmp_path / "pets.split.csv").read_bytes() == (
        b"path,label,split,group\r\n"
        b"photos/cat.jpg,Tigger,train,0\r\n"
        b'/elsewhere/dog.jpg,"dog, or not",test,\r\n'
        b"photos/../up.jpg,Misty,validation,\r\n"
    )


names = st.binary(min_size=1, max_size=12).filter(
    lambda name: not set(name) & set(b"\0/") and name not in (b".", b"..")
)


@given(
    name=names,
    label=st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8
    ),
)
@settings(max_examples=60)
def test_any_file_name_survives_the_round_trip(tmp_path_factory, name, label):
    folder = tmp_path_factory.mktemp("split")
    path = Path(os.fsdecode(name))
    write_split(folder / "a.csv", [Row(folder / path, label, "train", '"g"\n')])
    ((_, row),) = read_table(folder / "a.csv")
    assert Path(row.pop("path")) == path
    assert row == {"label": label, "split": "train", "group": '"g"\n'}


def test_an_existing_split_stays_whole_when_writing_fails(tmp_path):
    path = tmp_path / "a.csv"
    write_split(path, [Row(tmp_path / "x.jpg", "cat", "train")])
    before = path.read_bytes()

    def rows():
        yield Row(tmp_path / "y.jpg", "dog", "test")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_split(path, rows())
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(TortieError, match="cannot write"):
        write_split(tmp_path / "missing" / "a.csv", [])


def test_the_parts_are_in_the_order_of_use():
    assert SPLITS == ("train", "validation", "calibration", "test")
