"""The words of a report: true to the numbers."""

import numpy as np
import pytest
from scipy.stats import betabinom

from tortie.evaluation.advice import (
    ELSEWHERE,
    NOT_LEARNT,
    beside,
    confused,
    next_photographs,
    trust,
    warnings,
    worth_refusing,
    wrong_of_100,
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
    # 95% right of 1,000; no cat is recognised.
    many = trust(scores([[950, 0], [50, 0]]), None)
    assert "wrong on 1 to 10." in many
    assert "No better than always saying 'dog' (95.0%). Never recognised: 'cat' (0 of 50)." in many
    assert "only 20 photographs were counted" in trust(scores([[10, 0], [0, 10]]), None)
    assert "only one photograph was counted" in trust(scores([[1, 0], [0, 0]]), None)
    assert "wrong on 0 to 16." in trust(scores([[14, 1], [0, 15]]), None)
    assert "wrong on 0 to 9." in trust(scores([[15, 0], [0, 15]]), None)
    assert "wrong on 0 to 1." in trust(scores([[500, 0], [0, 500]]), None)
    assert trust(None, "4 images") == "How good this classifier is cannot be said yet: 4 images."


@pytest.mark.parametrize(("right", "n"), [(950, 1000), (29, 30), (145, 153), (12.5, 24), (9, 9)])
def test_how_many_of_100_are_wrong_is_scipys_beta_binomial(right, n):
    expected = betabinom(100, n - right + 0.5, right + 0.5).ppf([0.025, 0.975])
    assert wrong_of_100(right, n) == tuple(expected)


def test_a_warning_stands_where_the_interval_holds_the_baseline_or_a_class_is_never_recognised():
    assert warnings(scores([[60, 0], [5, 55]])) == []
    # 108 of 120: 90% (83.3 to 94.2) and 110 of 120 are dogs: 91.7%.
    assert warnings(scores([[108, 2], [10, 0]])) == [
        "No better than always saying 'dog' (91.7%).", "Never recognised: 'cat' (0 of 10).",
    ]  # fmt: skip
    assert beside(scores([[108, 2], [10, 0]])) == (
        "always saying 'dog': 91.7%; 'cat': 0 of 10 recognised"
    )
    assert warnings(scores([[6, 2], [3, 4]])) == [
        "Not shown to be better than always saying 'dog' (53.3%)."
    ]
    assert next_photographs(scores([[6, 2], [3, 4]]), {}) == [NOT_LEARNT]


def test_a_class_that_was_not_counted_is_not_the_weakest():
    words = trust(scores([[900, 0, 0], [60, 40, 0], [0, 0, 0]]), None)
    assert "weakest on cat: 40% of them" in words


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
    (words, _) = next_photographs(scores([[60, 0, 0], [0, 60, 0], [0, 1, 4]]), {})
    assert words == (
        "More of hen: only 5 were counted, so it may recognise anything from 38% to 96% of them."
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
