"""The optimiser of a recipe: which parameters learn at which rate, and which of them decay."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tortie.networks.network import TrainedPart
from tortie.training.recipe import Recipe

# Where torch has one kernel for the whole step of these optimisers; elsewhere it picks by itself.
_FUSED = ("cpu", "cuda")


def parameter_groups(trained: TrainedPart, recipe: Recipe) -> list[dict[str, Any]]:
    """The trained parameters by rate and by decay.

    The head, side heads and the last trained stage learn at the recipe's rate; each earlier trained
    stage at ``depth_factor`` times that of the next. A stage whose parameters are all frozen, or
    that has none (a pooling), is not counted. Side heads are among them even where the recipe
    leaves them out of the loss: torch passes over what gets no gradient.

    Args:
        trained: a network, or what is left of it after a cut.
        recipe: of which ``learning_rate``, ``depth_factor``, ``weight_decay`` and
            ``decay_norms_and_biases`` are read.

    Returns:
        Groups for a torch optimiser, each with ``params``; ``name``, the same for the same network
        and recipe (``conv1``, ``conv1, no decay``, ``head``, or ``all`` where all learn at one
        rate); ``base``, the rate where the schedule is at 1; ``lr``, equal to it; and
        ``weight_decay``. Empty groups are left out.

    Raises:
        ValueError: no parameter is to be trained.
    """
    parts = [(name, part) for name, part in trained.stages.named_children() if _trained(part)]
    rates = [recipe.learning_rate * recipe.depth_factor**up for up in range(len(parts))][::-1]
    parts += [("head", trained.head)]
    parts += [(f"side_heads.{name}", head) for name, head in trained.side_heads.items()]
    rates += [recipe.learning_rate] * (len(parts) - len(rates))
    if recipe.depth_factor == 1:  # one group costs a device fewer kernels than one a stage
        parts, rates = [("all", trained)], [recipe.learning_rate]
    groups = []
    for (name, part), base in zip(parts, rates, strict=True):
        decaying, others = _by_decay(part, recipe.decay_norms_and_biases)
        for label, parameters, decay in (
            (name, decaying, recipe.weight_decay),
            (f"{name}, no decay", others, 0.0),
        ):
            if parameters:
                groups.append(
                    {
                        "params": parameters,
                        "name": label,
                        "base": base,
                        "lr": base,
                        "weight_decay": decay,
                    }
                )
    if not groups:
        raise ValueError("every parameter is frozen: there is nothing to train")
    return groups


def _trained(part: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in part.parameters())


def _by_decay(part: nn.Module, all_decay: bool) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trained parameters that decay, and those that do not: biases and normalisation layers.

    A bias is told by its name too, as LeNet's subsampling shapes it (maps, 1, 1).
    """
    decaying: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in part.named_parameters():
        if parameter.requires_grad:
            spared = parameter.dim() <= 1 or name.rpartition(".")[2] == "bias"
            (others if spared and not all_decay else decaying).append(parameter)
    return decaying, others


def make_optimiser(
    trained: TrainedPart, recipe: Recipe, device: torch.device
) -> torch.optim.Optimizer:
    """The recipe's optimiser over :func:`parameter_groups`, fused where torch has that.

    SGD's velocity is torch's: the rate multiplies it outside, where AlexNet's paper has it inside;
    the two differ in the steps after a change of rate alone. Adam's second beta is 0.999 and
    RMSprop's smoothing 0.99, torch's defaults.

    Args:
        trained: a network, or what is left of it after a cut, on ``device``.
        recipe: optimiser, momentum, rates and decay.
        device: of the parameters.
    """
    groups = parameter_groups(trained, recipe)
    fused = True if device.type in _FUSED else None
    momentum = recipe.momentum
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=momentum, nesterov=recipe.nesterov, fused=fused)
    if recipe.optimiser == "adam":
        return torch.optim.Adam(groups, betas=(momentum, 0.999), fused=fused)
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(groups, betas=(momentum, 0.999), fused=fused)
    return torch.optim.RMSprop(groups, momentum=momentum)


def set_rates(optimiser: torch.optim.Optimizer, multiplier: float) -> None:
    """Set each group's rate to ``multiplier`` times its ``base``."""
    for group in optimiser.param_groups:
        group["lr"] = group["base"] * multiplier


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as named tensors: ``optimiser.PARAMETER.NAME``."""
    tensors = {}
    for number, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            if value is not None:
                tensors[f"optimiser.{number}.{name}"] = torch.as_tensor(value)
    return tensors


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state that :func:`optimiser_tensors` named."""
    parameters = [one for group in optimiser.param_groups for one in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, number, key = name.split(".", 2)
            state.setdefault(int(number), {})[key] = _laid_out(tensor, parameters[int(number)])
    whole = optimiser.state_dict()
    optimiser.load_state_dict({"state": state, "param_groups": whole["param_groups"]})


def _laid_out(tensor: Tensor, parameter: Tensor) -> Tensor:
    """The tensor in its parameter's layout in memory: fused kernels go through both in one pass."""
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
