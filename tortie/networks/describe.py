"""What can be said of a network without allocating its parameters."""

from typing import Any

import torch

from tortie.networks.table import Entry


def describe(entry: Entry) -> dict[str, Any]:
    """The network's name, paper, input, parameters and stages with their output shapes.

    Returns:
        ``name, paper, year, input, parameters, weights, stages`` (names), and ``shapes``: for each
        stage and the head the output of one image, ``(H, W, C)`` or ``(D,)``.
    """
    with torch.device("meta"):
        network = entry.build().eval()
    height, width, channels = network.input_shape
    activations = torch.empty(1, channels, height, width, device="meta")
    shapes: dict[str, list[int]] = {}
    for name, stage in [*network.stages.named_children(), ("head", network.head)]:
        activations = stage(activations)
        shape = list(activations.shape[1:])
        shapes[name] = [*shape[1:], shape[0]]  # height × width × channels, as papers draw them
    return {
        "name": entry.name,
        "paper": entry.paper,
        "year": entry.year,
        "input": list(network.input_shape),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "weights": list(entry.weights),
        "stages": list(network.stage_names),
        "shapes": shapes,
    }
