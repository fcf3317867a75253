"""Which unlabelled photographs are worth labelling first: unsure ones, unlike one another."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def worth_labelling(
    features: Floats, probabilities: Floats | None, labelled: Floats, count: int
) -> list[int]:
    """Positions of the photographs to label, the most worthwhile first.

    One after the other is taken whose entropy times its distance to the nearest photograph that is
    labelled or was taken is greatest; the distance is one minus the cosine. So a photograph like a
    labelled one is worth little, and of two similar ones the second is once the first is
    taken.

    Args:
        features: of the unlabelled photographs, float32 ``(N, D)``.
        probabilities: what the classifier says of them, ``(N, K)``; ``None`` where there is none.
        labelled: features of the labelled photographs ``(M, D)``.
        count: how many to take.
    """
    rows, known = _unit(features), _unit(labelled)
    doubt = np.ones(len(rows)) if probabilities is None else _entropy(probabilities)
    nearest = np.full(len(rows), 2.0)
    if len(known):
        nearest = np.minimum(nearest, 1 - (rows @ known.T).max(axis=1))
    left = np.ones(len(rows), bool)
    taken: list[int] = []
    for _ in range(min(count, len(rows))):
        worth = np.where(left, doubt * np.maximum(nearest, 0), -1)
        best = int(worth.argmax())
        taken.append(best)
        left[best] = False
        nearest = np.minimum(nearest, 1 - rows @ rows[best])
    return taken


def _unit(features: Floats) -> Floats:
    lengths = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    return np.asarray(features / lengths, np.float32)


def _entropy(probabilities: Floats) -> NDArray[np.float64]:
    """In shares of the greatest possible, and never quite nothing."""
    shares = np.clip(probabilities.astype(np.float64), 1e-12, 1)
    bits = -(shares * np.log(shares)).sum(axis=1) / np.log(max(2, shares.shape[1]))
    return np.asarray(np.maximum(bits, 1e-3))
