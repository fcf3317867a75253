"""A network drawn as its volumes: how sides shrink and channels grow from stage to stage.

Each volume is a cuboid, its face as high as the maps' side (on a scale of square roots) and as
thick as the logarithm of their number; a vector is a thin column. Above it is the stage that yields
it, below it the shape, height×width×channels.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from tortie.cost.count import Cost
from tortie.cost.pictures import INK, PALE, STYLE, check_format, save

_PER_ROW = 9
_PITCH = 1.55  # from volume to volume
_HIGHEST = 1.5
_SLANT, _RISE = 0.32, 0.8  # how far the depth goes to the right, and how much of that up
_CAPTION = 0.5  # room for a line of text
_TITLE, _FIGURES = 0.142, 4.9  # room for a letter of the title, and for the figures after it
_INCH = 0.8  # of a unit of the drawing
_KINDS = {  # face, side, top
    "input": ("#eef1f4", "#d5dbe1", "#e3e8ec"),
    "maps": ("#bcd3ec", "#7fa6d3", "#9dbce0"),
    "pooled": ("#cfe5dc", "#8fbfac", "#aed2c4"),
    "vector": ("#f3d3b4", "#d9a268", "#e6bb8e"),
    "head": ("#efbfb4", "#cf7f6c", "#df9f90"),
}

_Volume = tuple[str, tuple[int, ...], str]  # name, shape of one image, kind


def draw_network(name: str, cost: Cost, path: Path) -> None:
    """Draw the volumes that flow between the stages of a network.

    Args:
        name: the title.
        cost: of one image.
        path: a ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        UsageError: another format, or no such folder.
    """
    check_format(path)
    volumes: list[_Volume] = [("input", cost.input, "input")]
    for stage in cost.stages:
        pooled = "pool" in stage.name or (stage.name.startswith("s") and stage.name[1:].isdigit())
        kind = "vector" if len(stage.output) == 1 else "pooled" if pooled else "maps"
        volumes.append((stage.name, stage.output, "head" if stage.name == "head" else kind))
    per_row = math.ceil(len(volumes) / math.ceil(len(volumes) / _PER_ROW))
    rows = [volumes[i : i + per_row] for i in range(0, len(volumes), per_row)]
    largest = max(max(shape[:2]) for _, shape, _ in volumes if len(shape) == 3)
    heights = [_height(row, largest) for row in rows]
    width, tall = _PITCH * per_row - 0.35, sum(heights) + 0.75
    with rc_context(STYLE):
        figure = Figure(figsize=(width * _INCH, tall * _INCH), facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.1, width), ylim=(-tall, 0))
        axes.set_axis_off()
        figures = f"{cost.parameters:,} parameters, {cost.multiplications:,} multiplications"
        size = min(13.0, 13 * (width - _FIGURES) / _TITLE / len(name))
        axes.text(0.05, -0.32, name, fontsize=size, weight="bold", va="center")
        axes.text(width - 0.1, -0.32, figures, color=PALE, ha="right", va="center")
        top = -0.6
        for number, (row, height) in enumerate(zip(rows, heights, strict=True)):
            _draw_row(axes, row, top, height, largest, more=number + 1 < len(rows))
            top -= height
        save(figure, path)


def _height(row: Sequence[_Volume], largest: int) -> float:
    """Of a row with its captions."""
    return max(_tall(*_sides(shape, largest)) for _, shape, _ in row) + 2 * _CAPTION


def _tall(height: float, depth: float, thickness: float) -> float:
    return height + _SLANT * _RISE * depth


def _draw_row(
    axes: Axes, row: Sequence[_Volume], top: float, height: float, largest: int, more: bool
) -> None:
    """Volumes side by side on one line, an arrow after each but the head."""
    centre = top - height / 2
    for column, (name, shape, kind) in enumerate(row):
        middle = column * _PITCH + (_PITCH - 0.45) / 2
        sides = _sides(shape, largest)
        width = sides[2] + _SLANT * sides[1]
        _cuboid(axes, middle - width / 2, centre - _tall(*sides) / 2, *sides, kind)
        above, below = top - 0.26, top - height + 0.26
        axes.text(middle, above, name, ha="center", va="center", fontsize=8.5, color=INK)
        text = "×".join(map(str, shape))
        axes.text(middle, below, text, ha="center", va="center", fontsize=8, color=PALE)
        if column + 1 < len(row) or more:
            start = middle + _PITCH / 2 - 0.15
            style = {"arrowstyle": "-|>", "color": PALE, "linewidth": 1, "mutation_scale": 9}
            axes.annotate("", (start + 0.3, centre), (start, centre), arrowprops=style)


def _sides(shape: tuple[int, ...], largest: int) -> tuple[float, float, float]:
    """Height of the face, depth into the page and thickness, in units of the drawing."""
    channels = shape[-1]
    thickness = 0.04 + 0.055 * math.log2(channels)
    if len(shape) == 1:
        return 0.12 * math.log2(channels), 0.14, 0.1
    if len(shape) == 2:  # tokens, as if they lay in a square
        shape = (math.isqrt(shape[0]), math.isqrt(shape[0]), channels)
    height = max(_HIGHEST * math.sqrt(shape[0] / largest) * 0.86, 0.14)
    depth = max(_HIGHEST * math.sqrt(shape[1] / largest) * 0.86, 0.14)
    return height, depth, thickness


def _cuboid(
    axes: Axes, x: float, y: float, height: float, depth: float, thickness: float, kind: str
) -> None:
    """The face looks left to right along the network: a parallelogram, seen from the side."""
    face, side, top = _KINDS[kind]
    dx, dy = _SLANT * depth, _SLANT * _RISE * depth
    corners = {
        face: [(x, y), (x + thickness, y), (x + thickness, y + height), (x, y + height)],
        top: [
            (x, y + height),
            (x + thickness, y + height),
            (x + thickness + dx, y + height + dy),
            (x + dx, y + height + dy),
        ],
        side: [
            (x + thickness, y),
            (x + thickness + dx, y + dy),
            (x + thickness + dx, y + height + dy),
            (x + thickness, y + height),
        ],
    }
    for colour, points in corners.items():
        axes.add_patch(
            Polygon(points, facecolor=colour, edgecolor=INK, linewidth=0.7, joinstyle="round")
        )
