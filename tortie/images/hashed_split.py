"""A split drawn photograph by photograph: by a hash of the seed and of the content of its unit.

Where :mod:`tortie.images.split` ranks all images of a class and deals them out, here each is placed
alone, so that no list of all is needed. A part then holds of every class its fraction give or take
a square root, and the classes of one image have it in train.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tortie.images.split import SPLITS, Split
from tortie.images.split_rules import DRAWN, asked_for, drawn_by_rule

Keys = NDArray[np.uint64]
Integers = NDArray[np.int64]

MOST: Mapping[Split, int] = {"validation": 20_000, "calibration": 5_000, "test": 20_000}
"""Images of a part that no rule makes larger: they tell a share of 80% to half a point."""


def fractions_of(
    given: set[Split], images: int, valid: float | None, test: float | None
) -> dict[Split, float]:
    """What is drawn from the training images; nothing where all parts are given.

    A calibration part is always drawn, and a validation part beside a test, as cross-fitting would
    need several solutions.

    Args:
        given: parts that the images have.
        images: in ``train``.
        valid: fraction that the user asks for.
        test: fraction that the user asks for.

    Raises:
        UsageError: a fraction for a part that is given, or fractions that leave nothing to train
            on.
    """
    own = asked_for(given, valid, test)
    fractions: dict[Split, float] = {p: share for p, share in own.items() if p != "train"}
    by_rule: dict[Split, float] = {} if own else drawn_by_rule(given, images)
    parts = given | set(fractions) | set(by_rule)
    wanted = set(by_rule) | ({"calibration"} - parts)
    if "test" in parts and "validation" not in parts:
        wanted.add("validation")
    for part in SPLITS[1:]:
        if part in wanted:
            fractions[part] = min(by_rule.get(part, DRAWN[part]), MOST[part] / images)
    return {"train": 1 - sum(fractions.values()), **fractions} if fractions else {}


def draw_by_hash(
    units: Keys, labels: Integers, fractions: Mapping[Split, float], seed: int
) -> NDArray[np.uint8]:
    """The place among the splits of each image ``(N,)``; the images of a unit have one.

    Args:
        units: 64 bits of each image's unit ``(N,)``.
        labels: class indices ``(N,)``.
        fractions: of each part, summing to 1, train among them.
        seed: another seed draws another split.
    """
    parts = [part for part in SPLITS if part in fractions]
    edges = np.cumsum([fractions[part] for part in parts])[:-1]
    places = hashed(units, seed)
    drawn = np.searchsorted(edges, places, side="right")
    lowest = np.ones(int(labels.max(initial=0)) + 1)
    np.minimum.at(lowest, labels, places)
    drawn[np.isin(places, lowest)] = 0  # every class trains with one image, or one unit
    return np.array([SPLITS.index(part) for part in parts], np.uint8)[drawn]


def hashed(keys: Keys, seed: int) -> NDArray[np.float64]:
    """A number from 0 to 1 for each key ``(N,)``, as good as drawn (Steele et al. 2014)."""
    mixed = _mixed(keys ^ _mixed(np.array([seed], np.uint64))) >> np.uint64(11)
    return mixed.astype(np.float64) * 2.0**-53


def _mixed(keys: Keys) -> Keys:
    """SplitMix64's finaliser, after one step of its counter."""
    found = keys + np.uint64(0x9E3779B97F4A7C15)
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return found ^ (found >> np.uint64(31))
