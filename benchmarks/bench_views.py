"""Claim: drawn views of ants and bees are not worse than none, and what k of them cost.

The default network frozen; the softmax layer learns from each training photograph and from k drawn
views of it (`standard`), five seeds. Without views there is nothing to draw: one figure.

    python benchmarks/bench_views.py IMAGES [--seeds 5]      # IMAGES/{train,val}/class/*
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from machine import describe

from tortie.classifier import ImageClassifier

VIEWS = (1, 2, 4, 8)


def fitted(images: Path, **choices: object) -> tuple[int, int, float, float]:
    """Right, counted, the high end less the value of the interval in points, and seconds."""
    begin = time.perf_counter()
    accuracy = ImageClassifier(**choices).fit(images).accuracy_
    seconds = time.perf_counter() - begin
    assert accuracy is not None
    low = 100 * (accuracy.value - accuracy.low)
    return round(accuracy.value * accuracy.n), accuracy.n, low, seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["TORTIE_CACHE"] = name
        right, n, low, first = fitted(arguments.images)
        _, _, _, warm = fitted(arguments.images)
        print(describe())
        print(
            f"none: {right} of {n} (interval {low:.1f} points down), {first:.2f} s, warm {warm:.2f}"
        )
        for views in VIEWS:
            found = []
            for seed in range(arguments.seeds):
                # Undistorted views are in the store; these seeds' drawn ones are not.
                found.append(fitted(arguments.images, augment="standard", views=views, seed=seed))
            counts = [one[0] for one in found]
            extra = [one[3] - warm for one in found]
            print(
                f"standard, {views} views: {statistics.mean(counts):.1f} of {n} "
                f"({min(counts)} to {max(counts)}), {statistics.median(extra):.2f} s more "
                f"({min(extra):.2f} to {max(extra):.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
