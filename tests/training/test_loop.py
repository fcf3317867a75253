"""The loop: it learns, keeps the best epoch, and a stop at any step changes nothing.

The oracle of going on is the training that was never stopped: same weights bit for bit, same log.
"""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.examples import (
    CPU,
    Outcome,
    assert_same,
    config,
    data,
    network,
    recipe,
    run_training,
)
from tortie import networks
from tortie.errors import TortieError
from tortie.runs.run import Run
from tortie.training import loop
from tortie.training.feed import Prepare
from tortie.training.loop import TrainData, probabilities, train
from tortie.training.schedules import rate
from tortie.training.state import TrainState

STEPS = 12  # three epochs of four

RECIPES = {
    "sgd": recipe(momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adamw, mixup and average": recipe(
        optimiser="adamw", mixup=0.4, ema=0.8, label_smoothing=0.1, clip_norm=1.0,
        depth_factor=0.5, warmup=0.3,
    ),
    "rmsprop and sampler": recipe(optimiser="rmsprop", balance="sampler", learning_rate=1e-3),
    "adam and weighted loss": recipe(optimiser="adam", balance="loss", patience=1),
}  # fmt: skip
UNEQUAL = [0, 0, 0, 1] * 4 + [0, 1] * 3


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return {
        name: run_training(tmp_path_factory.mktemp("whole") / "run", each, data(labels=UNEQUAL))
        for name, each in RECIPES.items()
    }


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_after_each_step_changes_nothing(tmp_path, uninterrupted, name, workers):
    stopped = run_training(
        tmp_path / "run", RECIPES[name], data(labels=UNEQUAL), config(workers),
        stops=range(1, STEPS + 1),
    )  # fmt: skip
    assert_same(stopped, uninterrupted[name])


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("minutes", [0.0, 99.0], ids=["every step", "every epoch"])
def test_kill_after_each_step_changes_nothing(tmp_path, uninterrupted, monkeypatch, name, minutes):
    monkeypatch.setattr(loop, "MINUTES", minutes)
    kills = range(1, STEPS + 1)
    killed = run_training(tmp_path / "run", RECIPES[name], data(labels=UNEQUAL), kills=kills)
    assert_same(killed, uninterrupted[name])


@settings(max_examples=12)
@given(
    st.sampled_from(sorted(RECIPES)), st.sets(st.integers(1, STEPS)),
    st.sets(st.integers(1, STEPS)), st.sampled_from([0, 1, 2]),
)  # fmt: skip
def test_stops_and_kills_in_any_order_change_nothing(
    tmp_path_factory, uninterrupted, name, stops, kills, workers
):
    folder = tmp_path_factory.mktemp("stopped") / "run"
    whole = data(labels=UNEQUAL)
    found = run_training(folder, RECIPES[name], whole, config(workers), stops, kills)
    assert_same(found, uninterrupted[name])


@pytest.mark.parametrize("written", ["best", "metrics"])
def test_a_kill_while_an_epoch_ends_changes_nothing(tmp_path, uninterrupted, monkeypatch, written):
    """The best weights or the log are of the new epoch, and the checkpoint of the old one."""
    name = "adamw, mixup and average"
    folder, whole = tmp_path / "run", data(labels=UNEQUAL)
    method, number = {"best": ("save_best", 1), "metrics": ("write_metrics", 2)}[written]
    plain = getattr(Run, method)
    times = []

    def killed_after(self, content):
        plain(self, content)
        times.append(1)
        if len(times) == number:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, method, killed_after)
    with pytest.raises(KeyboardInterrupt):
        run_training(folder, RECIPES[name], whole)
    assert_same(run_training(folder, RECIPES[name], whole), uninterrupted[name])


def test_a_stop_asked_while_an_epoch_is_judged_comes_before_the_next_step(tmp_path, monkeypatch):
    import signal

    judge = loop._validate

    def asked(*arguments):
        signal.raise_signal(signal.SIGTERM)
        return judge(*arguments)

    monkeypatch.setattr(loop, "_validate", asked)
    run = Run(tmp_path / "run")
    run.begin({"precision": "float32", "activations": "none"}, [])
    with pytest.raises(TortieError, match=r"stopped after epoch 1 of 3; .*--resume goes on"):
        train(network(), data(), recipe(), config(), run, lambda *_: None, lambda _: None)
    assert run.restore()[0].step == 0
    run.close()


def test_training_twice_gives_the_same_and_another_seed_does_not(tmp_path, uninterrupted):
    name = "sgd"
    again = run_training(tmp_path / "again", RECIPES[name], data(labels=UNEQUAL))
    assert_same(again, uninterrupted[name])
    other = run_training(tmp_path / "other", RECIPES[name], data(labels=UNEQUAL), config(seed=4))
    assert other.metrics != again.metrics


def test_generators_of_others_are_left_alone(tmp_path):
    torch.manual_seed(11)
    np.random.seed(12)
    before, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()
    run_training(tmp_path / "run", RECIPES["adamw, mixup and average"], own_manner=config(2))
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(legacy, np.random.get_state()[1])


def by_hand(own_recipe, own_lesson, seed):
    """The loss of each epoch and the weights by the plainest of loops, without tortie's parts."""
    trained = network(own_lesson.classes)
    groups = torch.optim.SGD(trained.parameters(), own_recipe.learning_rate, momentum=0.9)
    labels = torch.from_numpy(own_lesson.labels)
    steps = math.ceil(len(own_lesson.train) / own_recipe.batch)
    losses = []
    for epoch in range(own_recipe.epochs):
        drawn = np.random.Generator(np.random.PCG64([seed, epoch + 1])).permutation(
            own_lesson.train
        )
        trained.train()
        total = 0.0
        for step, rows in enumerate(np.array_split(drawn, steps)):
            done = epoch * steps + step
            torch.manual_seed(seed * 1_000_003 + done)
            share = done / (steps * own_recipe.epochs)
            groups.param_groups[0]["lr"] = own_recipe.learning_rate * (
                (1 + math.cos(math.pi * share)) / 2
            )
            # Channels-last, as dropout draws in the order of memory.
            inputs = own_lesson.feed.take(rows, epoch + 1).to(memory_format=torch.channels_last)
            loss = torch.nn.functional.cross_entropy(trained(inputs), labels[rows])
            groups.zero_grad()
            loss.backward()
            groups.step()
            total += loss.item() * len(rows)
        losses.append(total / len(drawn))
    return losses, trained


def test_the_plainest_loop_learns_the_same(tmp_path):
    """Seven photographs in batches of four: the mean of an epoch counts photographs, not steps."""
    own_lesson, own_recipe = data(7, chosen=0), recipe(momentum=0.9)
    with torch.random.fork_rng(devices=[]):
        losses, trained = by_hand(own_recipe, own_lesson, 3)
    found = run_training(tmp_path / "run", own_recipe, own_lesson)
    got = [row["train_loss"] for row in found.place.history]
    np.testing.assert_allclose(got, losses, rtol=1e-6)
    for name, tensor in trained.state_dict().items():
        torch.testing.assert_close(found.weights[name], tensor, rtol=1e-4, atol=1e-6)


def test_one_batch_is_learnt_by_heart_from_a_loss_of_ln_k(tmp_path):
    own_lesson = data(8, classes=4, chosen=0, drawn=False)
    trained = network(4)
    with torch.no_grad():
        trained.head.weight.mul_(0.01)
    own_recipe = recipe(optimiser="adam", learning_rate=0.03, epochs=50, batch=8, momentum=0.9)
    found = run_training(tmp_path / "run", own_recipe, own_lesson, trained=trained)
    losses = [row["train_loss"] for row in found.place.history]
    assert losses[0] == pytest.approx(math.log(4), abs=0.15)
    assert losses[-1] < 0.3
    said = probabilities(trained, own_lesson, own_lesson.train, config())
    np.testing.assert_array_equal(said.argmax(dim=1).numpy(), own_lesson.labels)
    torch.testing.assert_close(said.sum(dim=1), torch.ones(8))


def scripted(monkeypatch, judgements):
    """Epoch by epoch, the validation says so; the loop is left to draw its conclusions."""
    left = iter(judgements)
    monkeypatch.setattr(loop, "_validate", lambda *_: next(left))


def test_the_best_epoch_is_kept_and_told_apart_from_the_last(tmp_path, monkeypatch):
    # More right wins; as many right at a lower log loss wins; a tie in both stays with the first.
    scripted(monkeypatch, [(0.5, 0.9), (0.8, 0.7), (0.8, 0.6), (0.8, 0.6), (0.7, 0.1)])
    saved = {}
    plain = Run.save_best

    def remember(self, tensors):
        saved[len(saved)] = {name: tensor.clone() for name, tensor in tensors.items()}
        plain(self, tensors)

    monkeypatch.setattr(Run, "save_best", remember)
    found = run_training(tmp_path / "run", recipe(epochs=5))
    assert (found.place.best_epoch, found.place.best) == (3, (0.8, 0.6))
    assert (found.place.epoch, found.place.finished) == (6, "epochs")
    assert len(saved) == 3  # of the epochs 1, 2 and 3
    for name, tensor in found.weights.items():
        assert torch.equal(tensor, saved[2][name])
    assert not torch.equal(found.weights["head.weight"], found.last["trained.head.weight"])
    assert [", the best so far" in note for note in found.notes] == [True] * 3 + [False] * 2


def test_patience_counts_epochs_since_the_best(tmp_path, monkeypatch):
    judged = [(0.5, 1.0), (0.6, 1.0), (0.6, 1.0), (0.7, 1.0), (0.6, 1.0), (0.7, 1.5), (0.9, 0.1)]
    scripted(monkeypatch, judged)
    found = run_training(tmp_path / "run", recipe(epochs=20, patience=2))
    assert len(found.place.history) == 6
    assert found.place.best_epoch == 4
    assert found.place.finished == "patience"


def test_without_photographs_to_choose_by_the_last_epoch_is_kept(tmp_path):
    found = run_training(tmp_path / "run", recipe(patience=1), data(16, chosen=0))
    assert found.place.best_epoch == 3
    assert torch.equal(found.weights["head.weight"], found.last["trained.head.weight"])
    rows = [json.loads(line) for line in found.metrics.splitlines()]
    assert {row["validation_accuracy"] for row in rows} == {None}
    assert not any("right" in note for note in found.notes)
    lines = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert lines[0] == "epoch,train_loss,validation_loss,validation_accuracy,learning_rate"
    assert lines[1].split(",")[2:4] == ["", ""]


def test_the_validation_is_counted_right(tmp_path):
    """A network whose head is a constant: 2 of 6 are of the class that it always says."""
    own_lesson = data(labels=[0, 1] * 8 + [0, 1, 1, 0, 1, 1])
    trained = network()
    with torch.no_grad():
        trained.head.weight.zero_()
        trained.head.bias.copy_(torch.tensor([math.log(3.0), 0.0]))
    accuracy, log_loss = loop._validate(trained, own_lesson, config())
    assert accuracy == pytest.approx(2 / 6, abs=1e-12)
    assert log_loss == pytest.approx(-(2 * math.log(0.75) + 4 * math.log(0.25)) / 6, abs=1e-6)


def test_the_average_is_judged_and_kept_and_the_steps_go_on_from_the_weights(tmp_path):
    """The average of one epoch of one step is that step's weights (Adam's correction)."""
    own_lesson = data(14, chosen=6)
    plain = run_training(tmp_path / "plain", recipe(epochs=2, batch=8), own_lesson)
    averaged = run_training(tmp_path / "averaged", recipe(epochs=2, batch=8, ema=0.5), own_lesson)
    for name, tensor in plain.last.items():
        assert torch.equal(tensor, averaged.last[name]), name
    first, second = (plain.place.history[i]["train_loss"] for i in (0, 1))
    assert [row["train_loss"] for row in averaged.place.history] == [first, second]
    # Judged by the average from the second step on: weights 1/3 and 2/3 of the two steps.
    kept = averaged.last["ema.average.head.weight"]
    assert not torch.equal(kept, averaged.last["trained.head.weight"])
    assert int(averaged.last["ema.updates"]) == 2


def test_the_rate_that_is_logged_is_the_schedules(tmp_path):
    own_recipe = recipe(schedule="steps", drops=(0.5,), epochs=4)
    found = run_training(tmp_path / "run", own_recipe)
    rates = [row["learning_rate"] for row in found.place.history]
    assert rates == pytest.approx([0.05, 0.05, 0.005, 0.005])
    assert rate(own_recipe, 0.49) == 1


def test_unequal_classes_weigh_as_worked_by_hand(tmp_path, monkeypatch):
    """Of 16 photographs 12 and 4: 16 / (2 · 12) = 2/3 and 16 / (2 · 4) = 2."""
    seen = []
    plain = loop.loss_of

    def remember(own_recipe, class_weights=None):
        seen.append(class_weights)
        return plain(own_recipe, class_weights)

    monkeypatch.setattr(loop, "loss_of", remember)
    run_training(tmp_path / "a", recipe(balance="loss"), data(labels=UNEQUAL))
    torch.testing.assert_close(seen[0], torch.tensor([2 / 3, 2.0]))
    run_training(tmp_path / "b", recipe(balance="sampler"), data(labels=UNEQUAL))
    run_training(tmp_path / "c", recipe(), data(labels=UNEQUAL))
    assert seen[1:] == [None, None]


def test_a_sampler_sees_both_classes_equally_often(tmp_path):
    own_lesson = data(labels=UNEQUAL)
    seen = []
    take = own_lesson.feed.take

    def remember(rows, epoch):
        seen.extend(rows if epoch else [])
        return take(rows, epoch)

    own_lesson.feed.take = remember
    run_training(tmp_path / "run", recipe(balance="sampler", epochs=25), own_lesson)
    assert set(seen) <= set(own_lesson.train.tolist())
    share = np.mean(own_lesson.labels[seen] == 1)
    assert share == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(16 * 25))  # four deviations


@pytest.mark.parametrize("how", ["loss", "weights", "validation"])
def test_divergence_stops_and_leaves_the_last_good_checkpoint(tmp_path, monkeypatch, how):
    """The loss of a step is of the weights before it: these may be gone while it is a number."""
    folder = tmp_path / "run"
    good = run_training(tmp_path / "good", recipe(epochs=3))
    plain_step, plain_judge = loop.Step.__call__, loop._validate
    steps = []

    def broken(self, inputs, targets, *share):
        steps.append(1)
        value = plain_step(self, inputs, targets, *share)
        if len(steps) == 8 and how == "weights":
            with torch.no_grad():
                self._trained.head.weight[0, 0] = math.inf
        return value * math.nan if len(steps) == 6 and how == "loss" else value

    def judge(*arguments):
        accuracy, log_loss = plain_judge(*arguments)
        return accuracy, math.nan if how == "validation" and len(steps) == 8 else log_loss

    monkeypatch.setattr(loop.Step, "__call__", broken)
    monkeypatch.setattr(loop, "_validate", judge)
    run = Run(folder)
    run.begin({"precision": "float32", "activations": "none"}, [])
    with pytest.raises(TortieError) as stopped:
        train(network(), data(), recipe(epochs=3), config(), run, lambda *_: 0, lambda _: None)
    wanted = {
        "loss": "loss is nan (epoch 2, step 2)",
        "weights": "NaN or Inf in the weights (epoch 2, step 4)",
        "validation": "the validation loss is nan (epoch 2, step 4)",
    }[how]
    assert wanted in str(stopped.value)
    assert "try --learning-rate 0.01 with --force" in str(stopped.value)
    assert str(folder / "last.safetensors") in str(stopped.value)
    state, tensors = run.restore()
    assert (state.epoch, state.step, len(state.history)) == (2, 0, 1)
    assert all(
        bool(tensor.isfinite().all()) for tensor in [*tensors.values(), *run.best().values()]
    )
    run.close()
    monkeypatch.undo()
    assert_same(run_training(folder, recipe(epochs=3)), good)  # the fault was of the machine


def test_a_rate_that_is_far_too_high_is_told_before_any_checkpoint(tmp_path):
    run = Run(tmp_path / "run")
    run.begin({"precision": "float32", "activations": "none"}, [])
    with pytest.raises(TortieError, match="is too high for this network") as stopped:
        wild = recipe(learning_rate=100, schedule="constant", epochs=50)
        own = network()
        with torch.no_grad():
            own.head.weight.mul_(1e30)
        train(own, data(), wild, config(), run, lambda *_: None, lambda _: None)
    assert "checkpoint" not in str(stopped.value)
    assert run.restore() is None
    run.close()


@pytest.mark.parametrize("cut", ["conv2_x", "conv3_x"])
def test_the_frozen_state_is_the_same_bit_for_bit(tmp_path, cut):
    """Parameters, batch-norm statistics and counters of the frozen part, live in every step."""
    torch.manual_seed(0)
    whole = networks.resnet20_cifar(classes=2)
    whole.freeze(cut)
    prefix, trained = whole.cut(cut)
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}

    class Live:
        images = torch.randint(0, 256, (12, 16, 16, 3), dtype=torch.uint8)

        @torch.no_grad()
        def take(self, rows, epoch):
            return prefix.eval()(self.images[list(rows)].permute(0, 3, 1, 2) / 255.0)

    own_lesson = data(12, chosen=4)
    prepare = Prepare(networks.table.find("resnet20-cifar").preprocessing, CPU)
    live = TrainData(Live(), prepare, own_lesson.labels, 2, own_lesson.train, own_lesson.chosen_on)
    run_training(tmp_path / "run", recipe(weight_decay=0.1, ema=0.9), live, trained=trained)
    frozen = tuple(f"stages.{name}." for name in whole.stage_names[: whole.frozen])
    moved = [
        name for name, tensor in whole.state_dict().items() if not torch.equal(tensor, before[name])
    ]
    assert not [name for name in moved if name.startswith(frozen)]
    still = [name for name in before if not name.startswith(frozen) and name not in moved]
    assert not still, "every trained tensor moves, statistics and counters too"


def test_a_frozen_stage_rests_in_what_is_left_after_a_cut_and_gradients_pass_through_it():
    network = networks.resnet20_cifar().train()
    network.freeze(("conv1", "conv3_x"))
    prefix, rest = network.cut(network.frozen)
    rest.train()
    assert rest.frozen_stages == ("conv3_x",)
    assert not any(module.training for module in rest.stages.conv3_x.modules())
    assert all(module.training for module in rest.stages.conv4_x.modules())
    rest(prefix(torch.randn(4, 3, 32, 32))).square().sum().backward()
    for name, parameter in rest.named_parameters():
        assert (parameter.grad is None) == name.startswith("stages.conv3_x."), name
    assert rest.stages.conv2_x[0].conv1.weight.grad.abs().sum() > 0
    network.freeze(0)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_whole_network_trains_with_a_frozen_prefix_at_rest(tmp_path):
    """``train()`` of the network puts no frozen stage into training mode."""
    torch.manual_seed(0)
    whole = networks.resnet20_cifar(classes=2)
    whole.freeze("conv2_x")
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    pixels = torch.randint(0, 256, (12, 16, 16, 3), dtype=torch.uint8)

    class Pixels:
        def take(self, rows, epoch):
            return pixels[list(rows)]

    own_lesson = data(12, chosen=4)
    prepare = Prepare(networks.table.find("resnet20-cifar").preprocessing, CPU)
    own = TrainData(Pixels(), prepare, own_lesson.labels, 2, own_lesson.train, own_lesson.chosen_on)
    run_training(tmp_path / "run", recipe(weight_decay=0.1), own, trained=whole)
    for name, tensor in whole.state_dict().items():
        frozen = name.startswith(("stages.conv1.", "stages.conv2_x."))
        assert torch.equal(tensor, before[name]) == frozen, name


def test_a_finished_run_taken_up_is_the_best_epoch_at_once(tmp_path, uninterrupted):
    folder = tmp_path / "run"
    whole = data(labels=UNEQUAL)
    run_training(folder, RECIPES["sgd"], whole)
    steps = []
    own, run = network(), Run(folder, resume=True)
    state = train(own, whole, RECIPES["sgd"], config(), run, lambda *d: steps.append(d), print)
    run.close()
    assert not steps
    again = Outcome(state, own.state_dict(), run.restore()[1], uninterrupted["sgd"].metrics)
    assert_same(again, uninterrupted["sgd"])


def test_places_compare_by_accuracy_then_log_loss():
    state = TrainState(best=(0.5, 1.0))
    assert state.better(0.6, 9.0)
    assert state.better(0.5, 0.9)
    assert not state.better(0.5, 1.0)
    assert not state.better(0.4, 0.1)
