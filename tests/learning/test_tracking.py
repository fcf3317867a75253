"""Trackers hear each epoch's row and the recipe; the oracle is the run's own metrics."""

import importlib.util
import json

import pytest

import tortie
from tests.conftest import lay_out
from tests.learning.examples import job_of
from tortie.errors import UsageError
from tortie.learning.options import FitOptions
from tortie.learning.tracking import check_tracker, tracked
from tortie.training.recipes import recipe

STEPS = {"network": "resnet20-cifar", "weights": None, "freeze": "none", "epochs": 2, "batch": 8}


def installed(*names):
    find = importlib.util.find_spec
    return lambda name: find("json") if name in names else None


@pytest.mark.parametrize(
    ("there", "needed"),
    [((), "accelerate and wandb"), (("accelerate",), "wandb"), (("wandb",), "accelerate")],
)
def test_a_tracker_that_is_not_installed_is_refused_with_the_way_out(monkeypatch, there, needed):
    monkeypatch.setattr(importlib.util, "find_spec", installed(*there))
    with pytest.raises(UsageError) as refused:
        check_tracker(FitOptions(freeze="none", track="wandb"))
    assert str(refused.value) == f"--track wandb needs {needed}: pip install accelerate wandb"


def test_a_tracker_that_cannot_write_is_refused(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", installed("accelerate", "tensorboard"))
    with pytest.raises(UsageError, match="say run='FOLDER'"):
        check_tracker(FitOptions(track="tensorboard", freeze="none"))
    with pytest.raises(UsageError, match="track is 'comet'"):
        FitOptions.of(track="comet")
    check_tracker(FitOptions())


def test_any_tracker_of_accelerate_hears_the_recipe_and_every_epoch(tmp_path):
    tracking = pytest.importorskip("accelerate.tracking")
    heard = []

    class Listening(tracking.GeneralTracker):
        name = "listening"
        requires_logging_directory = False

        @property
        def tracker(self):
            return None

        def store_init_configuration(self, values):
            heard.append(values)

        def log(self, values, step=None, **others):
            heard.append((step, values))

        def finish(self):
            heard.append("finished")

    chosen = recipe("resnet-cifar")
    with tracked(job_of(freeze=3), tmp_path / "pets.run", chosen, Listening()) as tell:
        tell({"epoch": 1, "train_loss": 0.5})
        tell({"epoch": 2, "train_loss": 0.25})
    configuration, *trained = heard
    assert trained == [(1, {"train_loss": 0.5}), (2, {"train_loss": 0.25}), "finished"]
    assert configuration["recipe.learning_rate"] == 0.1
    assert configuration["recipe.drops"] == "(0.5, 0.75)"
    assert configuration["recipe.nesterov"] is False
    assert configuration["freeze"] == 3
    assert all(isinstance(value, bool | int | float | str) for value in configuration.values())


def test_without_a_tracker_nothing_is_written(tmp_path):
    with tracked(job_of(freeze="none"), tmp_path / "pets.run", recipe("scratch")) as tell:
        tell({"epoch": 1})
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_tensorboard_shows_what_the_run_wrote(tmp_path):
    pytest.importorskip("accelerate")
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = lay_out(tmp_path / "photographs", 9, ("train", "valid", "test"))
    run = tmp_path / "pets.run"
    tortie.ImageClassifier(**STEPS, run=run, track="tensorboard").fit(folder)
    shown = EventAccumulator(str(run / "track" / "pets")).Reload()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    for name in ("train_loss", "validation_loss", "validation_accuracy", "learning_rate"):
        scalars = shown.Scalars(name)
        assert [one.step for one in scalars] == [1, 2]
        assert [one.value for one in scalars] == pytest.approx([row[name] for row in rows])
