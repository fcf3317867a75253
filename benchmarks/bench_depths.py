"""Claim: `--freeze auto` comes close to the best of freezing all, half and nothing.

The default network, each depth alone and `auto`, several seeds; a seed moves the photographs that
choose the epoch, the fresh softmax layer and every draw. Prints accuracies on the photographs under
`test/` (or `val/`), seconds, and what `auto` kept.

    python benchmarks/bench_depths.py IMAGES [--seeds 3] [--input 128x128x3] [--budget 10m]
                                   [--train N] [--test N] [--from N]  # IMAGES/{train,test}/class/*

`--train` and `--test` take the first N photographs of each class; `--from` passes over N of train.
"""

import argparse
import csv
import os
import statistics
import tempfile
import time
from pathlib import Path

from machine import describe

from tortie import ImageClassifier
from tortie.learning.freeze import middle_stage
from tortie.learning.job import Events
from tortie.networks.table import find


def listed(images: Path, train: int | None, test: int | None, first: int, folder: Path) -> Path:
    """A CSV of some photographs of each class."""
    target = folder / "photographs.csv"
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        for part in sorted(one for one in images.iterdir() if one.is_dir()):
            split, most = ("train", train) if part.name == "train" else ("test", test)
            for one in sorted(part.iterdir()):
                files = [path for path in sorted(one.iterdir()) if path.is_file()]
                files = files[first if split == "train" else 0 :][:most]
                writer.writerows((path, one.name, split) for path in files)
    return target


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--input")
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--train", type=int)
    parser.add_argument("--test", type=int)
    parser.add_argument("--from", dest="first", type=int, default=0)
    arguments = parser.parse_args()
    half = middle_stage(find("efficientnet-lite0").build().stage_names)
    found: dict[str, list[float]] = {freeze: [] for freeze in ("all", half, "none", "auto")}
    with tempfile.TemporaryDirectory() as name:
        os.environ["TORTIE_CACHE"] = str(Path(name) / "cache")
        source = listed(
            arguments.images, arguments.train, arguments.test, arguments.first, Path(name)
        )
        for seed in range(arguments.seeds):
            for freeze in found:
                notes: list[str] = []
                begin = time.perf_counter()
                classifier = ImageClassifier(
                    freeze=freeze,
                    input=arguments.input,
                    budget=arguments.budget if freeze == "auto" else 600.0,
                    seed=seed,
                    threads=arguments.threads,
                ).fit(source, events=Events(note=notes.append))
                seconds = time.perf_counter() - begin
                accuracy = classifier.accuracy_
                assert accuracy is not None
                found[freeze].append(100 * accuracy.value)
                told = [note for note in notes if note.startswith("depth: ")][-1:]
                print(
                    f"seed {seed}, freeze {freeze}: {found[freeze][-1]:.1f}% of {accuracy.n:,}, "
                    f"{seconds:.0f} s {' '.join(told)}",
                    flush=True,
                )
    print(describe())
    for freeze, values in found.items():
        spread = f"({min(values):.1f} to {max(values):.1f})"
        print(f"freeze {freeze}: {statistics.mean(values):.1f}% {spread}")
    best = max(statistics.mean(values) for freeze, values in found.items() if freeze != "auto")
    print(f"auto is {best - statistics.mean(found['auto']):.1f} points under the best of the three")


if __name__ == "__main__":
    main()
