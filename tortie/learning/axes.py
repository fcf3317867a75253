"""The axes along which features spread most, by which a Hessian is nearly inverted."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Axes(NamedTuple):
    """The leading axes of a spread, or all.

    Attributes:
        vectors: orthonormal columns ``(D, R)``.
        spreads: the features' mean square along each ``(R,)``.
        rest: and along any other direction.
    """

    vectors: Floats
    spreads: Floats
    rest: float


def axes_of(spread: Floats, count: int) -> Axes:
    """Some axes of a spread ``(D, D)``, or all where there are no more."""
    if count < len(spread):
        return leading_axes(
            lambda basis: spread @ basis, len(spread), float(np.trace(spread)), count
        )
    values, vectors = np.linalg.eigh(spread)
    spreads = np.maximum(values, 0)
    return Axes(vectors, spreads, float(spreads.mean()))


def leading_axes(times: Callable[[Floats], Floats], width: int, trace: float, count: int) -> Axes:
    """Find them by two turns of subspace iteration.

    Args:
        times: the spread times a basis ``(D, R)``.
        width: D.
        trace: of the spread.
        count: R.
    """
    basis = np.random.default_rng(0).standard_normal((width, count)).astype(np.float32)
    for _ in range(2):
        basis = np.linalg.qr(times(basis))[0]
    values, turn = np.linalg.eigh(basis.T @ times(basis))
    spreads = np.maximum(values, 0)
    left = max(trace - float(spreads.sum()), 0.0)
    # Half: directions that the features hardly take would be slowed by the mean of the others.
    return Axes(basis @ turn, spreads, left / max(width - count, 1) / 2)
