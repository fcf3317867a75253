"""A running average of the weights, which often predicts better than the last step's."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tortie.errors import TortieError


class Average:
    """The exponential average of a model's trained parameters over the steps so far.

    After t updates, the parameters of update i weigh decay^(t - i), divided by the sum of these
    weights (the correction of Adam, Kingma and Ba 2015, section 3). So it starts without bias: the
    first update is taken whole, and the parameters before it have no weight. What has no gradient
    is copied, not averaged: frozen parameters, and buffers such as batch-norm statistics, which are
    running averages already.

    Args:
        model: whose tensors to begin with; they are copied.
        decay: share of the average that is kept at an update, in (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.tensors = {name: tensor.clone() for name, tensor in _tensors(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the model's tensors after one more step; the names must be those of the start."""
        self.updates += 1
        kept = self.decay * (1 - self.decay ** (self.updates - 1)) / (1 - self.decay**self.updates)
        trained = {name for name, each in model.named_parameters() if each.requires_grad}
        now = _tensors(model)
        averages = [self.tensors[name] for name in now if name in trained]
        torch._foreach_lerp_(averages, [now[name] for name in now if name in trained], 1 - kept)
        for name, tensor in now.items():
            if name not in trained:
                self.tensors[name].copy_(tensor)

    def copy_to(self, model: nn.Module) -> None:
        """Give the averaged tensors to a model of the same names and shapes."""
        model.load_state_dict(self.tensors)

    def state(self) -> dict[str, Tensor]:
        """All that :meth:`load` needs: ``updates``, int64, and each tensor as ``average.NAME``."""
        averages = {f"average.{name}": tensor for name, tensor in self.tensors.items()}
        return {"updates": torch.tensor(self.updates), **averages}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` returned.

        Raises:
            TortieError: tensors of other names or shapes than the model's.
        """
        given = {name: tensor.shape for name, tensor in state.items() if name != "updates"}
        own = {f"average.{name}": tensor.shape for name, tensor in self.tensors.items()}
        if given != own or "updates" not in state:
            odd = sorted(name for name in given.keys() | own if given.get(name) != own.get(name))
            raise TortieError(
                f"the average of the weights is of another model: {(odd or ['updates'])[0]} differs"
            )
        self.updates = int(state["updates"])
        for name, tensor in self.tensors.items():
            tensor.copy_(state[f"average.{name}"])


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and lasting buffers, detached, sharing memory with the model."""
    return dict(model.state_dict())
