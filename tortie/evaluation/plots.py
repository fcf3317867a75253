"""Results as pictures of matplotlib, on axes that the user goes on with."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from tortie.errors import UsageError
from tortie.evaluation.calibration import reliability
from tortie.evaluation.coverage import coverage_curve
from tortie.evaluation.metrics import Scores, wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PlotKind = Literal["confusion", "reliability", "coverage", "learning curve"]
PLOTS: tuple[PlotKind, ...] = ("confusion", "reliability", "coverage", "learning curve")

_NUMBERED = 16  # classes, above which the cells have no numbers


def new_axes(ax: "Axes | None") -> "Axes":
    """The axes that are given, or those of a new figure."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    axes: Axes = pyplot.subplots(layout="constrained")[1]
    return axes


def check_kind(kind: str, kinds: Sequence[str]) -> None:
    """Refuse a picture that there is not.

    Raises:
        UsageError: with those that there are.
    """
    if kind not in kinds:
        raise UsageError(f"no plot {kind!r}: expected {', '.join(kinds)}")


def plot_confusion(ax: "Axes", scores: Scores, classes: Sequence[str]) -> None:
    """Counts, a row for each true class; the shade is the share of the row."""
    counts = np.array(scores.confusion, np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(totals, totals, 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ax.set(xlabel="predicted", ylabel="true")
    if len(classes) <= _NUMBERED:
        places = range(len(classes))
        ax.set_xticks(places, classes, rotation=45 if len(classes) > 4 else 0, ha="right"
                      if len(classes) > 4 else "center")  # fmt: skip
        ax.set_yticks(places, classes)
        for i in places:
            for j in places:
                colour = "white" if shares[i, j] > 0.5 else "black"
                ax.text(j, i, f"{counts[i, j]:g}", ha="center", va="center", color=colour)


def plot_reliability(
    ax: "Axes",
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
) -> None:
    """How often the classifier was right against how sure it said it was, with 95% intervals."""
    bins = reliability(probabilities, labels, weights=weights)
    low = min((one.low for one in bins), default=0.0)
    ax.plot([low, 1], [low, 1], color="grey", linewidth=1, linestyle="--")
    spans = [wilson(one.accuracy * one.count, one.count) for one in bins]
    right = [one.accuracy for one in bins]
    below = [one.value - one.low for one in spans]
    above = [one.high - one.value for one in spans]
    ax.errorbar([one.confidence for one in bins], right, yerr=[below, above], fmt="o", capsize=3)
    ax.set(xlabel="probability of the predicted class", ylabel="share right", ylim=(0, 1.02))


def plot_coverage(
    ax: "Axes",
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
) -> None:
    """Accuracy against the share of photographs that get a label, with its 95% interval."""
    curve = coverage_curve(probabilities, labels, weights)
    covered = [one.coverage for one in curve]
    spans = [one.interval for one in curve]
    ax.fill_between(covered, [one.low for one in spans], [one.high for one in spans], alpha=0.2)
    ax.plot(covered, [one.accuracy for one in curve], marker=".")
    ax.set(xlabel="share of photographs that get a label", ylabel="accuracy of these")


def plot_learning_curve(
    ax: "Axes", history: Sequence[Mapping[str, float | None]], best_epoch: int | None
) -> None:
    """Training and validation loss by epoch, and the epoch that was kept."""
    for key, name in (("train_loss", "training"), ("validation_loss", "validation")):
        points = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
        if points:
            ax.plot(*zip(*points, strict=True), marker=".", label=name)
    if best_epoch is not None:
        ax.axvline(best_epoch, color="grey", linewidth=1, linestyle="--", label="kept")
    ax.set(xlabel="epoch", ylabel="loss, nats")
    ax.legend()


def plotted(
    kind: PlotKind,
    ax: "Axes | None",
    scores: Scores,
    classes: Sequence[str],
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
) -> "Axes":
    """One of the pictures of predictions on labelled photographs."""
    ax = new_axes(ax)
    if kind == "confusion":
        plot_confusion(ax, scores, classes)
    elif kind == "reliability":
        plot_reliability(ax, probabilities, labels, weights)
    else:
        plot_coverage(ax, probabilities, labels, weights)
    return ax
