"""How far a photograph is from those that a classifier was trained on.

A classifier shares its certainty out among the classes it knows, whatever it is shown. The distance
looks at the activations instead, brought to length one: Mahalanobis's, to the nearest class mean,
under one covariance for all classes (Lee et al. 2018, "A Simple Unified Framework for Detecting
Out-of-Distribution Samples"), shrunk towards a ball as Ledoit and Wolf (2004) do. Its leading
directions are kept, and the others taken as equal, so that a file need not hold a square matrix.

A photograph is called a stranger beyond the distance of 95% of the known ones that were held out.
Of the scores of the literature that need stored features alone, this one notices most strangers
there, on average (``benchmarks/bench_strangers.py``); by the area under the ROC curve ViM's is
better, which notices fewer of what is quite unlike the known.

What it is not: a proof. A stranger that looks to the network like a class is near, and a photograph
of a known class in unknown light may be far. It knows what this network sees and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tortie.errors import TortieError

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Weights = NDArray[np.float64]

_DIRECTIONS = 64
_LEAST = 20  # training photographs; of fewer there is no spread to speak of
_MOST = 1000  # photographs that the spread is measured on: more move it little
STRANGE = 95.0
"""Percent of the held-out training photographs beyond which one is called unlike them."""
_PREFIX = "novelty."
_BLOCK = 1024  # photographs whose activations are copied at once: 5 MB


@dataclass(frozen=True)
class Novelty:
    """The distance of activations from the training photographs', and how usual it is.

    Attributes:
        scale: length that activations are brought to ``(1,)``: in units of the spread in all
            directions but the leading ones.
        means: of each class, on that scale ``(K, D)``.
        directions: ``(R, D)``, the leading ones of the spread within classes. Their squared
            products with a difference are what the spread takes off its squared length.
        quantiles: distances of training photographs that were held out, at 0, 1, … 100% ``(101,)``,
            such that of new photographs as many are beyond each as it says.
    """

    scale: Floats
    means: Floats
    directions: Floats
    quantiles: Floats

    def distances(self, features: Floats) -> NDArray[np.float64]:
        """Distance ``(N,)`` of activations ``(N, D)`` to the nearest class mean."""
        means = self.means.astype(np.float64)
        turned = means @ self.directions.T
        found = np.empty(len(features))
        for begin in range(0, len(features), _BLOCK):
            block = features[begin : begin + _BLOCK]
            rows = (_of_length_one(block) * self.scale).astype(np.float64)
            squares = _squared(rows, means) - _squared(rows @ self.directions.T, turned)
            found[begin : begin + _BLOCK] = np.sqrt(np.maximum(squares, 0).min(axis=1))
        return found

    def percentiles(self, distances: NDArray[np.float64]) -> Floats:
        """Percentage ``(N,)`` of held-out training photographs that are less far, 0 to 100."""
        places = np.interp(distances, self.quantiles, np.arange(101.0))
        return places.astype(np.float32)

    def arrays(self) -> dict[str, Floats]:
        """What a file holds of it, by name."""
        return {_PREFIX + one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def of(cls, path: Path, tensors: "Mapping[str, Tensor | NDArray[Any]]") -> "Novelty | None":
        """That of a classifier's file; ``None`` where it has none.

        Raises:
            TortieError: a tensor is missing, does not fit the others, or is not finite.
        """
        own = {
            name.removeprefix(_PREFIX): np.asarray(tensor, np.float32)
            for name, tensor in tensors.items()
            if name.startswith(_PREFIX)
        }
        if not own:
            return None
        missing = {one.name for one in fields(cls)} ^ own.keys()
        if missing:
            raise TortieError(f"{path} is no whole classifier: {_PREFIX}{min(missing)}")
        shapes = {name: array.shape for name, array in own.items()}
        width = shapes["means"][1:]
        fits = shapes["directions"][1:] == width and len(width) == 1
        if not fits or shapes["scale"] != (1,) or shapes["quantiles"] != (101,):
            raise TortieError(f"{path} does not fit: its {_PREFIX}* tensors differ in length")
        for name, array in own.items():
            if not np.isfinite(array).all():
                raise TortieError(f"{path} is no whole classifier: {_PREFIX}{name} is not finite")
        return cls(**own)


def fit_novelty(
    features: Floats, labels: Integers, folds: Integers, weights: Weights | None = None,
    rows: Integers | None = None,
) -> Novelty | None:  # fmt: skip
    """Measure the spread of the training photographs, and the distances of those held out.

    Args:
        features: activations ``(M, D)``.
        labels: class indices ``(M,)``.
        folds: of each training photograph ``(N,)``: its distance is taken where its fold was left
            out, for a photograph is always near to what it was part of.
        weights: of each ``(N,)``: those of a group add up to one; by default each is one.
        rows: of ``features``, the training photographs ``(N,)``; by default all.

    Returns:
        ``None`` where fewer than 20 photographs are given.
    """
    rows = np.arange(len(features)) if rows is None else rows
    if len(rows) < _LEAST:
        return None
    held, counted = [], []
    for fold in np.unique(folds):
        outside, inside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if not len(outside):
            return None
        spread = spread_of(features, labels, rows=rows[outside])
        held.append(spread.distances(features[rows[inside]]))
        counted.append(np.ones(len(inside)) if weights is None else weights[inside])
        if len(rows) > _MOST:  # one fold is enough to know how distances are distributed
            break
    whole = spread_of(features, labels, rows=rows)
    quantiles = quantiles_of(np.concatenate(held), np.concatenate(counted), np.linspace(0, 1, 101))
    return Novelty(whole.scale, whole.means, whole.directions, quantiles.astype(np.float32))


def quantiles_of(
    distances: NDArray[np.float64], weights: Weights, shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distances beyond which a share 1 − p of new photographs lies, for each p of ``shares``.

    Of n distances the k-th is beyond k/(n + 1) of new ones, whatever their distribution, as in
    conformal prediction; where photographs are few, beyond less than k/n. Those of a group count
    as one.
    """
    order = np.argsort(distances, kind="stable")
    reached = np.cumsum(weights[order])
    kept = weights[order] > 0
    if not kept.any():
        return np.full(len(shares), np.inf)
    wanted = shares * (reached[-1] + 1)
    found: NDArray[np.float64] = np.interp(wanted, reached[kept], distances[order][kept])
    return found


def spread_of(
    features: Floats, labels: Integers, most: int = _MOST, rows: Integers | None = None
) -> Novelty:
    """The distance of these photographs; its quantiles are not known yet.

    Args:
        features: activations ``(N, D)``.
        labels: class indices ``(N,)``.
        most: photographs that the spread is measured on, at most.
        rows: of ``features``, which photographs; by default all.
    """
    rows = np.arange(len(features)) if rows is None else rows
    present, numbers = np.unique(labels[rows], return_inverse=True)
    sums = np.zeros((len(present), features.shape[1]))
    for begin in range(0, len(rows), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        unit = _of_length_one(features[rows[block]])
        for number in np.unique(numbers[block]).tolist():
            sums[number] += unit[numbers[block] == number].sum(axis=0, dtype=np.float64)
    means = sums / np.bincount(numbers)[:, None]
    some = np.arange(len(rows))
    if len(rows) > most:
        some = np.sort(np.random.default_rng(0).permutation(len(rows))[:most])
    residuals = _of_length_one(features[rows[some]]) - means[numbers[some]]
    directions, rest = _leading(residuals.astype(np.float32))
    return Novelty(
        np.array([1 / np.sqrt(rest)], np.float32),
        (means / np.sqrt(rest)).astype(np.float32),
        directions.astype(np.float32),
        np.linspace(0, 1, 101, dtype=np.float32),
    )


def _leading(residuals: Floats) -> tuple[NDArray[np.float64], float]:
    """Leading directions ``(R, D)`` of the shrunk covariance, and the variance in all others.

    A direction of variance v is given the length √(1 − rest/v): with squared lengths in units of
    ``rest``, taking off the squared product with it leaves the share v asks for.
    """
    n, width = residuals.shape
    few = n < width
    products = residuals @ residuals.T if few else residuals.T @ residuals
    covariance = products.astype(np.float64) / n  # or the Gram matrix, whose spectrum is the same
    total, squares = float(np.trace(covariance)), float((covariance**2).sum())
    ball = total / width
    off = squares - width * ball**2  # squared distance of the covariance from a ball
    noise = (float(((residuals**2).sum(axis=1) ** 2).mean()) - squares) / n
    share = 1.0 if off <= 0 else min(max(noise, 0) / off, 1.0)  # Ledoit and Wolf 2004, lemma 3.1
    values, vectors = _largest(covariance, min(_DIRECTIONS, width - 1))
    if few:
        vectors = residuals.T @ vectors / np.sqrt(n * values)
    others = width - len(values)
    rest = ((1 - share) * (total - float(values.sum())) + share * ball * others) / others
    rest = max(rest, 1e-12)
    leading = np.maximum((1 - share) * values + share * ball, rest)
    return (vectors * np.sqrt(1 - rest / leading)).T, rest


def _largest(
    matrix: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The largest eigenvalues of a symmetric matrix, and their vectors as columns."""
    if len(matrix) <= 4 * count:
        values, vectors = np.linalg.eigh(matrix)
        values, vectors = values[-count:], vectors[:, -count:]
    else:
        values, vectors = _lanczos(matrix, count)
    kept = values > values.max() * 1e-9
    return values[kept], vectors[:, kept]


def _lanczos(
    matrix: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The largest eigenvalues and vectors, within 1e-4, by Lanczos's method (Golub, Van Loan 10.1).

    Each direction is made orthogonal to all before it, twice, as rounding would bring them back.
    """
    steps = min(5 * count // 2, len(matrix))
    basis = np.zeros((steps, len(matrix)))
    products = np.zeros((steps, steps))
    direction = np.ones(len(matrix))
    for step in range(steps):
        length = np.linalg.norm(direction)
        if step and length <= 1e-9 * products.max():  # the matrix has no more directions
            basis, products = basis[:step], products[:step, :step]
            break
        basis[step] = direction / length
        direction = matrix @ basis[step]
        so_far = basis[: step + 1]
        products[: step + 1, step] = so_far @ direction
        for _ in range(2):
            direction -= so_far.T @ (so_far @ direction)
    values, vectors = np.linalg.eigh(products, UPLO="U")
    return values[-count:], basis.T @ vectors[:, -count:]


def _of_length_one(features: Floats) -> Floats:
    lengths = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))
    return features / np.maximum(lengths, 1e-12).astype(np.float32)[:, None]


def _squared(rows: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances ``(N, K)`` of every row to every mean."""
    own, other = (rows**2).sum(axis=1)[:, None], (means**2).sum(axis=1)
    squared: NDArray[np.float64] = own - 2 * rows @ means.T + other
    return squared
