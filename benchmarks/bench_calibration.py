"""Claim: probabilities can be taken at their word.

On 1,000 and more photographs held out, the expected calibration error is at most 5%, and at most
one point worse than without a temperature.

The frozen default network, on photographs without a split: 70/10/5/15 are drawn for training,
validation, calibration and test.

    python benchmarks/bench_calibration.py IMAGES [--each 800] [--seeds 3]    # IMAGES/class/*
"""

import argparse
from pathlib import Path

from machine import describe

from tortie.classifier import ImageClassifier
from tortie.images import find


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--each", type=int, default=800, help="photographs of each class")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.images is None:
        print("bench_calibration: skipped, it needs a folder IMAGES/class/*")
        return
    print(describe())
    found = find(arguments.images)
    chosen = [
        one
        for name in found.classes
        for one in [p for p in found.photographs if p.label == name][: arguments.each]
    ]
    for seed in range(arguments.seeds):
        classifier = ImageClassifier(seed=seed)
        classifier.fit([one.path for one in chosen], [one.label for one in chosen])
        fitted = classifier.fitted_
        assert fitted is not None
        after, before = fitted.scores, fitted.uncalibrated_scores
        assert after is not None and before is not None
        held = after.accuracy.n
        good = after.ece <= 0.05 and after.ece <= before.ece + 0.01
        print(
            f"seed {seed}: {held:,} held out, accuracy {after.accuracy.value:.1%}; temperature "
            f"{classifier.temperature:.3f} of {fitted.calibration.n} photographs; "
            f"calibration error {before.ece:.3f} -> {after.ece:.3f}, log loss "
            f"{before.log_loss:.4f} -> {after.log_loss:.4f}, Brier {before.brier:.4f} -> "
            f"{after.brier:.4f}; {'holds' if good else 'DOES NOT HOLD'}"
            + (" (fewer than 1,000 held out)" if held < 1000 else "")
        )


if __name__ == "__main__":
    main()
