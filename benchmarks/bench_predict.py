"""Claim: predictions of any number of photographs take the memory of a few, and survive a kill.

``tortie predict -o`` on tar shards of CIFAR-10, the store empty: peak memory and photographs a
second for a few shards and for many, of which the run is killed (SIGKILL) at the middle and
resumed. Then the same to Parquet, from the store. All rows are there, once, in the shards' order.

    python benchmarks/bench_predict.py CIFAR CLASSIFIER [--few 5000] [--many 20000]
"""

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_shards import write_shards
from machine import describe


def predicted(
    classifier: Path, shards: Path, output: Path, *more: str, cache: Path, kill_at: int = 0
) -> None:
    """Predict the shards into a file, and tell what it took; perhaps killed after so many."""
    home = str(Path(__file__).parent.parent)
    environment = {**os.environ, "TORTIE_CACHE": str(cache), "PYTHONPATH": home}
    words = ["predict", str(classifier), str(shards), "-o", str(output), "-q", *more]
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tortie", *words], env=environment, stdout=subprocess.DEVNULL
    )
    journal = output.with_name(f"{output.name}.partial")
    while kill_at and process.poll() is None:
        time.sleep(1)
        if journal.exists() and sum(1 for _ in journal.open("rb")) > kill_at:
            process.send_signal(signal.SIGKILL)
            break
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    print(
        f"{shards.name:>6} photographs to {output.suffix}{' ' * bool(more)}{' '.join(more)}"
        f"{', killed' * (process.returncode < 0)}: {used.ru_maxrss / 1024:,.0f} MB at the peak, "
        f"{used.ru_utime:.1f} s of processor, {time.perf_counter() - begin:.1f} s by the clock",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", nargs="?", type=Path)
    parser.add_argument("classifier", nargs="?", type=Path)
    parser.add_argument("--few", type=int, default=5_000)
    parser.add_argument("--many", type=int, default=20_000)
    arguments = parser.parse_args()
    if arguments.classifier is None:
        print("bench_predict: skipped, it needs CIFAR/{train,test}/class/* and a classifier")
        return
    print(f"{describe()}, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in (arguments.few, arguments.many):
            write_shards(arguments.images, count, folder / str(count))
        few, many = folder / str(arguments.few), folder / str(arguments.many)
        model, cache = arguments.classifier, folder / "cache"
        predicted(model, few, folder / "few.csv", cache=folder / "other")
        table = folder / "many.csv"
        predicted(model, many, table, cache=cache, kill_at=arguments.many // 2)
        predicted(model, many, table, "--resume", cache=cache)
        predicted(model, many, folder / "many.parquet", cache=cache)
        with table.open(newline="") as file:
            paths = [row[0] for row in csv.reader(file)][1:]
        from pyarrow.parquet import read_table

        same = read_table(folder / "many.parquet").column("path").to_pylist() == paths
        once = len(paths) == len({*paths}) == arguments.many and paths == sorted(paths)
        print(f"each photograph once, in the shards' order: {once}; the same in Parquet: {same}")


if __name__ == "__main__":
    main()
