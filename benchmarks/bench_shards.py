"""Claim: 60,000 photographs are fitted from files of features as from memory, in under 600 MB.

Tar shards of CIFAR-10, extracted and then fitted from their features' files, beside the fit on the
same shards in memory, its store empty, in turn: processor and clock seconds and the peak memory of
each process, and the accuracy, which is the same, within a tenth of the time.

    python benchmarks/bench_shards.py CIFAR [--photographs 60000]     # CIFAR/{train,test}/class/*

Under 52,000 photographs tortie would fit the features in memory: here they are read from files.
"""

import argparse
import io
import os
import random
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from commands import Ran, tortie
from machine import describe

EACH = 1000  # photographs of a shard
_FROM_FILES = "from tortie.learning import streamed_fit; streamed_fit.IN_MEMORY = 0"


def write_shards(images: Path, count: int, folder: Path) -> None:
    """Shards of photographs drawn from all, with their classes beside them, unsplit."""
    found = sorted(path for path in images.rglob("*.jpg"))
    random.Random(0).shuffle(found)
    folder.mkdir()
    for number, begin in enumerate(range(0, count, EACH)):
        with tarfile.open(folder / f"{number:03}.tar", "w") as archive:
            for place, path in enumerate(found[begin : min(begin + EACH, count)]):
                key = f"{begin + place:06}"
                for suffix, content in (
                    (".jpg", path.read_bytes()),
                    (".cls", path.parent.name.encode()),
                ):
                    member = tarfile.TarInfo(key + suffix)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))


def told(name: str, ran: Ran) -> Ran:
    """What a command took, printed."""
    document: dict[str, Any] = ran.document
    text = (
        f"{name:>24}: {ran.processor:6.1f} s of processor, {ran.seconds:6.1f} s by the clock, "
        f"{ran.megabytes:4,.0f} MB at the peak"
    )
    accuracy = document.get("accuracy")
    if accuracy:
        text += f", accuracy {accuracy['value']:.2%} ({accuracy['low']:.2%} to "
        text += f"{accuracy['high']:.2%}) of {accuracy['n']:,}"
    print(text, flush=True)
    return ran


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", nargs="?", type=Path)
    parser.add_argument("--photographs", type=int, default=60_000)
    parser.add_argument("--only", choices=("features", "memory"))
    arguments = parser.parse_args()
    if arguments.images is None:
        print("bench_shards: skipped, it needs a folder CIFAR/{train,test}/class/*")
        return
    print(f"{describe()}, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards, features = folder / "shards", folder / "features"
        write_shards(arguments.images, arguments.photographs, shards)
        took = []
        if arguments.only != "memory":
            cache, out = folder / "one", folder / "a.safetensors"
            first = told("extract", tortie("extract", shards, "-o", features, cache=cache))
            words = ("fit", features, "-o", out)
            second = told("fit, features in files", tortie(*words, cache=cache, first=_FROM_FILES))
            took.append([first.processor + second.processor, first.seconds + second.seconds])
        if arguments.only != "features":
            words = ("fit", shards, "-o", folder / "b.safetensors")
            whole = told("fit, in memory", tortie(*words, cache=folder / "two"))
            took.append([whole.processor, whole.seconds])
    if len(took) == 2:
        (own, clock), (other, other_clock) = took
        print(
            f"through files against in memory: {own / other:.2f} of the processor's time, "
            f"{clock / other_clock:.2f} of the clock's"
        )


if __name__ == "__main__":
    main()
