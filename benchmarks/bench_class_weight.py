"""Claim: ``sqrt``, the default weight of a class in a softmax layer, costs no honesty.

On classes of very different sizes, on new photographs of the same shares: it is right as often as
with no weights, finds the small classes more often, has no larger log-loss, and the mean
probability of each class stays as near to its share.

    python benchmarks/bench_class_weight.py IMAGES [--seeds 5]    # IMAGES/class/*, 900 of each
"""

import argparse
from pathlib import Path

import numpy as np
from machine import describe

from tortie.classifier import ImageClassifier
from tortie.evaluation.metrics import score
from tortie.images import find

WEIGHTS = (None, "sqrt", "balanced")
SIZES = {
    "2 classes, 270 and 30": (270, 30),
    "3 classes, 300 to 30": (300, 95, 30),
    "10 classes, 300 to 20": tuple(np.geomspace(300, 20, 10).astype(int).tolist()),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.images is None:
        print("bench_class_weight: skipped, it needs a folder IMAGES/class/*")
        return
    print(describe())
    found = find(arguments.images)
    of_class = {
        name: [one.path for one in found.photographs if one.label == name] for name in found.classes
    }
    heading = ("accuracy", "macro recall", "log-loss", "mean p - share, at most")
    print(f"{'':24} {'weights':>9}", *(f"{one:>16}" for one in heading))
    for name, sizes in SIZES.items():
        drawn = [measure(of_class, sizes, seed) for seed in range(arguments.seeds)]
        each = np.array(drawn)  # (seeds, weights, figures)
        spread = each.std(axis=0, ddof=1) if len(each) > 1 else np.zeros(each.shape[1:])
        for weight, mean, deviation in zip(WEIGHTS, each.mean(axis=0), spread, strict=True):
            figures = (f"{m:7.4f} ± {d:6.4f}" for m, d in zip(mean, deviation, strict=True))
            print(f"{name:24} {weight or 'none':>9}", *(f"{one:>16}" for one in figures))


def measure(
    of_class: dict[str, list[Path]], sizes: tuple[int, ...], seed: int
) -> list[tuple[float, ...]]:
    """Figures by weight, on twice as many new photographs."""
    random = np.random.default_rng(seed)
    train: list[tuple[Path, str]] = []
    test: list[tuple[Path, str]] = []
    for name, size in zip(random.permutation(sorted(of_class))[: len(sizes)], sizes, strict=True):
        order = random.permutation(len(of_class[name]))[: 3 * size].tolist()
        own = [(of_class[name][i], str(name)) for i in order]
        train, test = train + own[:size], test + own[size:]
    figures = []
    for weight in WEIGHTS:
        classifier = ImageClassifier(class_weight=weight)
        classifier.fit([path for path, _ in train], [label for _, label in train])
        probabilities = classifier.predict_proba([path for path, _ in test])
        classes = [str(one) for one in classifier.classes_]
        labels = np.array([classes.index(label) for _, label in test])
        scores = score(probabilities, labels, classes)
        shares = np.bincount(labels) / len(labels)
        recall = np.mean([np.mean(probabilities[labels == k].argmax(1) == k) for k in set(labels)])
        off = np.abs(probabilities.mean(axis=0) - shares).max()
        figures.append((scores.accuracy.value, float(recall), scores.log_loss, float(off)))
    return figures


if __name__ == "__main__":
    main()
