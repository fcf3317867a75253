"""Claim: which frozen features are worth more than those of EfficientNet-Lite0, and what they cost.

Lite0 alone; Lite1 and Lite2 (`tortie[lite]`); the mean of two networks' probabilities; features of
two networks, of two crops (the whole and its middle), or of two stages, side by side. The softmax
layer and its penalty as in a fit. Sets: ants and bees; five draws of 1,000 photographs of CIFAR-10
(2,000 test photographs); scikit-learn's digits (1,000 and 797). Prints the accuracy on each set and
the mean difference from Lite0 over the sets, with its 95% interval (Student's t), and seconds of
the processor for the features of the ants and bees relative to Lite0's.

    python benchmarks/bench_eyes.py ANTS_AND_BEES CIFAR     # folders of {train,val|test}/class/*
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from machine import describe
from numpy.typing import NDArray
from PIL import Image
from scipy import stats
from sklearn.datasets import load_digits

import tortie
from tortie.learning.cross_fitting import LabelledFeatures, choose_among, train_on
from tortie.learning.softmax import softmax

LITE0, LITE1, LITE2 = (f"efficientnet-lite{number}" for number in range(3))
EARLIER = "mbconv5"  # its maps, averaged over the picture
MIDDLE = 0.8  # of each side, the second crop


class Set(NamedTuple):
    """Photographs with a split: pixels, class indices, and how many of them train."""

    name: str
    pixels: list[NDArray[np.uint8]]
    labels: NDArray[np.int64]
    train: int


def folder(images: Path, part: str, each: slice | None = None) -> tuple[list[Path], list[int]]:
    """Files of a part of a set, and their classes."""
    files, labels = [], []
    for number, one in enumerate(sorted(path for path in (images / part).iterdir())):
        found = sorted(path for path in one.iterdir() if path.is_file())[each or slice(None)]
        files += found
        labels += [number] * len(found)
    return files, labels


def read(files: list[Path]) -> list[NDArray[np.uint8]]:
    return [np.asarray(Image.open(path).convert("RGB")) for path in files]


def sets(ants: Path, cifar: Path) -> list[Set]:
    """The seven sets."""
    held = "val" if (ants / "val").is_dir() else "test"
    train, test = folder(ants, "train"), folder(ants, held)
    found = [Set("ants and bees", read(train[0] + test[0]), np.array(train[1] + test[1]),
                 len(train[0]))]  # fmt: skip
    test = folder(cifar, "test", slice(200))
    pixels = read(test[0])
    for number in range(5):
        train = folder(cifar, "train", slice(100 * number, 100 * number + 100))
        labels = np.array(train[1] + test[1])
        found.append(Set(f"CIFAR-10, {number + 1}", read(train[0]) + pixels, labels, len(train[0])))
    digits = load_digits()
    grey = (digits.images * 255 / 16).round().astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(grey))
    pictures = [grey[i][:, :, None].repeat(3, 2) for i in order]
    return [*found, Set("digits", pictures, digits.target[order].astype(np.int64), 1000)]


def middle(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of a picture."""
    height, width = pixels.shape[:2]
    top, left = round(height * (1 - MIDDLE) / 2), round(width * (1 - MIDDLE) / 2)
    return pixels[top : height - top, left : width - left]


def last(network: str) -> Callable[[Set], NDArray[np.float32]]:
    return lambda one: tortie.features(one.pixels, network=network)


def crop(one: Set) -> NDArray[np.float32]:
    return tortie.features([middle(pixels) for pixels in one.pixels], network=LITE0)


def earlier(one: Set) -> NDArray[np.float32]:
    maps = tortie.features(one.pixels, network=LITE0, stage=EARLIER)
    return maps.mean((2, 3), dtype=np.float32)


PARTS = {LITE0: last(LITE0), LITE1: last(LITE1), LITE2: last(LITE2), "middle": crop,
         "earlier": earlier}  # fmt: skip
SIDE_BY_SIDE = {
    "Lite0": [(LITE0,)], "Lite1": [(LITE1,)], "Lite2": [(LITE2,)],
    "mean of Lite0 and Lite2": [(LITE0,), (LITE2,)],
    "Lite0 and Lite2 side by side": [(LITE0, LITE2)],
    "two crops side by side": [(LITE0, "middle")],
    "mean of two crops": [(LITE0,), ("middle",)],
    "two stages side by side": [(LITE0, "earlier")],
}  # fmt: skip


def probabilities(one: Set, parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Of the test photographs, by a softmax layer on features side by side."""
    features = np.concatenate(
        [part / part[: one.train].std(dtype=np.float64).astype(np.float32) for part in parts], 1
    )
    keys = [f"{number:08}" for number in range(len(features))]
    table = LabelledFeatures(
        features, one.labels, keys, [None] * len(keys), int(one.labels.max()) + 1
    )
    rows = np.arange(one.train)
    head = train_on(table, rows, choose_among(table, rows, 0).penalty)
    return softmax(head.logits(features[one.train :]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("ants_and_bees", type=Path)
    parser.add_argument("cifar", type=Path)
    given = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in SIDE_BY_SIDE}
    spent: dict[str, float] = {}
    names = []
    with tempfile.TemporaryDirectory() as folder_name:
        os.environ["TORTIE_CACHE"] = folder_name
        for one in sets(given.ants_and_bees, given.cifar):
            names.append(one.name)
            parts = {}
            for part, compute in PARTS.items():
                begin = time.process_time()
                parts[part] = compute(one)
                spent.setdefault(part, time.process_time() - begin)
            right = one.labels[one.train :]
            for name, members in SIDE_BY_SIDE.items():
                mean = sum(probabilities(one, [parts[p] for p in own]) for own in members)
                found[name].append(100 * float((np.argmax(mean, 1) == right).mean()))
            told = ", ".join(f"{name} {values[-1]:.1f}" for name, values in found.items())
            print(f"{one.name}: {told}", flush=True)
    print(describe())
    for name, values in found.items():
        cost = sum({part: spent[part] for own in SIDE_BY_SIDE[name] for part in own}.values())
        gain = np.subtract(values, found["Lite0"])
        margin = stats.t.ppf(0.975, len(gain) - 1) * statistics.stdev(gain) / len(gain) ** 0.5
        print(
            f"{name}: {gain.mean():+.2f} points ({gain.mean() - margin:+.2f} to "
            f"{gain.mean() + margin:+.2f}), {cost / spent[LITE0]:.2f} × the time of the features"
        )


if __name__ == "__main__":
    main()
