"""Claims: ten crops cost at most 10.5 times one crop, and no forward pass the second time.

With `standard` views, ten crops of ants and bees are not worse than the centre crop.

Cost: photographs judged with an empty store, one crop and ten in turn, wall clock and processor
time; then again with the store as it is. Accuracy: the frozen default network, trained on drawn
views of the training photographs, its validation judged by one crop and by ten, for five seeds.

    python benchmarks/bench_crops.py IMAGES [--count 64] [--rounds 3] [--seeds 5]
    # IMAGES/{train,val}/class/*
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from machine import describe

from tortie.classifier import ImageClassifier
from tortie.images import find
from tortie.loading import pretrained


@contextmanager
def store(folder: str) -> Iterator[None]:
    before = os.environ.get("TORTIE_CACHE")
    os.environ["TORTIE_CACHE"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["TORTIE_CACHE"]
        else:
            os.environ["TORTIE_CACHE"] = before


def judged(paths: list[Path], crops: int) -> tuple[float, float, int]:
    """Seconds, processor seconds, and photographs that went through the network."""
    classifier = pretrained("efficientnet-lite0").set_params(crops=crops)
    extractor = classifier._ready()[0].extractor
    assert extractor.engine and extractor.context  # prepared once, whatever the crops
    begin, processor = time.perf_counter(), time.process_time()
    computed = classifier._predict(paths).computed
    return time.perf_counter() - begin, time.process_time() - processor, computed


def cost(paths: list[Path], rounds: int) -> None:
    wall, processor, warm = [], [], []
    for number in range(rounds + 1):  # the first is a warm-up
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as ten:
            with store(one):
                single = judged(paths, 1)
            with store(ten):
                tenfold, again = judged(paths, 10), judged(paths, 10)
        assert again[2] == 0, "a warm run made a forward pass"
        if number:
            wall.append(tenfold[0] / single[0])
            processor.append(tenfold[1] / single[1])
            warm.append(again[0] / tenfold[0])
    print(f"{len(paths)} photographs, ten crops / one crop, store empty:")
    for name, ratios in (("wall clock", wall), ("processor", processor)):
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"  {name:11} {statistics.median(ratios):6.2f}  ({spread})")
    print(f"ten crops again: no forward pass, {statistics.median(warm):.3f} of the time")


def accuracy(images: Path, seeds: int) -> None:
    print("standard views, 10 crops against 1, on the validation:")
    for seed in range(seeds):
        classifier = ImageClassifier(augment="standard", views=4, seed=seed).fit(images)
        told = []
        for crops in (1, 10):
            evaluation = classifier.set_params(crops=crops).evaluate(images)
            assert evaluation.scores is not None
            told.append((evaluation.scores, evaluation.uncalibrated_scores))
        (one, one_raw), (ten, ten_raw) = told
        inside = ten.accuracy.value >= one.accuracy.low
        print(
            f"  seed {seed}: {one.accuracy.value:.1%} "
            f"({one.accuracy.low:.1%} to {one.accuracy.high:.1%}) -> {ten.accuracy.value:.1%}, "
            f"log loss {one_raw.log_loss:.3f} -> {ten_raw.log_loss:.3f}, "
            f"{'not worse' if inside else 'WORSE'}"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.images is None:
        print("bench_crops: skipped, it needs a folder IMAGES/{train,val}/class/*")
        return
    print(describe())
    paths = [one.path for one in find(arguments.images).photographs]
    cost(paths[:: max(1, len(paths) // arguments.count)][: arguments.count], arguments.rounds)
    accuracy(arguments.images, arguments.seeds)


if __name__ == "__main__":
    main()
