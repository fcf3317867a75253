"""A fit by steps as Python sees it: frozen stages, the store, going on, the edges."""

import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import tortie
from tests.conftest import lay_out, photograph
from tortie.errors import TortieError, UsageError
from tortie.learning import step_plan
from tortie.learning.job import Events
from tortie.training.decoded import DecodedPhotographs
from tortie.training.recipes import recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve photographs a class to train on, five to choose by."""
    return lay_out(tmp_path_factory.mktemp("deep") / "photographs", 12)


def classifier(network="lenet5", **choices):
    usual = {"weights": None, "freeze": "none", "epochs": 3, "batch": 6, "threads": 1}
    return tortie.ImageClassifier(network, **{**usual, **choices})


def half_frozen(weights, **choices):
    usual = {"weights": str(weights), "freeze": "conv3_x", "precision": "float32"}
    return classifier("resnet20-cifar", **{**usual, **choices})


def same_network(one, other):
    first, second = one.fitted_.network.state_dict(), other.fitted_.network.state_dict()
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("augment", ["none", "cifar"])
def test_stored_and_live_activations_learn_the_same(folder, weights, monkeypatch, augment):
    """The same losses and weights, with two drawn views that come round again."""
    choices = {"augment": augment, "views": 2, "epochs": 4}
    stored = half_frozen(weights, **choices).fit(folder)
    monkeypatch.setattr(step_plan, "free_memory", lambda: 0)
    live = half_frozen(weights, **choices).fit(folder)
    plans = [one.fitted_.plan.training for one in (stored, live)]
    assert [plan.activations for plan in plans] == ["store", "live"]
    assert "there is room for 0.0 MB" in plans[1].why
    for row, other in zip(stored.fitted_.history, live.fitted_.history, strict=True):
        assert row == pytest.approx(other, rel=1e-6)
    first, second = (one.fitted_.network.state_dict() for one in (stored, live))
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=1e-5, atol=1e-7)
    assert same_network(stored, live)  # here, to the bit


@pytest.mark.parametrize(("augment", "views"), [("none", 1), ("cifar", 2)])
def test_the_plan_counts_what_the_store_has(folder, weights, tmp_path, monkeypatch, augment, views):
    """24 photographs, of which 3 or 4 are for validation and as many for test."""
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "store"))
    cold, warm = (
        half_frozen(weights, augment=augment, views=2, epochs=4).fit(folder).fitted_.plan
        for _ in range(2)
    )
    entries = cold.training.images * views + cold.training.chosen_on
    assert (cold.images_in_store, cold.images_to_compute) == (0, entries)
    assert (warm.images_in_store, warm.images_to_compute) == (entries, 0)
    assert cold.disk_bytes == entries * 32 * 16 * 16 * 4 and warm.disk_bytes == 0
    assert warm.multiplications < cold.multiplications
    assert f"activations  {entries} in the store, 0 to compute" in "\n".join(
        "  ".join(line) for line in warm.lines()
    )
    live = classifier(precision="float32").fit(folder).fitted_.plan
    assert dict(live.lines())["activations"] == "not stored (float32, cpu, 1 thread)"


def test_views_that_come_round_are_seen_again_and_others_are_not(folder, weights):
    """One view in four epochs is another training than four."""
    one = half_frozen(weights, augment="cifar", views=1, epochs=4).fit(folder)
    four = half_frozen(weights, augment="cifar", views=4, epochs=4).fit(folder)
    losses = [[row["train_loss"] for row in each.fitted_.history] for each in (one, four)]
    assert losses[0][0] == losses[1][0]
    assert losses[0][1] != losses[1][1]


@pytest.fixture
def of_batches(tmp_path):
    """The recipe of fine-tuning, batch normalisation by each batch."""
    path = tmp_path / "recipe.json"
    path.write_text(recipe("fine-tune").changed(statistics="batch").model_dump_json())
    return str(path)


@pytest.mark.parametrize("depth", ["conv1", "conv3_x", "all"])
def test_frozen_stages_leave_the_fit_as_they_came_from_the_file(
    folder, weights, depth, of_batches
):  # fmt: skip
    """Buffers too, bit for bit; everything after them moves, statistics too."""
    head = {"head": "mlp:8"} if depth == "all" else {"recipe": of_batches}
    fitted = half_frozen(weights, freeze=depth, augment="cifar", views=2, **head).fit(folder)
    before, after = load_file(weights), fitted.fitted_.network.state_dict()
    names = fitted.fitted_.network.stage_names
    count = fitted.fitted_.plan.freeze.stages
    frozen = tuple(f"stages.{name}." for name in names[:count])
    for name, tensor in after.items():
        if name.startswith("stages."):
            assert torch.equal(tensor, before[name]) == name.startswith(frozen), name
    trained = [one for one in fitted.fitted_.network.parameters() if one.requires_grad]
    assert sum(one.numel() for one in trained) == fitted.fitted_.plan.trained_parameters


def stopped_at(step, run, folder, make):
    """Fit until ``step``, then stop as Ctrl-C does; and the error."""
    import signal

    def steps(done, total):
        if done == step:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(TortieError) as stopped:
        make(run=run).fit(folder, events=Events(steps=steps))
    return str(stopped.value)


@pytest.mark.parametrize("step", [1, 2, 3, 6])
def test_a_fit_that_is_stopped_goes_on_to_the_same_classifier(folder, weights, tmp_path, step):
    def make(**choices):
        return half_frozen(weights, augment="cifar", views=2, **choices)

    whole = make(run=tmp_path / "whole.run").fit(folder)
    said = stopped_at(step, tmp_path / "a.run", folder, make)
    assert f"{tmp_path / 'a.run'} keeps the last checkpoint" in said
    resumed = make(run=tmp_path / "a.run", resume=True).fit(folder)
    assert same_network(whole, resumed)
    assert whole.fitted_.history == resumed.fitted_.history
    assert whole.fitted_.best_epoch == resumed.fitted_.best_epoch
    for name in ("metrics.jsonl", "metrics.csv", "photographs.csv", "run.json"):
        one, other = ((tmp_path / run / name).read_bytes() for run in ("whole.run", "a.run"))
        assert one == other, name


def test_what_decided_the_precision_and_the_store_is_kept_when_it_goes_on(
    folder, weights, tmp_path, monkeypatch
):
    """Were there no room now, the run would still go on from the store that it began with."""
    run = tmp_path / "a.run"

    def make(**choices):
        return half_frozen(weights, augment="none", **choices)

    stopped_at(2, run, folder, make)
    monkeypatch.setattr(step_plan, "free_memory", lambda: 0)
    resumed = make(run=run, resume=True).fit(folder)
    assert resumed.fitted_.plan.training.activations == "store"


def test_another_build_of_the_same_torch_goes_on_and_another_version_does_not(
    folder, weights, tmp_path, monkeypatch
):
    # 2.13.0+cpu, 2.13.0+cu130 and 2.13.0 are one version: the part after + names the build.
    run = tmp_path / "a.run"

    def make(**choices):
        return half_frozen(weights, **choices)

    stopped_at(2, run, folder, make)
    version = torch.__version__.partition("+")[0]
    monkeypatch.setattr(torch, "__version__", f"{version}+another")
    make(run=run, resume=True).fit(folder)
    monkeypatch.setattr(torch, "__version__", "1.0.0+another")
    with pytest.raises(UsageError, match=r"cannot go on with other choices: .*torch"):
        make(run=run, resume=True).fit(folder)


def test_other_weights_under_the_same_name_are_refused(folder, weights, tmp_path):
    own = tmp_path / "own.safetensors"
    own.write_bytes(weights.read_bytes())
    stopped_at(2, tmp_path / "a.run", folder, lambda **choices: half_frozen(own, **choices))
    other = {name: tensor + 1 for name, tensor in load_file(weights).items()}
    save_file(other, own)
    with pytest.raises(
        UsageError, match="cannot go on with other choices: the weights that it begins"
    ):
        half_frozen(own, run=tmp_path / "a.run", resume=True).fit(folder)


def test_generators_and_threads_of_the_caller_are_left_alone(folder):
    torch.manual_seed(3)
    np.random.seed(4)
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()
    threads = torch.get_num_threads()
    classifier(epochs=1, threads=threads + 1).fit(folder)
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(legacy, np.random.get_state()[1])
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_batches_of_one_and_of_everything(folder, batch):
    fitted = classifier(batch=batch, epochs=1).fit(folder).fitted_
    images = fitted.plan.training.images
    assert fitted.plan.training.steps == -(-images // batch)


def test_four_photographs_in_all(tmp_path):
    few = lay_out(tmp_path / "few", 2)
    fitted = classifier(epochs=2).fit(few).fitted_
    assert fitted.probabilities.shape == (0, 2)
    assert fitted.data.too_few
    assert fitted.best_epoch == 2
    assert "the last epoch is kept" in dict(fitted.plan.lines())["training"]


def test_interruption_without_a_folder_promises_nothing(folder):
    assert "nothing is kept" in stopped_at(2, None, folder, classifier)


def test_the_plan_can_be_refused_and_trains_nothing(folder, tmp_path):
    done = []
    events = Events(steps=lambda *step: done.append(step))
    plan = classifier().plan(folder, events=events)
    assert not done
    assert plan.training.steps == 3 * -(-plan.training.images // 6)
    assert plan.training.activations == "none"


@pytest.mark.parametrize("choices", [
    {"network": "lenet5"},
    {"network": "lenet5", "head": "mlp:7"},
    {"network": "resnet20-cifar", "input": "32x32x1"},
    {"network": "resnet20-cifar", "input": "24x16x3"},
    {"network": "lenet5", "input": "28x28x3", "recipe": "scratch"},
])  # fmt: skip
def test_what_was_learnt_is_saved_loaded_and_judges_alike(folder, tmp_path, choices):
    fitted = classifier(**{"epochs": 1, **choices}).fit(folder)
    fitted.save(tmp_path / "a.safetensors")
    again = tortie.load(tmp_path / "a.safetensors")
    new = [photograph("blobs", 70), photograph("stripes", 70)]
    np.testing.assert_array_equal(again.predict_proba(new), fitted.predict_proba(new))
    for name, tensor in fitted.fitted_.network.state_dict().items():
        assert torch.equal(again.networks_[0].state_dict()[name], tensor)
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_lite0_is_fine_tuned_from_its_middle(folder, tmp_path):
    """The default network at a small size, drawn views, an average of its weights."""
    import json

    own = json.loads(recipe("fine-tune").model_dump_json()) | {"ema": 0.5, "mixup": 0.2}
    (tmp_path / "own.json").write_text(json.dumps(own))
    fitted = tortie.ImageClassifier(
        freeze=6, input="32x32x3", recipe=str(tmp_path / "own.json"), epochs=1, views=1, threads=1
    ).fit(folder)
    assert fitted.fitted_.plan.freeze.stages == 6
    fitted.save(tmp_path / "a.safetensors")
    new = [photograph("blobs", 71)]
    again = tortie.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(again.predict_proba(new), fitted.predict_proba(new))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_recipe_that_is_a_pipe_is_refused_not_awaited(folder, tmp_path):
    os.mkfifo(tmp_path / "own.json")
    with pytest.raises(UsageError, match=r"cannot read recipe .*pipe"):
        classifier("resnet20-cifar", recipe=str(tmp_path / "own.json")).fit(folder)


@pytest.mark.parametrize(
    "choices, message",
    [
        ({"freeze": "conv9", "weights": "FILE"}, "no stage 'conv9'"),
        ({"freeze": 99, "weights": "FILE"}, "cannot cut after 99 stages"),
        ({"recipe": "nope"}, "no recipe 'nope'"),
        ({"recipe": "nope.json"}, "cannot read recipe nope.json"),
        ({"learning_rate": 1e6}, "learning_rate"),
        ({"input": "1x1x4"}, "expected HEIGHTxWIDTHxCHANNELS"),
        ({"input": "32x32x1", "weights": "FILE"}, "do not fit resnet20-cifar"),
    ],
)
def test_wrong_choices_are_one_line_before_a_photograph_is_read(
    folder, weights, monkeypatch, choices, message
):
    if choices.get("weights") == "FILE":
        choices = {**choices, "weights": str(weights)}
    if "do not fit" not in message:
        monkeypatch.setattr(DecodedPhotographs, "load", None)
    with pytest.raises(UsageError) as refused:
        classifier("resnet20-cifar", **choices).fit(folder)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
