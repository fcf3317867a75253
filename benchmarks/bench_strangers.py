"""Question: how well does the distance to the training photographs part strangers from the known?

Two classes are left out of the training. The photographs of all classes that were held out are then
judged: the area under the ROC curve of telling strangers by distance, and by the probability of the
most probable class; the share called unlike the training photographs (farther than 99% and 95% of
them) among strangers and among the known; the coverage curve of the known classes falls steadily.
With --kind, also a classifier of other photographs altogether, shown all of the held-out ones.

    python benchmarks/bench_strangers.py IMAGES [--each 600] [--held 200] [--kind PHOTOS]
    # IMAGES/{train,test}/class/*, PHOTOS/{train,val}/class/*
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from machine import describe
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tortie.classifier import ImageClassifier
from tortie.evaluation.coverage import coverage_curve
from tortie.evaluation.predict import Predictions
from tortie.images import find


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--each", type=int, default=600, help="training photographs of a class")
    parser.add_argument("--held", type=int, default=200, help="test photographs of a class")
    parser.add_argument("--kind", type=Path, help="photographs of another kind, with a validation")
    arguments = parser.parse_args()
    if arguments.images is None:
        print("bench_strangers: skipped, it needs a folder IMAGES/{train,test}/class/*")
        return
    print(describe())
    found = find(arguments.images)
    paths: dict[tuple[str | None, str], list[Path]] = defaultdict(list)
    for one in found.photographs:
        paths[one.split, one.label].append(one.path)
    names = list(found.classes)
    if arguments.kind is not None:
        shown = [p for n in names for p in paths["test", n][: arguments.held]]
        other_kind(arguments.kind, shown)
    figures = []
    for out in zip(names[0::2], names[1::2], strict=False):
        known = [name for name in names if name not in out]
        train = [(p, n) for n in known for p in paths["train", n][: arguments.each]]
        classifier = ImageClassifier().fit([p for p, _ in train], [n for _, n in train])
        held = [(p, n) for n in names for p in paths["test", n][: arguments.held]]
        judged = classifier._predict([p for p, _ in held])
        stranger = np.array([name in out for _, name in held])
        labels = np.array([known.index(n) for _, n in held if n not in out])
        curve = coverage_curve(judged.probabilities[~stranger], labels)
        coverages = [one.coverage for one in curve]
        assert coverages == sorted(coverages, reverse=True)
        row = _figures(judged, stranger)
        figures.append(row)
        print(f"without {' and '.join(out)}: {_told(row)}")
    print(f"mean: {_told(np.mean(figures, axis=0).tolist())}")


def other_kind(kind: Path, shown: list[Path]) -> None:
    """A classifier of one kind of photographs, shown those of another."""
    classifier = ImageClassifier().fit(kind)
    own = [one.path for one in find(kind).photographs if one.split != "train"]
    judged = classifier._predict([*own, *shown])
    stranger = np.arange(len(judged.rows)) >= len(own)
    print(f"{kind.name} shown photographs of another kind: {_told(_figures(judged, stranger))}")


def _figures(judged: Predictions, stranger: NDArray[np.bool_]) -> list[float]:
    assert judged.distances is not None and judged.percentiles is not None
    sure, far = judged.probabilities.max(axis=1), judged.percentiles
    return [
        roc_auc_score(stranger, judged.distances),
        roc_auc_score(stranger, -sure),
        *((far[of] >= limit).mean() for limit in (99, 95) for of in (stranger, ~stranger)),
        *((sure[of] < 0.9).mean() for of in (stranger, ~stranger)),
    ]


def _told(row: list[float]) -> str:
    return (
        f"AUROC {row[0]:.3f} by distance, {row[1]:.3f} by probability; strangers (known) beyond "
        f"99%: {row[2]:.1%} ({row[3]:.1%}), beyond 95%: {row[4]:.1%} ({row[5]:.1%}), "
        f"probability below 0.9: {row[6]:.1%} ({row[7]:.1%})"
    )


if __name__ == "__main__":
    main()
