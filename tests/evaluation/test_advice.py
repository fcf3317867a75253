"""The words of a report: true to the numbers."""

import numpy as np

from tortie.evaluation.advice import (
    ELSEWHERE,
    chance,
    confused,
    next_photographs,
    trust,
    worth_refusing,
)
from tortie.evaluation.coverage import Covered
from tortie.evaluation.metrics import score


def scores(confusion):
    """Scores whose confusion is the one given, every answer sure."""
    confusion = np.array(confusion)
    pairs = [(i, j) for (i, j), n in np.ndenumerate(confusion) for _ in range(n)]
    labels, answers = np.array(pairs).T
    names = ["dog", "cat", "hen"][: len(confusion)]
    return score(np.eye(len(confusion), dtype=np.float32)[answers], labels, names)


def test_the_sentence_says_how_many_of_100_go_wrong():
    # 95% right of 1,000: Wilson 93.5% to 96.2%, so 4 to 7 of 100 wrong; no cat is recognised.
    many = trust(scores([[950, 0], [50, 0]]), None)
    assert "wrong on 4 to 7" in many
    assert "weakest on cat: 0% of them" in many
    assert "only 20 photographs were counted" in trust(scores([[10, 0], [0, 10]]), None)
    assert "only one photograph was counted" in trust(scores([[1, 0], [0, 0]]), None)
    # 29 of 30: Wilson 83.3% to 99.4%, so 0.6 to 16.7 of 100; all of 30: from 0 to 11.4.
    assert "wrong on 1 to 17." in trust(scores([[14, 1], [0, 15]]), None)
    assert "wrong on 0 to 11." in trust(scores([[15, 0], [0, 15]]), None)
    # All of 1,000: up to 0.38 of 100.
    assert "wrong on fewer than 1." in trust(scores([[500, 0], [0, 500]]), None)
    assert trust(None, "4 images") == "How good this classifier is cannot be said yet: 4 images."


def test_a_class_that_was_not_counted_is_not_the_weakest():
    words = trust(scores([[900, 0, 0], [60, 40, 0], [0, 0, 0]]), None)
    assert "weakest on cat: 40% of them" in words


def test_chance_is_the_share_of_the_most_frequent_class():
    assert chance(np.array([0, 1, 1, 1]), ["dog", "cat"]) == ("cat", 0.75)
    assert chance(np.array([], np.int64), ["dog", "cat"]) is None


def test_confused_pairs_are_the_largest_off_the_diagonal():
    found = confused(scores([[5, 3, 0], [1, 9, 0], [0, 7, 2]]), 2)
    assert found == [("hen", "cat", 7, 9), ("dog", "cat", 3, 8)]
    assert confused(scores([[5, 0], [0, 9]]), 2) == []


def test_advice_names_the_rare_the_weak_and_the_confused():
    even = {"dog": 80, "cat": 80}
    assert next_photographs(scores([[60, 0], [0, 60]]), even) == [ELSEWHERE]
    assert next_photographs(scores([[60, 0], [0, 60]]), {"dog": 30, "cat": 90})[0] == (
        "More of dog: it learnt from 30 of them, and from 90 of cat."
    )
    # 30 of 50 is 46% to 72% by Wilson: below the 80% of all.
    assert next_photographs(scores([[50, 0], [20, 30]]), even)[:-1] == [
        "More of cat, which is recognised least: 60% of them.",
        "More of cat that could be taken for dog: 20 of 50 were.",
    ]
    assert next_photographs(scores([[45, 5], [4, 46]]), even)[0] == (
        "More of dog that could be taken for cat: 5 of 50 were; and of cat that could be taken "
        "for dog: 4 were."
    )


def test_one_mistake_or_one_in_a_hundred_is_worth_no_word():
    assert next_photographs(scores([[29, 1], [0, 30]]), {}) == [ELSEWHERE]
    assert next_photographs(scores([[196, 4], [0, 200]]), {}) == [ELSEWHERE]


def test_a_class_of_which_few_were_counted_is_named_with_its_interval():
    # Wilson, 4 of 5: 37.6% to 96.4%.
    (words, _) = next_photographs(scores([[100, 0], [1, 4]]), {})
    assert words == (
        "More of cat: only 5 were counted, so it may recognise anything from 38% to 96% of them."
    )
    (words, _) = next_photographs(scores([[100, 0, 0], [0, 90, 0], [0, 0, 0]]), {})
    assert words.startswith("More of hen: none was counted")


def test_advice_is_at_most_three_and_the_one_that_always_holds():
    poor = scores([[30, 0, 0], [9, 10, 0], [1, 0, 2]])
    assert len(next_photographs(poor, {"dog": 90, "cat": 30, "hen": 4})) == 4
    assert next_photographs(None, {})[0] == "Add photographs of every class, and fit again."


def test_refusing_is_worth_it_where_it_helps():
    all_of_them, most = Covered(0, 1.0, 0.8, 100), Covered(0.5, 0.95, 0.82, 95)
    better = Covered(0.7, 0.88, 0.9, 88)
    assert worth_refusing([all_of_them, most, better, Covered(0.9, 0.5, 0.99, 50)]) is better
    assert worth_refusing([all_of_them, Covered(0.7, 0.88, 0.79, 88)]) is None
    assert worth_refusing([all_of_them, most]) is None
