"""Claim: Ray's two workers extract at least 75% as many photographs a second as one process does.

The same shards, processors and minutes, in turn, a few times each; features compared to the last
bit. Ray is started beforehand, its workers are not: each run of it imports torch and builds the
network twice. Wall time is of the extraction alone; processor time is that of all processes.

    python benchmarks/bench_ray.py SHARDS FOLDER [--rounds 3]
"""

import argparse
import logging
import os
import shutil
import statistics
import time
from pathlib import Path

import psutil
from machine import describe

WORKERS = 2


def seconds_of_processor() -> float:
    """Of this process and of all below it, those that ended and were waited for included."""
    own = psutil.Process()
    total = 0.0
    for one in (own, *own.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def measure(shards: Path, folder: Path, runner: str) -> tuple[float, float, int]:
    """Seconds of wall time and of processors, and the number of photographs."""
    from tortie.learning.extract_shards import extract_shards
    from tortie.learning.options import FitOptions

    shutil.rmtree(folder, ignore_errors=True)
    options = FitOptions.of(threads=1 if runner == "ray" else WORKERS)
    begin, before = time.perf_counter(), seconds_of_processor()
    found = extract_shards(shards, folder, options, runner=runner)
    wall = time.perf_counter() - begin
    return wall, seconds_of_processor() - before, found.manifest.photographs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(
        num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, configure_logging=False
    )
    print(describe(), f"load {os.getloadavg()[0]:.1f}")
    asked.folder.mkdir(parents=True, exist_ok=True)
    ratios = []
    for _ in range(asked.rounds):
        found = {}
        for runner in ("local", "ray"):
            wall, processor, photographs = measure(asked.shards, asked.folder / runner, runner)
            found[runner] = photographs / wall
            print(
                f"{runner}: {photographs:,} photographs, {photographs / wall:.0f} a second, "
                f"{1000 * processor / photographs:.2f} ms of processor each, "
                f"load {os.getloadavg()[0]:.1f}"
            )
        for path in (asked.folder / "local").iterdir():
            assert path.read_bytes() == (asked.folder / "ray" / path.name).read_bytes(), path
        ratios.append(found["ray"] / found["local"])
    print(f"ray / local: {statistics.median(ratios):.2f} of {ratios}; equal to the last bit")


if __name__ == "__main__":
    main()
