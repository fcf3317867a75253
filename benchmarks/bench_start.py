"""Claim: where nothing is trained by steps, a command ends about when PyTorch would be imported.

Whole processes, in turn: `import torch`; `tortie predict` of a photograph that is new each time; a
fit from the store, where nothing goes through the network. Wall time and processor time: medians,
the smallest and the largest, and the medians' ratios to the import. Byte code is cached, as after
an installation.

    python benchmarks/bench_start.py IMAGES [MORE_IMAGES ...] [--runs 7]  # IMAGES/.../class/*

To see a processor with AVX2 alone, set ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

IMPORT = "import torch"


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Seconds by the clock and of the processor, and megabytes at the peak."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    clock = time.perf_counter() - begin
    return clock, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


def new_photograph(of: Path, number: int, folder: Path) -> str:
    """The same picture in a file of another content, which the store does not know."""
    path = folder / f"new{number}.jpg"
    path.write_bytes(of.read_bytes() + number.to_bytes(8, "little"))
    return str(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path, nargs="*")
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    if not arguments.images:
        print("bench_start: skipped, it needs a folder of photographs")
        return
    tortie = [sys.executable, "-m", "tortie"]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        environment = {**os.environ, "TORTIE_CACHE": f"{made}/cache", "PYTHONPYCACHEPREFIX": made}
        environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        model = str(folder / "0.safetensors")
        fits = {
            f"fit {images.name}, from the store": [
                *(*tortie, "fit", str(images), "--force", "-q", "-o", f"{made}/{i}.safetensors"),
            ]
            for i, images in enumerate(arguments.images)
        }
        photograph = min(arguments.images[0].rglob("*.jpg"))
        found: dict[str, list[tuple[float, float, float]]] = {}
        for number in range(arguments.runs + 2):  # the store is filled, and byte code written
            commands = {IMPORT: [sys.executable, "-c", IMPORT], **fits}
            new = new_photograph(photograph, number, folder)
            commands["predict a new photograph"] = [*tortie, "predict", model, new]
            for name, command in commands.items():
                used = run(command, environment)
                if number > 1:
                    found.setdefault(name, []).append(used)
    print(describe())
    base = [statistics.median(one) for one in zip(*found[IMPORT], strict=True)]
    for name, each in found.items():
        clock, processor, peak = (statistics.median(one) for one in zip(*each, strict=True))
        clocks, processors, _ = zip(*each, strict=True)
        print(
            f"{name:35} {clock:5.2f} s ({min(clocks):.2f}–{max(clocks):.2f}): "
            f"{clock / base[0]:.2f}; processor {processor:5.2f} s "
            f"({min(processors):.2f}–{max(processors):.2f}): {processor / base[1]:.2f}; "
            f"{peak:,.0f} MB"
        )


if __name__ == "__main__":
    main()
