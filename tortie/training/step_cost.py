"""What a training step costs here: a few steps on a copy, before the plan is shown."""

import copy
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from tortie.activations.engine import Precision, native_precision
from tortie.cost.memory import LiveBytes, ResidentPeak
from tortie.errors import UsageError
from tortie.networks.network import TrainedPart
from tortie.training.batch_norm import begin_training
from tortie.training.losses import loss_of
from tortie.training.optimisers import make_optimiser
from tortie.training.recipe import Recipe
from tortie.training.step import Step

_WORTH = 1.15
"""bfloat16 is taken where it is at least so many times as fast: less may be chance."""
_LONG = 3.0  # seconds of a step that is not timed twice


@dataclass(frozen=True)
class StepCost:
    """What one step takes.

    Attributes:
        precision: of its multiplications.
        seconds: on this machine.
        bytes: alive at the worst moment: parameters, gradients, averages, activations.
    """

    precision: Precision
    seconds: float
    bytes: int

    def of_batch(
        self, trained: TrainedPart, recipe: Recipe, timed: int, batch: int, parts: int
    ) -> "StepCost":
        """What a step of a whole batch takes, from that of fewer photographs.

        Args:
            trained: what is trained.
            recipe: of the training.
            timed: photographs of the step that was measured.
            batch: photographs of the batch, in this process.
            parts: into which it is accumulated, one after another.
        """
        parameters = sum(one.numel() for one in trained.parameters() if one.requires_grad) * 4
        copies = {"sgd": 2 + (recipe.momentum > 0), "rmsprop": 4}.get(recipe.optimiser, 4)
        fixed = min(parameters * copies, self.bytes)
        share = batch / timed
        alive = share / min(parts, batch)
        grown = round(fixed + (self.bytes - fixed) * alive)
        return StepCost(
            self.precision,
            self.seconds * share,
            grown + (recipe.ema is not None) * parameters,
        )


def measure_step(
    trained: TrainedPart,
    inputs: Tensor,
    labels: Tensor,
    recipe: Recipe,
    precision: Precision | None,
) -> StepCost:
    """Time and weigh a step on a copy of the network, which stays as it is.

    Args:
        trained: what is trained.
        inputs: of one batch, prepared, on its device.
        labels: class indices ``(n,)``.
        recipe: of which the optimiser and the loss are taken.
        precision: ``None`` for the faster of those that the device multiplies natively.
    """
    choices: list[Precision] = [precision] if precision else ["float32"]
    if precision is None and native_precision(inputs.device) == "bfloat16":
        choices.append("bfloat16")
    trials = []
    for choice in choices:
        with torch.random.fork_rng(devices=[]), ResidentPeak() as resident:
            own = copy.deepcopy(trained)
            begin_training(own, recipe.statistics)
            optimiser = make_optimiser(own, recipe, inputs.device)
            step = Step(own, optimiser, loss_of(recipe), recipe, choice)
            live = LiveBytes([], [inputs, *own.parameters(), *own.buffers()])
            with live:
                step(inputs, labels)
        with torch.random.fork_rng(devices=[]):
            seconds = _timed(step, inputs, labels)
            if seconds < _LONG:
                seconds = min(seconds, _timed(step, inputs, labels))
        # What oneDNN lays out anew in a convolution is no tensor: the system alone sees it.
        trials.append(StepCost(choice, seconds, max(live.peak, resident.added)))
    if len(trials) == 2 and trials[1].seconds * _WORTH < trials[0].seconds:
        return trials[1]
    return trials[0]


def check_smallest_batch(
    trained: TrainedPart, inputs: Tensor, smallest: int, recipe: Recipe
) -> None:
    """Refuse batches of one photograph where batch-norm would have no statistics of them.

    Args:
        trained: what is trained; it stays as it is.
        inputs: of one batch, prepared, on its device.
        smallest: photographs of the smallest batch.
        recipe: of which the statistics of batch-norm are read.

    Raises:
        UsageError: with the way out.
    """
    if smallest > 1:
        return
    own = copy.deepcopy(trained)
    begin_training(own, recipe.statistics)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            own(inputs[:1])
    except ValueError:  # torch's "Expected more than 1 value per channel"
        raise UsageError(
            "a step of one photograph has no batch statistics to normalise by: take --batch 3 or "
            "more, and more photographs"
        ) from None


def _timed(step: Step, inputs: Tensor, labels: Tensor) -> float:
    begin = time.perf_counter()
    step(inputs, labels).item()
    return time.perf_counter() - begin
