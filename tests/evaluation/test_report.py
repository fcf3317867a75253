"""The report: self-contained, escaped, small, and each section there for what it shows."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import photograph
from tortie.activations.engine import EngineChoice
from tortie.activations.extract import Extractor
from tortie.activations.store import ActivationStore
from tortie.evaluation.member import MemberNetwork
from tortie.evaluation.metrics import score, wilson
from tortie.evaluation.page import breakable
from tortie.evaluation.report import EnsembleRow, Report, write_report
from tortie.images import hash_all

EVIL = "<script>alert(1)</script>"


def report(labels, probabilities, classes, **more):
    labels = np.array(labels)
    probabilities = np.array(probabilities, np.float32)
    held = more.pop("held", [photograph("blobs", 0)] * len(labels))
    scores = score(probabilities, labels, classes)
    return Report(
        "pets.safetensors", classes, scores, None, "test", held, labels, probabilities, **more
    )


def html(tmp_path, shown):
    write_report(tmp_path / "a.html", shown)
    return (tmp_path / "a.html").read_text()


class Reader(HTMLParser):
    """Checks that what is opened is closed; collects headings, tags and what they carry."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.headings = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img", "br", "link", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def full(names, tmp_path):
    """A report of every section, of 60 photographs whose labels are drawn from a seed."""
    rng = np.random.default_rng(0)
    path = tmp_path / 'a"onload="x&<b>.png'
    photograph("stripes", 1).save(path)
    probabilities = rng.dirichlet(np.full(len(names), 0.4), 60)
    labels = np.array([rng.choice(len(names), p=row) for row in probabilities])
    history = [
        {
            "epoch": i,
            "train_loss": 2 / i,
            "validation_loss": 2.5 / i,
            "validation_accuracy": 1 - 0.5 / i,
            "learning_rate": 0.1 / i,
        }
        for i in range(1, 6)
    ]
    return report(
        labels, probabilities, names, held=[path] * 60, history=history, best_epoch=4,
        uncalibrated=np.roll(probabilities, 1, axis=0).astype(np.float32),
        ensemble=[EnsembleRow(EVIL, wilson(40, 60), 0.5, EVIL)], plan=[(EVIL, EVIL)],
        outcome=[(EVIL, EVIL, EVIL)], counts={EVIL: 60}, trained=dict.fromkeys(names, 60),
        seconds={EVIL: 1.0}, skipped=[(EVIL, EVIL)], notes=[EVIL], settings={EVIL: EVIL},
    )  # fmt: skip


def test_what_users_name_is_escaped(tmp_path):
    text = html(tmp_path, full([EVIL, "cat"], tmp_path))
    reader = Reader(text)
    assert "script" not in reader.tags and "b" in reader.tags
    assert text.count("&lt;script&gt;") >= 20
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert 'a"onload="x&<b>.png' in [value for name, value in reader.attributes if name == "alt"]


def test_marks_of_direction_are_seen(tmp_path):
    """Raw, they would turn the words of the page that stand beside them."""
    text = html(tmp_path, full(["cat\u202egod", "dog\u2066"], tmp_path))
    assert "cat\\u202egod" in text and "dog\\u2066" in text
    assert not {"\u202e", "\u2066"} & set(text)


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_nothing_is_asked_of_the_network(tmp_path, classes):
    text = html(tmp_path, full([f"class {i}" for i in range(classes)], tmp_path))
    assert not re.search(r"https?://|<script|<link|url\(|@import", text)
    assert "default-src 'none'" in text
    sources = [value for name, value in Reader(text).attributes if name in ("src", "href")]
    assert sources and all(value.startswith("data:image/") for value in sources)


def test_every_section_is_there_when_there_is_what_it_shows(tmp_path):
    full_page = Reader(html(tmp_path, full(["dog", "cat", "neither"], tmp_path))).headings
    assert full_page == [
        "What to photograph next",
        "Class by class",
        "Confusion matrix: what is taken for what",
        "Calibration: does it know how sure it is?",
        "Rejection: and if it may say “not sure”?",
        "The surest mistakes",
        "Typical and doubtful",
        "Each member, and the ensemble",
        "How it learnt",
        "Plan and outcome",
        "The split",
        "The time",
        "Worth knowing",
        "Left out",
        "Environment",
    ]
    right = report([0, 1], [[0.9, 0.1], [0.1, 0.9]], ["dog", "cat"])
    assert Reader(html(tmp_path, right)).headings == [
        "What to photograph next",
        "Class by class",
        "Confusion matrix: what is taken for what",
        "Calibration: does it know how sure it is?",
        "Typical and doubtful",
        "Environment",
    ]


def test_the_numbers_are_those_of_the_scores(tmp_path):
    right = [[0.9, 0.1]] * 45 + [[0.2, 0.8]] * 5
    text = " ".join(html(tmp_path, report([0] * 50, right, ["dog", "cat"])).split())
    assert "90.0%" in text
    assert "95% interval 78.6% to 95.7%" in text  # Wilson, 45 of 50
    assert "78.6–95.7%" in text  # the recall of dog
    assert "Always saying <bdi>dog</bdi> would be right on 100.0%" in text
    # Sure by 0.9 of 45 that are right and by 0.8 of 5 that are wrong: (45·0.1 + 5·0.8) / 50.
    assert "Expected calibration error 0.170;" in text
    assert "On average it said it was 89.0% sure" in text
    # Brier: right 0.1² + 0.1², wrong 0.8² + 0.8²; (45·0.02 + 5·1.28) / 50.
    assert "Log loss 0.256 nats, Brier score 0.146" in text  # (45·0.105 + 5·1.609) / 50
    assert "it answers 90.0% of the photographs, and 100.0% of" in text


def test_what_no_photograph_bears_on_is_left_open(tmp_path):
    # Of two cats and no hen, both called cat: the hen's recall, precision and F1 are no figures.
    text = html(tmp_path, report([0, 0], [[0.9, 0.1], [0.8, 0.2]], ["cat", "hen"]))
    hen = re.search(r"<bdi>hen</bdi></td>(.*?)</tr>", text, re.S)[1]
    assert "0.0%" not in hen
    assert re.findall(r"<td[^>]*>([^<]*)</td>", hen) == ["–", "", "–", "–", "0"]
    # With one taken for a hen its precision is 0 of 1, and that is a figure.
    text = html(tmp_path, report([0, 0], [[0.9, 0.1], [0.2, 0.8]], ["cat", "hen"]))
    hen = re.search(r"<bdi>hen</bdi></td>(.*?)</tr>", text, re.S)[1]
    assert re.findall(r"<td[^>]*>([^<]*)</td>", hen) == ["–", "", "0.0%", "–", "0"]


def test_no_photograph_is_said_to_be_certain(tmp_path):
    text = html(tmp_path, report([0, 1], [[1.0, 0.0], [0.0006, 0.9994]], ["dog", "cat"]))
    assert "<figcaption>&gt;99.9%" in text and "<figcaption>99.9%" in text
    assert "<figcaption>100.0%" not in text


def test_calibration_shows_the_error_before(tmp_path):
    shown = report(
        [0, 0, 0, 1], [[0.75, 0.25]] * 4, ["dog", "cat"],
        uncalibrated=np.array([[0.95, 0.05]] * 4, np.float32),
    )  # fmt: skip
    text = html(tmp_path, shown)
    assert "Expected calibration error 0.000, before calibration 0.200;" in text
    assert text.count('class="hollow"') == 2  # the legend and one bin


def test_without_a_score_the_reason_is_said(tmp_path):
    none = np.zeros(0, np.int64), np.zeros((0, 2), np.float32)
    nothing = Report("a", ["dog", "cat"], None, "4 images to score", "test", [], *none)
    text = html(tmp_path, nothing)
    assert "cannot be said yet: 4 images to score" in text
    assert "%</p>" not in text
    assert Reader(text).headings == ["What to photograph next", "Environment"]


def test_a_name_that_is_no_text_is_shown_as_a_sign(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg"))
    shown = report([0, 1], [[0.2, 0.8], [0.2, 0.8]], ["dog", "\ud83d"], held=[path] * 2)
    text = html(tmp_path, shown)  # reads it back as UTF-8
    assert r"caf\xe9.jpg" in text and "no longer there" in text


def test_many_classes_are_a_picture_and_the_weakest_come_first(tmp_path):
    classes = [f"class {i:02}" for i in range(30)]
    probabilities = np.eye(30)[np.arange(300) % 30] * 0.97 + 0.001
    labels = np.arange(300) % 30
    labels[labels == 7] = 8  # what looks like 7 is 8: ten of twenty of these are wrong
    text = html(tmp_path, report(labels, probabilities, classes))
    assert '<svg class="cells"' in text and "<details>" in text
    rows = re.findall(r"<tr><td><bdi>(class \d+)", text)
    assert rows[0] == "class 08"
    pairs = re.search(r'>class 08</bdi></td><td class="words"><bdi>class 07<', text)
    assert pairs and "<td>10</td><td>20</td>" in text[pairs.end() : pairs.end() + 60]


def with_network(entry, network):
    """What the report of two photographs takes of the network that judged them."""
    part = MemberNetwork.of(network, entry.preprocessing)
    extractor = Extractor(
        prefix=part.prefix, structure=entry.name, code=entry.code,
        store=ActivationStore.default(), device="cpu", choice=EngineChoice("onednn", "float32"),
        threads=1, max_pixels=10**6,
    )  # fmt: skip
    sha256 = hash_all([photograph("blobs", 0)] * 2, 1)
    return {"network": part, "extractor": extractor, "sha256": sha256}


def test_maps_are_left_out_with_a_word_where_the_network_has_no_pooling(tmp_path):
    from tortie.networks.table import find

    entry = find("lenet5")
    more = with_network(entry, entry.build(classes=2))
    shown = report([0, 1], [[0.9, 0.1], [0.8, 0.2]], ["dog", "cat"], **more)
    assert "No class activation maps: the network does not end in global" in html(tmp_path, shown)


def test_maps_lie_over_what_the_network_saw(tmp_path):
    from tortie.networks.table import find

    entry = find("resnet20-cifar")
    more = with_network(entry, entry.build(classes=2))
    shown = report([0, 1], [[0.9, 0.1], [0.8, 0.2]], ["dog", "cat"], **more)
    text = html(tmp_path, shown)
    assert "Where it looked" in text
    assert text.count("data:image/png") == 2


def test_names_of_files_go_on_after_a_separator():
    # By hand: no empty piece, nothing lost, markup escaped.
    assert breakable("a/IMG_2024-05.jpg") == "a/<wbr>IMG_<wbr>2024-<wbr>05.jpg"
    assert breakable("plain") == "plain"
    assert breakable("__x/<b>") == "__<wbr>x/<wbr>&lt;b&gt;"


@pytest.mark.parametrize("classes", [2, 100])
def test_ten_thousand_photographs_make_a_small_file(tmp_path, classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 10_000)
    probabilities = rng.dirichlet(np.ones(classes), 10_000)
    names = [f"class {i}" for i in range(classes)]
    shown = report(labels, probabilities, names, skipped=[("a.jpg", "truncated")] * 5000)
    write_report(tmp_path / "a.html", shown)
    assert (tmp_path / "a.html").stat().st_size < 3_000_000
    assert (tmp_path / "a.html").read_text().count("<img ") <= 12 + 240
