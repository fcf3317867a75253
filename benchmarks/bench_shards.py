"""Claim: 60,000 photographs are fitted from files of features as from memory, in under 600 MB.

60 tar shards of CIFAR-10, extracted and fitted in their files, beside the fit on the shards in
memory, its store empty: the same accuracy, within a tenth of the time.

    python benchmarks/bench_shards.py SHARDS FOLDER [--features | --memory]
"""

import argparse
import os
from pathlib import Path
from typing import Any

import commands
from machine import describe


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
    parser.add_argument("source", nargs="?", type=Path)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--features", action="store_true")
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    if arguments.folder is None:
        print("bench_shards: skipped, it needs shards of photographs and a folder")
        return
    print(f"{describe()}, load {os.getloadavg()[0]:.1f}")
    photographs(arguments)


if __name__ == "__main__":
    main()
