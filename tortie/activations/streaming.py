"""Activations of images as they are read: in order, hashed in the same pass, kept nowhere."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from tortie.activations.engine import BATCH
from tortie.activations.extract import Extractor, multiply_alone
from tortie.images import Read, Source, read

AHEAD = 128
"""Images that are decoded before their turn: 19 MB at 224×224×3."""

Floats = NDArray[np.float32]
_Waiting = deque[tuple[list[Read], Future[Floats]]]


def stream(
    extractor: Extractor, sources: Sequence[Source], workers: ThreadPoolExecutor
) -> Iterator[tuple[Read, Floats | None]]:
    """Each image in its order with its activations, ``None`` where it cannot be read.

    No more images are in memory than are read ahead, and a batch for each thread.

    Args:
        extractor: of the activations; its store is not asked.
        sources: the images.
        workers: run the network, as :func:`forward_workers` makes them.
    """
    engine = extractor.engine

    def run(batch: Sequence[Read]) -> Floats:
        return engine(np.concatenate([one.pixels for one in batch if one.pixels is not None]))

    running: _Waiting = deque()
    with ExitStack() as stack:
        reads = stack.enter_context(
            read(
                sources, preprocessing=extractor.preprocessing, threads=extractor.threads,
                max_pixels=extractor.max_pixels, ahead=AHEAD,
            )
        )  # fmt: skip
        batch: list[Read] = []
        for item in reads:
            batch.append(item)
            if sum(one.pixels is not None for one in batch) == BATCH:
                running.append((batch, workers.submit(run, batch)))
                batch = []
            if len(running) > extractor.threads:
                yield from _together(*running.popleft())
        while running:
            yield from _together(*running.popleft())
        if any(one.pixels is not None for one in batch):
            yield from _together(batch, workers.submit(run, batch))
        else:
            yield from ((one, None) for one in batch)


def forward_workers(threads: int) -> ThreadPoolExecutor:
    """Threads that run the network, each a batch alone: they wait for nobody."""
    return ThreadPoolExecutor(threads, "tortie-forward", initializer=multiply_alone)


def _together(batch: list[Read], future: "Future[Floats]") -> Iterator[tuple[Read, Floats | None]]:
    rows = iter(future.result())
    for one in batch:
        yield one, None if one.pixels is None else next(rows)
