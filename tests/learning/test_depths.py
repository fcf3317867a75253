"""``--freeze auto``: which depths are compared, on what, and what is kept."""

import importlib
import json

import numpy as np
import pytest

import tortie
from tests.conftest import lay_out
from tortie.learning import depths, short_comparison, step_plan
from tortie.learning.depths import worth_comparing
from tortie.learning.features import features
from tortie.learning.job import Events
from tortie.learning.probe import probe
from tortie.learning.short_comparison import Countdown, Score, not_behind
from tortie.networks.table import find
from tortie.training.step_cost import StepCost


@pytest.mark.parametrize(
    ("smallest", "expected"), [(19, []), (20, ["mbconv4", "none"]), (1000, ["none", "mbconv4"])]
)
def test_little_data_freezes_more(smallest, expected):
    found, rule = worth_comparing(smallest, find("efficientnet-lite0").stages)
    assert found == expected
    assert rule.startswith(f"{smallest} photographs of the smallest class")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Forty photographs a class: as many as make every depth worth comparing."""
    return lay_out(tmp_path_factory.mktemp("depths") / "photographs", count=40)


def fit(images, **choices):
    told, plans = [], []

    classifier = tortie.ImageClassifier(
        "resnet20-cifar", weights=choices.pop("weights"), freeze="auto", epochs=1, batch=16,
        precision="float32", augment="none", **choices,
    )  # fmt: skip
    classifier.fit(images, events=Events(plan=plans.append, note=told.append))
    assert classifier.fitted_ is not None
    return classifier.fitted_, told, plans


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of a network that was trained a little, as a file."""
    folder = tmp_path_factory.mktemp("trained")
    photographs = lay_out(folder / "before", count=8)
    before = tortie.ImageClassifier(
        "resnet20-cifar", weights=None, freeze="none", epochs=1, precision="float32"
    )
    before.fit(photographs).save(folder / "before.safetensors")
    return folder / "before.safetensors"


def test_the_best_on_photographs_that_none_was_trained_on_is_kept(tmp_path, images, weights):
    run = tmp_path / "a.run"
    fitted, told, plans = fit(images, weights=str(weights), run=run)
    assert "any depth may win" in plans[0].depth_rule
    assert json.loads((run / "run.json").read_text())["compared"] == ["conv3_x", "none"]
    verdict = told[-1] if told[-1].startswith("depth:") else next(t for t in told if "is kept" in t)
    shares = {
        name: float(next(t for t in told if t.startswith(f"freeze {name}:")).split()[2][:-1])
        for name in ("all", "conv3_x", "none")
    }
    kept = verdict.rsplit("; ", 1)[1].split()[0]
    assert shares[kept] == max(shares.values())
    names = {"all": "avgpool", "conv3_x": "conv3_x", "none": None}
    assert fitted.plan.freeze.last_frozen == names[kept]
    assert len(plans) == 1  # one plan for all depths
    assert np.isfinite(fitted.probabilities).all()


def test_freezing_everything_is_scored_by_each_photograph_s_label(images, weights, monkeypatch):
    """The oracle: a product and a logarithm for each photograph, in the order of the dataset."""
    scores, by_hand = [], []

    def counting(frozen, data, photographs):
        scores.append(plain(frozen, data, photographs))
        head = probe(frozen, data, photographs, data.chosen_on)[0]
        extractor, rows = frozen.whole_extractor(), np.sort(data.chosen_on)
        activations = features(frozen.job, extractor, data, rows).activations[:, 0]
        logits = activations @ head.weight.T + head.bias
        losses = np.logaddexp.reduce(logits, 1) - logits[np.arange(len(rows)), data.labels[rows]]
        right = logits.argmax(1) == data.labels[rows]
        by_hand.append((right.mean(), losses.mean()))
        return scores[-1]

    plain = depths._softmax_alone
    monkeypatch.setattr(depths, "_softmax_alone", counting)
    fit(images, weights=str(weights))
    assert len(scores) == 1
    assert scores[0] == pytest.approx(by_hand[0], rel=1e-4)


def test_what_does_not_fit_the_budget_is_left_out_and_said(images, weights):
    fitted, told, _ = fit(images, weights=str(weights), budget="0.001s")
    assert fitted.plan.freeze.is_complete
    assert "left out within" in told[-1] and "none would take" in told[-1]


def test_random_numbers_are_not_frozen_by_auto(images):
    with pytest.raises(tortie.UsageError, match="fresh weights cannot be frozen"):
        fit(images, weights=None)


def test_a_comparison_that_was_stopped_goes_on_with_what_it_had(
    tmp_path, images, weights, monkeypatch
):
    """The depth that was trained is not trained again, and keeps its precision."""

    def classifier(**choices):
        return tortie.ImageClassifier(
            "resnet20-cifar", weights=str(weights), freeze="auto", epochs=1, batch=16,
            augment="none", threads=1, run=tmp_path / "a.run", **choices,
        )  # fmt: skip

    def stop(line):
        if line.startswith("freeze conv3_x:"):
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        classifier().fit(images, events=Events(note=stop))
    half = tmp_path / "a.run" / "conv3_x"
    before = json.loads((half / "run.json").read_text())
    best = (half / "best.safetensors").read_bytes()
    asked = []
    tried = step_plan.measure_step
    monkeypatch.setattr(
        step_plan, "measure_step", lambda *given: asked.append(given[4]) or tried(*given)
    )
    told = []
    classifier(resume=True).fit(images, events=Events(note=told.append))
    assert asked == [before["precision"], None]
    assert (half / "best.safetensors").read_bytes() == best
    assert sum(line.startswith("epoch 1 of 1") for line in told) == 1  # of none alone
    assert any(line.startswith("freeze none:") for line in told)


def test_auto_compares_softmax_layers_alone(images, weights):
    with pytest.raises(tortie.UsageError, match="not a head mlp:8"):
        fit(images, weights=str(weights), head="mlp:8")


def count_decodes(monkeypatch):
    """The paths that are decoded, by whichever part reads them."""
    counted = []
    for name in ("tortie.images.read", "tortie.training.decoded"):
        module = importlib.import_module(name)
        plain = module.decode

        def counting(content, plain=plain, **options):
            counted.append(len(content))
            return plain(content, **options)

        monkeypatch.setattr(module, "decode", counting)
    return counted


@pytest.mark.parametrize("best", ["all", "none"])
def test_all_depths_have_one_split_and_one_decode_whichever_wins(
    tmp_path, images, weights, monkeypatch, best
):
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "an empty store"))
    worth = Score(1.0, 0.0) if best == "all" else Score(0.0, 9.0)
    monkeypatch.setattr(depths, "_softmax_alone", lambda *given: worth)
    counted = count_decodes(monkeypatch)
    fitted, _, plans = fit(images, weights=str(weights))
    assert len(counted) == 80
    assert len(plans) == 1
    assert fitted.plan.freeze.is_complete == (best == "all")
    assert fitted.data.split.on == fitted.plan.on == plans[0].on == "test"
    assert fitted.data.split_counts == {"train": 56, "validation": 12, "test": 12}
    assert len(fitted.held_out.positions) == 12


def test_too_few_photographs_to_compare_are_cross_validated_and_decoded_once(
    tmp_path, weights, monkeypatch
):
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "an empty store"))
    counted = count_decodes(monkeypatch)
    plans = []
    classifier = tortie.ImageClassifier("resnet20-cifar", weights=str(weights), freeze="auto")
    classifier.fit(lay_out(tmp_path / "few", 8), events=Events(plan=plans.append))
    assert len(counted) == 16
    assert len(plans) == 1
    assert classifier.accuracy_.on == "cross-validation"


DEAR = 200.0  # seconds of a step: two depths of 16 steps take 1.9 hours, so an hour is for rounds


@pytest.fixture
def dear(monkeypatch):
    """Steps of which whole trainings do not fit an hour, and short ones do."""
    cost = StepCost("float32", DEAR, 1_000_000)
    monkeypatch.setattr(step_plan, "measure_step", lambda *given: cost)
    monkeypatch.setattr(StepCost, "of_batch", lambda *given: cost)
    monkeypatch.setattr(short_comparison, "_FEWEST", 2)


def in_rounds(images, weights, run, note=lambda line: None, **choices):
    plans = []
    classifier = tortie.ImageClassifier(
        "resnet20-cifar", weights=str(weights), freeze="auto", epochs=4, batch=16, threads=1,
        precision="float32", augment="none", budget="1h", run=run, **choices,
    )  # fmt: skip
    classifier.fit(images, events=Events(plan=plans.append, note=note))
    assert classifier.fitted_ is not None
    return classifier.fitted_, plans


def test_short_trainings_compare_what_does_not_fit_whole(tmp_path, images, weights, dear):
    told = []
    fitted, plans = in_rounds(images, weights, tmp_path / "a.run", told.append)
    rounds = json.loads((tmp_path / "a.run" / "run.json").read_text())["rounds"]
    assert [epochs for epochs, _, _ in rounds] == sorted(epochs for epochs, _, _ in rounds)
    assert sum(seconds for _, _, seconds in rounds) <= 3600
    assert f"by {rounds[0][0]} epochs of" in plans[0].depth_rule
    assert "left out" not in plans[0].depth_rule
    scores = [line for line in told if line.startswith("freeze ")]
    assert [line.split()[1][:-1] for line in scores[:3]] == ["all", "conv3_x", "none"]
    assert len({line.rsplit(" ", 1)[1] for line in scores[:3]}) == 1  # the same photographs
    kept = next(line for line in told if "is kept" in line).rsplit("; ", 1)[1].split()[0]
    last = scores[3:] or scores
    shares = {line.split()[1][:-1]: float(line.split()[2][:-1]) for line in last}
    assert shares[kept] == max(shares.values())
    assert kept == "all" or len(fitted.history) == 4  # the best is trained whole
    assert set(fitted.data.split_counts.values()) == {56, 12}


def test_rounds_that_were_stopped_go_on(tmp_path, images, weights, dear):
    def stop(line):
        if line.startswith("freeze conv3_x:"):
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        in_rounds(images, weights, tmp_path / "a.run", stop)
    first = tmp_path / "a.run" / "round 1 conv3_x" / "best.safetensors"
    before = first.read_bytes()
    rounds = json.loads((tmp_path / "a.run" / "run.json").read_text())["rounds"]
    told = []
    in_rounds(images, weights, tmp_path / "a.run", told.append, resume=True)
    assert json.loads((tmp_path / "a.run" / "run.json").read_text())["rounds"] == rounds
    assert first.read_bytes() == before
    assert not told[1].startswith("epoch")  # all, then conv3_x, whose training is done


def test_what_is_two_standard_errors_behind_is_dropped():
    """Of 100 photographs, 90% right: 2 sqrt(2 × 0.9 × 0.1 / 100) = 0.085; all right: 0.028."""
    scores = {"all": Score(0.81, 0.1), "conv3_x": Score(0.9, 0.5), "none": Score(0.82, 0.1)}
    assert not_behind(scores, 100) == ["conv3_x", "none"]
    assert not_behind({"all": Score(1.0, 0.0), "none": Score(0.98, 0.0)}, 100) == ["all", "none"]


def test_time_that_rounds_have_left_follows_their_delays(monkeypatch):
    """50 s that took 100 make 40 s out of the next 20: 140 of 139 is too late."""
    now = iter((0.0, 100.0, 100.0))
    monkeypatch.setattr(short_comparison.time, "monotonic", lambda: next(now))
    left = Countdown(139.0)
    left.done(50.0)
    assert not left.fits(20.0)
    assert left.fits(19.0)
