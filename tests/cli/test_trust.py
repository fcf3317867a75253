"""Crops, rejection and calibration on the command line."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.cli.test_cli import run  # noqa: F401  (a fixture)
from tests.conftest import lay_out, photograph


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A classifier with a temperature for ten crops, and photographs that it has not seen."""
    import tortie

    folder = tmp_path_factory.mktemp("trust")
    path = folder / "textures.safetensors"
    tortie.ImageClassifier(crops=10).fit(lay_out(folder / "photographs")).save(path)
    lay_out(folder / "new", 6, ("unused", "test"))
    return path


def test_fit_says_what_the_probabilities_are_worth(run, photographs, tmp_path):  # noqa: F811
    out = run("fit", photographs, "-o", tmp_path / "a.safetensors", "--crops", "10", "--json")[1]
    document = json.loads(out)
    assert set(document["temperature"]) == {"1", "10"}
    assert document["calibration"] == {"on": "training part, cross-fitted", "n": 24}
    assert document["log_loss"] > 0 and 0 <= document["ece"] <= 1 and 0 <= document["brier"] <= 2
    assert set(document["uncalibrated"]) == {"log_loss", "ece", "brier"}
    assert any("only roughly calibrated" in note for note in document["notes"])


def test_evaluate_shows_crops_and_coverage(run, model):  # noqa: F811
    new = model.parent / "new" / "test"
    document = json.loads(run("evaluate", model, new, "--crops", "10", "--json")[1])
    assert document["crops"] == 10
    assert document["accuracy"]["n"] == 12
    assert [(one["crops"], one["forward_passes"]) for one in document["members"]] == [
        (1, 1),
        (10, 10),
    ]
    assert document["coverage"][0]["coverage"] == 1
    assert document["coverage"][0]["n"] == 12
    assert document["coverage"][0]["interval"]["n"] == 12
    assert document["uncalibrated"]["ece"] >= 0
    code, out, err = run("evaluate", model, new, "--crops", "10")
    assert code == 0
    assert "12 photographs (photographs given, 10 crops)" in out
    assert "before the temperature of" not in out  # the report explains it
    assert "efficientnet-lite0     10              10" in out
    assert "reject below  answered" in out
    assert "no temperature" not in err


def test_evaluate_on_classes_it_does_not_know(run, model, tmp_path):  # noqa: F811
    # Invariant: of seven strangers five are named, two counted; all are in the document. The blobs
    # have no photograph, so recall and F1 are no figures, in the table as in the report.
    folder = tmp_path / "some"
    lay_out(tmp_path / "new", 1, ("unused", "test"))
    shutil.copytree(tmp_path / "new" / "test" / "stripes", folder / "stripes")
    (folder / "wasps").mkdir()
    for number in range(7):
        photograph("blobs", 700 + number).save(folder / "wasps" / f"{number}.png")
    code, out, err = run("evaluate", model, folder)
    assert code == 0
    (left,) = [line for line in err.splitlines() if line.startswith("left out")]
    first = folder / "wasps" / "0.png"
    assert left == (
        "left out, 7 photographs: class 'wasps' is not one of the classifier's, such as "
        f"{first}; --json names all"
    )
    assert "left out: 7 photographs, not counted" in out
    (row,) = [line.split() for line in out.splitlines() if line.startswith("blobs ")]
    assert row == ["blobs", "–", "–", "–", "0"]
    assert len(json.loads(run("evaluate", model, folder, "--json")[1])["skipped"]) == 7
    shutil.rmtree(folder / "stripes")
    code, _, err = run("evaluate", model, folder)
    assert code == 2
    assert "it knows blobs, stripes; given were wasps" in err


def test_evaluate_reads_names_that_differ_in_case_and_says_so(run, model, tmp_path):  # noqa: F811
    # Invariant: the same photographs under another writing of their classes' names score the same.
    lay_out(tmp_path / "new", 1, ("unused", "test"))
    plain = json.loads(run("evaluate", model, tmp_path / "new" / "test", "--json")[1])
    odd = tmp_path / "odd" / "Testing"
    odd.mkdir(parents=True)
    shutil.copytree(tmp_path / "new" / "test" / "stripes", odd / "Stripes ")
    shutil.copytree(tmp_path / "new" / "test" / "blobs", odd / "BLOBS")
    code, out, _ = run("evaluate", model, tmp_path / "odd", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["accuracy"] == plain["accuracy"]
    assert told["read_as"] == [
        f"entered 'Testing', the only folder of images in '{tmp_path / 'odd'}'",
        "folder 'Stripes ' is class 'Stripes'",
        "class 'BLOBS' is counted as 'blobs'",
        "class 'Stripes' is counted as 'stripes'",
    ]
    assert "class 'BLOBS' is counted as 'blobs'" in run("evaluate", model, tmp_path / "odd")[1]
    (odd / "BLOBS").rename(odd / "bloobs")
    reason = "class 'bloobs' is not one of the classifier's (it knows 'blobs')"
    assert reason in run("evaluate", model, tmp_path / "odd")[2]


def test_folders_that_read_two_ways_are_a_question_on_the_command_line(run, model, tmp_path):  # noqa: F811
    # Oracle: what --splits names is what the folders named train and test would be.
    lay_out(tmp_path / "set", 2, ("train", "test"))
    for old, new in (("train", "A"), ("test", "B")):
        (tmp_path / "set" / old).rename(tmp_path / "set" / new)
    for words in (
        ("fit", tmp_path / "set", "-o", tmp_path / "a.safetensors"),
        ("check", tmp_path / "set"),
    ):
        code, _, err = run(*words)
        assert code == 2
        assert "say --splits train=A,test=B if they are splits" in err
        assert "--splits train=blobs,test=stripes if they are classes, with their splits" in err
        assert "or --no-splits if they are classes without splits" in err
    code, out, _ = run(
        "fit", tmp_path / "set", "--splits", "train=A,test=B", "--plan", "--json",
        "-o", tmp_path / "a.safetensors",
    )  # fmt: skip
    assert json.loads(out)["on"] == "test"
    code, out, _ = run("check", tmp_path / "set", "--no-splits", "--no-labels", "-q")
    assert "in 2 classes" in out
    code, _, err = run("check", tmp_path / "set", "--no-splits", "--splits", "train=A")
    assert code == 2
    assert "give one of them" in err


def test_what_is_taken_for_what_is_told_most_often_first():
    # By hand: 30 classes in a ring. 7 is taken for 8 three times, each other one for its next once.
    from tortie.cli.evaluate import _confused
    from tortie.evaluation.metrics import score

    labels = np.array([*range(30), 7, 7])
    answers = (labels + 1) % 30
    names = ["hen" if i == 8 else str(i) for i in range(30)]
    lines = _confused(score(np.eye(30, dtype=np.float32)[answers], labels, names))
    assert lines[0] == "3 '7' taken for hen"
    assert lines[1] == "1 '0' taken for '1'"
    assert len(lines) == 21
    assert lines[20] == "and 10 more pairs: --json has all"


def test_many_classes_are_not_all_named(run, tmp_path):  # noqa: F811
    folder = lay_out(tmp_path / "few", 1)
    code, _, err = run("evaluate", "efficientnet-lite0", folder)
    assert code == 2
    assert (
        "great white shark, tiger shark, hammerhead and 995 more; given were blobs, stripes" in err
    )
    assert len(err) < 300


def test_a_report_is_written_over_nothing_but_a_page(run, model, tmp_path):  # noqa: F811
    # Invariant: neither a classifier nor a photograph is lost by a slip of the hand.
    before = model.read_bytes()
    code, _, err = run("evaluate", model, model.parent / "new" / "test", "--report", model)
    assert code == 2
    assert "expected a name that ends in .html" in err
    assert model.read_bytes() == before
    words = (
        "evaluate",
        model,
        model.parent / "new" / "test",
        "--report",
        tmp_path / "no" / "a.html",
    )
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert "make it first" in err


def test_crops_without_a_temperature_are_said(run, model, tmp_path):  # noqa: F811
    few = lay_out(tmp_path / "few", 1)
    err = run("evaluate", model, few, "--crops", "144")[2]
    assert "no temperature was fitted for 144 crops" in err


def test_predict_rejects_what_is_unsure(run, model, tmp_path):  # noqa: F811
    path = tmp_path / "a.png"
    Image.new("RGB", (128, 96), (128, 128, 128)).save(path)  # neither: no arithmetic is certain
    sure = json.loads(run("predict", model, path, "--json")[1])[0]
    assert sure["label"] in ("stripes", "blobs") and not sure["rejected"]
    assert sure["probability"] < 1
    words = ("predict", model, path, "--reject-below", str((sure["probability"] + 1) / 2))
    (unsure,) = json.loads(run(*words, "--json")[1])
    assert (unsure["label"], unsure["rejected"]) == (None, True)
    assert unsure["probability"] == sure["probability"]
    assert unsure["probabilities"] == sure["probabilities"]
    assert 0 <= sure["novelty_percentile"] <= 100
    assert f"{path}  rejected: {sure['label']}" in run(*words)[1]
    (row,) = csv.DictReader(run(*words, "--csv")[1].splitlines())
    assert (row["label"], row["rejected"], row["reason"]) == ("", "true", "")
    assert float(row["probability"]) == pytest.approx(sure["probability"])


def test_an_empty_folder_is_said(run, model, tmp_path):  # noqa: F811
    # Silence looks like success: the folder may be the wrong one. An empty answer is no failure.
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    photograph("blobs", 5).save(tmp_path / "full" / "a.png")
    code, out, err = run("predict", model, tmp_path / "empty", tmp_path / "full", "--json")
    assert code == 0
    assert len(json.loads(out)) == 1
    assert err == f"note: no image in {tmp_path / 'empty'}\n"


def test_predict_names_a_stranger(run, model, tmp_path):  # noqa: F811
    import skimage.data

    path = tmp_path / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(path)
    out = run("predict", model, path)[1]
    assert "unlike its training photographs, farther from them than any of those held out" in out
    # A network as it was published knows nothing of its training photographs.
    document = json.loads(run("predict", "efficientnet-lite0", path, "--json")[1])
    assert document[0]["novelty_percentile"] is None


@pytest.mark.parametrize(
    "words, message",
    [
        (("predict", "MODEL", "x.jpg", "--crops", "7"), "7 crops: expected 1, 10 or 144"),
        (("predict", "MODEL", "x.jpg", "--reject-below", "2"), "--reject-below"),
        (("predict", "MODEL", "x.jpg", "--precision", "int8"), "tortie export --int8"),
        (("evaluate", "MODEL", "new", "--engine", "gpu"), "engine is 'gpu': expected auto, onnx"),
        (
            ("extract", "new", "-o", "x", "--precision", "fp8"),
            "is 'fp8': expected auto, float32 or",
        ),
        (("bench", "lenet5", "--precision", "int8"), "precision is 'int8': expected auto, float32"),
        (("bench", "lenet5", "--engine", "gpu"), "engine is 'gpu': expected auto, onnxruntime"),
        (("evaluate", "MODEL", "new", "--crops", "0"), "crops is 0: expected 1, 10 or 144"),
    ],
)
def test_wrong_uses_are_one_line(run, model, words, message):  # noqa: F811
    given = {"MODEL": model, "new": model.parent / "new" / "test"}
    code, _, err = run(*(given.get(word, word) for word in words))
    assert code == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1  # nothing was measured or read before


def test_copies_count_once_in_fit_evaluate_and_the_report(run, tmp_path):  # noqa: F811
    """Sixteen test photographs, once or four times each: the same figures, and *n* is 16."""
    told = {}
    for copies in (1, 4):
        folder = lay_out(tmp_path / str(copies), 8, splits=("train", "test"))
        for image in sorted(folder.glob("test/*/*")):
            for number in range(copies - 1):
                shutil.copy(image, image.with_stem(f"{image.stem}-{number}"))
        written = tmp_path / f"{copies}.safetensors"
        fitted = json.loads(run("fit", folder, "-o", written, "--json")[1])
        told[copies] = fitted, json.loads(run("evaluate", written, folder, "--json")[1])
    for command in (0, 1):
        once, often = told[1][command], told[4][command]
        assert (often["accuracy"]["n"], often["accuracy"]["photographs"]) == (16, 64)
        for figure in ("value", "low", "high", "n"):
            assert often["accuracy"][figure] == pytest.approx(once["accuracy"][figure])
        for figure in ("log_loss", "ece", "brier"):
            assert often[figure] == pytest.approx(once[figure], abs=1e-6)
    assert told[4][1]["confusion"] == told[1][1]["confusion"]
    out = run("evaluate", tmp_path / "4.safetensors", tmp_path / "4")[1]
    assert "on 16 (64 photographs with near copies or groups), test" in out
    page = (tmp_path / "4.report.html").read_text()
    assert "right on 16 (64 photographs with near copies or groups) of the test" in page


def test_evaluate_counts_mirrored_copies_once_and_shows_where_it_looked(run, model, tmp_path):  # noqa: F811
    # Invariant: mirrored copies, which no hash tells, change neither n nor the interval.
    from PIL import Image, ImageOps

    new = lay_out(tmp_path / "new", 6, ("unused", "test")) / "test"
    plain = json.loads(run("evaluate", model, new, "--json")[1])["accuracy"]
    for path in sorted(new.glob("*/*.jpg")):
        with Image.open(path) as image:
            ImageOps.mirror(image).save(path.with_name(f"mirrored {path.name}"), quality=95)
    page = tmp_path / "a.html"
    copied = json.loads(run("evaluate", model, new, "--json", "--report", page)[1])["accuracy"]
    assert (plain["n"], plain["photographs"]) == (12, 12)
    assert (copied["n"], copied["photographs"]) == (12, 24)
    assert "Where it looked" in page.read_text()


def test_predict_names_a_set_and_evaluate_measures_it(run, model):  # noqa: F811
    new = model.parent / "new" / "test"
    document = json.loads(run("predict", model, new, "--confidence", "90", "--json")[1])
    assert all(one["prediction_set"][0] == next(iter(one["probabilities"])) for one in document)
    code, out, err = run("predict", model, new, "--confidence", "90")
    assert code == 0 and out.count("; set: ") == 12
    assert (
        "of new photographs of the same kind as the 24 it was trained on, 80% at least get a set "
        "with the right class, on average, and 90% are expected to"  # cross-fitted: 1 - 2α
    ) in err
    assert run("predict", model, new, "--csv", "--confidence", "90")[1].startswith(
        "path,label,probability,reason,rejected,novelty_percentile,set"
    )
    code, _, err = run("predict", model, new, "--confidence", "99")
    assert code == 2 and "needs 99 photographs" in err and "has 24, enough for 96" in err
    measured = json.loads(run("evaluate", model, new, "--json")[1])["sets"]
    assert [one["confidence"] for one in measured] == [80, 90, 95]
    assert all(one["mean_size"] >= 1 and one["coverage"]["n"] == 12 for one in measured)
    assert (
        "confidence  sets with the right class  classes in a set" in run("evaluate", model, new)[1]
    )
