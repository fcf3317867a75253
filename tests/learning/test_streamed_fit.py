"""A fit that reads features from their files in each pass, beside the fit in memory."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import tortie
from tests.learning.feature_files import N, write_features
from tortie.activations.feature_shards import read_manifest
from tortie.errors import TortieError, UsageError
from tortie.learning import streamed_fit
from tortie.learning.fit_report import report_of
from tortie.learning.softmax import Problem, softmax


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("streamed") / "features")


@pytest.fixture
def streamed(monkeypatch):
    """Sets of any size are read from their files; of two penalties one is chosen."""
    monkeypatch.setattr(streamed_fit, "IN_MEMORY", 0)
    monkeypatch.setattr(streamed_fit, "PENALTIES", (10.0, 3.0, 1.0))


def fit(folder, **options):
    return tortie.ImageClassifier(threads=2, **options).fit(folder).fitted_


@pytest.fixture(scope="module")
def classifier(features):
    """One fit that several tests look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed_fit, "IN_MEMORY", 0)
        patch.setattr(streamed_fit, "PENALTIES", (10.0, 3.0, 1.0))
        return tortie.ImageClassifier(threads=2).fit(features)


def test_the_softmax_layer_is_that_of_all_training_rows(classifier):
    """The oracle is the solver in memory, on the rows that the split CSV names; all are there."""
    fitted = classifier.fitted_
    rows, classes = fitted.rows, fitted.data.classes
    told = list(fitted.split_rows())
    assert sorted(str(row.path) for row in told) == [f"{n:05}.jpg" for n in range(N)]
    assert Counter(row.split for row in told) == fitted.split_counts
    train = [n for n, row in enumerate(told) if row.split == "train"]
    every = np.concatenate([one.features(np.arange(len(one))) for one in rows.shards])
    labels = np.array([classes.index(row.label) for row in told])
    assert labels.tolist() == [n % 3 for n in range(N)]
    known = Problem(every[train], labels[train], 3).solve(fitted.penalty)
    own = fitted.part.tensors["head.weight"], fitted.part.tensors["head.bias"]
    np.testing.assert_allclose(
        softmax(every @ own[0].T + own[1]), softmax(known.logits(every)), atol=1e-3
    )
    assert fitted.data.skipped[0].path == "bad.jpg"
    assert "1,201 in 3 classes" in str(fitted.plan)


def test_neither_files_nor_their_order_matter(features, classifier, streamed, tmp_path):
    """The same photographs in another order have the same split and the same figures."""
    shutil.copytree(features, tmp_path / "other")
    text = read_manifest(features)
    text.model_copy(update={"files": text.files[::-1]}).write(tmp_path / "other")
    own, other = classifier.fitted_, fit(tmp_path / "other")
    splits = [{row.path: row.split for row in one.split_rows()} for one in (own, other)]
    assert splits[0] == splits[1]
    assert own.scores.accuracy.value == pytest.approx(other.scores.accuracy.value, abs=0.01)


def test_copies_are_on_one_side_and_leaks_do_not_count(streamed, tmp_path):
    """Twelve copies are planted by hand: of drawn parts none is divided, of given ones all leak."""

    def copy_of(number):
        return number - 600 if 600 <= number < 612 else number

    drawn = fit(write_features(tmp_path / "drawn", copy_of=copy_of))
    splits = [row.split for row in drawn.split_rows()]
    assert splits[:12] == splits[600:612]
    groups = [row.group for row in drawn.split_rows()]
    assert groups[:12] == groups[600:612]
    assert sum(group is not None for group in groups) == 24
    given = fit(
        write_features(
            tmp_path / "given", copy_of=copy_of, split=lambda n: "test" if n >= 600 else "train"
        )
    )
    assert given.rows.uncounted.tolist() == list(range(600, 612))
    assert given.split_counts["test"] == 600
    assert given.scores.accuracy.photographs == 588
    assert any("of an earlier part: 12 photographs" in note for note in given.notes)


def test_the_file_and_the_report(classifier, tmp_path):
    """All training photographs are known again, and the report tells all of them."""
    classifier.save(tmp_path / "a.safetensors")
    counts = classifier.fitted_.split_counts
    loaded = tortie.load(tmp_path / "a.safetensors")
    assert loaded.metadata.training["splits"] == counts
    assert loaded.metadata.training["hashes"] == N - counts["test"]
    report = report_of(classifier.fitted_, "a")
    assert report.counts == counts
    assert sum(report.trained.values()) == counts["train"]


def rewrite(path, change):
    """A file of features anew, as a program that keeps no SHA-256 would write it."""
    arrays = load_file(path)
    with safe_open(path, "np") as file:
        told = json.loads(file.metadata()["tortie_features"])
    change(arrays, told)
    save_file(arrays, path, {"tortie_features": json.dumps({**told, "sha256": ""})})


def not_a_number(arrays, told):
    arrays["features"][5, 7] = np.nan


def of_another_network(arrays, told):
    told["context"] = "0" * 64


def narrower(arrays, told):
    arrays["features"] = arrays["features"][:, :640].copy()


@pytest.mark.parametrize("in_memory", [0, 2**26], ids=["from files", "in memory"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (not_a_number, "an activation is NaN or Inf"),
        (of_another_network, "holds features of another network"),
        (narrower, "holds features of another network"),
        (None, r"is damaged \(its SHA-256 is another\): delete it"),
    ],
    ids=["no number", "another network", "another size", "a byte that was flipped"],
)
def test_features_that_do_not_belong_are_refused(
    features, tmp_path, monkeypatch, change, said, in_memory
):
    """One line that names the file, before anything is solved for."""
    monkeypatch.setattr(streamed_fit, "IN_MEMORY", in_memory)
    shutil.copytree(features, tmp_path / "features")
    path = tmp_path / "features" / "2.safetensors"
    if change:
        rewrite(path, change)
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(TortieError, match=rf"2\.safetensors:? {said}"):
        fit(tmp_path / "features")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("labels", 9, "damaged"), ("splits", 200, "damaged"), ("names", 0, "damaged")],
)
def test_a_file_that_says_what_cannot_be_is_refused(
    features, streamed, tmp_path, column, value, said
):
    folder = tmp_path / "features"
    shutil.copytree(features, folder)

    def change(arrays, told):
        arrays[column] = np.full_like(arrays[column], value)

    rewrite(folder / "1.safetensors", change)
    with pytest.raises(TortieError, match=rf"1\.safetensors.*{said}: extract again"):
        fit(folder)


def test_a_class_that_the_manifest_does_not_have(features, streamed, tmp_path):
    """A label that is not in the list of classes is one line that names it."""
    shutil.copytree(features, tmp_path / "features")
    told = read_manifest(features)
    told.model_copy(update={"classes": ["c0", "c1"]}).write(tmp_path / "features")
    with pytest.raises(TortieError, match="class 'c2' is not in the manifest"):
        fit(tmp_path / "features")
    with pytest.raises(UsageError, match="leave nothing to train on"):
        fit(features, valid=0.5, test=0.5)
