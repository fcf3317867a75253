"""What a group counts: by hand, and against a simulation of bursts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.evaluation.metrics import score
from tortie.images.duplicates import Groups, Pair
from tortie.images.sample_weights import sample_weights


def weights_of(labels, keys=None, groups=None, pairs=(), look_alikes=()):
    keys = keys or [str(i) for i in range(len(labels))]
    groups = groups or [None] * len(labels)
    found = Groups((), tuple(Pair(*pair, "near") for pair in pairs), (), tuple(look_alikes))
    return sample_weights(labels, keys, groups, found)


def test_a_group_counts_as_one_and_its_images_share_its_weight():
    # Equal bytes 0 and 1; near copies 2, 3; the user's group 3, 4; an image on its own.
    own = weights_of(
        ["a"] * 6, ["k", "k", "l", "m", "n", "o"], [None] * 3 + ["g", "g", None], [(2, 3)]
    )
    rows = np.arange(6)
    assert own.of(rows) == pytest.approx([1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3, 1])
    assert own.of(np.array([0, 2, 4])) == pytest.approx([1, 1 / 2, 1 / 2])  # among those counted
    assert own.of(rows[:0]).shape == (0,)


def test_copies_with_different_labels_do_not_count():
    own = weights_of(["a", "b", "a", "a"], pairs=[(0, 1)])
    assert own.contradicting == (0, 1)
    assert own.of(np.arange(4)).tolist() == [0, 0, 1, 1]
    assert own.counted(np.arange(4)).tolist() == [2, 3]
    assert "different labels, which are not counted: 2 images" in own.notes()[0]


def test_a_group_that_the_user_gave_may_span_classes_and_counts_once():
    own = weights_of(["a", "b", "a"], groups=["site", "site", None])
    assert own.of(np.arange(3)).tolist() == [0.5, 0.5, 1]
    assert own.notes() == []


def test_look_alikes_that_may_be_a_texture_do_not_count():
    own = weights_of(["a"] * 4, look_alikes=[1, 2])
    assert own.of(np.arange(4)).tolist() == [1, 0, 0, 1]
    assert own.notes() == [
        "images in sets of look-alikes too large to be copies, which are not counted: 2"
    ]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_weights_add_up_to_the_number_of_groups(names):
    own = weights_of(["a"] * len(names), groups=list(names))
    assert own.of(np.arange(len(names))).sum() == pytest.approx(len(set(names)))


@pytest.mark.parametrize("within", [0.0, 2.0])
def test_the_interval_covers_the_truth_where_photographs_come_in_bursts(within):
    """Bursts of 1 to 8, right or wrong together (0), or each with its own share (beta).

    Oracle: the share that the draws are made with. Without weights the interval of the same
    photographs covers it far too seldom.
    """
    generator = np.random.default_rng(7)
    covered, plain, draws = 0, 0, 0
    for truth in (0.6, 0.7, 0.8, 0.9, 0.95):
        for _ in range(150):
            groups = int(generator.integers(20, 120))
            sizes = generator.integers(1, 9, groups)
            share = generator.random(groups) < truth
            if within:
                share = generator.beta(within * truth, within * (1 - truth), groups)
            names = np.repeat(np.arange(groups), sizes)
            right = generator.random(len(names)) < np.repeat(share, sizes)
            said = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9]).astype(np.float32)
            labels = np.zeros(len(names), np.int64)
            weights = weights_of(["a"] * len(names), groups=names.tolist()).of(
                np.arange(len(names))
            )
            one = score(said, labels, ["a", "b"], weights).accuracy
            assert (one.n, one.photographs) == (groups, len(names))
            bare = score(said, labels, ["a", "b"]).accuracy
            covered += one.low <= truth <= one.high
            plain += bare.low <= truth <= bare.high
            draws += 1
    assert covered / draws >= 0.93
    assert plain / draws < 0.85
