"""A fit on a folder of features, in place of the photographs.

They go the way of any frozen fit, and give its result: the same split, the same classifier, the
same figures, to the rounding of the type that they are kept in.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tortie.activations.feature_shards import FeatureShard, Manifest, notes_of, read_manifest
from tortie.activations.store import ActivationStore
from tortie.errors import TortieError, UsageError
from tortie.images import Collection, Facts, Photograph
from tortie.learning.clock import Clock
from tortie.learning.dataset import enough_classes
from tortie.learning.frozen_fit import WhatWasRead, fit_activations
from tortie.learning.frozen_network import network_of
from tortie.learning.frozen_plan import plan_frozen, preview_split
from tortie.learning.job import Events, make_job
from tortie.learning.options import FitOptions
from tortie.learning.result import FitResult
from tortie.learning.softmax import Floats
from tortie.learning.streamed_fit import FeatureFolder, fit_streamed, is_large, with_replaced
from tortie.processes import join

_OF_PHOTOGRAPHS = (
    "freeze", "augment", "colour_basis", "mirror", "views", "crops", "members", "budget",
    "splits", "side_heads",
)  # fmt: skip
"""Options that would need the photographs, or several networks."""
_OF_FEATURES = ("network", "weights", "input", "quality")


def fit_features(
    folder: Path, options: FitOptions, store: ActivationStore, events: Events,
    plan_only: bool = False,
) -> FitResult:  # fmt: skip
    """Fit the head of a network on the features that ``tortie extract`` wrote.

    Args:
        folder: of the features.
        options: the user's; network, weights and input are those of the features.
        store: gives the place of the cache.
        events: callbacks.
        plan_only: whether to stop at the plan.

    Raises:
        UsageError: options that would need photographs, features that are not of all stages.
        TortieError: features that are not whole or cannot be read.
    """
    manifest = read_manifest(folder)
    chosen = _options_for(folder, manifest, options)
    processes = join(chosen.device)
    heard = events if processes.first else Events()
    shards = [FeatureShard(folder / name) for name in manifest.files]
    for number, shard in enumerate(shards):
        shard.check(manifest)
        if number % processes.count == processes.rank:
            shard.check_content()
    if is_large(manifest):
        return fit_streamed(
            FeatureFolder(folder, manifest, shards), chosen, store, processes, heard, plan_only
        )
    clock = Clock()
    listed = list(_listed(shards))
    listed.sort(key=lambda one: str(one[0].path))
    collection = Collection(
        folder, tuple(one[0] for one in listed), tuple(notes_of(shards)), manifest.label_type
    )
    enough_classes(
        (one.label for one in collection.photographs), manifest.label_type, collection.notes
    )
    sources = [one.path for one in collection.photographs]
    job = with_replaced(make_job(collection, sources, chosen, store, processes, heard, plan_only))
    reasons = {place: one[3] for place, one in enumerate(listed) if one[3]}
    known = WhatWasRead([one[1] for one in listed], [one[2] for one in listed], reasons)
    order = [place for _, _, _, _, place in listed if place is not None]
    if job.by_steps:
        from tortie.learning.feature_head import check_head, fit_head, rows_in_memory

        check_head(job)
        rows = rows_in_memory(job, known, _activations(shards)[order], shards)
        clock.lap("activations")
        return fit_head(job, manifest, rows, clock)
    frozen = network_of(job, manifest)
    clock.lap("load the network")
    plan = plan_frozen(job, frozen, preview_split(job), unreadable=len(reasons))
    job.announce(plan)
    activations = _activations(shards)[order]
    clock.lap("activations")
    return fit_activations(frozen, known, activations, plan, clock)


def _options_for(folder: Path, manifest: Manifest, options: FitOptions) -> FitOptions:
    """The options with what the features say of themselves.

    Raises:
        UsageError: an option that contradicts them, or would have no effect.
        TortieError: they are not whole.
    """
    if not manifest.complete:
        raise TortieError(f"{folder} holds features that are not whole: run tortie extract again")
    if not manifest.frozen or len(manifest.shape) != 1:
        raise UsageError(
            f"{folder} holds what stage {manifest.cut} yields: fit takes features of all stages, "
            "tortie extract --freeze all"
        )
    fields = FitOptions.model_fields
    for name in _OF_PHOTOGRAPHS:
        if getattr(options, name) != fields[name].default:
            raise UsageError(
                f"{name} needs the photographs, and {folder} holds features: leave it out, or fit "
                "on the photographs"
            )
    for name in ("valid", "test"):
        if isinstance(getattr(options, name), Path):
            raise UsageError(
                f"{name}: a fraction goes with features; a folder is extracted with them"
            )
    for name in _OF_FEATURES:
        asked, own = getattr(options, name), getattr(manifest, name, None)
        if asked not in (fields[name].default, own):
            raise UsageError(f"{name} {asked}: {folder} holds features of {manifest.network}")
    return options.changed(
        network=manifest.network, weights=manifest.weights, input=manifest.input, quality=None
    )


_Listed = tuple[Photograph, str | None, Facts | None, str, int | None]


def _listed(shards: list[FeatureShard]) -> Iterator[_Listed]:
    """Photographs with content, facts, the reason why one cannot be read, and the row it has."""
    begin = 0
    for shard in shards:
        rows = range(len(shard))
        sha256 = [row.tobytes().hex() for row in shard.column("sha256")]
        each = zip(shard.photographs(rows), sha256, shard.facts(rows), rows, strict=True)
        for photograph, content, facts, row in each:
            yield photograph, content, facts, "", begin + row
        for path, label, reason in shard.header.skipped:
            yield Photograph(Path(path), label), None, None, reason, None
        begin += len(shard)


def _activations(shards: list[FeatureShard]) -> Floats:
    """All activations, float32 ``(N, D)``."""
    found = np.empty((sum(map(len, shards)), shards[0].shape[1]), np.float32)
    begin = 0
    for shard in shards:
        for at, block in shard.blocks(1024):
            found[begin + at : begin + at + len(block)] = block
        begin += len(shard)
    return found
