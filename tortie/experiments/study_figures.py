"""The figure of a study, drawn twice, and the three kinds of drawing that most studies take."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tortie.experiments.intervals import mean_of
from tortie.experiments.theme import DARK, LIGHT, Theme
from tortie.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.study_result import Result

_WIDTH, _HEIGHT = 6.6, 4.4  # inches; 13 points are then readable on a telephone
_DPI = 200
FIGURES = {"figure": LIGHT, "figure-dark": DARK}


def draw(result: "Result", folder: Path) -> None:
    """Write ``figure.svg`` and ``.png``, and ``figure-dark.svg`` and ``.png``.

    Raises:
        TortieError: the disk is full, or the folder cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    for name, theme in FIGURES.items():
        with rc_context(theme.style()):
            columns = result.study.axes
            size = (_WIDTH if columns == 1 else 8.4, _HEIGHT)
            figure = Figure(figsize=size, layout="constrained")
            result.study.figure(list(figure.subplots(1, columns, squeeze=False)[0]), result, theme)
            for suffix in ("svg", "png"):
                metadata: dict[str, Any] = {"Date": None} if suffix == "svg" else {}
                with replacing(folder / f"{name}.{suffix}") as file:
                    figure.savefig(file, format=suffix, dpi=_DPI, metadata=metadata)


def lines(
    axes: "Axes", result: "Result", theme: Theme, arms: Mapping[str, str], key: str,
    x: Sequence[float] | None = None,
) -> None:  # fmt: skip
    """A curve an arm: the mean over the seeds of a list of numbers, with its interval as a band.

    Args:
        axes: to draw into.
        result: what was measured.
        theme: of the figure.
        arms: names in the legend, by arm.
        key: a measure that is a list.
        x: of the list's numbers; by default 1, 2, 3, ...
    """
    for number, (arm, label) in enumerate(arms.items()):
        curves = result.of(arm, key)
        across = list(x or range(1, len(curves[0]) + 1))
        means = [mean_of(values) for values in zip(*curves, strict=True)]
        colour = theme.colours[number % len(theme.colours)]
        axes.plot(across, [mean.value for mean in means], color=colour, label=label)
        if len(result.seeds) > 1:
            lows, highs = [mean.low for mean in means], [mean.high for mean in means]
            axes.fill_between(across, lows, highs, color=colour, alpha=0.18, linewidth=0)


def curve(
    axes: "Axes", result: "Result", colour: str, label: str,
    points: Mapping[int, str] | Mapping[float, str], key: str, unit: float = 1.0,
) -> None:  # fmt: skip
    """One line through an arm each: a measure against a number, with intervals.

    Args:
        axes: to draw into.
        result: what was measured.
        colour: of the line.
        label: in the legend.
        points: the arm by the number that it stands at.
        key: the measure.
        unit: factor by which it is shown.
    """
    means = [result.mean(arm, key) for arm in points.values()]
    values = [unit * mean.value for mean in means]
    axes.plot(list(points), values, color=colour, marker="o", markersize=7, label=label)
    for x, mean in zip(points, means, strict=True):
        if math.isfinite(mean.high):
            axes.plot([x, x], [unit * mean.low, unit * mean.high], color=colour, linewidth=1.4)


def dots(
    axes: "Axes", result: "Result", theme: Theme, arms: Mapping[str, str], key: str,
    unit: float = 1.0, exact: bool = False,
) -> None:  # fmt: skip
    """A row an arm: the mean with its interval, and the seeds as small dots behind it.

    Args:
        axes: to draw into.
        result: what was measured.
        theme: of the figure.
        arms: names of the rows, by arm, from the top.
        key: the measure.
        unit: factor by which it is shown.
        exact: whether it is counted: a bar from zero with its number.
    """
    for row, arm in enumerate(arms):
        colour = theme.colours[row % len(theme.colours)]
        mean = result.mean(arm, key, exact)
        if exact:
            axes.barh(row, unit * mean.value, color=colour, height=0.55)
            text = f"{unit * mean.value:,.3g}"
            axes.annotate(
                text, (unit * mean.value, row), (6, 0), textcoords="offset points", va="center"
            )
            continue
        seeds = [unit * value for value in result.of(arm, key)]
        axes.plot(seeds, [row] * len(seeds), "o", color=colour, alpha=0.35, markersize=6)
        if math.isfinite(mean.high):
            axes.plot([unit * mean.low, unit * mean.high], [row, row], color=colour, linewidth=3)
        axes.plot(unit * mean.value, row, "o", color=colour, markersize=11)
    axes.set_yticks(range(len(arms)), list(arms.values()))
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    if exact:
        axes.set_xlim(0, axes.get_xlim()[1] * 1.18)


def heat(
    axes: "Axes", values: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str],
    theme: Theme, form: str = "{:.1f}", outlined: Sequence[int] = (),
) -> None:  # fmt: skip
    """A heat map with its numbers.

    Args:
        axes: to draw into.
        values: by row and column.
        rows: their names, from the top.
        columns: their names.
        theme: of the figure.
        form: of a number.
        outlined: for each column, the row of the cell that has a border; empty for none.
    """
    from matplotlib.patches import Rectangle

    image = axes.imshow(values, cmap=theme.heat, aspect="auto")
    low, high = image.get_clim()
    for row, across in enumerate(values):
        for column, value in enumerate(across):
            dark = (value - low) / (high - low or 1) > 0.55
            ink = "white" if dark == (theme.mode == "light") else "#15191e"
            axes.text(column, row, form.format(value), ha="center", va="center", color=ink)
    for column, row in enumerate(outlined):
        corner = column - 0.47, row - 0.45
        axes.add_patch(Rectangle(corner, 0.94, 0.9, fill=False, lw=3, ec=theme.colours[1]))
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
