"""A network drawn from top to bottom: layers, branches, shortcuts and the volumes between stages.

A bar is a layer with its window (f, s, p), its filters and its activation. At the right stands the
volume that a row yields, height×width×channels, beside a cuboid whose face is as high as the maps'
side (on a scale of square roots) and as thick as the logarithm of their number. Groups of 2 to 4
are bars side by side (the two towers of AlexNet), branches are columns that meet in a bar, and a
shortcut is an arrow around the layers that it skips. Equal blocks in a row are drawn once,
with their number. The drawing is 390 pixels wide, so that a telephone shows it as it is.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Polygon

from tortie.cost.convolution import ConvolutionCost
from tortie.cost.layer_words import Row, column_words, gates, kind_of, short_name, window, words
from tortie.cost.pictures import INK, PALE, STYLE, check_format, save

_WIDTH = 390  # of the drawing: everything here is in CSS pixels, y downwards
_LEFT, _RIGHT = 76, 286  # between names and volumes
_BAR, _GAP, _TITLE = 20, 7, 46
_SMALL, _TINY = 7.6, 6.9  # points: 10.1 and 9.2 pixels
_COLOURS = {
    "convolution": "#bcd3ec",
    "pooling": "#cfe5dc",
    "linear": "#f3d3b4",
    "head": "#efbfb4",
    "other": "#e6e2f0",
    "input": "#eef1f4",
}


def draw_network(
    title: str, input_shape: tuple[int, ...], stages: Sequence[dict[str, Any]], path: Path
) -> None:
    """Draw a network.

    Args:
        title: its name.
        input_shape: ``(height, width, channels)``.
        stages: as :func:`tortie.cost.describe.describe`.
        path: a ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        UsageError: another format, or no such folder.
    """
    check_format(path)
    with rc_context(STYLE):
        page = _Page(input_shape, stages)
        page.title(title, stages)
        page.volume(tuple(input_shape), "input", "input")
        for stage in stages:
            page.stage(stage)
        save(page.figure(), path)


def draw_convolutions(ways: Sequence[tuple[str, Sequence[ConvolutionCost]]], path: Path) -> None:
    """Draw ways from one input to one output, one below the other.

    Args:
        ways: what each is called, and its convolutions in order.
        path: a ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        UsageError: another format, or no such folder.
    """
    check_format(path)
    with rc_context(STYLE):
        page = _Page(ways[0][1][0].input, [])
        for title, convolutions in ways:
            page.way(title, convolutions)
        save(page.figure(), path)


class _Page:
    """The figure, drawn from the top; ``y`` is how far."""

    def __init__(self, input_shape: tuple[int, ...], stages: Sequence[dict[str, Any]]) -> None:
        self.y = 0.0
        self._largest = max([input_shape[0], *(stage["output"][0] for stage in stages[:1])])
        self._figure = Figure(figsize=(_WIDTH / 96, 1), facecolor="white")
        self._axes: Axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()

    def figure(self) -> Figure:
        """As high as what is drawn."""
        height = self.y + 8
        self._figure.set_size_inches(_WIDTH / 96, height / 96)
        self._axes.set_xlim(0, _WIDTH)
        self._axes.set_ylim(height, 0)
        return self._figure

    def title(self, title: str, stages: Sequence[dict[str, Any]]) -> None:
        """The name, and what it has in all."""
        parameters = sum(stage["parameters"] for stage in stages)
        multiplications = sum(stage["multiplications"] for stage in stages)
        size = min(12.0, 12.0 * 44 / max(len(title), 1))
        self._text(8, 14, title, size=size, weight="bold", ha="left")
        text = f"{parameters:,} parameters, {multiplications:,} multiplications"
        self._text(8, 32, text, colour=PALE, ha="left")
        self.y = _TITLE

    def volume(self, shape: tuple[int, ...], name: str, kind: str) -> None:
        """A row without layers."""
        self._text(8, self.y + _BAR / 2, name, ha="left", weight="bold")
        self._box(_LEFT, self.y, _RIGHT - _LEFT, _BAR, "", kind)
        self._shape(shape, self.y + _BAR / 2)
        self.y += _BAR + _GAP

    def way(self, title: str, convolutions: Sequence[ConvolutionCost]) -> None:
        """Convolutions in a row, each with its multiplications, and their sum."""
        total = sum(one.multiplications for one in convolutions)
        self.y += 6
        self._text(8, self.y + 8, title, ha="left", weight="bold", size=9)
        self._text(_WIDTH - 5, self.y + 8, f"{total:,} multiplications", ha="right")
        self.y += 22
        self.volume(convolutions[0].input, "input", "input")
        for one in convolutions:
            parted = ", depthwise" if one.groups == one.input[2] > 1 else ""
            numbers = f"f={one.kernel} s={one.stride} p={one.padding}, {one.output[2]}{parted}"
            self._box(_LEFT, self.y, _RIGHT - _LEFT, 32, "", "convolution")
            self._text((_LEFT + _RIGHT) / 2, self.y + 10, numbers)
            count = f"{one.multiplications:,} multiplications"
            self._text((_LEFT + _RIGHT) / 2, self.y + 23, count, size=_TINY)
            self._shape(one.output, self.y + 16)
            self.y += 32 + _GAP

    def stage(self, stage: dict[str, Any]) -> None:
        """A stage: its layers, branches and blocks, and what it yields."""
        self._text(8, self.y + _BAR / 2, short_name(stage["name"]), ha="left", weight="bold")
        begin, rows = self.y, list(stage["layers"])
        if not rows:
            rows = [stage | {"kind": "", "repeats": 1}]
        joined = {
            layer: join
            for join in stage["joins"]
            for branch in join["branches"]
            for layer in branch
        }
        # what a block with a join has beside its branches (means inside a gate) is not drawn
        inside = [f"{join['name']}." for join in stage["joins"] if join["name"]]
        drawn: list[dict[str, Any]] = []
        named = {row["name"]: row for row in rows}
        for row in rows:
            join = joined.get(row["name"])
            if join is not None and join not in drawn:
                drawn.append(join)
                self._join(join, named, stage["output"])
            elif join is None and not row["name"].startswith(tuple(inside)):
                self._layer(row, stage["name"] == "head")
        if self.y - begin > _BAR + _GAP and len(stage["output"]) == 3:
            self._axes.plot([4, 4], [begin, self.y - _GAP], color=PALE, linewidth=1.2)
        self.y += 3

    def _layer(self, row: Row, head: bool = False) -> None:
        """One layer over the whole width; its groups side by side where they are few."""
        kind = "head" if head else kind_of(row)
        groups = row["groups"] if 1 < row["groups"] <= 4 else 1
        width = (_RIGHT - _LEFT - 6 * (groups - 1)) / groups
        tall, text = _BAR, words(row, groups)
        if groups > 1:  # in two lines
            tall, text = 30, text.replace(", ", "\n", 1)
        for number in range(groups):
            x = _LEFT + number * (width + 6)
            self._box(x, self.y, width, tall, text, kind, small=groups > 1)
        self._shape(tuple(row["output"]), self.y + tall / 2)
        if not head:
            self._arrow_down(self.y + tall)
        self.y += tall + _GAP

    def _join(self, join: dict[str, Any], rows: dict[str, Row], output: list[int]) -> None:
        """Branches from where they part to where they meet."""
        branches = [[rows[name] for name in branch] for branch in join["branches"]]
        repeats = max(row["repeats"] for branch in branches for row in branch)
        begin = self.y
        if join["kind"] == "add" or any(not branch for branch in branches):
            self._around(sorted(branches, key=len, reverse=True), join, output)
        else:
            self._columns(branches)
        if repeats > 1:
            self._text(_LEFT - 6, (begin + self.y) / 2, f"{repeats}×", ha="right", size=10)
        self.y += 4

    def _around(self, branches: list[list[Row]], join: dict[str, Any], output: list[int]) -> None:
        """The longest branch down, the others as an arrow around it to the sign where they meet."""
        main, *others = branches
        left, right, begin = _LEFT, _RIGHT - 46, self.y
        middle = (left + right) / 2
        for row in main:
            self._box(left, self.y, right - left, _BAR, words(row, 1), kind_of(row), small=True)
            self._arrow_down(self.y + _BAR, middle)
            self.y += _BAR + _GAP
        self._meeting(middle, self.y + 7, "+" if join["kind"] == "add" else "∥")
        if join["activation"]:
            self._text(
                middle - 12, self.y + 7, f"{join['activation']} after", ha="right", size=_TINY
            )
        for number, other in enumerate(others):
            x = right + 22 + 12 * number
            self._axes.plot(
                [middle, x, x], [begin - 3, begin - 3, self.y + 7], color=INK, linewidth=1.3
            )
            style = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.3, "mutation_scale": 9}
            self._axes.annotate(
                "", (middle + 7, self.y + 7), (x + 0.6, self.y + 7), arrowprops=style
            )
            text = "\n".join(f"{window(row)}\ns={row['stride'][0]}" for row in other)
            if text:
                half = (begin + self.y) / 2
                self._box(x - 16, half - 14, 32, 28, text, "convolution", small=True)
        # of blocks that add maps to those before, the last's; a gate's vectors are no maps
        maps = [row["output"] for row in main if not gates(row)] or [main[-1]["output"]]
        self._shape(tuple(output if join["kind"] == "cat" else maps[-1]), self.y + 7)
        self.y += 14 + _GAP

    def _meeting(self, x: float, y: float, sign: str) -> None:
        self._axes.plot([x], [y], "o", markersize=10, color="white", markeredgecolor=INK, zorder=3)
        self._text(x, y, sign, size=9, zorder=4)

    def _columns(self, branches: list[list[Row]]) -> None:
        """Branches side by side, and the bar in which they are stacked."""
        while min(map(len, branches)) > 1 and len({one[0]["name"] for one in branches}) == 1:
            self._layer(branches[0][0])  # they part after it
            branches = [branch[1:] for branch in branches]
        gap, begin = 4, self.y
        width = (_RIGHT - _LEFT - gap * (len(branches) - 1)) / len(branches)
        tall, deepest = 32, max(map(len, branches))
        for number, branch in enumerate(branches):
            x = _LEFT + number * (width + gap)
            for place, row in enumerate(branch):
                y = begin + (place + deepest - len(branch)) * (tall + _GAP)
                self._box(x, y, width, tall, column_words(row), kind_of(row), small=True)
                self._arrow_down(y + tall, x + width / 2)
            self._axes.plot(
                [x + width / 2] * 2,
                [begin - 4, begin + (deepest - len(branch)) * (tall + _GAP)],
                color=PALE, linewidth=1,
            )  # fmt: skip
        self._axes.plot(
            [_LEFT + width / 2, _RIGHT - width / 2], [begin - 4] * 2, color=PALE, linewidth=1
        )
        self.y = begin + deepest * (tall + _GAP)
        widths = [branch[-1]["output"][-1] for branch in branches]
        total = sum(widths)
        last = branches[0][-1]["output"]
        text = " + ".join(map(str, widths)) + f" = {total}"
        self._box(_LEFT, self.y, _RIGHT - _LEFT, 15, text, "other", small=True)
        self._shape((*last[:-1], total), self.y + 7)
        self.y += 15 + _GAP

    def _shape(self, shape: tuple[int, ...], y: float) -> None:
        """The volume that a row yields, drawn small, and in figures."""
        height, depth, thickness = _sides(shape, self._largest)
        kind = "convolution" if len(shape) == 3 else "linear"
        _cuboid(self._axes, 292, y + height / 2, height, depth, thickness, _COLOURS[kind])
        self._text(_WIDTH - 5, y, "×".join(map(str, shape)), colour=INK, ha="right", size=_SMALL)

    def _box(
        self, x: float, y: float, width: float, height: float, text: str, kind: str,
        small: bool = False,
    ) -> None:  # fmt: skip
        self._axes.add_patch(
            FancyBboxPatch(
                (x, y), width, height, boxstyle="round,pad=0,rounding_size=3",
                facecolor=_COLOURS[kind], edgecolor=PALE, linewidth=0.7, zorder=2.5,
            )
        )  # fmt: skip
        if text:
            longest = max(map(len, text.split("\n")))
            size = min(_TINY if small else _SMALL, 0.75 * (width - 4) / (0.56 * longest))
            self._text(x + width / 2, y + height / 2, text, size=size)

    def _arrow_down(self, y: float, x: float = (_LEFT + _RIGHT) / 2) -> None:
        self._axes.plot([x, x], [y, y + _GAP], color=PALE, linewidth=1, zorder=0)

    def _text(
        self, x: float, y: float, text: str, size: float = _SMALL, colour: str = INK,
        ha: str = "center", weight: str = "normal", zorder: float = 3,
    ) -> None:  # fmt: skip
        self._axes.text(
            x, y, text, fontsize=size, color=colour, ha=ha, va="center", weight=weight,
            zorder=zorder, linespacing=1.15,
        )  # fmt: skip


def _sides(shape: tuple[int, ...], largest: int) -> tuple[float, float, float]:
    """Height of the face, depth into the page and thickness of a volume, in pixels."""
    channels = shape[-1]
    if len(shape) == 1:
        return 1.4 * math.log2(channels + 1), 2.0, 2.5
    side = math.isqrt(shape[0]) if len(shape) == 2 else max(shape[:2])
    face = max(15 * math.sqrt(min(side / largest, 1.0)), 2.5)
    return face, face * 0.6, 1 + 0.9 * math.log2(channels + 1)


def _cuboid(
    axes: Axes, x: float, y: float, height: float, depth: float, thickness: float, colour: str
) -> None:
    """A face of that height, seen from the left; ``y`` is its lower edge."""
    dx, dy = 0.5 * depth, -0.4 * depth
    top = y - height
    faces = (
        [(x, y), (x + thickness, y), (x + thickness, top), (x, top)],
        [(x, top), (x + thickness, top), (x + thickness + dx, top + dy), (x + dx, top + dy)],
        [
            (x + thickness, y),
            (x + thickness + dx, y + dy),
            (x + thickness + dx, top + dy),
            (x + thickness, top),
        ],
    )
    for points in faces:
        axes.add_patch(Polygon(points, facecolor=colour, edgecolor=INK, linewidth=0.5))
