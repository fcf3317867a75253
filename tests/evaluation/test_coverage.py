"""The coverage curve by hand, and what must always hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.evaluation.coverage import THRESHOLDS, coverage_curve
from tortie.evaluation.metrics import wilson


def test_a_curve_by_hand():
    # Confidences 0.97, 0.9, 0.6, 0.55; the third is wrong.
    probabilities = np.array([[0.97, 0.03], [0.1, 0.9], [0.4, 0.6], [0.55, 0.45]], np.float32)
    curve = coverage_curve(probabilities, np.array([0, 1, 0, 0]))
    told = {one.threshold: (one.coverage, one.n) for one in curve}
    for upto, wanted in ((0.55, (1, 4)), (0.6, (0.75, 3)), (0.9, (0.5, 2)), (0.95, (0.25, 1))):
        assert told[upto] == wanted
    assert list(told) == [one for one in THRESHOLDS if one <= 0.95]  # beyond, nothing is left
    accuracy = {one.threshold: one.accuracy for one in curve}
    assert accuracy[0] == accuracy[0.55] == 3 / 4
    assert accuracy[0.6] == pytest.approx(2 / 3)
    assert accuracy[0.65] == accuracy[0.95] == 1
    assert curve[THRESHOLDS.index(0.6)].interval == wilson(2, 3)


@given(st.integers(0, 60), st.integers(2, 5), st.integers(0, 1000))
def test_coverage_never_rises_and_counts_are_exact(n, classes, seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.3), n).astype(np.float32)
    labels = rng.integers(0, classes, n)
    curve = coverage_curve(probabilities, labels)
    assert bool(curve) == bool(n)
    assert [one.coverage for one in curve] == sorted((one.coverage for one in curve), reverse=True)
    assert [one.threshold for one in curve] == sorted({one.threshold for one in curve})
    for one in curve:
        kept = [i for i in range(n) if probabilities[i].max() >= np.float32(one.threshold)]
        assert one.n == len(kept) > 0
        right = sum(probabilities[i].argmax() == labels[i] for i in kept)
        assert one.accuracy == pytest.approx(right / len(kept))
    if curve:
        assert curve[0].coverage == 1


def test_thresholds_begin_at_nothing_and_rise():
    assert THRESHOLDS[0] == 0
    assert list(THRESHOLDS) == sorted(set(THRESHOLDS))
