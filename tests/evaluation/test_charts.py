"""Charts: where each mark lies, worked by hand, and well-formed SVG."""

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.evaluation.calibration import Bin
from tortie.evaluation.charts import (
    Axis,
    Chart,
    Line,
    confusion_picture,
    coverage_chart,
    history_charts,
    reliability_chart,
)
from tortie.evaluation.coverage import Covered


def elements(svg, tag):
    return ElementTree.fromstring(str(svg)).findall(f".//{tag}")


def test_ticks_are_round_and_inside():
    assert Axis("", 0, 1, is_share=True).ticks() == [
        (0, "0%"),
        (0.25, "25%"),
        (0.5, "50%"),
        (0.75, "75%"),
        (1, "100%"),
    ]
    assert [text for _, text in Axis("", 1, 30).ticks()] == ["10", "20", "30"]
    # There is no epoch 1.5, nor a tick that says so.
    epochs = {3: ["1", "2", "3"], 11: ["2", "4", "6", "8", "10"], 30: ["10", "20", "30"]}
    for last, texts in epochs.items():
        assert [text for _, text in Axis("epoch", 1, last, is_count=True).ticks()] == texts
    assert [text for _, text in Axis("", 0, 0.0011).ticks()] == ["0", "0.0005", "0.001"]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_any_axis_has_a_few_ticks_between_its_ends(low, width):
    ticks = [value for value, _ in Axis("", low, low + width).ticks()]
    assert 1 <= len(ticks) <= 6
    slack = 1e-6 * (abs(low) + width)
    assert all(low - slack <= value <= low + width + slack for value in ticks)


def test_a_point_lies_where_its_values_say():
    # The plot is 304 wide from 44 and 178 high from 26, its origin at the bottom left.
    chart = Chart("title", Axis("", 0, 10), Axis("", 0, 4))
    assert (chart.x(0), chart.x(5), chart.x(10)) == (44, 196, 348)
    assert (chart.y(4), chart.y(1), chart.y(0)) == (26, 159.5, 204)


def test_a_line_passes_over_what_is_not_finite():
    chart = Chart("title", Axis("", 0, 10), Axis("", 0, 4))
    chart.line(Line("", "first", [(0, 0), (5, math.nan), (10, 4)]))
    chart.line(Line("", "second", [(5, 1)]))
    (line,) = elements(chart.svg(), "polyline")
    assert line.attrib["points"] == "44,204 348,26"
    (dot,) = elements(chart.svg(), "circle")
    assert (dot.attrib["cx"], dot.attrib["cy"]) == ("196", "159.5")


def test_text_is_escaped():
    chart = Chart("<b>", Axis("a & b", 0, 1), Axis("<i>", 0, 1))
    chart.rule(0.5, "<u>")
    texts = [one.text for one in elements(chart.svg(), "text")]
    assert {"a & b", "<i>", "<u>"} <= set(texts)
    assert elements(chart.svg(), "title")[0].text == "<b>"


def test_reliability_has_a_disc_a_bin_with_its_area_by_the_count():
    after = [Bin(0.5, 0.6, 0.55, 0.5, 25), Bin(0.9, 1.0, 0.95, 1.0, 100)]
    discs = elements(reliability_chart(after, [Bin(0.8, 0.9, 0.85, 0.5, 100)]), "circle")
    assert [one.attrib["class"] for one in discs] == ["hollow", "first", "first"]
    assert [float(one.attrib["r"]) for one in discs] == [9.5, 6.0, 9.5]  # 2.5 + 7·√(count / 100)
    # From 0.5 to 1: 0.95 lies nine tenths of 304 from 44.
    assert (discs[2].attrib["cx"], discs[2].attrib["cy"]) == ("317.6", "26")


def test_coverage_is_drawn_with_its_interval():
    svg = coverage_chart([Covered(0, 1.0, 0.8, 100), Covered(0.9, 0.5, 1.0, 50)])
    (line,) = elements(svg, "polyline")
    first, second = line.attrib["points"].split()
    assert first.startswith("348,") and second == "44,26"
    (band,) = elements(svg, "polygon")
    assert len(band.attrib["points"].split()) == 4


def test_learning_curves_are_those_that_were_recorded():
    history = [
        {"epoch": 1, "train_loss": 2.0, "validation_loss": 1.0},
        {"epoch": 2, "train_loss": 1.0, "validation_loss": math.nan},
        {"epoch": 3, "train_loss": 0.5},
    ]
    ((caption, lines, svg),) = history_charts(history, 2)
    assert caption == "Loss, nats"
    assert [(line.name, line.points) for line in lines] == [
        ("training", [(1, 2), (2, 1), (3, 0.5)]),
        ("validation", [(1, 1)]),
    ]
    assert "kept" in [one.text for one in elements(svg, "text")]
    assert history_charts([], None) == []


@pytest.mark.parametrize("epochs", [1, 2, 200])
def test_any_number_of_epochs_is_drawn(epochs):
    history = [
        {"epoch": i, "train_loss": 0.0, "validation_accuracy": 1.0, "learning_rate": 1e-9}
        for i in range(epochs)
    ]
    charts = history_charts(history, epochs - 1)
    assert [caption for caption, _, _ in charts] == [
        "Loss, nats",
        "Accuracy on validation",
        "Learning rate",
    ]
    for _, _, svg in charts:
        numbers = [float(n) for n in re.findall(r'[xy]="(-?[\d.]+)"', str(svg))]
        assert numbers and all(-1 <= n <= 361 for n in numbers)


def test_confusion_has_a_cell_a_pair_that_occurs():
    picture = confusion_picture([[8, 0], [2, 6]])
    paths = elements(picture, "path")
    cells = [
        (one.attrib["class"], one.attrib["opacity"], one.attrib["d"])
        for one in paths
        if one.attrib["class"] != "frame"
    ]
    # Shares 1, 6/8 and 2/8 are shades 8, 6 and 2 of 8.
    assert cells == [
        ("right", "0.79", "M1 1h1v1h-1z"),
        ("right", "1.00", "M0 0h1v1h-1z"),
        ("wrong", "0.36", "M0 1h1v1h-1z"),
    ]


def test_a_confusion_of_100_classes_is_small():
    full = np.full((100, 100), 3)
    assert len(confusion_picture(full.tolist())) < 200_000
