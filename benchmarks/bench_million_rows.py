"""Claim: a million rows of features are fitted in under 10 minutes and 2 GB.

A million rows of 1,280 float16 (2.6 GB), made of the features of CIFAR-10 (rows drawn with noise,
each class of ten cut into ten by a plane, so that classes overlap), in files of 10,000, as `tortie
extract` writes them. The first five penalties that a fit tries, each from the last, to a gradient
of 1e-5 of the first. FEATURES are those of CIFAR-10 (`tortie extract`); rows that are in FOLDER
already are not made again.

    python benchmarks/bench_million_rows.py FEATURES FOLDER [--rows 1000000] [--classes 100]
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from machine import describe

FILE, BLOCK = 10_000, 2048


def make(source: Path, folder: Path, rows: int, classes: int) -> None:
    """Files of features and labels."""
    from safetensors.numpy import save_file

    from tortie.activations.feature_shards import FeatureShard, ShardHeader, read_manifest

    manifest = read_manifest(source)
    shards = [FeatureShard(source / name) for name in manifest.files]
    known = np.concatenate([one.features(np.arange(len(one))) for one in shards])
    of = np.concatenate([one.column("labels") for one in shards])
    rng = np.random.default_rng(0)
    each = classes // len(manifest.classes)
    planes = rng.standard_normal((known.shape[1], each)).astype(np.float32)
    spread = known.std(axis=0)
    labels = of * each + ((known - known.mean(axis=0)) / spread @ planes).argmax(axis=1)
    header = ShardHeader(
        context="", stamp="", dtype="float16", classes=[str(one) for one in range(classes)],
        label_type="int", skipped=[], notes=[],
    )  # fmt: skip
    folder.mkdir(parents=True)
    for number in range(rows // FILE):
        drawn = rng.integers(len(known), size=FILE)
        noise = rng.standard_normal((FILE, known.shape[1]), np.float32) * spread
        arrays = {"features": (known[drawn] + noise).astype(np.float16), "labels": labels[drawn]}
        told = {"tortie_features": header.model_dump_json()}
        save_file(arrays, folder / f"{number:04}.safetensors", told)


def solve(folder: Path, rows: int, classes: int) -> None:
    """The five penalties."""
    from tortie.activations.feature_shards import FeatureShard
    from tortie.learning.softmax import PENALTIES
    from tortie.learning.streaming_solver import Block, StreamedProblem

    def read(shard: FeatureShard, labels: np.ndarray, at: int) -> Block:
        own = np.arange(at, min(at + BLOCK, len(shard)))
        return Block(shard.features(own), labels[own], np.full(len(own), 1 / rows, np.float32))

    blocks = []
    for path in sorted(folder.glob("*.safetensors")):
        shard = FeatureShard(path)
        labels = shard.column("labels")
        blocks += [partial(read, shard, labels, at) for at in range(0, len(shard), BLOCK)]
    begin, used = time.perf_counter(), time.process_time()
    problem = StreamedProblem(blocks, rows, (shard.shape[1], classes), os.cpu_count() or 1)

    def tell(what: str, passes: int, since: float, processor: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{what}: {passes} passes, {time.perf_counter() - since:.0f} s, "
            f"{time.process_time() - processor:.0f} s of processor, peak {peak:,.0f} MB, "
            f"gradient {problem.reached:.1e} of the first, load {os.getloadavg()[0]:.1f}",
            flush=True,
        )

    tell("scale and sample", 1, begin, used)
    for penalty in PENALTIES[:10:2]:  # whole decades, as a fit of many photographs tries them
        passes, at, then = problem.passes, time.perf_counter(), time.process_time()
        problem.solve(penalty, 0.0)
        tell(f"penalty {penalty:g}", problem.passes - passes, at, then)
    tell(f"{rows:,} rows, {classes:,} classes, all", problem.passes + 1, begin, used)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", nargs="?", type=Path)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--make", action="store_true", help="make the rows alone")
    arguments = parser.parse_args()
    if arguments.folder is None:
        print("bench_million_rows: skipped, it needs features and a folder")
        return
    folder = arguments.folder / f"rows-{arguments.rows}-{arguments.classes}"
    if arguments.make:
        make(arguments.source, folder, arguments.rows, arguments.classes)
        return
    if not folder.exists():  # in a process of its own, for its memory
        subprocess.run([sys.executable, *sys.argv, "--make"], check=True)
    print(describe())
    solve(folder, arguments.rows, arguments.classes)


if __name__ == "__main__":
    main()
