"""Pictures of what networks cost."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from tortie.cost.compare import Compared, Comparison
from tortie.cost.count import Part
from tortie.errors import UsageError
from tortie.files import check_output, replacing

INK, PALE, GRID = "#22303c", "#6b7884", "#dfe4e8"
FAMILIES = {
    "lenet": "#7f6aa8",
    "alexnet": "#c8553d",
    "vgg": "#2f7f79",
    "nin": "#8a8d2f",
    "googlenet": "#d39a2c",
    "resnet": "#3d6fb4",
    "resnext": "#2a9bc4",
    "se-resnet": "#5b4fb0",
    "densenet": "#b0632f",
    "squeezenet": "#6e8b3d",
    "mobilenet": "#d0679d",
    "plain": "#8d99a5",
    "efficientnet": "#a34d80",
}
_DPI = 144
_LEAST = 1e-3  # share of the whole that a bar can show
_NAMED = 8  # networks whose names have room at their discs; more are numbered
_DIGIT = "\u2007"  # a space as wide as a digit
_FORMATS = (".png", ".svg", ".pdf")
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.hashsalt": "tortie",  # the same picture, the same bytes
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "text.color": INK,
}


def check_format(path: Path) -> None:
    """Refuse a picture that could not be written, before anything is counted.

    Raises:
        UsageError: a suffix that is no format of pictures, or no such folder.
    """
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(f"cannot draw {path}: expected a name that ends in .png, .svg or .pdf")
    check_output(path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix, the same bytes at every run."""
    suffix = path.suffix.lower()[1:]
    dated = {"svg": "Date", "pdf": "CreationDate"}
    metadata = {dated[suffix]: None} if suffix in dated else None
    with rc_context(STYLE), replacing(path) as file:
        figure.savefig(file, format=suffix, dpi=_DPI, metadata=metadata)


def draw_comparison(comparison: Comparison, path: Path) -> None:
    """Multiplications against published error, the area of a disc by parameters.

    Raises:
        UsageError: another format than ``.png``, ``.svg`` or ``.pdf``; no published error at all.
    """
    check_format(path)
    shown = [one for one in comparison.networks if one.error is not None]
    if not shown:
        raise UsageError("no error of these networks is published: there is nothing to draw")
    with rc_context(STYLE):
        many = len(shown) > _NAMED
        size = (9.5, 1.6 + max(3.2, 0.21 * len(shown))) if many else (8, 4.8)
        figure = Figure(figsize=size, dpi=_DPI, facecolor="white", layout="constrained")
        axes = figure.add_subplot()
        largest = max(one.cost.parameters for one in shown)
        # Diameters in points: a disc's area is as its parameters.
        widest = 36 if many else 60
        diameters = [widest * math.sqrt(one.cost.parameters / largest) for one in shown]
        for one, diameter in zip(shown, diameters, strict=True):
            _disc(axes, one, diameter)
        _scales(axes, shown)
        axes.set_xlabel("multiplications for one image (convolutions and linear layers)")
        axes.set_ylabel(f"{comparison.measure} error, %")
        axes.set_title(_title(comparison, shown), loc="left", fontsize=9, color=PALE)
        if many:
            _legend(axes, shown)
        texts = [str(n) if many else _caption(one) for n, one in enumerate(shown, 1)]
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # lays the axes out, which the labels need
        _label(axes, shown, texts, diameters, canvas.get_renderer())
        save(figure, path)


def _title(comparison: Comparison, shown: Sequence[Compared]) -> str:
    title = f"Area: parameters. Error: {comparison.protocol}, as published"
    return title + ("." if all(one.same_protocol for one in shown) else "; dashed: as labelled.")


def _disc(axes: Axes, one: Compared, diameter: float) -> None:
    colour = next((c for family, c in FAMILIES.items() if one.name.startswith(family)), PALE)
    assert one.error is not None
    axes.scatter(
        one.cost.multiplications, one.error, s=diameter**2,
        facecolor=(colour, 0.85 if one.same_protocol else 0.35),
        edgecolor="white" if one.same_protocol else colour, linewidth=1.2,
        linestyle="-" if one.same_protocol else (0, (3, 2)), zorder=3,
    )  # fmt: skip


def _scales(axes: Axes, shown: Sequence[Compared]) -> None:
    """Multiplications by decades with room at the sides, errors from zero."""
    counts = [one.cost.multiplications for one in shown]
    axes.set_xscale("log")
    axes.set_xlim(min(counts) / 2.6, max(counts) * 4.5)
    axes.set_ylim(0, max(one.error or 0 for one in shown) * 1.22)
    axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)


def _short(value: float) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.3g}"


def _legend(axes: Axes, shown: Sequence[Compared]) -> None:
    """The numbers' names and figures, right of the axes."""
    lines = [
        f"{str(number).rjust(2, _DIGIT)}  {one.name}, {_short(one.cost.parameters)}"
        + ("" if one.same_protocol else "*")
        for number, one in enumerate(shown, 1)
    ]
    if not all(one.same_protocol for one in shown):
        lines.append(f"{_DIGIT}*  measured otherwise (dashed)")
    axes.annotate(
        "\n".join(lines), (1.02, 1.0), xycoords="axes fraction", va="top", ha="left", fontsize=9,
        linespacing=1.45, annotation_clip=False,
    )  # fmt: skip


def _label(
    axes: Axes,
    shown: Sequence[Compared],
    texts: Sequence[str],
    diameters: Sequence[float],
    renderer: Any,
) -> None:
    """A text at each disc, where it hides no disc and no other text."""
    inside = axes.get_window_extent(renderer)
    centres = [
        axes.transData.transform((one.cost.multiplications, one.error or 0)) for one in shown
    ]
    radii = [diameter / 2 * _DPI / 72 for diameter in diameters]
    taken = [
        Bbox.from_bounds(x - radius, y - radius, 2 * radius, 2 * radius)
        for (x, y), radius in zip(centres, radii, strict=True)
    ]
    rows = sorted(zip(shown, texts, diameters, strict=True), key=lambda row: -row[2])
    for one, text, diameter in rows:
        found = []
        for place in _places(diameter / 2):
            label = _annotate(axes, one, text, place)
            extent = label.get_window_extent(renderer).padded(3)
            label.remove()
            hidden = sum(_overlap(extent, other) for other in taken)
            found.append((hidden + extent.width * extent.height - _overlap(extent, inside), place))
        _, best = min(found, key=lambda pair: pair[0])  # the first of equals
        taken.append(_annotate(axes, one, text, best).get_window_extent(renderer).padded(3))


def _caption(one: Compared) -> str:
    text = f"{one.name}\n{_short(one.cost.parameters)} parameters"
    if not one.same_protocol and one.published:
        text += f"\n{one.published.protocol.split(', ', 1)[-1]}"
    return text


def _annotate(
    axes: Axes, one: Compared, text: str, place: tuple[float, float, str, str]
) -> Annotation:
    dx, dy, across, along = place
    return axes.annotate(
        text, (one.cost.multiplications, one.error or 0), (dx, dy), textcoords="offset points",
        ha=across, va=along, fontsize=9, linespacing=1.25,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )  # fmt: skip


def _places(radius: float) -> list[tuple[float, float, str, str]]:
    """Offsets of a label from a disc's middle, in points, and how text hangs; the best first."""
    beside, diagonal = radius + 5, 0.75 * radius + 4
    return [
        (beside, 0, "left", "center"),
        (0, beside, "center", "bottom"),
        (0, -beside, "center", "top"),
        (-beside, 0, "right", "center"),
        (diagonal, diagonal, "left", "bottom"),
        (diagonal, -diagonal, "left", "top"),
        (-diagonal, diagonal, "right", "bottom"),
        (-diagonal, -diagonal, "right", "top"),
    ]


def _overlap(one: Any, other: Any) -> float:
    """The area that two boxes share, in square pixels."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return float(max(width, 0) * max(height, 0))


def draw_parts(name: str, parts: Sequence[Part], path: Path) -> None:
    """Shares of multiplications, parameters and activations by stage or layer, side by side.

    Raises:
        UsageError: another format than ``.png``, ``.svg`` or ``.pdf``.
    """
    check_format(path)
    totals = sum(part.multiplications for part in parts), sum(part.parameters for part in parts)
    least, fewest = (_LEAST * total for total in totals)
    shown = [part for part in parts if part.parameters > fewest or part.multiplications > least]
    left_out = len([part for part in parts if part.parameters or part.multiplications]) - len(shown)
    columns = (
        ("multiplications", [part.multiplications for part in shown], totals[0], "#3d6fb4"),
        ("parameters", [part.parameters for part in shown], totals[1], "#c8553d"),
    )
    with rc_context(STYLE):
        height = 1.2 + 0.26 * len(shown)
        figure = Figure(figsize=(9, height), facecolor="white", layout="constrained")
        first, second = figure.subplots(1, 2, sharey=True)
        for axes, (title, values, total, colour) in zip((first, second), columns, strict=True):
            shares = [100 * value / max(total, 1) for value in values]
            bars = axes.barh(range(len(shown)), shares, color=colour, height=0.7)
            axes.bar_label(bars, [_short(v) for v in values], padding=4, fontsize=8, color=PALE)
            axes.set_title(f"{title}: {total:,}", loc="left", fontsize=10)
            axes.set_xlim(0, max(shares) * 1.22)
            axes.set_axis_off() if not shown else axes.tick_params(length=0)
            axes.set_xticks([])
            for spine in axes.spines.values():
                spine.set_visible(False)
        first.set_yticks(range(len(shown)), [part.name for part in shown], fontsize=8, color=INK)
        first.set_ylim(len(shown) - 0.4, -0.6)  # from the top, without a margin that grows
        note = f"  ({left_out} below a thousandth left out)" if left_out else ""
        figure.suptitle(name + note, x=0.01, ha="left", fontsize=11)
        save(figure, path)
