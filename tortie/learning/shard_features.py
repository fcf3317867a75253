"""The features of one shard of photographs: computed and written, or there already."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
    write_shard,
)
from tortie.activations.store import ActivationStore
from tortie.activations.streaming import stream
from tortie.errors import TortieError, UsageError
from tortie.images import Collection, Facts, Photograph
from tortie.images.input_shards import InputShard
from tortie.learning.frozen_network import extractor_of
from tortie.learning.job import Events, make_job
from tortie.learning.options import FitOptions
from tortie.processes import Processes


class ShardExtractor:
    """Computes what the frozen stages of a network make of shards.

    Args:
        options: network, weights, freeze and what else the features depend on.
        dtype: that they are kept in.
        processes: this process, and those beside it.
        note: told of what the user should know.

    Attributes:
        extractor: of the activations.
        begun: the manifest of a folder that has none of them yet.

    Raises:
        UsageError: no such network, or one that has nothing frozen.
    """

    def __init__(
        self, options: FitOptions, dtype: FeatureType, processes: Processes,
        note: Callable[[str], None],
    ) -> None:  # fmt: skip
        job = make_job(
            Collection(Path(), (), ()), (), options, ActivationStore.default(note), processes,
            Events(note=note),
        )  # fmt: skip
        if job.freeze is None or not job.freeze.stages:
            raise UsageError("extract computes frozen stages: take freeze all, a stage or a number")
        self.extractor: Extractor = extractor_of(job)
        context = self.extractor.context
        self.begun = Manifest(
            complete=False, network=options.network, weights=job.options.weights,
            freeze=str(options.freeze), frozen=job.freeze.is_complete, input=options.input,
            cut=self.extractor.cut, shape=list(self.extractor.output), dtype=dtype,
            precision=context.precision, context=context.digest, tensors=context.tensors,
        )  # fmt: skip

    def is_done(self, path: Path, shard: InputShard) -> bool:
        """Whether a file holds these photographs' features."""
        if not path.is_file():
            return False
        try:
            header = FeatureShard(path).header
        except TortieError:  # damaged: it is written anew
            return False
        return (header.context, header.stamp, header.dtype) == (
            self.begun.context, shard.stamp, self.begun.dtype,
        )  # fmt: skip

    def compute(self, shard: InputShard, path: Path, workers: ThreadPoolExecutor) -> None:
        """Write a shard's file; equal photographs have equal rows, each with its own path.

        Args:
            shard: of photographs.
            path: of the file.
            workers: run the network.

        Raises:
            TortieError: the shard cannot be read, or the file cannot be written.
        """
        with shard.opened() as collection:
            self._compute(collection, shard.stamp, path, workers)

    def _compute(
        self, collection: Collection, stamp: str, path: Path, workers: ThreadPoolExecutor
    ) -> None:
        photographs, begun = collection.photographs, self.begun
        features = np.empty((len(photographs), *self.extractor.output), begun.dtype)
        sha256: list[str] = []
        facts: list[Facts] = []
        kept: list[Photograph] = []
        skipped: list[tuple[str, str, str]] = []
        sources = [photograph.path for photograph in photographs]
        for item, row in stream(self.extractor, sources, workers):
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
            context=begun.context, stamp=stamp, dtype=begun.dtype,
            classes=sorted({one.label for one in kept}), label_type=collection.label_type,
            skipped=skipped, notes=list(collection.all_notes),
        )  # fmt: skip
        write_shard(path, header, ShardRows(features[: len(kept)], sha256, facts, kept))
