"""Whether two thumbnails show one picture: mirrored, cropped, or partly covered.

Something else proposes pairs, such as a network, and the pixels decide: nothing here depends on who
proposed. A copy is one picture seen through a window: the whole of it, or 80% and more of each
side, at a corner, at an edge or in the middle, mirrored or not. Plain correlation tells which
window fits best; through that window the pair is judged by
:func:`~tortie.images.duplicates.likeness`, which makes up for what lies between two windows. Where
a stamp or a bar covers a part, the same window of both pictures is compared.

Plain pictures fit one another through some window without being copies: an edge, a wave, a digit.
Those of which few frequencies hold what has to fit have to fit better, and are no crops.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tortie.images.duplicates import FEATURELESS, likeness
from tortie.images.facts import THUMBNAIL

ALIKE = 0.97
"""Share of one thumbnail's variance that the other explains through the best window."""
_ALIKE_IN_PART = 0.99  # the same window of both shows less of them, so more of it has to fit
_ALIKE_PLAIN = 0.995  # where few frequencies hold what has to fit
_FEW = 64  # frequencies of 1,024: 98 of 100 photographs need over 80 for 97% of their variance
_WORTH_A_LOOK = 0.7  # plain correlation
_RATHER_WHOLE = 0.02  # correlation: the same picture fits through every window
_SCALES = (0.93, 0.86, 0.8)  # sides of the windows, as shares of the picture's
_PLACES = (0.0, 0.5, 1.0)  # of a window between one border and the other
_POINTS = 10  # a side, where windows are compared
_BATCH = 256  # pictures at once: 6 MB of windows

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


class _Window(NamedTuple):
    """A part of a picture, mirrored first or not: the share of each side, and where it lies."""

    scale: float
    down: float
    right: float
    mirrored: bool = False


def same_picture(
    thumbnails: NDArray[np.uint8], pairs: Indices, threads: int = 1
) -> NDArray[np.bool_]:
    """Which pairs of thumbnails show one picture, mirrored, cropped, or partly covered.

    Args:
        thumbnails: grey levels ``(N, 32, 32)``.
        pairs: of thumbnails ``(n, 2)``; the order within a pair does not matter.
        threads: that compare pictures.

    Returns:
        ``(n,)``. Nearly blank pictures, of a standard deviation under 4 grey levels, never are.
    """
    found = np.zeros(len(pairs), bool)
    if not len(pairs):
        return found
    both = np.concatenate([pairs, pairs[:, ::-1]])
    order = np.argsort(both[:, 0], kind="stable")
    edges = np.flatnonzero(np.diff(both[order, 0], prepend=-1))[::_BATCH].tolist()

    def compare(begin: int, end: int) -> None:
        rows = order[begin:end]
        of_first, of_second, fit = _best_windows(thumbnails, both[rows])
        worth = np.flatnonzero(fit >= _WORTH_A_LOOK)
        if len(worth):
            first = _through(thumbnails[both[rows[worth], 0]], of_first[worth])
            second = _through(thumbnails[both[rows[worth], 1]], of_second[worth])
            least = np.where(of_second[worth] == 0, ALIKE, _ALIKE_IN_PART)
            plain = _is_plain(first) | _is_plain(second)
            is_crop = (of_second[worth] == 0) & ~np.isin(of_first[worth], _WHOLE)
            least[plain] = np.where(is_crop[plain], np.inf, _ALIKE_PLAIN)
            spread = np.minimum(first.std(axis=(1, 2)), second.std(axis=(1, 2)))
            same = (spread >= FEATURELESS) & (likeness(first, second) >= least)
            found[rows[worth[same]] % len(pairs)] = True

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as workers:
        list(workers.map(compare, edges, [*edges[1:], len(order)]))
    return found


def _is_plain(thumbnails: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether few frequencies make up a picture, its light and an even slope of it taken out."""
    flat = thumbnails.reshape(-1, THUMBNAIL**2).astype(np.float32)
    flat -= (flat @ _EVEN) @ _EVEN.T
    spectrum = _COSINES @ flat.reshape(-1, THUMBNAIL, THUMBNAIL) @ _COSINES.T
    power = np.sort(spectrum.reshape(len(flat), -1) ** 2, axis=1)[:, ::-1]
    plain: NDArray[np.bool_] = power[:, :_FEW].sum(axis=1) >= ALIKE * power.sum(axis=1)
    return plain


def _best_windows(thumbnails: NDArray[np.uint8], pairs: Indices) -> tuple[Indices, Indices, Floats]:
    """For each pair: the windows of the first and of the second that fit best, and how well."""
    firsts, first = np.unique(pairs[:, 0], return_inverse=True)
    seconds, second = np.unique(pairs[:, 1], return_inverse=True)
    windows, parts = np.arange(len(_WINDOWS)), np.array(_PARTS)
    corners, corner = np.unique(parts[:, 1], return_inverse=True)
    seen = _looks(thumbnails[firsts], windows)
    referred = _looks(thumbnails[seconds], np.concatenate([[_WHOLE[0]], corners]))
    fits = np.empty((len(pairs), len(_WINDOWS) + len(_PARTS)), np.float32)
    for at in range(0, len(pairs), _BATCH):
        rows = slice(at, at + _BATCH)
        mine, theirs = seen[first[rows]], referred[second[rows]]
        covered = theirs[:, 1:][:, corner]
        fits[rows, : len(_WINDOWS)] = np.einsum("nwp,np->nw", mine, theirs[:, 0])
        fits[rows, len(_WINDOWS) :] = np.einsum("nwp,nwp->nw", mine[:, parts[:, 0]], covered)
    fits[:, len(_WINDOWS) :] -= _RATHER_WHOLE
    best = fits.argmax(axis=1)
    choices = np.concatenate([np.stack([windows, 0 * windows], axis=1), parts])
    return choices[best, 0], choices[best, 1], fits[np.arange(len(fits)), best]


def _looks(thumbnails: NDArray[np.uint8], windows: Indices) -> Floats:
    """A few points of each picture through windows, lights taken out: ``(N, windows, points)``.

    Each is of length one, so that the product of two is their correlation.
    """
    count = len(thumbnails)
    # Windows of the same rows together, and all pictures in one product: small ones take long.
    pictures = thumbnails.astype(np.float32).transpose(1, 0, 2).reshape(THUMBNAIL, -1)
    rows_of: dict[tuple[float, float], list[int]] = {}
    for place, number in enumerate(windows.tolist()):
        rows_of.setdefault((_WINDOWS[number].scale, _WINDOWS[number].down), []).append(place)
    points = np.empty((count, len(windows), _POINTS, _POINTS), np.float32)
    for places in rows_of.values():
        matrices = [_MATRICES[number] for number in windows[places].tolist()]
        rows = ((_SMOOTH @ matrices[0][0]) @ pictures).reshape(-1, THUMBNAIL)
        columns = np.concatenate([(_SMOOTH @ right).T for _, right in matrices], axis=1)
        found = (rows @ columns).reshape(_POINTS, count, len(places), _POINTS)
        points[:, places] = found.transpose(1, 2, 0, 3)
    seen = points.reshape(count * len(windows), -1)
    seen -= (seen @ _LIGHT) @ _LIGHT.T
    seen /= np.maximum(np.linalg.norm(seen, axis=-1, keepdims=True), np.float32(1e-3))
    return seen.reshape(count, len(windows), -1)


def _through(thumbnails: NDArray[np.uint8], windows: Indices) -> NDArray[np.uint8]:
    """Each thumbnail through a window of its own, at the size of a thumbnail."""
    seen = np.empty(thumbnails.shape, np.float32)
    for number in np.unique(windows).tolist():
        rows = windows == number
        down, right = _MATRICES[number]
        seen[rows] = down @ thumbnails[rows].astype(np.float32) @ right.T
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8)


def _axis(scale: float, place: float) -> Floats:
    """Linear interpolation of a window along one axis: ``(32, 32)``."""
    at = place * (1 - scale) * THUMBNAIL + (np.arange(THUMBNAIL) + 0.5) * scale - 0.5
    at = np.clip(at, 0, THUMBNAIL - 1)
    near = 1 - np.abs(at[:, None] - np.arange(THUMBNAIL))
    return np.maximum(near, 0).astype(np.float32)


def _matrices(window: _Window) -> tuple[Floats, Floats]:
    right = _axis(window.scale, window.right)
    return _axis(window.scale, window.down), right[:, ::-1] if window.mirrored else right


def _smooth() -> Floats:
    """A few points of an axis, each the Gaussian mean of about three pixels: ``(points, 32)``."""
    at = np.linspace(1.5, THUMBNAIL - 2.5, _POINTS)
    weights = np.exp(-0.5 * ((at[:, None] - np.arange(THUMBNAIL)) / 1.5) ** 2)
    weights[weights < 1e-7] = 0  # of no account, and subnormal numbers take ten times as long
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _cosines() -> Floats:
    """The orthonormal DCT-II, ``(32, 32)``: one frequency a row."""
    frequencies, places = np.ogrid[:THUMBNAIL, :THUMBNAIL]
    rows = np.cos(np.pi * frequencies * (2 * places + 1) / (2 * THUMBNAIL))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _light(side: int) -> Floats:
    """Orthonormal columns ``(side², 3)``: brightness, and its even slope along x and along y."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    planes = np.stack([np.ones_like(x), x, y], axis=-1).reshape(-1, 3)
    return np.linalg.qr(planes)[0].astype(np.float32)


_SMOOTH, _COSINES = _smooth(), _cosines()
_LIGHT, _EVEN = _light(_POINTS), _light(THUMBNAIL)
_PLAIN = [_Window(1, 0, 0), *(_Window(s, y, x) for s in _SCALES for y in _PLACES for x in _PLACES)]
_WINDOWS = [*_PLAIN, *(window._replace(mirrored=True) for window in _PLAIN)]
_WHOLE = [0, len(_PLAIN)]  # as it is, and mirrored
_MATRICES = [_matrices(window) for window in _WINDOWS]
# Corners, of which a stamp or a bar leaves some free: of one picture, plain or mirrored, and the
# other.
_CORNERS = [_Window(_SCALES[-1], y, x) for y in (0, 1) for x in (0, 1)]
_PARTS = [
    (_WINDOWS.index(corner._replace(mirrored=mirrored)), _WINDOWS.index(corner))
    for corner in _CORNERS
    for mirrored in (False, True)
]
