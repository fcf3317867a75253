"""``fit --private``: the file does not tell which photographs it was trained on."""

import hashlib
import json

import numpy as np
import pytest

import tortie
from tests.conftest import lay_out, photograph
from tortie.cli.main import main
from tortie.weights import classifier_file

SECRET = "aunt-agatha"
"""Part of the names of all folders and files, of which a private classifier says nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs under a telling name, of which one is damaged and two are copies."""
    folder = lay_out(tmp_path_factory.mktemp("private") / SECRET, 12)
    for path in list(folder.rglob("*.jpg")):
        path.rename(path.with_name(f"{SECRET}-{path.name}"))
    (folder / "blobs" / f"{SECRET}-damaged.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    copied = folder / "blobs" / f"{SECRET}-03.jpg"
    for label in ("blobs", "stripes"):  # the second of which has another label
        (folder / label / f"{SECRET}-copy.jpg").write_bytes(copied.read_bytes())
    (folder / "empty").mkdir()
    return folder


WAYS = {
    "frozen": {},
    "by steps": {"network": "lenet5", "weights": None, "freeze": "none", "epochs": 1},
    "ensemble": {"members": 2, "augment": "mirror"},
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_the_file_tells_which_photographs_it_was_trained_on(folder, tmp_path, way):
    """The oracle is the file of the same fit that is not private: it does tell."""
    path = tmp_path / "a.safetensors"
    for private in (False, True):
        fitted = tortie.ImageClassifier(private=private, **WAYS[way]).fit(folder)
        fitted.save(path, force=True)
        content = path.read_bytes()
        digests = [hashlib.sha256(one.read_bytes()).digest() for one in folder.rglob("*.jpg")]
        told = [one in content or one.hex().encode() in content for one in digests]
        assert any(told) != private
        assert (SECRET.encode() in content) != private
        before = fitted.predict_proba([photograph("blobs", 800)])
    found = tortie.load(path)
    np.testing.assert_allclose(found.predict_proba([photograph("blobs", 800)]), before, atol=1e-6)
    skipped = found.metadata.training["skipped"]
    assert [one["path"] for one in skipped] == [None]


def test_evaluate_says_that_it_cannot_tell(folder, tmp_path, capsys):
    path = tmp_path / "a.safetensors"
    fitted = tortie.ImageClassifier(private=True).fit(folder)
    fitted.save(path)
    for classifier in (fitted, tortie.load(path)):
        evaluation = classifier.evaluate(folder)
        assert evaluation.seen is None
        assert evaluation.scores.accuracy.n > 20  # all that can be read, once each
        assert any("cannot tell photographs it was trained on" in one for one in evaluation.notes)
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(path), str(folder), "--json", "--quiet"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["skipped_training_images"] is None
    assert any("cannot tell photographs it was trained on" in one for one in told["warnings"])


def test_the_number_of_hashes_is_in_the_record(folder, tmp_path):
    path = tmp_path / "a.safetensors"
    tortie.ImageClassifier().fit(folder).save(path)
    metadata, tensors = classifier_file.read(path)
    assert metadata.training["hashes"] == len(tensors["training.sha256"]) > 20
