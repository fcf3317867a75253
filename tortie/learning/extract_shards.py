"""Features of any number of photographs into a folder, one file for each shard of them.

What a shard needs is in memory while it is at work, and nothing of the others. A file appears when
it is whole; one that is there, of the same photographs and network, is not computed again.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tortie.activations.extract import Extractor
from tortie.activations.feature_shards import (
    FeatureShard,
    FeatureType,
    Manifest,
    ShardHeader,
    ShardRows,
    checked_type,
    is_feature_folder,
    read_manifest,
    write_shard,
)
from tortie.activations.store import ActivationStore
from tortie.activations.streaming import forward_workers, stream
from tortie.errors import TortieError, UsageError
from tortie.images import Collection, Facts, Photograph
from tortie.images.input_shards import InputShard, input_shards
from tortie.images.inputs import Images
from tortie.images.labels import LabelType, in_order
from tortie.learning.frozen_network import extractor_of
from tortie.learning.job import Events, make_job
from tortie.learning.options import FitOptions
from tortie.processes import join


@dataclass(frozen=True)
class ExtractResult:
    """What an extraction left in its folder.

    Attributes:
        manifest: of the folder.
        computed: shards that were computed here and now.
        shards: of the source.
    """

    manifest: Manifest
    computed: int
    shards: int


def extract_shards(
    images: Images, folder: Path, options: FitOptions, dtype: FeatureType = "float16",
    events: Events | None = None,
) -> ExtractResult:  # fmt: skip
    """Write the features of photographs into a folder; several processes share out the shards.

    Args:
        images: labelled photographs, in files.
        folder: made where it is not there.
        options: network, weights, freeze and what else the features depend on.
        dtype: that they are kept in.
        events: callbacks; the progress is in shards.

    Raises:
        UsageError: a folder with features of another network, a network that has nothing frozen.
        TortieError: photographs that cannot be listed, or files that cannot be written.
    """
    processes, events = join(options.device), events or Events()
    shards = input_shards(images, options.splits)
    job = make_job(
        Collection(Path(), (), ()), (), options, ActivationStore.default(events.note),
        processes, events,
    )  # fmt: skip
    if job.freeze is None or not job.freeze.stages:
        raise UsageError("extract computes frozen stages: take freeze all, a stage or a number")
    extractor = extractor_of(job)
    begun = Manifest(
        complete=False, network=options.network, weights=job.options.weights,
        freeze=str(options.freeze), frozen=job.freeze.is_complete, input=options.input,
        cut=extractor.cut, shape=list(extractor.output), dtype=dtype,
        precision=extractor.context.precision, context=extractor.context.digest,
        tensors=extractor.context.tensors,
    )  # fmt: skip
    if processes.first:
        _begin(folder, begun)
    processes.barrier()
    files = [f"{shard.name}.safetensors" for shard in shards]
    own = list(range(len(shards)))[processes.rank :: processes.count]
    computed = 0
    with forward_workers(extractor.threads) as workers:
        for done, number in enumerate(own):
            events.progress(done, len(own))
            path = folder / files[number]
            if not _is_done(path, shards[number], begun):
                _compute(extractor, shards[number], path, begun, workers)
                computed += 1
        events.progress(len(own), len(own))
    processes.barrier()
    manifest = begun
    if processes.first:
        manifest = _finish(folder, begun, files, events)
    return ExtractResult(manifest, computed, len(shards))


def _begin(folder: Path, begun: Manifest) -> None:
    """Make the folder, or see that what is there is of the same network."""
    if is_feature_folder(folder):
        there = read_manifest(folder)
        if (there.context, there.dtype) != (begun.context, begun.dtype):
            raise UsageError(
                f"{folder} holds features of {there.network} through {there.cut} "
                f"({there.dtype}, computed in {there.precision}), not of {begun.network} through "
                f"{begun.cut} ({begun.dtype}, {begun.precision}): choose another folder"
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there and holds no features: choose another folder")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from None
    begun.write(folder)


def _is_done(path: Path, shard: InputShard, begun: Manifest) -> bool:
    """Whether a file holds these photographs' features."""
    if not path.is_file():
        return False
    try:
        header = FeatureShard(path).header
    except TortieError:  # damaged: it is written anew
        return False
    return (header.context, header.stamp, header.dtype) == (
        begun.context, shard.stamp, begun.dtype,
    )  # fmt: skip


def _compute(
    extractor: Extractor, shard: InputShard, path: Path, begun: Manifest,
    workers: ThreadPoolExecutor,
) -> None:  # fmt: skip
    """Write a shard's file; equal photographs have equal rows, each with its own path."""
    collection = shard.listed()
    photographs = collection.photographs
    features = np.empty((len(photographs), *extractor.output), begun.dtype)
    sha256: list[str] = []
    facts: list[Facts] = []
    kept: list[Photograph] = []
    skipped: list[tuple[str, str, str]] = []
    sources = [photograph.path for photograph in photographs]
    for item, row in stream(extractor, sources, workers):
        photograph = photographs[item.index]
        if row is None or item.facts is None or item.sha256 is None:
            reason = item.reason or "unreadable"
            skipped.append((str(photograph.path), photograph.label, reason))
            continue
        features[len(kept)] = checked_type(row, begun.dtype, photograph.path)
        sha256.append(item.sha256)
        facts.append(item.facts)
        kept.append(photograph)
    header = ShardHeader(
        context=begun.context, stamp=shard.stamp, dtype=begun.dtype,
        classes=sorted({one.label for one in kept}), label_type=collection.label_type,
        skipped=skipped, notes=list(collection.all_notes),
    )  # fmt: skip
    write_shard(path, header, ShardRows(features[: len(kept)], sha256, facts, kept))


def _finish(folder: Path, begun: Manifest, files: Sequence[str], events: Events) -> Manifest:
    """Write the manifest of the whole, and tell what was left out."""
    classes: set[str] = set()
    kinds: set[LabelType] = set()
    photographs = skipped = 0
    for name in files:
        shard = FeatureShard(folder / name)
        for path, _, reason in shard.header.skipped:
            events.note(f"left out: {path}: {reason}")
        for line in shard.header.notes:
            events.note(f"note: {line}")
        classes.update(shard.header.classes)
        kinds.add(shard.header.label_type)
        photographs += len(shard)
        skipped += len(shard.header.skipped)
    if not photographs:
        raise TortieError(f"none of the {skipped:,} photographs can be read")
    kind: LabelType = kinds.pop() if len(kinds) == 1 else "str"
    manifest = begun.model_copy(
        update={
            "complete": True, "classes": list(in_order(classes, kind)), "label_type": kind,
            "photographs": photographs, "skipped": skipped, "files": list(files),
        }
    )  # fmt: skip
    manifest.write(folder)
    return manifest
