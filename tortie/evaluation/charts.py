"""Small charts as inline SVG: they take the page's own colours and need neither script nor file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tortie.evaluation.calibration import Bin
from tortie.evaluation.coverage import Covered
from tortie.evaluation.metrics import Interval, wilson
from tortie.text import shown

if TYPE_CHECKING:
    from markupsafe import Markup

Point = tuple[float, float]

_WIDTH, _HEIGHT = 360, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 26, 36  # margins: labels of the axes lie in them
_SHADES = 8


@dataclass(frozen=True)
class Axis:
    """One direction of a chart.

    Attributes:
        label: what is drawn along it, with the unit.
        low: its value at the left or at the bottom.
        high: its value at the right or at the top; above ``low``.
        is_share: whether its ticks are percentages of 1.
        is_count: whether there is nothing between whole numbers.
    """

    label: str
    low: float
    high: float
    is_share: bool = False
    is_count: bool = False

    def ticks(self) -> list[tuple[float, str]]:
        """Round values between the ends, about four, with their text."""
        step = _round_step((self.high - self.low) / 4)
        if self.is_count:
            step = max(math.floor(step), 1)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(i * step, self._text(i * step)) for i in range(first, last + 1)]

    def _text(self, value: float) -> str:
        return f"{value * 100:.3g}%" if self.is_share else f"{value:.4g}"


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: what the legend calls it; empty for none.
        style: CSS class that gives it its colour: ``first``, ``second`` or ``faint``.
        points: x and y, in the units of the axes.
    """

    name: str
    style: str
    points: Sequence[Point]


class Chart:
    """A drawing surface with two axes, to which marks are added in order."""

    def __init__(self, title: str, across: Axis, up: Axis) -> None:
        """Draw the axes; ``title`` is what a screen reader says."""
        self._title, self._across, self._up = title, across, up
        self._parts: list[str] = []
        self._axes()

    def x(self, value: float) -> float:
        """Where a value lies, from the left."""
        share = (value - self._across.low) / (self._across.high - self._across.low)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        """Where a value lies, from the top."""
        share = (value - self._up.low) / (self._up.high - self._up.low)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)

    def line(self, line: Line) -> None:
        """A line through the points that are finite; one point alone is a dot."""
        points = [p for p in line.points if all(map(math.isfinite, p))]
        if len(points) == 1:
            self.dot(*points[0], 3, line.style)
        elif points:
            path = " ".join(f"{self.x(x):g},{self.y(y):g}" for x, y in points)
            self._parts.append(f'<polyline class="{line.style}" points="{path}"/>')

    def band(self, edges: Sequence[tuple[float, float, float]]) -> None:
        """The area between a lower and an upper edge: x, low, high."""
        there = [(x, high) for x, _, high in edges]
        back = [(x, low) for x, low, _ in reversed(edges)]
        path = " ".join(f"{self.x(x):g},{self.y(y):g}" for x, y in there + back)
        self._parts.append(f'<polygon class="band" points="{path}"/>')

    def dot(self, x: float, y: float, radius: float, style: str) -> None:
        """A disc; ``radius`` in the chart's own units, of which it is 360 wide."""
        self._parts.append(
            f'<circle class="{style}" cx="{self.x(x):g}" cy="{self.y(y):g}" r="{radius:.1f}"/>'
        )

    def whisker(self, x: float, low: float, high: float) -> None:
        """A vertical line from ``low`` to ``high``."""
        at = f"{self.x(x):g}"
        self._parts.append(
            f'<path class="whisker" d="M{at} {self.y(low):g}L{at} {self.y(high):g}"/>'
        )

    def rule(self, x: float, text: str) -> None:
        """A vertical line over the whole height, with a word at its top."""
        at = self.x(x)
        self._parts.append(
            f'<path class="rule" d="M{at:g} {_TOP}V{_HEIGHT - _BOTTOM}"/>'
            f'<text x="{at:g}" y="{_TOP - 5}" text-anchor="middle">{_escaped(text)}</text>'
        )

    def svg(self) -> "Markup":
        """The chart as an ``<svg>`` element, safe in HTML."""
        return _svg(self._title, f"0 0 {_WIDTH} {_HEIGHT}", "chart", "".join(self._parts))

    def _axes(self) -> None:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        self._parts.append(f'<text class="label" x="4" y="11">{_escaped(self._up.label)}</text>')
        for value, text in self._up.ticks():
            y = self.y(value)
            self._parts.append(
                f'<path class="grid" d="M{_LEFT} {y:g}H{right}"/>'
                f'<text x="{_LEFT - 6}" y="{y + 3.5:g}" text-anchor="end">{text}</text>'
            )
        for value, text in self._across.ticks():
            self._parts.append(
                f'<text x="{self.x(value):g}" y="{bottom + 15}" text-anchor="middle">{text}</text>'
            )
        self._parts.append(
            f'<text class="label" x="{(_LEFT + right) / 2:g}" y="{_HEIGHT - 5}" '
            f'text-anchor="middle">{_escaped(self._across.label)}</text>'
        )


def reliability_chart(after: Sequence[Bin], before: Sequence[Bin] = ()) -> "Markup":
    """How often the classifier is right where it says how sure it is.

    A disc for each bin, its area by the photographs, with the 95% interval of its share; hollow
    ones for the probabilities before they were calibrated. On the diagonal they mean what they
    say.
    """
    low = min((one.low for one in (*after, *before)), default=0.0)
    chart = Chart(
        "How sure it said it was, against how often it was right",
        Axis("how sure it said it was", low, 1, is_share=True),
        Axis("right", 0, 1, is_share=True),
    )
    chart.line(Line("", "faint", [(low, low), (1, 1)]))
    most = max((one.count for one in (*after, *before)), default=1)
    for one in after:
        span = wilson(one.accuracy * one.count, one.count)
        chart.whisker(one.confidence, span.low, span.high)
    for bins, style in ((before, "hollow"), (after, "first")):
        for one in bins:
            radius = 2.5 + 7 * math.sqrt(one.count / most)
            chart.dot(one.confidence, one.accuracy, radius, style)
    return chart.svg()


def coverage_chart(curve: Sequence[Covered]) -> "Markup":
    """Share of right answers against the share of photographs that get one, with its interval."""
    spans: list[tuple[float, Interval]] = [(one.coverage, one.interval) for one in curve]
    lowest = min(span.low for _, span in spans)
    floor = math.floor(max(0.0, lowest - 0.01) * 20) / 20
    ends = [coverage for coverage, _ in spans]
    chart = Chart(
        "Share of right answers where unsure ones are refused",
        Axis("photographs that get an answer", min(0.9, *ends), 1, is_share=True),
        Axis("right", floor, 1, is_share=True),
    )
    chart.band([(coverage, span.low, span.high) for coverage, span in spans])
    points = [(one.coverage, one.accuracy) for one in curve]
    chart.line(Line("", "first", points))
    for x, y in points:
        chart.dot(x, y, 2.2, "first")
    return chart.svg()


def history_charts(
    history: Sequence[Mapping[str, float | None]], best_epoch: int | None
) -> list[tuple[str, list[Line], "Markup"]]:
    """Learning curves: loss, accuracy and learning rate by epoch; those that were recorded.

    Args:
        history: a mapping an epoch, of ``epoch``, ``train_loss``, ``validation_loss`` (nats),
            ``validation_accuracy`` (0 to 1) and ``learning_rate``; a key may be missing,
            ``None`` or NaN.
        best_epoch: the epoch whose parameters were kept.

    Returns:
        Caption, lines for the legend, and chart.
    """
    wanted = (
        (
            "Loss, nats",
            (("train_loss", "training", "second"), ("validation_loss", "validation", "first")),
            False,
        ),
        ("Accuracy on validation", (("validation_accuracy", "", "first"),), True),
        ("Learning rate", (("learning_rate", "", "second"),), False),
    )
    drawn = []
    for caption, keys, is_share in wanted:
        lines = [
            Line(name, style, points)
            for key, name, style in keys
            if (points := _recorded(history, key))
        ]
        if lines:
            drawn.append((caption, lines, _curves(caption, lines, is_share, best_epoch)))
    return drawn


def confusion_picture(confusion: Sequence[Sequence[float]]) -> "Markup":
    """Which classes are taken for which, as a picture: a cell a pair, darker where more often.

    Cells of one shade are one path, so that 100 classes are some hundred kilobytes at the most.

    Args:
        confusion: counts ``(K, K)``, a row for each true class.
    """
    paths: dict[tuple[str, int], list[str]] = {}
    for i, row in enumerate(confusion):
        total = sum(row) or 1
        for j, count in enumerate(row):
            if count:
                shade = math.ceil(_SHADES * count / total)
                key = ("right" if i == j else "wrong", shade)
                paths.setdefault(key, []).append(f"M{j} {i}h1v1h-1z")
    cells = "".join(
        f'<path class="{kind}" opacity="{0.15 + 0.85 * shade / _SHADES:.2f}" d="{"".join(where)}"/>'
        for (kind, shade), where in sorted(paths.items())
    )
    size = len(confusion)
    frame = f'<path class="frame" d="M0 0H{size}V{size}H0z"/>'
    return _svg("What is taken for what", f"0 0 {size} {size}", "cells", frame + cells)


def _recorded(history: Sequence[Mapping[str, float | None]], key: str) -> list[Point]:
    known = [(row["epoch"], row.get(key)) for row in history]
    points = [(float(x), float(y)) for x, y in known if x is not None and y is not None]
    return [point for point in points if math.isfinite(point[1])]


def _curves(
    caption: str, lines: Sequence[Line], is_share: bool, best_epoch: int | None
) -> "Markup":
    epochs = [x for line in lines for x, _ in line.points]
    values = [y for line in lines for _, y in line.points]
    first, last = min(epochs), max(epochs)
    bottom = math.floor(min(values) * 10) / 10 if is_share else 0.0
    top = 1.0 if is_share else 1.08 * max(values) or 1.0
    chart = Chart(
        caption,
        Axis("epoch", first, max(last, first + 1), is_count=True),
        Axis("", min(bottom, top - 0.1) if is_share else bottom, top, is_share),
    )
    if best_epoch is not None and first <= best_epoch <= last:
        chart.rule(best_epoch, "kept")
    for line in lines:
        chart.line(line)
    return chart.svg()


def _round_step(step: float) -> float:
    """The least of 1, 2, 2.5, 5 times a power of ten that is not below ``step``."""
    power = 10 ** math.floor(math.log10(step))
    return next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= step * (1 - 1e-9))


def _svg(title: str, box: str, style: str, inside: str) -> "Markup":
    from markupsafe import Markup

    return Markup(
        f'<svg class="{style}" viewBox="{box}" role="img"><title>{_escaped(title)}</title>'
        f"{inside}</svg>"
    )


def _escaped(text: str) -> str:
    from markupsafe import escape

    return str(escape(shown(text)))
