"""Training a network on pictures in memory, by tortie's own loop and recipes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tortie.experiments.picture_sets import Split
from tortie.experiments.study import Task
from tortie.learning.softmax import LinearHead, Problem, few_threads
from tortie.networks.network import Network, TrainedPart
from tortie.runs.files import RunFiles
from tortie.training.loop import TrainConfig, TrainData, train
from tortie.training.recipe import Recipe
from tortie.training.recipes import recipe
from tortie.training.state import TrainState

_BATCH = 250  # of a prediction
_PENALTY = 0.1  # of the softmax layer, on features of deviation 1
Distort = Callable[[Tensor, NDArray[np.int64], int], Tensor]


@dataclass(frozen=True)
class Learnt:
    """How a training went.

    Attributes:
        losses: mean training loss of each epoch.
        train_errors: share of training pictures that are wrong after each epoch, in evaluation
            mode; empty where it was not asked for.
        test_error: share of test pictures that are wrong at the end.
        steps: in all.
    """

    losses: list[float]
    train_errors: list[float]
    test_error: float
    steps: int


@dataclass(frozen=True)
class _Tensors:
    """Pictures in memory as a feed.

    Attributes:
        images: all of them.
        distort: makes an epoch's views; ``None`` for the pictures themselves.
    """

    images: Tensor
    distort: Distort | None

    def take(self, rows: Sequence[int], epoch: int) -> Tensor:
        """The pictures of a batch."""
        chosen = np.asarray(rows, np.int64)
        images = self.images[torch.from_numpy(chosen)]
        return self.distort(images, chosen, epoch) if self.distort and epoch else images


class _Kept:
    """Checkpoints of a short training: the last weights alone, in memory."""

    folder = Path()
    last = None
    resume_hint = "the same command goes on"

    def __init__(self) -> None:
        self._best: dict[str, Tensor] = {}

    def restore(self) -> None:
        """Nothing: a short training begins anew."""

    def save(self, state: TrainState, tensors: Mapping[str, Tensor]) -> None:
        """Nothing is written."""

    def save_best(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep a copy."""
        self._best = {name: tensor.clone() for name, tensor in tensors.items()}

    def best(self) -> dict[str, Tensor]:
        """The weights that were kept."""
        return self._best

    def write_metrics(self, history: Sequence[Mapping[str, float | None]]) -> None:
        """Nothing is written."""

    def close(self) -> None:
        """Nothing is held."""


class _Lasting(RunFiles):
    """Checkpoints of a long training, in the study's folder."""

    resume_hint = "the same command goes on"

    def __init__(self, folder: Path, used: Recipe) -> None:
        folder = folder / used.name
        super().__init__(folder, resume=(folder / "run.json").exists())
        recipe = used.model_dump(mode="json")
        self.begin({"precision": "float32", "activations": None, "recipe": recipe}, [])


def device() -> torch.device:
    """Where the networks are trained."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seeded(seed: int, build: Callable[[], Network]) -> Network:
    """A network whose fresh weights are a function of the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def learn(
    network: TrainedPart, split: Split, task: Task, *, by: str = "scratch", watch: bool = False,
    distort: Distort | None = None, side_weight: float = 0.0, **changes: Any,
) -> Learnt:  # fmt: skip
    """Train a network, and test it.

    Args:
        network: left with the weights of its last epoch, in evaluation mode.
        split: what it is trained and tested on.
        task: whose seed draws the order.
        by: name of the recipe.
        watch: whether the training error is measured after each epoch; the network is then left
            with the weights of the best.
        distort: of a batch's pictures, their rows and the epoch makes what is trained on.
        side_weight: of each side head's loss.
        changes: fields of the recipe.
    """
    used = recipe(by).changed(**{"policy": "none", **changes})
    if side_weight:
        used = used.changed(side_heads=True)
    place = device()
    network.to(place).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rows = np.arange(len(split.train))
    data = TrainData(
        feed=_Tensors(split.train, distort),
        prepare=lambda images: images.to(place).contiguous(memory_format=torch.channels_last),  # type: ignore[arg-type]
        labels=split.train_labels.numpy(),
        classes=split.classes,
        train=rows,
        chosen_on=rows if watch else rows[:0],
    )
    config = TrainConfig(
        seed=task.seed, precision="float32", workers=0, side_weight=side_weight, device=place
    )
    with closing(_Lasting(task.folder, used) if task.lasting else _Kept()) as run:
        state = train(network, data, used, config, run, lambda done, total: None, lambda line: None)
    errors = [1 - float(row["validation_accuracy"] or 0) for row in state.history] if watch else []
    return Learnt(
        losses=[float(row["train_loss"] or 0) for row in state.history],
        train_errors=errors,
        test_error=error_of(network, split.test, split.test_labels),
        steps=len(state.history) * -(-len(rows) // used.batch),
    )


@torch.inference_mode()
def logits_of(network: torch.nn.Module, images: Tensor) -> Tensor:
    """What the network says of pictures, float32 ``(n, K)``, on the processor."""
    network.eval()
    place = next(network.parameters()).device
    parts = [network(part.to(place)).float().cpu() for part in images.split(_BATCH)]
    return torch.cat(parts)


def error_of(network: torch.nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of pictures that are wrong."""
    return float((logits_of(network, images).argmax(dim=1) != labels).float().mean())


def softmax_layer(vectors: Tensor, labels: Tensor, classes: int) -> LinearHead:
    """The softmax layer that a fit would solve for, with a penalty of 0.1 and equal weights.

    Args:
        vectors: ``(n, D)``.
        labels: class indices ``(n,)``.
        classes: K.
    """
    weights = np.ones(len(vectors), np.float32)
    features = vectors.numpy().astype(np.float32)  # a copy, which is standardised in place
    with few_threads(features):
        return Problem(features, labels.numpy(), classes, weights).solve(_PENALTY)


def linear_probe(train: Tensor, test: Tensor, train_labels: Tensor, test_labels: Tensor) -> float:
    """Share of test vectors that a softmax layer on the training vectors gets wrong.

    Args:
        train: float32 ``(n, D)``.
        test: float32 ``(m, D)``.
        train_labels: class indices ``(n,)``.
        test_labels: class indices ``(m,)``.
    """
    head = softmax_layer(train, train_labels, int(train_labels.max()) + 1)
    return float((head.logits(test.numpy()).argmax(axis=1) != test_labels.numpy()).mean())


def moves_nothing(count: int) -> bool:
    """Whether ``--freeze auto`` freezes everything with so many training pictures of a class."""
    from tortie.learning.depths import FEW

    return count < FEW


def fine_tune(rest: TrainedPart, split: Split, task: Task, **changes: Any) -> Learnt:
    """Train what is left after a cut; its head begins as the softmax layer on its start.

    Args:
        rest: stages and a linear head.
        split: what the frozen part yields.
        task: whose seed draws the order.
        changes: fields of the recipe ``fine-tune``.
    """
    rest.eval()
    with torch.inference_mode():
        vectors = torch.cat([rest.stages(part) for part in split.train.split(_BATCH)])
    head = softmax_layer(vectors, split.train_labels, split.classes)
    with torch.no_grad():
        for parameter, value in zip(rest.head.parameters(), (head.weight, head.bias), strict=True):
            parameter.copy_(torch.from_numpy(value))
    return learn(rest, split, task, by="fine-tune", **changes)
