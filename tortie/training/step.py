"""One step of training: forward, loss, backward, update."""

import torch
from torch import Tensor, nn

from tortie.activations.engine import Precision
from tortie.networks.network import TrainedPart
from tortie.processes import ALONE, Processes
from tortie.training.batch_norm import norms_of, synchronised
from tortie.training.losses import Loss
from tortie.training.precision import arithmetic
from tortie.training.recipe import Recipe


class Step:
    """A step on a batch.

    Args:
        trained: what is trained, in training mode.
        optimiser: of its parameters.
        loss: of logits and targets.
        recipe: of which the clipping and the side heads are read.
        precision: of the forward pass.
        side_weight: of each side head's loss, where the recipe trains them.
        processes: that take the step together, each on its share of the batch.
    """

    def __init__(
        self,
        trained: TrainedPart,
        optimiser: torch.optim.Optimizer,
        loss: Loss,
        recipe: Recipe,
        precision: Precision,
        side_weight: float = 0.0,
        processes: Processes = ALONE,
    ) -> None:
        self._trained = trained
        self._optimiser = optimiser
        self._loss = loss
        self._recipe = recipe
        self._precision = precision
        sides = recipe.side_heads and len(trained.side_heads)
        self._side_weight = side_weight if sides else 0.0
        self._processes = processes
        self._norms = norms_of(trained)

    def __call__(
        self, inputs: Tensor, targets: Tensor, weight: float = 1.0, parts: int = 1
    ) -> Tensor:
        """The loss of the batch before the update, a scalar that is not waited for.

        Args:
            inputs: prepared, ``(n, ...)``.
            targets: class indices ``(n,)``, or probabilities ``(n, K)``.
            weight: share of the step's photographs that these are. The loss is multiplied by it, so
                that those of all processes add up to that of the whole batch.
            parts: that go through the network one after another, their gradients added up.
        """
        total = inputs.new_zeros((), dtype=torch.float32)
        for images, wanted in zip(
            inputs.tensor_split(parts), targets.tensor_split(parts), strict=True
        ):
            with synchronised(self._norms, self._processes, weight > 0):
                loss = self._forward(images, wanted) * (weight * len(images) / len(inputs))
                loss.backward()
            total += loss.detach()
        trained = self._trained.parameters()
        self._processes.all_reduce([one.grad for one in trained if one.grad is not None])
        if self._recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._trained.parameters(), self._recipe.clip_norm)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return total

    def _forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of some photographs."""
        with arithmetic(self._precision, inputs.device):
            if self._side_weight:
                logits, sides = self._trained.forward_with_sides(inputs)
            else:
                logits, sides = self._trained(inputs), {}
        loss = self._loss(logits.float(), targets)
        for side in sides.values():
            loss = loss + self._side_weight * self._loss(side.float(), targets)
        return loss
