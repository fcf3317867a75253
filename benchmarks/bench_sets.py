"""Claim: prediction sets hold the right class as often as is asked.

On random splits, at 80, 90, 95 and 99%: the mean coverage is never below what was asked by more
than two standard errors over the splits, and above it only as far as the first answer is right more
often, or by 1/(n + 1).

The frozen default network. Of 1,000 photographs and more 70/10/5/15 are drawn by the fit itself; of
fewer, half are fitted on (scores are cross-fitted) and half are measured on.

    python benchmarks/bench_sets.py IMAGES [--each 800] [--splits 20]    # IMAGES/class/*
"""

import argparse
from pathlib import Path

import numpy as np
from machine import describe

from tortie.classifier import ImageClassifier
from tortie.evaluation.prediction_sets import LEVELS, MeasuredSets
from tortie.images import Photograph, find

Measured = tuple[list[MeasuredSets], float, int]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--each", type=int, default=800, help="photographs of each class")
    parser.add_argument("--splits", type=int, default=20)
    arguments = parser.parse_args()
    if arguments.images is None:
        print("bench_sets: skipped, it needs a folder IMAGES/class/*")
        return
    print(describe())
    found = find(arguments.images)
    chosen = [
        one
        for name in found.classes
        for one in [p for p in found.photographs if p.label == name][: arguments.each]
    ]
    measure = by_its_own_split if len(chosen) >= 1000 else by_halves
    each = [measure(chosen, seed) for seed in range(arguments.splits)]
    for level in LEVELS:
        report(level, each)


def by_its_own_split(chosen: list[Photograph], seed: int) -> Measured:
    """A fit that draws its own calibration part and test."""
    classifier = ImageClassifier(seed=seed)
    classifier.fit([one.path for one in chosen], [one.label for one in chosen])
    fitted = classifier.fitted_
    assert fitted is not None and fitted.scores is not None
    return fitted.measured_sets, fitted.scores.accuracy.value, fitted.prediction_sets["1"].groups


def by_halves(chosen: list[Photograph], seed: int) -> Measured:
    """A fit of one half, whose scores are cross-fitted, measured on the other."""
    order = np.random.default_rng(seed).permutation(len(chosen)).tolist()
    train, test = ([chosen[i] for i in order[part::2]] for part in (0, 1))
    classifier = ImageClassifier(seed=seed)
    classifier.fit([one.path for one in train], [one.label for one in train])
    evaluation = classifier.evaluate([one.path for one in test], [one.label for one in test])
    assert evaluation.scores is not None and classifier.prediction_sets is not None
    return (
        list(evaluation.sets), evaluation.scores.accuracy.value, classifier.prediction_sets.groups
    )  # fmt: skip


def report(level: float, each: list[Measured]) -> None:
    """One confidence over all splits."""
    own = [(sets, right, n) for sets, right, n in each if any(s.confidence == level for s in sets)]
    if not own:
        print(f"{level:g}%: too few photographs were held out")
        return
    found = [next(s for s in sets if s.confidence == level) for sets, _, _ in own]
    coverage = np.array([one.coverage.value for one in found])
    error = float(coverage.std(ddof=1) / np.sqrt(len(coverage)))
    mean, right = float(coverage.mean()), float(np.mean([one[1] for one in own]))
    n = min(one[2] for one in own)
    most = max(level / 100 + 1 / (n + 1), right) + 2 * error
    kept = level / 100 - 2 * error <= mean <= most
    print(
        f"{level:g}%: {len(own)} splits, {mean:.2%} ± {error:.2%} (standard error) held the right "
        f"class, {np.mean([one.mean_size for one in found]):.3f} classes in a set; n {n}, top-1 "
        f"{right:.2%}: {'holds' if kept else 'DOES NOT HOLD'}"
    )


if __name__ == "__main__":
    main()
