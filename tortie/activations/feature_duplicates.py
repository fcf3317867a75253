"""Images that are copies of one another beyond the perceptual hash: mirrored, cropped, stamped.

A network proposes them and the pixels decide. Proposed are the few images whose activations are
nearest to an image's own, whatever their distance: how near copies lie depends on the network and
on what it was trained for, that they are among the nearest hardly does. So there is no threshold
of activations that would have to hold for every network; what is a copy is told by
:func:`~tortie.images.cropped_copies.same_picture`, on the thumbnails.

Measured by ``benchmarks/bench_check.py copies``; the figures stand in docs/check.md.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tortie.images.cropped_copies import same_picture
from tortie.images.facts import THUMBNAIL, Facts

NEAREST = 6  # proposed for each image
_ROWS, _BLOCK = 512, 2048  # images of a block of products: 4 MB
_KEPT = 160  # directions of most variance, where many images are compared
_EXACT_BELOW = 6000  # images
_BUCKET = 16  # products, of which the largest alone are sorted

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


def feature_duplicate_pairs(
    features: Floats, facts: Sequence[Facts | None], threads: int = 1
) -> list[tuple[int, int]]:
    """Pairs ``(first, second)``, first < second, of images that show one picture.

    Args:
        features: float32 ``(N, ...)``, the activations of N images.
        facts: of all images, in the same order; those of ``None`` have no activations.
        threads: that compare blocks of images.

    Returns:
        the pairs in ascending order. Of images of equal thumbnails, which the perceptual hash
        finds, the first alone is compared. Two that are both smaller than a thumbnail are not:
        drawings of a few pixels, as digits, fit one another too easily.

    Raises:
        ValueError: there are not as many facts as activations.
    """
    known = [one for one in facts if one]
    if len(known) != len(features):
        raise ValueError(f"activations of {len(features)} images, facts of {len(known)}")
    first_of: dict[bytes, int] = {}
    for index, one in enumerate(known):
        first_of.setdefault(one.thumbnail, index)
    rows = np.array(list(first_of.values()), np.int64)
    if len(rows) < 2:
        return []
    nearest = nearest_images(features.reshape(len(features), -1), rows, threads)
    first = np.repeat(np.arange(len(rows)), nearest.shape[1])
    pairs = np.sort(np.stack([first, nearest.ravel()], axis=1), axis=1)
    pairs = np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)  # NaN is near to nothing
    sides = np.array([min(known[row].width, known[row].height) for row in rows])
    pairs = pairs[sides[pairs].max(axis=1) >= THUMBNAIL]
    # Not before the products of all, beside which they would be the most that is held at a time.
    thumbnails = np.frombuffer(b"".join(first_of), np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)
    found = rows[pairs[same_picture(thumbnails, pairs, threads)]]
    return [(int(one), int(other)) for one, other in found]


def nearest_images(features: Floats, among: Indices, threads: int = 1) -> Indices:
    """The images of the most similar activations, by the cosine, the mean of all taken out.

    Args:
        features: float32 ``(N, D)``.
        among: rows of the images that are compared ``(M,)``, M over 1.
        threads: that compare blocks of images.

    Returns:
        ``(M, n)``, n the smaller of 6 and M - 1, places in ``among`` in no order. Where over 6,000
        images are compared, by the 160 directions of most variance.
    """
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    if len(among) <= _EXACT_BELOW:
        rows = _directions(features[among] - mean)
    else:
        sample = _directions(features[among[:: max(1, len(among) // 4000)]] - mean)
        vectors = np.linalg.eigh(sample.T @ sample)[1][:, -_KEPT:]
        starts = range(0, len(among), _BLOCK)  # the features are never copied as a whole
        parts = [_directions((features[among[at : at + _BLOCK]] - mean) @ vectors) for at in starts]
        rows = np.concatenate(parts)
        del parts
    count = min(NEAREST, len(rows) - 1)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as workers:
        blocks = range(0, len(rows), _ROWS)
        return np.concatenate(list(workers.map(lambda top: _nearest(rows, top, count), blocks)))


def _nearest(rows: Floats, top: int, count: int) -> Indices:
    """:func:`nearest_images` of a block of rows among all rows.

    Soon nearly all of a block's products are below the best that are known of their row: a pass
    for the largest of each row tells so.
    """
    block = rows[top : top + _ROWS]
    best = np.full((len(block), count), -np.inf, np.float32)
    index = np.zeros((len(block), count), np.int64)
    for left in range(0, len(rows), _BLOCK):
        products = block @ rows[left : left + _BLOCK].T
        own = np.arange(max(top, left), min(top + len(block), left + products.shape[1]))
        products[own - top, own - left] = -np.inf
        maxima = _maxima(products)
        better = np.flatnonzero(maxima.max(axis=1) > best.min(axis=1))
        if not len(better):
            continue
        products = products[better]
        columns = _largest(products, maxima[better], count)
        known = [best[better], np.take_along_axis(products, columns, axis=1)]
        found = np.concatenate(known, axis=1)
        places = np.concatenate([index[better], columns + left], axis=1)
        chosen = np.argpartition(-found, count - 1, axis=1)[:, :count]
        best[better] = np.take_along_axis(found, chosen, axis=1)
        index[better] = np.take_along_axis(places, chosen, axis=1)
    return index


def _largest(values: Floats, maxima: Floats, count: int) -> Indices:
    """Columns of the largest values of each row, ``(n, count)`` or all that there are.

    They lie in the buckets of the largest of the given :func:`_maxima`: sorting these is several
    times faster.
    """
    rows, columns = values.shape
    buckets = columns // _BUCKET
    if buckets <= count:
        return np.argpartition(-values, min(count, columns) - 1, axis=1)[:, :count]
    tail = np.broadcast_to(np.arange(buckets * _BUCKET, columns), (rows, columns % _BUCKET))
    chosen = np.argpartition(-maxima[:, :buckets], count - 1, axis=1)[:, :count]
    inside = (chosen[:, :, None] + np.arange(_BUCKET) * buckets).reshape(rows, -1)
    inside = np.concatenate([inside, tail], axis=1)
    held = np.take_along_axis(values, inside, axis=1)
    places = np.argpartition(-held, count - 1, axis=1)[:, :count]
    return np.take_along_axis(inside, places, axis=1)


def _maxima(values: Floats) -> Floats:
    """The largest value of each bucket of columns, then the columns that are in none.

    A bucket's columns lie as far apart as there are buckets, so that maxima of many are taken at
    once.
    """
    rows, columns = values.shape
    buckets = columns // _BUCKET
    in_buckets = values[:, : buckets * _BUCKET].reshape(rows, _BUCKET, buckets)
    return np.concatenate([in_buckets.max(axis=1), values[:, buckets * _BUCKET :]], axis=1)


def _directions(rows: Floats) -> Floats:
    """Rows of length one; a row of zeros stays."""
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return rows / np.maximum(lengths, np.float32(1e-12))
