"""Claim: features of a million photographs are fitted in under 10 minutes and 2 GB.

`solver`: a million rows of 1,280 float16, made of the features of CIFAR-10 (rows drawn with noise,
each class of ten cut into ten by a plane, so that classes overlap), in files of 10,000. Five
penalties to a gradient of 1e-5 of the first. `photographs`: 60,000 photographs as 60 tar shards,
extracted and fitted in their files, beside the fit on the shards in memory, its store empty.

    python benchmarks/bench_shards.py solver FEATURES FOLDER [--rows 1000000] [--classes 100]
    python benchmarks/bench_shards.py photographs SHARDS FOLDER [--features | --memory]
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import commands
import numpy as np
from machine import describe

FILE = 10_000
PENALTIES = (1.0, 0.1, 0.01, 0.001, 0.0001)


def make(features: Path, folder: Path, rows: int, classes: int) -> None:
    """Files of features and labels, as numpy writes them."""
    from tortie.activations.feature_shards import FeatureShard, read_manifest

    manifest = read_manifest(features)
    shards = [FeatureShard(features / name) for name in manifest.files]
    known = np.concatenate([one.features(np.arange(len(one))) for one in shards])
    of = np.concatenate([one.column("labels") for one in shards])
    rng = np.random.default_rng(0)
    each = classes // len(manifest.classes)
    planes = rng.standard_normal((known.shape[1], each)).astype(np.float32)
    spread = known.std(axis=0)
    labels = of * each + ((known - known.mean(axis=0)) / spread @ planes).argmax(axis=1)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(rows // FILE):
        drawn = rng.integers(len(known), size=FILE)
        noise = rng.standard_normal((FILE, known.shape[1]), np.float32) * spread
        np.save(folder / f"{number:04}.npy", (known[drawn] + noise).astype(np.float16))
        np.save(folder / f"{number:04}-labels.npy", labels[drawn])


def read(path: Path, at: int, rows: int):
    """A block of 2,000 rows."""
    from tortie.learning.streaming_solver import Block

    part = slice(at, at + 2000)
    features = np.load(path, mmap_mode="r")[part].astype(np.float32)
    labels = np.load(path.with_name(f"{path.stem}-labels.npy"))[part]
    return Block(features, labels, np.full(len(labels), 1 / rows, np.float32))


def solver(arguments: argparse.Namespace) -> None:
    """Five penalties, each from the last."""
    from tortie.learning.streaming_solver import StreamedProblem

    folder, rows = arguments.folder / f"rows-{arguments.rows}-{arguments.classes}", arguments.rows
    if not folder.exists():
        command = [sys.executable, __file__, "make", str(arguments.source), str(folder)]
        command += ["--rows", str(rows), "--classes", str(arguments.classes)]
        subprocess.run(command, check=True)  # in a process of its own, for its memory
    files = sorted(one for one in folder.glob("*.npy") if "-" not in one.stem)
    blocks = [partial(read, one, at, rows) for one in files for at in range(0, FILE, 2000)]
    begin = time.perf_counter()
    width = np.load(files[0], mmap_mode="r").shape[1]
    problem = StreamedProblem(blocks, rows, (width, arguments.classes), os.cpu_count() or 1)
    for penalty in PENALTIES:
        passes, at, used = problem.passes, time.perf_counter(), time.process_time()
        problem.solve(penalty)
        seconds, used = time.perf_counter() - at, time.process_time() - used
        passes = problem.passes - passes
        print(
            f"{penalty:g}: {passes} passes, {seconds:.1f} s, {seconds / passes:.2f} s a pass, "
            f"{used / passes:.2f} s of processor",
            flush=True,
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{rows:,} rows x {width}, {arguments.classes} classes, five penalties: {problem.passes} "
        f"passes, {time.perf_counter() - begin:.0f} s, {peak:,.0f} MB at the peak"
    )


def tortie(*arguments: object, folder: Path) -> dict[str, Any]:
    """The JSON of a command; what it took is printed."""
    ran = commands.tortie(*arguments, cache=folder / "cache")
    text = (
        f"{ran.seconds:.1f} s, {ran.processor:.1f} s of processor, {ran.megabytes:,.0f} MB at the "
        "peak"
    )
    accuracy = ran.document.get("accuracy")
    if accuracy:
        text += f", accuracy {accuracy['value']:.2%} ({accuracy['low']:.2%} to "
        text += f"{accuracy['high']:.2%}) of {accuracy['n']:,}; phases {ran.document['phases']}"
    print(f"{' '.join(map(str, arguments[:1]))}: {text}", flush=True)
    return ran.document


def photographs(arguments: argparse.Namespace) -> None:
    """Through files of features, and in memory."""
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    source, classifier = arguments.source, folder / "a.safetensors"
    if not arguments.memory:
        tortie("extract", source, "-o", folder / "features", folder=folder)
        tortie("fit", folder / "features", "-o", classifier, "--force", folder=folder)
    if not arguments.features:
        tortie("fit", source, "-o", classifier, "--force", folder=folder)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", choices=("solver", "make", "photographs"))
    parser.add_argument("source", nargs="?", type=Path)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--features", action="store_true")
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    if arguments.folder is None:
        print("bench_shards: skipped, it needs features or shards of photographs")
        return
    if arguments.what == "make":
        make(arguments.source, arguments.folder, arguments.rows, arguments.classes)
        return
    print(f"{describe()}, load {os.getloadavg()[0]:.1f}")
    (solver if arguments.what == "solver" else photographs)(arguments)


if __name__ == "__main__":
    main()
