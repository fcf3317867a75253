"""Claim: 60,000 photographs fit in under 0.85 GB, and none takes longer than among 1,000.

`tortie fit` on 1,000 and on 60,000 photographs of CIFAR-10 as JPEG files, whole processes, store
empty, and for the 60,000 the network known, as after any fit on it; peak memory as the operating
system saw it. The marginal time is that of a photograph's activations, from the fit's own clock:
start-up and the softmax layer are told apart.

    python benchmarks/bench_sixty_thousand.py CIFAR [--few 1000]     # CIFAR/{train,test}/class/*
"""

import argparse
import csv
import shutil
import tempfile
from pathlib import Path

from commands import tortie
from machine import describe


def some(images: Path, count: int, folder: Path) -> Path:
    """A CSV of ``count`` photographs, as many of each class and split as in the whole."""
    found = sorted(path for path in images.rglob("*") if path.is_file())
    step = len(found) / count
    target = folder / f"{count}.csv"
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        for number in range(count):
            path = found[int(number * step)]
            writer.writerow((path, path.parent.name, path.parent.parent.name))
    return target


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--few", type=int, default=1000)
    arguments = parser.parse_args()
    if arguments.images is None:
        print("bench_sixty_thousand: skipped, it needs a folder CIFAR/{train,test}/class/*")
        return
    print(describe())
    total = sum(path.is_file() for path in arguments.images.rglob("*"))
    marginal = []
    for count in (arguments.few, total):
        with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as first:
            folder, cache = Path(name), Path(name) / "cache"
            source, target = some(arguments.images, count, folder), folder / "a.safetensors"
            if marginal:
                few = some(arguments.images, 20, Path(first))
                tortie("fit", few, "-o", f"{first}/a.safetensors", cache=Path(first) / "cache")
                shutil.copytree(Path(first) / "cache/graphs", cache / "graphs")
            ran = tortie("fit", source, "-o", target, "--force", cache=cache)
        phases = ran.document["phases"]
        marginal.append(1e3 * phases["activations"] / count)
        accuracy = ran.document["accuracy"]
        print(
            f"{count:6,} photographs: {ran.seconds:7.1f} s, {ran.megabytes:6,.0f} MB, accuracy "
            f"{accuracy['value']:.1%} ({accuracy['low']:.1%} to {accuracy['high']:.1%}), "
            f"{marginal[-1]:.2f} ms a photograph; phases {phases}"
        )
    print(f"marginal time, {total:,} against {arguments.few:,}: {marginal[1] / marginal[0]:.2f}")


if __name__ == "__main__":
    main()
