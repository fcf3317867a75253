"""Features of any number of photographs into a folder, one file for each shard of them.

What a shard needs is in memory while it is at work, and nothing of the others. A file appears when
it is whole; one that is there, of the same photographs and network, is not computed again.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tortie.activations.feature_shards import (
    MANIFEST,
    FeatureShard,
    FeatureType,
    Manifest,
    is_feature_folder,
    read_manifest,
)
from tortie.activations.streaming import forward_workers
from tortie.errors import TortieError, UsageError
from tortie.files import check_local
from tortie.images.input_shards import InputShard, input_shards
from tortie.images.inputs import Images
from tortie.images.labels import LabelType, in_order
from tortie.learning.job import Events
from tortie.learning.options import FitOptions
from tortie.learning.shard_features import ShardExtractor
from tortie.processes import join

Runner = Literal["local", "ray"]
"""What shares out the shards."""


@dataclass(frozen=True)
class ExtractResult:
    """What an extraction left in its folder.

    Attributes:
        manifest: of the folder.
        computed: shards that were computed now, by all processes.
        shards: of the source.
    """

    manifest: Manifest
    computed: int
    shards: int


def extract_shards(
    images: Images, folder: Path, options: FitOptions, dtype: FeatureType = "float16",
    events: Events | None = None, runner: Runner = "local",
) -> ExtractResult:  # fmt: skip
    """Write the features of photographs into a folder; several processes share out the shards.

    Args:
        images: labelled photographs, in files.
        folder: made where it is not there.
        options: network, weights, freeze and what else the features depend on.
        dtype: that they are kept in.
        events: callbacks; the progress is in shards.
        runner: ``local`` for this process and those of torchrun, ``ray`` for Ray's workers.

    Raises:
        UsageError: a folder with features of another network, a network that has nothing frozen.
        TortieError: photographs that cannot be listed, or files that cannot be written.
    """
    processes, events = join(options.device), events or Events()
    if runner == "ray" and processes.count > 1:
        raise UsageError("the runner ray shares out the shards itself: run it without torchrun")
    shards = input_shards(images, options.splits)
    here = ShardExtractor(options, dtype, processes, events.note)
    manifest = here.begun
    with _begun(folder, here.begun) if processes.first else nullcontext():
        processes.barrier()
        targets = [folder / f"{shard.name}.safetensors" for shard in shards]
        own = list(range(len(shards)))[processes.rank :: processes.count]
        if runner == "ray":
            computed = _by_ray(here, shards, targets, options, events)
        else:
            computed = _locally(here, shards, targets, own, events)
        processes.barrier()
        computed = round(processes.all_reduce_scalars(computed)[0])
        if processes.first:
            manifest = _finish(folder, here.begun, [path.name for path in targets], events)
    return ExtractResult(manifest, computed, len(shards))


def _locally(
    here: ShardExtractor, shards: Sequence[InputShard], targets: Sequence[Path],
    own: Sequence[int], events: Events,
) -> int:  # fmt: skip
    """Compute those of the shards that are not there, one after the other; how many they are.

    Raises:
        TortieError: a shard cannot be read. What of it is a wrong use fails in this process
            alone, where there are several: the others know nothing of it.
    """
    computed = 0
    with forward_workers(here.extractor.threads) as workers:
        for done, number in enumerate(own):
            events.progress(done, len(own))
            if not here.is_done(targets[number], shards[number]):
                try:
                    here.compute(shards[number], targets[number], workers)
                except UsageError as error:
                    raise TortieError(str(error)) if len(own) < len(shards) else error from None
                computed += 1
        events.progress(len(own), len(own))
    return computed


def _by_ray(
    here: ShardExtractor, shards: Sequence[InputShard], targets: Sequence[Path],
    options: FitOptions, events: Events,
) -> int:  # fmt: skip
    """Have Ray's workers compute those of the shards that are not there; how many they are."""
    from tortie.learning.ray_runner import Work, compute_by_ray

    each = enumerate(zip(targets, shards, strict=True))
    missing = [number for number, (path, shard) in each if not here.is_done(path, shard)]
    extractor = here.extractor
    chosen = options.changed(precision=extractor.choice.precision, engine=extractor.choice.engine)
    work = Work(
        options=chosen, dtype=here.begun.dtype, context=here.begun.context, shards=shards,
        targets=[path.absolute() for path in targets], directory=os.getcwd(),
    )  # fmt: skip
    compute_by_ray(work, missing, events, extractor.device, options.threads)
    return len(missing)


@contextmanager
def _begun(folder: Path, begun: Manifest) -> Iterator[None]:
    """A block that fills a folder: made, or there with features of the same network.

    A folder that was made for the block and has no features in the end is taken away.
    """
    made = not folder.exists()
    _begin(folder, begun)
    try:
        yield
    except BaseException:
        if made and [path.name for path in folder.iterdir()] == [MANIFEST]:
            (folder / MANIFEST).unlink()
            folder.rmdir()
        raise


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
    check_local(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from None
    begun.write(folder)


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
        if shard.header.classes:
            kinds.add(shard.header.label_type)
        photographs += len(shard)
        skipped += len(shard.header.skipped)
    if not photographs:
        for name in files:  # which have no rows
            (folder / name).unlink()
        if skipped:
            raise TortieError(f"none of the {skipped:,} photographs can be read")
        raise UsageError(f"no photograph in {len(files):,} shards: give labelled photographs")
    kind: LabelType = kinds.pop() if len(kinds) == 1 else "str"
    manifest = begun.model_copy(
        update={
            "complete": True, "classes": list(in_order(classes, kind)), "label_type": kind,
            "photographs": photographs, "skipped": skipped, "files": list(files),
        }
    )  # fmt: skip
    manifest.write(folder)
    return manifest
