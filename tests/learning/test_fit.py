"""The fit's order of work: what is chosen, what is measured, on which photographs."""

import csv
import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import tortie
from tests.conftest import lay_out, photograph
from tests.learning.examples import labelled, learn
from tortie.cost.count import count
from tortie.errors import UsageError
from tortie.images.split_rules import SplitRules
from tortie.learning import features
from tortie.learning.cross_fitting import LabelledFeatures
from tortie.learning.job import Events
from tortie.learning.plan import Plan
from tortie.learning.softmax import Problem, softmax


def test_cross_validation_of_noise_is_chance():
    """Were a photograph judged by a head that it trained, noise would score far above a half."""
    data = labelled()
    noise = np.random.default_rng(1).normal(size=(200, 400)).astype(np.float32)
    data = LabelledFeatures(noise, data.labels, data.keys, data.groups, 2)
    protocol = SplitRules(("train",) * 200, "cross-validation", "")
    held = learn(data, protocol, 0).held_out
    right = (held.probabilities.argmax(axis=1) == data.labels).mean()
    assert abs(right - 0.5) < 0.15  # four standard deviations
    assert sorted(held.positions) == list(range(200))


def test_copies_in_one_group_do_not_inflate_cross_validation():
    """Noise, every photograph four times: with the copies apart it is learnt by heart."""
    base = np.random.default_rng(2).normal(size=(50, 400)).astype(np.float32)
    features = np.repeat(base, 4, axis=0)
    labels = np.repeat(np.arange(50) % 2, 4)
    keys = [f"{i:064x}" for i in range(200)]
    protocol = SplitRules(("train",) * 200, "cross-validation", "")
    apart = LabelledFeatures(features, labels, keys, [None] * 200, 2)
    together = LabelledFeatures(features, labels, keys, [i // 4 for i in range(200)], 2)
    accuracy = {}
    for name, data in (("apart", apart), ("together", together)):
        held = learn(data, protocol, 0).held_out
        accuracy[name] = (held.probabilities.argmax(axis=1) == labels).mean()
    assert accuracy["apart"] > 0.9
    assert accuracy["together"] < 0.75


@pytest.mark.parametrize("on", ["test", "validation"])
def test_what_is_scored_has_no_part_in_training_or_choice(on):
    """Whatever the labels of the scored part, the head is the same."""
    data = labelled()
    splits = tuple("train" if i < 140 else on for i in range(200))
    head = learn(data, SplitRules(splits, on, ""), 0).head
    flipped = data.labels.copy()
    flipped[140:] = 1 - flipped[140:]
    changed = LabelledFeatures(data.features, flipped, data.keys, data.groups, 2)
    again = learn(changed, SplitRules(splits, on, ""), 0).head
    np.testing.assert_array_equal(head.weight, again.weight)


def test_validation_chooses_where_there_is_a_test_too():
    data = labelled()
    splits = tuple(["train"] * 120 + ["validation"] * 40 + ["test"] * 40)
    head, penalty, held, *_ = learn(data, SplitRules(splits, "test", ""), 0)
    assert list(held.positions) == list(range(160, 200))
    np.testing.assert_allclose(held.probabilities, softmax(head.logits(data.features[160:])))
    noise = data.features.copy()
    noise[120:160] = np.random.default_rng(3).normal(size=(40, 40)) * 3
    noisy = LabelledFeatures(noise, data.labels, data.keys, data.groups, 2)
    assert learn(noisy, SplitRules(splits, "test", ""), 0).penalty > penalty


def test_leaks_are_not_counted():
    data = labelled()
    splits = tuple(["train"] * 160 + ["test"] * 40)
    held = learn(data, SplitRules(splits, "test", "", leaks=(170, 180)), 0).held_out
    assert set(range(160, 200)) - set(held.positions.tolist()) == {170, 180}


def test_the_written_split_gives_the_same_classifier(tmp_path):
    folder = lay_out(tmp_path / "photographs", 10, ("train", "validation"))
    first = tortie.ImageClassifier().fit(folder)
    from tortie.images.split import write_split

    write_split(tmp_path / "split.csv", first.fitted_.split_rows())
    rows = list(csv.DictReader((tmp_path / "split.csv").read_text().splitlines()))
    assert {row["split"] for row in rows} == {"train", "validation"}
    second = tortie.ImageClassifier().fit(tmp_path / "split.csv")
    assert second.accuracy_ == first.accuracy_
    assert second.accuracy_.on == "validation"
    new = [photograph("blobs", 900)]
    np.testing.assert_array_equal(first.predict_proba(new), second.predict_proba(new))


@pytest.mark.filterwarnings("ignore::tortie.errors.TortieWarning")  # says what is left out
@pytest.mark.parametrize("limit", ["1GB", "0"])  # of the store
def test_many_photographs_are_computed_in_parts(tmp_path, monkeypatch, limit):
    """The oracle is the fit that computes all of them at once."""
    folder = lay_out(tmp_path / "photographs", 10)
    (folder / "blobs" / "broken.jpg").write_bytes(b"no image")
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "once"))
    once = tortie.ImageClassifier().fit(folder)
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "in parts"))
    monkeypatch.setenv("TORTIE_CACHE_LIMIT", limit)
    monkeypatch.setattr(features, "MANY", 1)
    monkeypatch.setattr(features, "_AT_ONCE", 4 * 1280 * 6)
    done = []
    parts = tortie.ImageClassifier().fit(
        folder, events=Events(progress=lambda *counts: done.append(counts))
    )
    new = [photograph("blobs", 900)]
    np.testing.assert_array_equal(parts.predict_proba(new), once.predict_proba(new))
    assert parts.fitted_.data.inspection.keys == once.fitted_.data.inspection.keys
    assert max(count for count, _ in done) >= 20


def test_valid_and_test_may_be_folders_or_fractions(tmp_path):
    folder = lay_out(tmp_path / "photographs", 10, ("", "unused"))
    for extra in ("unused",):
        (folder / extra).rename(tmp_path / "held out")
    by_folder = tortie.ImageClassifier(test=tmp_path / "held out").fit(folder)
    assert (by_folder.accuracy_.on, by_folder.accuracy_.n) == ("test", 20)
    by_fraction = tortie.ImageClassifier(test=0.5).fit(folder)
    assert (by_fraction.accuracy_.on, by_fraction.accuracy_.n) == ("test", 10)
    (tmp_path / "held out" / "blobs").rename(tmp_path / "held out" / "clouds")
    with pytest.raises(UsageError, match="classes that are not trained: clouds"):
        tortie.ImageClassifier(test=tmp_path / "held out").fit(folder)


def test_the_plan_comes_first_and_can_stop_there(tmp_path, monkeypatch):
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "an empty store"))
    folder = lay_out(tmp_path / "photographs", 6)
    plans: list[Plan] = []
    done = []

    events = Events(plans.append, lambda *counts: done.append(counts))
    result = tortie.ImageClassifier().plan(folder, events=events)
    assert result is plans[0]
    assert not done  # the work had not begun
    assert (result.images, result.classes, result.freeze.stages) == (12, 2, 10)
    assert result.trained_parameters == (1280 + 1) * 2
    assert result.images_to_compute == 12
    assert result.multiplications == 12 * (385_187_552 - 1_280_000)  # the head is not frozen
    assert result.seconds > 0
    assert json.loads(result.model_dump_json())["network"] == "efficientnet-lite0"


@pytest.mark.filterwarnings("ignore::tortie.errors.TortieWarning")  # says what is left out
def test_a_class_that_is_wholly_unreadable_is_said(tmp_path):
    folder = lay_out(tmp_path / "photographs", 6)
    (folder / "broken").mkdir()
    for i in range(3):
        (folder / "broken" / f"{i}.jpg").write_text("no image")
    fitted = tortie.ImageClassifier().fit(folder).fitted_
    assert fitted.data.classes == ("blobs", "stripes")
    assert len(fitted.data.skipped) == 3
    assert "class broken has no readable photograph" in fitted.notes


def test_near_copies_are_kept_on_one_side(tmp_path):
    folder = lay_out(tmp_path / "photographs", 10)
    for i in range(10):
        image = photograph("blobs", i)
        image.resize((200, 150)).save(folder / "blobs" / f"copy{i}.jpg", quality=60)
    fitted = tortie.ImageClassifier(test=0.4).fit(folder).fitted_
    place = {
        Path(one.path).name: split
        for one, split in zip(fitted.data.photographs, fitted.data.split.splits, strict=True)
        if one.label == "blobs"
    }
    together = sum(place[f"{i:02}.jpg"] == place[f"copy{i}.jpg"] for i in range(10))
    assert together == 10


def test_drawn_views_are_trained_on_and_never_judged():
    """The problem of all views is that of their rows one below the other."""
    data = labelled(30)
    drawn = np.random.default_rng(5).normal(size=(15, 3, 40)).astype(np.float32)
    both = data.with_drawn(drawn, np.arange(15))
    train = np.arange(10, 20)  # of these, 10 to 14 have drawn views
    rows = np.concatenate([data.features[train], drawn[10:15].reshape(15, 40)])
    labels = np.concatenate([data.labels[train], np.repeat(data.labels[10:15], 3)])
    wanted = Problem(rows, labels, 2).solve(0.1)
    got = both.problems([train]).solve(0.1)[0]
    np.testing.assert_array_equal(got.weight, wanted.weight)
    protocol = SplitRules(tuple(["train"] * 15 + ["test"] * 15), "test", "")
    head, _, held, *_ = learn(both, protocol, 0)
    np.testing.assert_allclose(held.probabilities, softmax(head.logits(data.features[15:])))


def test_only_training_photographs_have_drawn_views(tmp_path, monkeypatch):
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "store"))
    folder = lay_out(tmp_path / "photographs", 6, ("train", "test"))
    fitted = tortie.ImageClassifier(augment="standard", views=2).fit(folder)
    plan = fitted.fitted_.plan
    assert (plan.augment, plan.views) == ("standard", 3)
    # 24 undistorted with their facts, and two drawn views of each of 12 with facts known already.
    from tortie.activations.store import ActivationStore

    assert ActivationStore.default().usage().entries == 24 * 2 + 12 * 2
    assert fitted.accuracy_.n == 12
    assert plan.multiplications == (24 + 24) * plan.multiplications_per_image


@pytest.mark.parametrize("name", ["nin", "resnet20-cifar", "lenet5"])
def test_any_network_of_a_file_is_frozen_saved_and_loaded(tmp_path, name):
    """Heads of every kind (convolution, linear) give way to a softmax layer of one's own."""
    torch.manual_seed(0)
    network = tortie.networks.build(name)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    folder = lay_out(tmp_path / "photographs", 6)
    own = tortie.ImageClassifier(name, weights=str(tmp_path / "weights.safetensors")).fit(folder)
    cost = count(network)
    plan = own.fitted_.plan
    stages = sum(stage.arithmetic.multiplications for stage in cost.stages[:-1])
    assert plan.multiplications_per_image == stages
    own.save(tmp_path / "a.safetensors")
    new = [photograph("blobs", 40), photograph("stripes", 40)]
    again = tortie.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(again.predict_proba(new), own.predict_proba(new))


@pytest.mark.parametrize("freeze", ["all", "auto"])
def test_a_frozen_network_takes_another_input(tmp_path, freeze):
    """``auto`` on twelve photographs a class freezes everything: the size is kept there too."""
    own = tortie.ImageClassifier(freeze=freeze, input="64x96x3").fit(lay_out(tmp_path / "a"))
    preprocessing = own.metadata.members[0].preprocessing
    assert (preprocessing.height, preprocessing.width) == (64, 96)
    cost = count(tortie.networks.build("efficientnet-lite0"), (64, 96, 3))
    assert own.fitted_.plan.multiplications_per_image == cost.multiplications - 1280 * 1000
    own.save(tmp_path / "a.safetensors")
    new = [photograph("blobs", 40), photograph("stripes", 40)]
    again = tortie.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(again.predict_proba(new), own.predict_proba(new))


def test_a_network_that_is_refused_leaves_no_reading_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "an empty store"))
    folder = lay_out(tmp_path / "photographs", 6)
    interval = sys.getswitchinterval()
    with pytest.raises(UsageError, match="no trained weights") as refused:
        tortie.ImageClassifier("lenet5").fit(folder)
    assert refused.tb  # it holds every frame, so nothing was collected by chance
    assert not [thread for thread in threading.enumerate() if "tortie-read" in thread.name]
    assert sys.getswitchinterval() == interval
