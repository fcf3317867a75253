"""Crops and members averaged: by what each says alone, in any order, and without a second pass."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import tortie
from tests.conftest import lay_out, photograph
from tortie.activations import extract
from tortie.evaluation.calibration import temperature_scaled
from tortie.evaluation.crops import crop_views
from tortie.evaluation.predict import Predictions
from tortie.evaluation.prediction import to_predictions
from tortie.images import decode
from tortie.networks.table import find

LABELS = ["blobs"] * 4 + ["stripes"] * 4
IMAGES = [photograph(label, 800 + i) for i, label in enumerate(LABELS)]


def joined(*classifiers, temperature=None):
    """The members of several classifiers of the same classes, in one."""
    metadata = classifiers[0].metadata.model_copy(
        update={
            "members": [one.metadata.members[0] for one in classifiers],
            "temperature": temperature or {"1": 1.0},
        }
    )
    ensemble = tortie.ImageClassifier()
    ensemble._metadata = metadata
    ensemble._parts = [one._parts[0] for one in classifiers]
    ensemble._training_sha256 = classifiers[0]._training_sha256
    return ensemble


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Classifiers of one folder by networks of 224×224, 32×32 and grey 28×28 input."""
    folder = tmp_path_factory.mktemp("members")
    photographs = lay_out(folder / "photographs")
    fitted = [tortie.ImageClassifier().fit(photographs)]
    for name in ("resnet20-cifar", "lenet5"):
        torch.manual_seed(1)
        save_file(tortie.networks.build(name).state_dict(), folder / f"{name}.safetensors")
        weights = str(folder / f"{name}.safetensors")
        fitted.append(tortie.ImageClassifier(name, weights=weights).fit(photographs))
    return fitted


def test_an_ensemble_is_the_mean_of_what_its_members_say(members, tmp_path):
    ensemble = joined(*members, temperature={"1": 1.7})
    alone = [joined(one).predict_proba(IMAGES) for one in members]
    wanted = temperature_scaled(np.mean(alone, axis=0), 1.7)
    np.testing.assert_allclose(ensemble.predict_proba(IMAGES), wanted, atol=1e-6)
    ensemble.save(tmp_path / "a.safetensors")
    again = tortie.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(again.predict_proba(IMAGES), ensemble.predict_proba(IMAGES))


@pytest.mark.parametrize("crops", [1, 10])
def test_the_order_of_the_members_does_not_matter(members, crops):
    straight = joined(*members).set_params(crops=crops)
    turned = joined(*members[::-1]).set_params(crops=crops)
    np.testing.assert_array_equal(straight.predict_proba(IMAGES), turned.predict_proba(IMAGES))


def test_an_ensemble_of_one_is_the_network(members):
    once, twice = joined(members[0]), joined(members[0], members[0])
    np.testing.assert_array_equal(once.predict_proba(IMAGES), twice.predict_proba(IMAGES))


def test_crops_are_averaged_as_probabilities(members):
    """Each crop through the network in plain PyTorch, its softmax averaged."""
    classifier = joined(members[0]).set_params(crops=10, precision="float32")
    network, entry = members[0].networks_[0].eval(), find("efficientnet-lite0")
    wanted = []
    for image in IMAGES[:2]:
        views = crop_views(entry.preprocessing, 10)
        pixels = np.stack([view.pixels(decode(image), "") for view in views])
        batch = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
        with torch.inference_mode():
            wanted.append(network(batch).softmax(dim=1).mean(dim=0).numpy())
    np.testing.assert_allclose(classifier.predict_proba(IMAGES[:2]), wanted, atol=1e-4)


def test_equal_crops_are_one_crop(members):
    """Of one colour every crop is the same."""
    plain = [Image.new("RGB", (300, 200), (90, 160, 40)), Image.new("RGB", (5, 9), (10, 20, 200))]
    one = joined(members[0], members[1])
    ten = joined(members[0], members[1]).set_params(crops=10)
    np.testing.assert_allclose(ten.predict_proba(plain), one.predict_proba(plain), atol=5e-3)


def test_a_second_evaluation_makes_no_forward_pass(members, monkeypatch, tmp_path):
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "store"))
    first = joined(*members).set_params(crops=10).evaluate(IMAGES, LABELS)

    def refuse(*arguments, **named):
        raise AssertionError("a network ran")

    monkeypatch.setattr(extract, "ready", refuse)
    again = joined(*members).set_params(crops=10).evaluate(IMAGES, LABELS)
    np.testing.assert_array_equal(again.probabilities, first.probabilities)
    # The centre is one of the ten, so one crop is known as well; 144 are not.
    one = joined(*members).evaluate(IMAGES, LABELS)
    assert one.scores.accuracy.n == 8
    with pytest.raises(AssertionError, match="a network ran"):
        joined(*members).set_params(crops=144).evaluate(IMAGES[:1], LABELS[:1])


def test_ten_crops_decode_a_photograph_once(members, monkeypatch, tmp_path):
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "store"))
    decoded = []
    monkeypatch.setattr(
        sys.modules["tortie.images.read"],  # the room has a function of that name
        "decode",
        lambda source, **named: decoded.append(source) or decode(source, **named),
    )
    joined(members[0]).set_params(crops=10).predict_proba(IMAGES[:3])
    assert len(decoded) == 3


def test_parts_give_what_the_whole_gives(members, monkeypatch, tmp_path):
    """A bound on memory: the photographs are judged a few at a time, and nothing else changes."""
    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    given = [*IMAGES[:3], bad, *IMAGES[3:], IMAGES[0]]
    whole = joined(members[0]).set_params(crops=10).classify(given)
    monkeypatch.setattr("tortie.evaluation.predict._AT_ONCE", 4 * 10 * 1280 * 2)
    told = []
    parts = joined(members[0]).set_params(crops=10).classify(given, lambda *done: told.append(done))
    for one, other in zip(parts, whole, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, rel=1e-4)
    assert [one.reason for one in parts] == [None] * 3 + ["not an image"] + [None] * 6
    assert told[-1] == (10, 10)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_what_one_member_could_not_read_counts_for_none(members, monkeypatch, tmp_path):
    """Facts and reasons are merged; rows are those that every member has read."""
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "store"))
    ensemble = joined(members[0], members[1])
    first, second = ensemble._ready()
    small = replace(second.extractor, max_pixels=96 * 128)
    ensemble._members = [first, replace(second, extractor=small)]
    larger = photograph("blobs", 900).resize((200, 200))
    found = ensemble._predict([IMAGES[0], larger, IMAGES[1]])
    assert list(found.rows) == [0, 2]
    assert found.probabilities.shape == (2, 2)
    assert list(found.reasons) == [1]
    assert "megapixels" in found.reasons[1]
    assert None not in found.facts  # the first member has read them all


def test_each_member_and_all_together_are_measured(members):
    evaluation = joined(*members).set_params(crops=10).evaluate(IMAGES, LABELS)
    told = [(one.of, one.crops, one.forward_passes) for one in evaluation.members]
    names = ["efficientnet-lite0", "resnet20-cifar", "lenet5"]
    assert told == [
        *[(name, 1, 1) for name in names], ("ensemble of 3", 1, 3),
        *[(name, 10, 10) for name in names], ("ensemble of 3", 10, 30),
    ]  # fmt: skip
    for member_scores, member in zip(evaluation.members[:3], members, strict=False):
        alone = joined(member).evaluate(IMAGES, LABELS).scores
        assert member_scores.scores.accuracy == alone.accuracy
        assert member_scores.scores.log_loss == pytest.approx(alone.log_loss, abs=1e-6)
    assert evaluation.members[7].scores.log_loss == pytest.approx(evaluation.scores.log_loss)
    assert joined(members[0]).evaluate(IMAGES, LABELS).members == []
    twins = joined(members[0], members[0]).evaluate(IMAGES, LABELS).members
    assert [one.of for one in twins] == [f"1: {names[0]}", f"2: {names[0]}", "ensemble of 2"]


def test_a_temperature_of_its_own_for_each_crop_setting(members):
    classifier = joined(members[0], temperature={"1": 2.0, "10": 0.5})
    for crops, temperature in ((1, 2.0), (10, 0.5), (144, 2.0)):
        classifier.set_params(crops=crops)
        assert classifier.temperature == temperature
    found = classifier.set_params(crops=10)._predict(IMAGES[:2])
    np.testing.assert_allclose(found.probabilities, temperature_scaled(found.uncalibrated, 0.5))


def test_a_photograph_below_the_threshold_has_no_label():
    found = Predictions(
        rows=np.array([0, 2]),
        probabilities=np.array([[0.3, 0.7], [0.55, 0.45]], np.float32),
        uncalibrated=np.zeros((2, 2), np.float32),
        members=np.zeros((1, 2, 2), np.float32),
        centre=np.zeros((1, 2, 2), np.float32),
        distances=None,
        percentiles=np.array([12.0, 99.5], np.float32),
        facts=[None] * 3,
        reasons={1: "not an image"},
        computed=0,
    )
    sure, broken, unsure = to_predictions(
        ["a", "b", "c"], found, ["misty", "tigger"], reject_below=0.6
    )
    assert (sure.label, sure.rejected, sure.novelty_percentile) == ("tigger", False, 12.0)
    assert sure.probability == pytest.approx(0.7)
    assert (broken.label, broken.reason, broken.novelty_percentile) == (None, "not an image", None)
    assert (unsure.label, unsure.rejected, unsure.novelty_percentile) == (None, True, 99.5)
    assert list(unsure.probabilities) == ["misty", "tigger"]


def test_strangers_are_farther_than_photographs_of_the_kind(members):
    """Faces and cups are neither blobs nor stripes; a network without a distance says nothing."""
    import skimage.data

    classifier = joined(members[0])
    assert {one.novelty_percentile for one in classifier.classify(IMAGES)} == {None}
    classifier._novelty = members[0]._novelty
    own = [one.novelty_percentile for one in classifier.classify(IMAGES)]
    strangers = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()]
    others = [one.novelty_percentile for one in classifier.classify(strangers)]
    assert min(others) == 100
    assert np.median(own) < 99
