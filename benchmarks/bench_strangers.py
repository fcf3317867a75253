"""Question: which score tells best that a photograph shows a kind of thing a classifier never saw?

Scores of the literature that need stored features alone, each of strangers against photographs of
the known classes that had no part in training:

    probability   of the most probable class (Hendrycks and Gimpel 2017)
    energy        minus the logarithm of the sum of the logits' exponentials (Liu et al. 2020)
    distance      Mahalanobis's, to the nearest class mean under one covariance (Lee et al. 2018),
                  of activations brought to length one: the one that tortie keeps
    relative      the same squared, less that under one Gaussian of all classes (Ren et al. 2021)
    neighbour     distance to the 5th nearest training photograph at length one (Sun et al. 2022)
    residual      ViM: length outside the leading subspace, scaled, and energy (Wang et al. 2022)

Classes are left out of the training and shown later: of CIFAR-10 single ones and pairs, of
scikit-learn's digits single ones and pairs; and ants and bees are shown CIFAR-10. Figures are the
area under the ROC curve and the share of strangers beyond 95% of the known. Of the distance also
the share of new photographs of known classes beyond the threshold that a fit keeps, which is to be
5%, and what a fit expects it to notice, which is to be what it notices.

    python benchmarks/bench_strangers.py CIFAR ANTS_AND_BEES [--each 50] [--held 100] [--seeds 5]
    # CIFAR/{train,test}/class/*, ANTS_AND_BEES/{train,val}/class/*
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from machine import describe
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from tortie.activations.extract import Extraction
from tortie.activations.store import ActivationStore
from tortie.evaluation.novelty import STRANGE, fit_novelty, spread_of
from tortie.evaluation.strangers import measure_strangers
from tortie.images import Source, find, hash_all
from tortie.images.inputs import labelled
from tortie.learning.frozen_network import frozen_network
from tortie.learning.job import Events, make_job
from tortie.learning.options import FitOptions
from tortie.learning.softmax import LinearHead, Problem
from tortie.processes import ALONE, core_count

Array = NDArray[np.float64]
Known = tuple[NDArray[np.float32], NDArray[np.int64], LinearHead]
Score = Callable[[Known], Callable[[NDArray[np.float32]], Array]]
Figures = dict[str, tuple[float, ...]]
PENALTY = 0.03  # what cross-fitting chooses for CIFAR-10, within half a decade


def features_of(sources: Sequence[Source], names: Sequence[str]) -> NDArray[np.float32]:
    """Activations of the default network, from the store or computed."""
    collection, sources = labelled(list(sources), list(names))
    store = ActivationStore.default()
    job = make_job(collection, sources, FitOptions(), store, ALONE, Events())
    with Extraction(
        frozen_network(job, 2).extractor, sources, hash_all(sources, core_count())
    ) as extraction:
        return extraction.finish(lambda done, total: None)[0]


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def logits(known: Known, rows: NDArray[np.float32]) -> Array:
    return known[2].logits(rows).astype(float)


def log_sum(found: Array) -> Array:
    most = found.max(axis=1)
    return most + np.log(np.exp(found - most[:, None]).sum(axis=1))


def probability(known: Known) -> Callable[[NDArray[np.float32]], Array]:
    return lambda rows: log_sum(logits(known, rows)) - logits(known, rows).max(axis=1)


def energy(known: Known) -> Callable[[NDArray[np.float32]], Array]:
    return lambda rows: -log_sum(logits(known, rows))


def distance(known: Known) -> Callable[[NDArray[np.float32]], Array]:
    return spread_of(known[0], known[1]).distances


def relative(known: Known) -> Callable[[NDArray[np.float32]], Array]:
    near, whole = spread_of(known[0], known[1]), spread_of(known[0], np.zeros_like(known[1]))
    return lambda new: near.distances(new) ** 2 - whole.distances(new) ** 2


def neighbour(known: Known) -> Callable[[NDArray[np.float32]], Array]:
    rows = unit(known[0])
    return lambda new: -np.sort(unit(new) @ rows.T, axis=1)[:, -5].astype(float)


def residual(known: Known) -> Callable[[NDArray[np.float32]], Array]:
    """ViM, about the point where the logits are the bias alone."""
    rows, _, head = known
    origin = (-np.linalg.pinv(head.weight.astype(float)) @ head.bias).astype(np.float32)
    off = rows - origin
    values, vectors = np.linalg.eigh(off @ off.T)
    kept = min(len(rows) // 2, 256)
    leading = off.T @ (vectors[:, -kept:] / np.sqrt(values[-kept:]))

    def length(new: NDArray[np.float32]) -> Array:
        new = new - origin
        rest = (new**2).sum(axis=1) - ((new @ leading) ** 2).sum(axis=1)
        return np.asarray(np.sqrt(np.maximum(rest, 0)), float)

    share = logits(known, rows).max(axis=1).mean() / length(rows).mean()
    return lambda new: length(new) * share - log_sum(logits(known, new))


SCORES: dict[str, Score] = {
    "probability": probability,
    "energy": energy,
    "distance": distance,
    "relative": relative,
    "neighbour": neighbour,
    "residual": residual,
}


def compared(
    train: NDArray[np.float32],
    labels: NDArray[np.int64],
    known: NDArray[np.float32],
    strangers: NDArray[np.float32],
    first: bool = True,
) -> Figures:
    """AUROC of each score, and the share of strangers beyond 95% of the known."""
    _, labels = np.unique(labels, return_inverse=True)
    head = Problem(train.copy(), labels, int(labels.max()) + 1).solve(PENALTY)  # it keeps no copy
    figures = {}
    for name, make in SCORES.items():
        score = make((train, labels, head))
        own, other = score(known), score(strangers)
        truth = np.repeat([0, 1], [len(own), len(other)])
        area = roc_auc_score(truth, np.concatenate([own, other]))
        figures[name] = area, float((other > np.quantile(own, 0.95)).mean())
    if first:
        figures["kept"] = as_a_fit_does(train, labels, known, strangers)
    return figures


def as_a_fit_does(
    train: NDArray[np.float32],
    labels: NDArray[np.int64],
    known: NDArray[np.float32],
    strangers: NDArray[np.float32],
) -> tuple[float, ...]:
    """What the kept threshold doubts of the known and notices of strangers; what a fit expected."""
    folds = np.arange(len(labels)) % 5
    spread = fit_novelty(train, labels, folds)
    assert spread is not None
    doubted, noticed = (
        float((spread.percentiles(spread.distances(rows)) >= STRANGE).mean())
        for rows in (known, strangers)
    )
    expected = measure_strangers(train, labels, folds, np.ones(len(labels)))
    if expected is None:
        return doubted, noticed
    return doubted, noticed, expected.noticed.value


def left_out(
    features: NDArray[np.float32], labels: NDArray[np.int64], test: NDArray[np.bool_],
    each: int, seeds: int, size: int,
) -> Iterator[Figures]:  # fmt: skip
    """Classes left out, one or two at a time, with ``each`` photographs of the others."""
    count = int(labels.max()) + 1
    outs = [(i,) for i in range(count)] if size == 1 else list(pairwise(range(0, count + 1)))[::2]
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        for out in outs:
            inside = ~np.isin(labels, out)
            train = np.concatenate(
                [
                    rng.permutation(np.flatnonzero((labels == k) & ~test))[:each]
                    for k in range(count)
                    if k not in out
                ]
            )
            yield compared(
                features[train],
                labels[train],
                features[test & inside],
                features[test & ~inside],
                seed == 0,
            )


def show(title: str, rows: Sequence[Figures]) -> dict[str, float]:
    """One line a score, and the mean areas."""
    print(f"{title} ({len(rows)} fits)")
    means = {}
    for name in SCORES:
        areas, noticed = np.array([row[name] for row in rows]).T
        means[name] = float(areas.mean())
        print(
            f"  {name:13} AUROC {areas.mean():.3f} ({areas.min():.3f} to {areas.max():.3f}), "
            f"noticed at 5% false alarms {noticed.mean():.1%}",
            flush=True,
        )
    kept = [
        np.mean(column)
        for column in zip(*(row["kept"] for row in rows if "kept" in row), strict=True)
    ]
    expects = f"; a fit expects {kept[2]:.1%}" if len(kept) > 2 else ""
    print(f"  with the threshold kept: doubts {kept[0]:.1%}, notices {kept[1]:.1%}{expects}")
    return means


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cifar", type=Path, nargs="?")
    parser.add_argument("kind", type=Path, nargs="?")
    parser.add_argument("--each", type=int, default=50, help="training photographs of a class")
    parser.add_argument("--held", type=int, default=100, help="test photographs of a class")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.kind is None:
        print("bench_strangers: skipped, it needs CIFAR/{train,test}/* and ANTS/{train,val}/*")
        return
    print(describe())
    by_part: dict[tuple[str | None, str], list[Path]] = defaultdict(list)
    for one in find(arguments.cifar).photographs:
        by_part[one.split, one.label].append(one.path)
    names = sorted({label for _, label in by_part})
    most = {"train": 2 * arguments.each, "test": arguments.held}
    chosen = [
        (path, names.index(label), split == "test")
        for (split, label), paths in sorted(by_part.items(), key=str)
        for path in paths[: most[split or "train"]]
    ]
    labels = np.array([label for _, label, _ in chosen])
    test = np.array([part for *_, part in chosen])
    cifar = features_of([path for path, *_ in chosen], [names[i] for i in labels])
    digits = load_digits()
    pixels = np.round(digits.images * 15.9375).astype(np.uint8)
    drawn = [np.repeat(image.repeat(8, 0).repeat(8, 1)[..., None], 3, 2) for image in pixels]
    digit = features_of(drawn, [str(i) for i in digits.target])
    held = np.arange(len(digit)) % 3 == 0
    digits_each = min(arguments.each, 100)
    means = []
    for size, what in ((1, "one class"), (2, "two classes")):
        means.append(show(f"CIFAR-10 without {what}", list(
            left_out(cifar, labels, test, arguments.each, arguments.seeds, size))))  # fmt: skip
        means.append(show(f"digits without {what}", list(
            left_out(digit, digits.target, held, digits_each, arguments.seeds, size))))  # fmt: skip
    own = find(arguments.kind).photographs
    ants = features_of([one.path for one in own], [one.label for one in own])
    kinds = np.array([one.label for one in own])
    new = np.array([one.split != "train" for one in own])
    figures = compared(ants[~new], np.unique(kinds, return_inverse=True)[1][~new], ants[new],
                       cifar[test])  # fmt: skip
    means.append(show("ants and bees shown CIFAR-10", [figures]))
    print("mean of the five")
    for name in sorted(SCORES, key=lambda one: -np.mean([row[one] for row in means])):
        print(f"  {name:13} {np.mean([row[name] for row in means]):.3f}")


if __name__ == "__main__":
    main()
