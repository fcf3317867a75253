"""The temperature is fitted on photographs that taught nothing, and applied to others."""

import json

import numpy as np
import pytest

import tortie
from tests.conftest import lay_out, photograph
from tests.learning.examples import dataset_of, labelled, learn, split_of
from tortie.evaluation.calibration import fit_temperature, temperature_scaled
from tortie.learning import cross_fitting
from tortie.learning.calibration import CropFeatures, calibrate, crop_rows
from tortie.learning.cross_fitting import LabelledFeatures, cross_validate, predict_by, train_on
from tortie.learning.softmax import softmax
from tortie.learning.temperature import choose_temperature
from tortie.weights import classifier_file


def relabelled(data, rows):
    """The same with the labels of ``rows`` turned round."""
    labels = data.labels.copy()
    labels[rows] = 1 - labels[rows]
    return LabelledFeatures(data.features, labels, data.keys, data.groups, 2)


def test_the_calibration_part_fits_the_temperature_and_nothing_else():
    data = labelled(400)
    parts = split_of("test", train=240, calibration=80, test=80)
    learnt = learn(data, parts, 0)
    rows = np.arange(240, 320)
    said = predict_by(data, learnt.head, rows).probabilities
    wanted = choose_temperature(said, data.labels[rows], np.ones(80))
    assert learnt.calibration.temperature == {"1": wanted}
    assert (learnt.calibration.on, learnt.calibration.n) == ("calibration part", 80)
    assert learnt.held_out.temperatures is None
    surest = rows[np.argsort(-said.max(axis=1))[:8]]
    turned = learn(relabelled(data, surest), parts, 0)
    np.testing.assert_array_equal(turned.head.weight, learnt.head.weight)
    assert turned.calibration.temperature["1"] > 1.2 * wanted  # less sure


def test_a_leak_does_not_calibrate():
    data = labelled(400)
    leaky = split_of("test", leaks=tuple(range(240, 250)), train=240, calibration=80, test=80)
    assert learn(data, leaky, 0).calibration.n == 70


@pytest.mark.parametrize("counts", [{"validation": 100}, {"validation": 50, "test": 50}])
def test_without_a_part_of_its_own_training_photographs_are_cross_fitted(counts):
    """What is scored has no say: with its labels turned round the temperature is the same."""
    data = labelled(300)
    on = "test" if "test" in counts else "validation"
    parts = split_of(on, train=200, **counts)
    learnt = learn(data, parts, 0)
    assert (learnt.calibration.on, learnt.calibration.n) == ("training part, cross-fitted", 200)
    scored = np.array(parts.scored)
    assert learn(relabelled(data, scored), parts, 0).calibration == learnt.calibration
    # Judged by what they trained, photographs of noise would look certain: T far below this.
    own = predict_by(data, learnt.head, np.arange(200)).probabilities
    assert learnt.calibration.temperature["1"] > fit_temperature(own, data.labels[:200])


def test_in_cross_validation_the_temperature_of_a_fold_is_fitted_without_it(monkeypatch):
    """With a fold's labels turned round, its own temperature stays and the others' move."""
    monkeypatch.setattr(cross_fitting, "choose_temperature", fit_temperature)
    data = labelled(200)
    before = cross_validate(data, 0)
    fold = data.folds(0, np.arange(200)) == 0
    turned = relabelled(data, np.flatnonzero(fold))
    turned_held = cross_validate_with_folds_of(data, turned)
    assert len(np.unique(before.temperatures)) > 1
    np.testing.assert_array_equal(turned_held.temperatures[fold], before.temperatures[fold])
    assert (turned_held.temperatures[~fold] != before.temperatures[~fold]).all()


def cross_validate_with_folds_of(data, turned):
    """Cross-validation of turned labels in the folds that the true labels draw."""

    class SameFolds(LabelledFeatures):
        def folds(self, seed, among):
            return data.folds(seed, among)

    same = SameFolds(turned.features, turned.labels, turned.keys, turned.groups, 2)
    return cross_validate(same, 0)


def test_cross_validation_fits_the_files_temperature_on_all_that_was_held_out():
    data = labelled(200)
    parts = split_of("cross-validation", train=200)
    learnt = learn(data, parts, 0)
    wanted = choose_temperature(learnt.held_out.probabilities, data.labels, np.ones(200))
    assert learnt.calibration.temperature["1"] == wanted
    assert len(learnt.held_out.temperatures) == 200


def test_too_few_to_score_are_too_few_to_calibrate():
    data = labelled(8)
    learnt = learn(data, split_of("cross-validation", train=8), 0)
    assert learnt.calibration.temperature == {"1": 1.0}
    assert "not calibrated: too few photographs" in learnt.calibration.notes[0]
    some = learn(labelled(24), split_of("cross-validation", train=24), 0).calibration
    assert (
        "only roughly calibrated (24 photographs of the training part, cross-fitted"
        in some.notes[0]
    )
    many = learn(labelled(2000), split_of("test", train=1000, test=1000), 0).calibration
    assert many.notes == ()


@pytest.mark.parametrize("part", ["calibration", "train"])
def test_crops_have_a_temperature_of_their_own(part):
    """That of the mean of the crops' probabilities, each judged as a photograph is."""
    data = labelled(300)
    counts = {"train": 200, "calibration": 60, "test": 40}
    if part == "train":
        counts = {"train": 260, "test": 40}
    parts = split_of("test", **counts)
    rows = crop_rows(data, dataset_of(data, parts), 10)
    assert len(rows) == counts[part]
    noise = np.random.default_rng(7).normal(0, 1.5, (len(rows), 10, 40))
    cropped = CropFeatures(10, (data.features[rows][:, None] + noise).astype(np.float32), rows)
    head = train_on(data, np.arange(200), 0.1)
    found = calibrate(data, dataset_of(data, parts), head, 0.1, None, cropped).temperature
    mean = np.zeros((len(rows), 2), np.float32)
    if part == "calibration":
        folds = [(head, np.ones(len(rows), bool))]
    else:
        drawn = data.folds(0, rows)
        folds = [(train_on(data, rows[drawn != i], 0.1), drawn == i) for i in np.unique(drawn)]
    for own, held in folds:
        for crop in range(10):
            mean[held] += softmax(own.logits(cropped.features[held, crop])) / 10
    assert found["10"] == pytest.approx(fit_temperature(mean, data.labels[rows]), rel=1e-3)
    assert found["10"] != found["1"]


def test_crops_of_many_photographs_are_of_some_by_content():
    data = labelled(9000)
    parts = split_of("test", train=8000, test=1000)
    rows = crop_rows(data, dataset_of(data, parts), 10)
    assert len(rows) == 1600 == len(set(rows.tolist()))  # the one fold of five that is held out
    assert len(crop_rows(data, dataset_of(data, parts), 144)) == 50_000 // 144
    calibrating = split_of("test", train=4000, calibration=4000, test=1000)
    assert len(crop_rows(data, dataset_of(data, calibrating), 10)) == 2000


def test_the_plan_counts_the_crops(tmp_path):
    folder = lay_out(tmp_path / "photographs")
    for crops in (1, 10):
        classifier = tortie.ImageClassifier(crops=crops)
        plan = classifier.plan(folder)
        forward_passes = plan.images_to_compute + 24 * (crops - 1)
        assert plan.multiplications == forward_passes * plan.multiplications_per_image


def test_a_file_keeps_its_temperatures_and_predictions_follow(tmp_path):
    folder = lay_out(tmp_path / "photographs")
    fitted = tortie.ImageClassifier(crops=10).fit(folder)
    temperature = fitted.metadata.temperature
    assert temperature.keys() == {"1", "10"}
    held = fitted.fitted_
    np.testing.assert_array_equal(
        held.probabilities.argmax(1), held.held_out.probabilities.argmax(1)
    )
    fitted.save(tmp_path / "a.safetensors")
    metadata, tensors = classifier_file.read(tmp_path / "a.safetensors")
    assert metadata.temperature == temperature
    assert metadata.training["calibration"] == {"on": "training part, cross-fitted", "n": 24}
    assert tensors["novelty.quantiles"].shape == (101,)
    again = tortie.load(tmp_path / "a.safetensors")
    assert again.crops == 1
    new = [photograph("blobs", 77)]
    raw = again._predict(new).uncalibrated
    np.testing.assert_allclose(again.predict_proba(new), temperature_scaled(raw, temperature["1"]))
    again.set_params(crops=10)
    np.testing.assert_array_equal(again.predict_proba(new), fitted.predict_proba(new))
    json.dumps(metadata.model_dump(mode="json"))
