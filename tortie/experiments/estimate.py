"""How long a study will take here, as its plan says."""

import time
from typing import TYPE_CHECKING

from tortie.experiments.study import Scale

if TYPE_CHECKING:
    from tortie.experiments.run_study import Order

_BATCH = 32


def estimate(order: "Order") -> str:
    """In words: what was measured on two cores, or what a step of each network takes here."""
    size = order.size
    if size.minutes:
        share = len(order.seeds) / size.seeds
        return f"about {max(1, round(size.minutes * share))} min on two cores with AVX2"
    if size.passes:
        hours = len(order.seeds) * sum(
            photographs * seconds_a_photograph(name) for name, photographs in size.passes.items()
        ) / 3600  # fmt: skip
        return f"about {hours:,.0f} hours here, by a step of each network that was timed"
    return _unknown(size)


def _unknown(size: Scale) -> str:
    return f"not known here: {len(size.cells)} cells a seed, made for a GPU"


def seconds_a_photograph(name: str) -> float:
    """A forward and a backward pass of a network of the table, for one of its own photographs."""
    import torch

    from tortie.networks import build

    network = build(name).train()
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(place)
    height, width, channels = network.input_shape
    images = torch.rand(_BATCH, channels, height, width, device=place)
    best = float("inf")
    for _ in range(3):
        begin = time.monotonic()
        network(images).logsumexp(1).sum().backward()
        if place.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.monotonic() - begin)
    return best / _BATCH
