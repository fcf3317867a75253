"""The report: self-contained, escaped, small, and its sentence true to the numbers."""

import re

import numpy as np
import pytest

from tests.conftest import photograph
from tortie.evaluation.metrics import score
from tortie.evaluation.report import Report, sentence, worst_mistakes, write_report


def report(labels, probabilities, classes, **more):
    labels = np.array(labels)
    probabilities = np.array(probabilities, np.float32)
    held = [photograph("blobs", 0)] * len(labels)
    scores = score(probabilities, labels, classes)
    return Report(
        "pets.safetensors", classes, scores, None, "test", held, labels, probabilities, **more
    )


def html(tmp_path, shown):
    write_report(tmp_path / "a.html", shown)
    return (tmp_path / "a.html").read_text()


def test_what_users_name_is_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    text = html(
        tmp_path,
        report(
            [0, 1], [[0.9, 0.1], [0.8, 0.2]], [evil, "cat"], notes=[evil], left_out=[(evil, evil)]
        ),
    )
    assert evil not in text
    assert text.count("&lt;script&gt;") >= 4


def test_nothing_is_asked_of_the_network(tmp_path):
    text = html(tmp_path, report([0, 1], [[0.9, 0.1], [0.8, 0.2]], ["dog", "cat"]))
    assert not re.search(r"https?://|<script|<link|url\(|@import", text)
    assert "default-src 'none'" in text


def test_the_numbers_are_those_of_the_scores(tmp_path):
    right = [[0.9, 0.1]] * 45 + [[0.2, 0.8]] * 5
    text = html(tmp_path, report([0] * 45 + [0] * 5, right, ["dog", "cat"]))
    assert "90.0%" in text
    assert "95% interval 78.6% to 95.7%" in " ".join(text.split())  # Wilson, 45 of 50


def test_mistakes_are_the_surest_first_with_thumbnails():
    shown = report([0, 0, 1, 1], [[0.4, 0.6], [0.1, 0.9], [0.3, 0.7], [0.8, 0.2]], ["dog", "cat"])
    mistakes = worst_mistakes(shown)
    assert [round(one.probability, 1) for one in mistakes] == [0.9, 0.8, 0.6]
    assert [(one.true, one.taken_for) for one in mistakes] == [
        ("dog", "cat"),
        ("cat", "dog"),
        ("dog", "cat"),
    ]
    assert all(one.thumbnail.startswith("data:image/jpeg;base64,") for one in mistakes)


def test_the_sentence_says_how_many_of_100_go_wrong():
    many = report([0] * 950 + [1] * 50, [[0.9, 0.1]] * 1000, ["dog", "cat"])
    # 95% right of 1,000: Wilson 93.5% to 96.2%, so 4 to 7 of 100 wrong; no cat is recognised.
    assert "wrong on 4 to 7" in sentence(many)
    assert "weakest on cat: 0% of them" in sentence(many)
    few = report([0] * 10 + [1] * 10, [[0.9, 0.1]] * 10 + [[0.1, 0.9]] * 10, ["dog", "cat"])
    assert "only 20 photographs were counted" in sentence(few)


def test_without_a_score_the_reason_is_said(tmp_path):
    nothing = Report(
        "a",
        ["dog", "cat"],
        None,
        "4 images to score",
        "test",
        [],
        np.zeros(0, np.int64),
        np.zeros((0, 2), np.float32),
    )
    text = html(tmp_path, nothing)
    assert "cannot be said yet: 4 images to score" in text
    assert "%</p>" not in text


@pytest.mark.parametrize("classes", [2, 100])
def test_ten_thousand_photographs_make_a_small_file(tmp_path, classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 10_000)
    probabilities = rng.dirichlet(np.ones(classes), 10_000)
    names = [f"class {i}" for i in range(classes)]
    shown = report(labels, probabilities, names, left_out=[("a.jpg", "truncated")] * 5000)
    write_report(tmp_path / "a.html", shown)
    assert (tmp_path / "a.html").stat().st_size < 1_000_000
