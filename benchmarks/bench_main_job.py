"""Claim: a folder of photographs becomes a classifier several times faster than the plain way.

Whole processes, in turn, store empty each time: `tortie fit` against
benchmarks/peers/plain_transfer.py (same network, same machine, same minute); then the same fit
again with the store warm.

    python benchmarks/bench_main_job.py IMAGES [--runs 3]     # IMAGES/{train,val}/class/*
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

HERE = Path(__file__).parent


def timed(command: list[str], cache: str) -> tuple[float, str]:
    environment = {**os.environ, "TORTIE_CACHE": cache, "PYTHONPATH": str(HERE.parent)}
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - begin, done.stdout


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):6.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.images is None:
        print("bench_main_job: skipped, it needs a folder IMAGES/{train,val}/class/*")
        return
    plain_command = [sys.executable, str(HERE / "peers/plain_transfer.py"), str(arguments.images)]
    cold, warm, plain = [], [], []
    for run in range(arguments.runs + 1):  # the first is a warm-up: file cache, byte code
        with tempfile.TemporaryDirectory() as folder:
            fit_command = [
                *(sys.executable, "-m", "tortie", "fit", str(arguments.images), "--json", "-q"),
                *("--force", "-o", f"{folder}/a.safetensors"),
            ]
            first, document = timed(fit_command, f"{folder}/cache")
            second, _ = timed(fit_command, f"{folder}/cache")
        third, right = timed(plain_command, tempfile.gettempdir())
        if run:
            cold.append(first)
            warm.append(second)
            plain.append(third)
    accuracy = json.loads(document)["accuracy"]
    tortie_right = round(accuracy["value"] * accuracy["n"])
    print(describe())
    print(f"tortie fit, store empty  {spread(cold)}  {tortie_right} of {accuracy['n']} right")
    print(f"tortie fit, store warm   {spread(warm)}")
    print(f"the plain way            {spread(plain)}  {right.strip()} right")
    ratios = sorted(a / b for a, b in zip(plain, cold, strict=True))
    print(
        f"plain / tortie           {statistics.median(ratios):6.2f}    "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f}, pair by pair)"
    )
    print(f"warm / cold              {statistics.median(warm) / statistics.median(cold):6.2f}")


if __name__ == "__main__":
    main()
