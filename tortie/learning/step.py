"""One step of training: forward, loss, backward, update."""

import torch
from torch import Tensor, nn

from tortie.activations.engine import Precision
from tortie.learning.losses import Loss
from tortie.learning.precision import arithmetic
from tortie.learning.recipe import Recipe
from tortie.networks.network import Rest


class Step:
    """A step on a batch.

    Args:
        rest: what is trained, in training mode.
        optimiser: of its parameters.
        loss: of logits and targets.
        recipe: of which the clipping and the side heads are read.
        precision: of the forward pass.
        side_weight: of each side head's loss, where the recipe trains them.
        model: what is called in place of ``rest``: it, wrapped for many processes.
    """

    def __init__(
        self,
        rest: Rest,
        optimiser: torch.optim.Optimizer,
        loss: Loss,
        recipe: Recipe,
        precision: Precision,
        side_weight: float = 0.0,
        model: nn.Module | None = None,
    ) -> None:
        self._rest = rest
        self._optimiser = optimiser
        self._loss = loss
        self._recipe = recipe
        self._precision = precision
        sides = recipe.side_heads and len(rest.side_heads)
        self._side_weight = side_weight if sides else 0.0
        self._model = model or rest

    def __call__(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of the batch before the update, a scalar that is not waited for.

        Args:
            inputs: prepared, ``(n, ...)``.
            targets: class indices ``(n,)``, or probabilities ``(n, K)``.
        """
        with arithmetic(self._precision, inputs.device):
            if self._side_weight:
                logits, sides = self._rest.forward_with_sides(inputs)
            else:
                logits, sides = self._model(inputs), {}
        loss = self._loss(logits.float(), targets)
        for side in sides.values():
            loss = loss + self._side_weight * self._loss(side.float(), targets)
        loss.backward()
        if self._recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._rest.parameters(), self._recipe.clip_norm)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return loss.detach()
