"""What the activation store costs beside a plain file of the same bytes.

For entries of 5 kB (a vector of 1,280 float32), 100 kB and 1.6 MB (as a cut in the middle makes
them): processor seconds to write them, and to read them into one array, on a warm page cache. The
floor is a plain file: the same arrays written one after another, and read back into the same
array. Taken in turn, the median of five rounds and their range.

    python benchmarks/bench_store.py [ROUNDS]
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from machine import describe
from numpy.typing import NDArray

from tortie.activations.store import ActivationStore

SIZES = {"5 kB": (20_000, 1_280), "100 kB": (1_000, 25_600), "1.6 MB": (200, 400_000)}
Rows = NDArray[np.float32]


def write_store(folder: Path, keys: list[bytes], rows: Rows) -> None:
    with ActivationStore(folder, 10**10, sys.exit) as store, store.writer() as writer:
        for key, row in zip(keys, rows, strict=True):
            writer.put(key, row)


def read_store(folder: Path, keys: list[bytes], out: Rows) -> None:
    with ActivationStore(folder, 10**10, sys.exit) as store:
        assert store.get_into(keys, out).all()


def write_plain(folder: Path, keys: list[bytes], rows: Rows) -> None:
    with (folder / "plain").open("wb") as file:
        for row in rows:
            file.write(row)


def read_plain(folder: Path, keys: list[bytes], out: Rows) -> None:
    with (folder / "plain").open("rb", buffering=0) as file:
        for row in out:
            file.readinto(row)


def timed(work: Callable[[Path, list[bytes], Rows], None], *arguments: object) -> float:
    begin = time.process_time()
    work(*arguments)  # type: ignore[arg-type]
    return time.process_time() - begin


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(describe())
    for name, (count, width) in SIZES.items():
        generator = np.random.default_rng(0)
        rows = generator.standard_normal((count, width), dtype=np.float32)
        keys = [generator.bytes(32) for _ in range(count)]
        taken: dict[str, list[float]] = {}
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                for work in (write_plain, write_store, read_plain, read_store):
                    out = rows if work in (write_plain, write_store) else np.ones_like(rows)
                    taken.setdefault(work.__name__, []).append(timed(work, Path(folder), keys, out))
                    assert (out == rows).all()
        print(f"{count:,} entries of {name}")
        for verb, seconds in taken.items():
            speed = rows.nbytes / median(seconds) / 1e6
            span = f"{min(seconds):.3f}-{max(seconds):.3f}"
            print(f"  {verb:12} {median(seconds):.3f} CPU s ({span}), {speed:,.0f} MB/s")


if __name__ == "__main__":
    main()
