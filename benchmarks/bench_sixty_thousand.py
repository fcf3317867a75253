"""Claim: 60,000 photographs fit in under 1.5 GB, and none takes longer than among 1,000.

`tortie fit` on 1,000 and on 60,000 photographs of CIFAR-10 as JPEG files, whole processes, store
empty; peak memory as the operating system saw it. The marginal time is that of a photograph's
activations, from the fit's own clock: start-up and the softmax layer are told apart.

    python benchmarks/bench_sixty_thousand.py CIFAR [--few 1000]     # CIFAR/{train,test}/class/*
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

HERE = Path(__file__).parent


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


def fit(source: Path, folder: Path) -> tuple[float, float, dict[str, object]]:
    """Seconds, peak memory in MB and the JSON of a fit with an empty store."""
    environment = {
        **os.environ,
        "TORTIE_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(HERE.parent),
    }
    command = [
        *(sys.executable, "-m", "tortie", "fit", str(source), "--json", "-q", "--force"),
        *("-o", str(folder / "a.safetensors")),
    ]
    begin = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    document = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return time.perf_counter() - begin, usage.ru_maxrss / 1024, document


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
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            seconds, peak, document = fit(some(arguments.images, count, folder), folder)
        phases = document["phases"]
        marginal.append(1e3 * phases["activations"] / count)
        accuracy = document["accuracy"]
        print(
            f"{count:6,} photographs: {seconds:7.1f} s, {peak:6,.0f} MB, accuracy "
            f"{accuracy['value']:.1%} ({accuracy['low']:.1%} to {accuracy['high']:.1%}), "
            f"{marginal[-1]:.2f} ms a photograph; phases {phases}"
        )
    print(f"marginal time, {total:,} against {arguments.few:,}: {marginal[1] / marginal[0]:.2f}")


if __name__ == "__main__":
    main()
