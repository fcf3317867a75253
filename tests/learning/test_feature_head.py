"""A head with hidden layers, trained on features in memory and from their files."""

import signal

import numpy as np
import pytest
import torch

import tortie
from tests.learning.feature_files import N, write_features
from tortie.errors import TortieError, UsageError
from tortie.learning import feature_head, streamed_fit
from tortie.learning.job import Events
from tortie.learning.softmax import Problem
from tortie.training import windows

CHOICES = {"head": "mlp:16", "epochs": 6, "threads": 1, "precision": "float32"}


def label(number):
    return f"c{(number % 2) ^ (number // 2 % 2)}" if number % 5 else "c2"


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Two classes of two clouds each, at the corners of a square, crosswise; and a third.

    No softmax layer parts the first two.
    """
    rng = np.random.default_rng(1)
    axes = rng.normal(size=(3, 1280)) * 0.25
    numbers = np.arange(N)
    signs = np.stack([numbers % 2, numbers // 2 % 2], 1) * 2 - 1
    features = signs @ axes[:2] + rng.normal(size=(N, 1280))
    features[::5] = 2 * axes[2] + rng.normal(size=(N, 1280))[::5]
    folder = tmp_path_factory.mktemp("head") / "features"
    return write_features(folder, label=label, features=features)


@pytest.fixture
def streamed(monkeypatch):
    """Sets of any size are read from their files, in windows of 160 rows."""
    monkeypatch.setattr(streamed_fit, "IN_MEMORY", 0)
    monkeypatch.setattr(windows, "WINDOW", 1280 * 160)


def fit(folder, **choices):
    return tortie.ImageClassifier(**{**CHOICES, **choices}).fit(folder, events=Events())


def test_from_files_it_learns_what_it_learns_in_memory(features, monkeypatch):
    """The oracle is the fit in memory; and a softmax layer shows that the units are needed."""
    in_memory = fit(features).fitted_
    monkeypatch.setattr(streamed_fit, "IN_MEMORY", 0)
    monkeypatch.setattr(windows, "WINDOW", 1280 * 160)
    fitted = fit(features).fitted_
    assert in_memory.scores.accuracy.value > 0.95
    assert fitted.scores.accuracy.value > 0.95
    labels = in_memory.data.labels
    every = np.concatenate([one.features(np.arange(len(one))) for one in fitted.rows.shards])
    head = Problem(every[::2], labels[::2], 3).solve(0.1)
    assert (head.logits(every[1::2]).argmax(axis=1) == labels[1::2]).mean() < 0.8
    assert fitted.scores.accuracy.low < in_memory.scores.accuracy.value
    assert in_memory.scores.accuracy.low < fitted.scores.accuracy.value


def test_the_plan_and_the_notes_tell_of_all_rows(features, streamed, monkeypatch):
    """A sample of 20 that is trained on is in memory, and all rows of train are trained on."""
    monkeypatch.setattr(streamed_fit, "_SAMPLE", 20)
    fitted = fit(features, epochs=1).fitted_
    counts, training = fitted.split_counts, fitted.plan.training
    assert sum(counts.values()) == N
    assert (training.images, training.chosen_on) == (counts["train"], counts["validation"])
    assert "read from their files, a window of them at a time" in str(fitted.plan)
    assert any(f"trained on all {counts['train']:,} training" in note for note in fitted.notes)
    assert fitted.scores.accuracy.photographs == counts["test"]
    assert fitted.calibration.on == "calibration part"
    assert fitted.calibration.n == counts["calibration"]
    assert fitted.history[0]["validation_accuracy"] is not None


def test_a_run_that_is_stopped_goes_on_to_the_same_head(features, streamed, tmp_path):
    def stop(done, total):
        if done == 30:
            signal.raise_signal(signal.SIGINT)

    choices = {**CHOICES, "epochs": 2}
    whole = tortie.ImageClassifier(**choices).fit(features, events=Events())
    run = tmp_path / "a.run"
    with pytest.raises(TortieError, match=r"a\.run keeps the last checkpoint"):
        tortie.ImageClassifier(**choices, run=run).fit(features, events=Events(steps=stop))
    resumed = tortie.ImageClassifier(**choices, run=run, resume=True)
    resumed.fit(features, events=Events())
    first, second = (one.fitted_.network.head.state_dict() for one in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = write_features(tmp_path / "other", label=label)
    with pytest.raises(UsageError, match="cannot go on with other choices: features is"):
        tortie.ImageClassifier(**choices, run=run, resume=True).fit(other, events=Events())
    tortie.ImageClassifier(**{**choices, "epochs": 1}, run=run, force=True).fit(features)


def test_weights_of_classes_and_photographs_count(features, streamed, monkeypatch):
    """Worked by hand: mean one over the training rows."""
    taken = []

    def stop(job, manifest, rows, clock):
        taken.append(rows.train_data)
        raise UsageError("enough")

    monkeypatch.setattr(feature_head, "fit_head", stop)
    with pytest.raises(UsageError, match="enough"):
        fit(features, class_weight={"c0": 1, "c1": 2, "c2": 4})
    (data,) = taken
    counts = np.bincount(data.labels[data.train], minlength=3)
    np.testing.assert_allclose(
        data.class_weights, np.array([1, 2, 4]) / (counts @ [1, 2, 4] / counts.sum()), rtol=1e-6
    )
    assert data.sample_weights is None


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"recipe": "resnet-cifar"}, r"recipe resnet-cifar draws views \(cifar\), which needs the"),
        ({"augment": "cifar"}, "augment needs the photographs"),
        ({"head": "linear"}, "epochs is for training by steps"),
        ({"members": 2}, "members needs the photographs"),
    ],
)
@pytest.mark.parametrize("limit", [0, 2**26], ids=["from files", "in memory"])
def test_what_features_cannot_give_is_refused(features, monkeypatch, limit, choices, said):
    monkeypatch.setattr(streamed_fit, "IN_MEMORY", limit)
    with pytest.raises(UsageError, match=said):
        fit(features, **choices)


def test_only_the_plan(features, streamed):
    plan = tortie.ImageClassifier(**CHOICES).plan(features)
    assert plan.head == "mlp:16"
    assert plan.images_in_store == N
    assert plan.trained_parameters == 1281 * 16 + 17 * 3
