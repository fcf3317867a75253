"""What comes back: short to print, a table, a picture; and what a notebook shows."""

import sys

import matplotlib
import numpy as np
import pytest

import tortie
from tests.conftest import photograph
from tortie import watched

matplotlib.use("Agg")

IMAGES = [photograph(label, 700 + i) for label in ("blobs", "stripes") for i in range(5)]
LABELS = [label for label in ("blobs", "stripes") for _ in range(5)]


@pytest.fixture(scope="module")
def classifier(fitted_file):
    return tortie.load(fitted_file)


@pytest.fixture(scope="module")
def evaluation(classifier):
    return classifier.evaluate(IMAGES, LABELS)


@pytest.fixture(scope="module")
def fitted():
    return tortie.ImageClassifier().fit(IMAGES, LABELS).fitted_


@pytest.fixture(scope="module")
def stepwise(tmp_path_factory):
    return (
        tortie.ImageClassifier("lenet5", weights=None, freeze="none", epochs=2, threads=1)
        .fit(IMAGES * 2, LABELS * 2)
        .fitted_
    )


@pytest.fixture(autouse=True)
def _closed():
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def test_what_is_printed_is_short(classifier, evaluation, fitted):
    predictions = classifier.classify(IMAGES)
    for one in (classifier, evaluation, evaluation.scores, fitted, fitted.data, fitted.plan,
                predictions, predictions[0], tortie.check(IMAGES, LABELS)):  # fmt: skip
        assert len(repr(one)) < 500, type(one)
        assert "\n" not in repr(one)
    assert repr(classifier).startswith("<ImageClassifier: blobs, stripes; accuracy ")
    assert "95% interval" in repr(classifier)
    assert "95% interval" in repr(evaluation)
    assert "10 photographs in 2 classes" in repr(fitted)
    assert str(fitted.plan).count("\n") > 5


def test_names_are_public():
    for name in ("CheckResult", "Evaluation", "FitResult", "Plan", "Prediction", "Scores", "check"):
        assert name in tortie.__all__
        assert getattr(tortie, name).__doc__


def test_the_table_of_an_evaluation_is_its_arrays(evaluation):
    pytest.importorskip("pandas")
    table = evaluation.to_frame()
    assert list(table.columns) == [
        "path", "label", "predicted", "right", "probability", "weight", "p(blobs)", "p(stripes)",
    ]  # fmt: skip
    assert table["right"].mean() == evaluation.scores.accuracy.value
    np.testing.assert_allclose(table[["p(blobs)", "p(stripes)"]], evaluation.probabilities)
    each = evaluation.scores.to_frame()
    assert each.loc["stripes", "recall"] == evaluation.scores.per_class["stripes"].recall


def test_predictions_findings_and_splits_are_tables(classifier, fitted, tmp_path):
    pytest.importorskip("pandas")
    (tmp_path / "bad.jpg").write_bytes(b"words")
    table = classifier.classify([IMAGES[0], tmp_path / "bad.jpg"]).to_frame()
    assert table["label"].tolist()[0] == "blobs"
    assert table["reason"].tolist()[1].startswith("not an image")
    assert len(fitted.to_frame()) == 10
    assert set(fitted.to_frame()["label"]) == {"blobs", "stripes"}
    found = tortie.check([*IMAGES, IMAGES[0]], [*LABELS, "stripes"]).to_frame()
    assert "duplicate-across-classes" in found["kind"].tolist()


def test_plots_show_the_figures(evaluation, fitted, stepwise):
    """The oracle is the result's own figures, read from what matplotlib drew."""
    axes = evaluation.plot()
    numbers = [text.get_text() for text in axes.texts]
    expected = [f"{count:g}" for row in evaluation.scores.confusion for count in row]
    assert numbers == expected
    covered = evaluation.plot("coverage").lines[0].get_xydata()
    np.testing.assert_allclose(covered[:, 0], [one.coverage for one in evaluation.coverage])
    assert evaluation.plot("reliability").get_ylabel() == "share right"
    given = fitted.plot("confusion")
    assert evaluation.plot("confusion", ax=given) is given
    drawn = stepwise.plot().lines[0].get_ydata()
    np.testing.assert_allclose(drawn, [row["train_loss"] for row in stepwise.history])
    with pytest.raises(tortie.UsageError, match="no learning curve"):
        fitted.plot("learning curve")
    with pytest.raises(tortie.UsageError, match="no plot 'roc': expected confusion"):
        evaluation.plot("roc")


def test_a_notebook_shows_the_parts_of_the_report(classifier, evaluation, fitted):
    for one, wanted in (
        (classifier, ["blobs, stripes", "efficientnet-lite0", "95% interval"]),
        (evaluation, ["Confusion matrix", "<svg", "recall"]),
        (fitted, ["Confusion matrix", "<svg"]),
        (fitted.plan, ["class weight", "photographs"]),
        (tortie.check(IMAGES, LABELS), ["10 images"]),
        (classifier.classify(IMAGES), ["10 predictions"]),
        (tortie.ImageClassifier(), ["not fitted yet"]),
    ):
        html = one._repr_html_()
        assert "var(--jp-ui-font-color1" in html  # the theme's own colours
        for text in wanted:
            assert text in html, (type(one), text)


def test_a_class_name_cannot_be_markup():
    labels = ["<script>" if label == "blobs" else label for label in LABELS]
    fitted = tortie.ImageClassifier().fit(IMAGES, labels)
    for one in (fitted, fitted.fitted_, fitted.classify(IMAGES[:1])):
        assert "<script>" not in one._repr_html_()
        assert "&lt;script&gt;" in one._repr_html_()


class Terminal:
    """A stream that a person watches."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def watch(monkeypatch):
    """A terminal in place of stderr, which a fixture cannot put there: pytest takes it back."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.delitem(sys.modules, "tortie.cli.main", raising=False)
    monkeypatch.setattr(watched, "_DELAY", 0)
    return stream


def test_where_somebody_watches_left_out_files_are_named(monkeypatch, tmp_path):
    terminal = watch(monkeypatch)
    for i, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        (tmp_path / label).mkdir(exist_ok=True)
        image.save(tmp_path / label / f"{i}.png")
    (tmp_path / "blobs" / "bad.jpg").write_bytes(b"words")
    fitted = tortie.ImageClassifier().fit(tmp_path)
    assert f"left out: {tmp_path / 'blobs' / 'bad.jpg'}: not an image" in terminal.text
    for note in fitted.fitted_.notes:
        assert f"note: {note}" in terminal.text
    fitted.predict([photograph("blobs", 900)])
    assert "photographs: 100%" in terminal.text


def test_where_nobody_watches_nothing_is_said(capsys):
    assert not watched.is_watched()
    tortie.ImageClassifier().fit(IMAGES, LABELS)
    assert capsys.readouterr() == ("", "")


def test_a_script_is_warned_of_left_out_files(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "tortie.cli.main", raising=False)
    for number in range(2):
        (tmp_path / f"bad{number}.jpg").write_bytes(b"words")
    images = [*IMAGES, tmp_path / "bad0.jpg", tmp_path / "bad1.jpg"]
    with pytest.warns(tortie.TortieWarning, match=r"left out: .*bad0.jpg': not an image; 1 more"):
        tortie.ImageClassifier().fit(images, [*LABELS, "blobs", "blobs"])


def test_tables_have_labels_of_the_type_that_was_learnt():
    numbers = [7 if label == "blobs" else -1 for label in LABELS]
    fitted = tortie.ImageClassifier().fit(IMAGES, numbers)
    new = [photograph(label, 900 + i) for i, label in enumerate(LABELS)]
    table = fitted.evaluate(new, numbers).to_frame()
    assert table["label"].tolist() == numbers
    assert set(table["predicted"]) <= {7, -1}
    assert fitted.fitted_.to_frame()["label"].tolist() == numbers


def test_nothing_and_no_stage_are_refused_in_a_sentence():
    with pytest.raises(tortie.UsageError, match="no photograph: a classifier needs two classes"):
        tortie.ImageClassifier().fit([], [])
    with pytest.raises(tortie.UsageError, match="stage 0: expected the name of a stage"):
        tortie.features(IMAGES[:1], stage=0)
