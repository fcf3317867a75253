"""A training small enough to be run to every one of its steps: a network, photographs, a folder."""

import json
import signal
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from tortie.activations.engine import Precision
from tortie.images.preprocess import Preprocessing
from tortie.networks.network import TrainedPart
from tortie.runs.run import Run
from tortie.training.feed import Prepare
from tortie.training.loop import TrainConfig, TrainData, train
from tortie.training.recipe import Recipe

CPU = torch.device("cpu")
PREPROCESSING = Preprocessing(
    resize=6, height=6, width=6, channels=3, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
)


class Killed(BaseException):
    """What ends a training between two steps without a word, as kill -9 does."""


class Arrays:
    """Activations ``(N, 3, 6, 6)`` that tell the classes apart; each epoch sees its own view."""

    def __init__(self, labels, classes, drawn=True):
        generator = np.random.default_rng(5)
        centres = generator.normal(size=(classes, 3, 6, 6))
        noise = generator.normal(size=(len(labels), 3, 6, 6))
        self.inputs = torch.from_numpy((centres[labels] + noise).astype(np.float32))
        self.drawn = drawn

    def take(self, rows, epoch):
        shift = 0.1 * epoch if self.drawn else 0.0
        return self.inputs[list(rows)] + shift


def data(count=22, classes=2, chosen=6, drawn=True, labels=None):
    """So many photographs, the last ``chosen`` of which choose the epoch."""
    labels = np.arange(count) % classes if labels is None else np.asarray(labels)
    rows = np.arange(len(labels))
    cut = len(labels) - chosen
    feed = Arrays(labels, classes, drawn)
    return TrainData(feed, Prepare(PREPROCESSING, CPU), labels, classes, rows[:cut], rows[cut:])


def network(classes=2, seed=0):
    """Batch-norm statistics to move, dropout to draw, a pooling without parameters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stages = OrderedDict(
            conv1=nn.Sequential(
                nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2)
            ),
            pool=nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()),
            fc2=nn.Sequential(nn.Linear(16, 8), nn.ReLU()),
        )
        return TrainedPart(stages, nn.Linear(8, classes))


def recipe(**fields):
    """Three epochs of four steps, unless otherwise told."""
    usual = {
        "name": "test", "source": "a test", "optimiser": "sgd", "learning_rate": 0.05,
        "schedule": "cosine", "epochs": 3, "batch": 4,
    }  # fmt: skip
    return Recipe(**{**usual, **fields})


def config(workers=0, seed=3, precision: Precision = "float32"):
    return TrainConfig(seed, precision, workers, 0.0, CPU)


@dataclass
class Outcome:
    """What a training left behind."""

    place: object
    weights: dict
    last: dict
    metrics: str
    notes: list = field(default_factory=list)


def run_training(
    folder, own_recipe, own_lesson=None, own_manner=None, stops=(), kills=(), trained=None
):
    """Train to the end, through a Ctrl-C after each step of ``stops`` and a kill after ``kills``.

    Steps are counted from 1 over all epochs; a step that is done again counts as itself.
    """
    from tortie.errors import TortieError

    own_lesson = own_lesson or data()
    own_manner = own_manner or config()
    stops, kills, notes = set(stops), set(kills), []

    def progress(done, total):
        if done in stops:
            stops.remove(done)
            signal.raise_signal(signal.SIGINT)
        if done in kills:
            kills.remove(done)
            raise Killed

    while True:
        own = trained or network(own_lesson.classes)
        run = Run(folder, resume=(folder / "run.json").exists())
        try:
            run.begin({"precision": "float32", "activations": "none"}, [])
            place = train(own, own_lesson, own_recipe, own_manner, run, progress, notes.append)
        except TortieError as error:
            assert "--resume goes on" in str(error), error
        except Killed:
            pass
        else:
            last = run.restore()[1]
            metrics = (folder / "metrics.jsonl").read_text()
            assert place.history == [json.loads(line) for line in metrics.splitlines()]
            return Outcome(place, own.state_dict(), last, metrics, notes)
        finally:
            run.close()


def assert_same(one, other):
    """Two trainings ended alike, bit for bit."""
    assert one.place == other.place
    assert one.metrics == other.metrics
    for first, second in ((one.weights, other.weights), (one.last, other.last)):
        assert first.keys() == second.keys()
        for name, tensor in first.items():
            assert torch.equal(tensor, second[name]), name
