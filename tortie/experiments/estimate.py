"""How long a study will take, as its plan says."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tortie.experiments.run_study import Order

_BATCH = 32


def estimate(order: "Order") -> str:
    """In words: what was measured on two cores, or what follows from that, or from a step here."""
    size, quick, seeds = order.size, order.study.scales["quick"], len(order.seeds)
    if size.minutes:
        minutes = size.minutes * seeds / size.seeds
        return f"about {max(1, round(minutes))} min on two cores with AVX2"
    if size.times and quick.minutes:
        hours = quick.minutes / quick.seeds * size.times * seeds / 60
        return (
            f"about {hours:,.{0 if hours >= 10 else 1}f} hours on two cores with AVX2, as it "
            f"computes {size.times:,.0f} times as much a seed as --scale quick"
        )
    if size.passes:
        hours = seeds * sum(
            photographs * seconds_a_photograph(name) for name, photographs in size.passes.items()
        ) / 3600  # fmt: skip
        return f"about {hours:,.0f} hours here, by a step of each network that was timed"
    return f"not known: {len(size.cells)} cells a seed, made for a GPU"


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
