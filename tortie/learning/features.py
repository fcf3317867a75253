"""Activations of the photographs of a fit: from the store, or computed and kept there."""

from collections.abc import Sequence

import numpy as np

from tortie.activations.extract import Extraction, Extractor, Reader
from tortie.activations.views import Undistorted, View
from tortie.errors import TortieError
from tortie.images import Source
from tortie.learning.dataset import Dataset, Integers
from tortie.learning.job import Job
from tortie.training.decoded import DecodedPhotographs
from tortie.training.feature_table import FeatureTable

_AT_ONCE = 64 << 20  # bytes of activations that are computed before they are let go of
MANY = 128 << 20
"""Bytes of activations from which on they and the engine are not in memory at a time."""


def features(
    job: Job, extractor: Extractor, data: Dataset, rows: Integers, views: Sequence[View] = (),
    photographs: DecodedPhotographs | None = None,
) -> FeatureTable:  # fmt: skip
    """Activations of some photographs of a dataset; several processes share the work.

    Args:
        job: the fit.
        extractor: computes what the store has not.
        data: the photographs.
        rows: which of them.
        views: of each, in order; by default the undistorted one.
        photographs: all of the dataset's, where they are decoded already.

    Returns:
        float32 ``(len(rows), views, ...)``.

    Raises:
        TortieError: a photograph cannot be read any more.
    """
    views = views or (Undistorted(extractor.preprocessing),)
    sources, sha256 = [data.sources[i] for i in rows], [data.sha256[i] for i in rows]
    if job.processes.count > 1:
        compute_in_parts(job, extractor, sources, sha256, views)
    reader = reader_of(photographs and photographs.only(rows.tolist()), job.threads)
    with Extraction(extractor, sources, sha256, views=views, reader=reader) as extraction:
        activations, found = extraction.finish(job.events.progress)
    if len(found) < len(rows):
        position, reason = min(extraction.reasons.items())
        raise TortieError(f"{data.photographs[rows[position]].path}: {reason}; fit again")
    table_row = np.full(len(data), -1)
    table_row[rows] = np.arange(len(rows))
    return FeatureTable(activations, table_row)


def reader_of(photographs: DecodedPhotographs | None, threads: int) -> Reader | None:
    """What reads decoded photographs for an extraction; ``None`` where there are none."""
    if photographs is None:
        return None
    return lambda positions, views: photographs.reading(positions, views, threads)


def is_for_parts(extractor: Extractor, count: int) -> bool:
    """Whether activations of so many photographs are better stored in parts, then loaded at once.

    The engine's memory and theirs are then not taken at the same time.
    """
    size = 4 * count * int(np.prod(extractor.output))
    return size > MANY and extractor.store.has_room(2 * size)


def compute_in_parts(
    job: Job,
    extractor: Extractor,
    sources: Sequence[Source],
    sha256: Sequence[str | None],
    views: Sequence[View] = (),
) -> None:
    """Compute and store what the store has not, part by part; each process has its share of it.

    Where processes do not share a store, or its limit is reached, the rest is left to what loads
    the activations.

    Args:
        job: the fit; all of its processes call this.
        extractor: computes what is missing.
        sources: the photographs.
        sha256: of each source's content; ``None`` where it could not be opened.
        views: of each photograph; by default the undistorted one.
    """
    processes = job.processes
    processes.barrier()  # until all have written what they had
    context = extractor.context
    names = [view.name for view in views or (Undistorted(extractor.preprocessing),)]
    first: dict[str, int] = {}
    for position, digest in enumerate(sha256):
        if digest is not None:
            first.setdefault(digest, position)
    keys = {digest: [context.key(digest, name) for name in names] for digest in first}
    stored = extractor.store.contains_many([key for each in keys.values() for key in each])
    missing = [i for digest, i in first.items() if not stored.issuperset(keys[digest])]
    processes.barrier()  # all have looked before one writes, so that all share the same work
    own = missing[processes.rank :: processes.count]
    at_once = max(1, _AT_ONCE // (4 * len(names) * int(np.prod(extractor.output))))
    for begin in range(0, len(own), at_once):
        part = own[begin : begin + at_once]

        def told(done: int, total: int, begin: int = begin) -> None:
            job.events.progress(begin + done, len(own))

        with Extraction(
            extractor, [sources[i] for i in part], [sha256[i] for i in part], views=views
        ) as extraction:
            extraction.finish(told)
        if not extraction.stored:
            break
    processes.barrier()
