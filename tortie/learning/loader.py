"""Whether photographs are made ready as fast as a network trains on them."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tortie.activations.engine import Precision
from tortie.activations.views import Drawn, Undistorted
from tortie.errors import UsageError
from tortie.images import find_files, hash_all
from tortie.learning.chosen_policy import chosen_policy
from tortie.networks.entry import Entry
from tortie.training.decoded import DecodedPhotographs, free_memory
from tortie.training.feed import Live, Prepare, batches_of, ready
from tortie.training.recipes import recipe_for
from tortie.training.step_cost import measure_step

_SOME = 512  # photographs: enough for a rate, and they fit any memory
_SECONDS = 5.0  # of drawing, about


@dataclass(frozen=True)
class LoaderSpeed:
    """What the loader gives, and what a step takes.

    Attributes:
        network: that trains.
        policy: that the views follow.
        threads: that read and draw.
        read_per_second: photographs read and decoded, as in the first epoch.
        drawn_per_second: views drawn of decoded photographs, as in every epoch.
        trained_per_second: photographs that steps alone would take, the whole network trained.
        device: where the steps run.
        precision: of the steps.
    """

    network: str
    policy: str
    threads: int
    read_per_second: float
    drawn_per_second: float
    trained_per_second: float
    device: str
    precision: str

    @property
    def share(self) -> float:
        """Views drawn for each photograph that the steps could take; 1 and more keeps them busy."""
        return self.drawn_per_second / self.trained_per_second

    def document(self) -> dict[str, Any]:
        """JSON's types only."""
        return asdict(self) | {"share": self.share}


def measure_loader(
    images: Path,
    entry: Entry,
    policy: str,
    device: torch.device,
    precision: Precision | None,
    threads: int,
) -> LoaderSpeed:
    """Time reading, drawing and a step of training, each by itself.

    Args:
        images: a folder with photographs, at any depth; at most 512 of them are used.
        entry: the network, from fresh weights, all of it trained.
        policy: of the drawn views, by its name.
        device: where the steps run.
        precision: of the steps; ``None`` for the faster.
        threads: that read and draw.

    Raises:
        UsageError: no photograph that can be read.
    """
    files = find_files([images]).paths[:_SOME]
    photographs = DecodedPhotographs(
        files, hash_all(files, threads), entry.preprocessing, 200_000_000, free_memory() // 3
    )
    begin = time.perf_counter()
    photographs.load(threads, lambda done, total: None)
    read = time.perf_counter() - begin
    rows = np.array([i for i in range(len(files)) if i not in photographs.reasons], np.int64)
    if not len(rows):
        raise UsageError(f"no photograph in {images} can be read")
    chosen, _ = chosen_policy(entry, policy, mirror=True)
    undistorted = Undistorted(entry.preprocessing)
    views = [Drawn(entry.preprocessing, chosen, 0, n) for n in range(1, 1000)] if chosen else []
    feed = Live(photographs, undistorted, views)
    recipe = recipe_for(entry, from_weights=False, frozen_all=False)
    drawn, epoch, begin = 0, 0, time.perf_counter()
    while time.perf_counter() - begin < _SECONDS:
        epoch += 1
        for batch, _ in ready(feed, batches_of(rows, 32), epoch, threads):
            drawn += len(batch)
    drawing = time.perf_counter() - begin
    network = entry.build().to(device)
    tried = rows[: min(32, recipe.batch)]
    inputs = Prepare(entry.preprocessing, device)(feed.take(tried.tolist(), 0))
    labels = torch.zeros(len(tried), dtype=torch.int64, device=device)
    trial = measure_step(network, inputs, labels, recipe, precision)
    return LoaderSpeed(
        network=entry.name,
        policy=policy,
        threads=threads,
        read_per_second=len(files) / read,
        drawn_per_second=drawn / drawing,
        trained_per_second=len(tried) / trial.seconds,
        device=str(device),
        precision=trial.precision,
    )
