"""The page of the networks: its figures are those that are counted, its pictures exist."""

import re
from pathlib import Path

import pytest

from tortie.cost.convolution import bottleneck, convolution
from tortie.cost.count import count
from tortie.cost.meta_network import meta_network
from tortie.networks.figures import FIGURES

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([\w-]+)`.*?\| ([\d,]+) \|.*?\| ([\d,]+) \|", TEXT, re.MULTILINE)


def test_the_table_is_what_is_counted():
    assert len(ROWS) == 36
    for name, parameters, multiplications in ROWS:
        figures = FIGURES[name]
        assert f"{figures.parameters:,}" == parameters, name
        assert f"{figures.multiplications:,}" == multiplications, name


def test_every_picture_exists():
    pictures = re.findall(r"\((pictures/[\w.-]+)\)", TEXT)
    assert len(pictures) == 9
    for picture in pictures:
        assert (PAGE.parent / picture).stat().st_size < 300_000


def test_figures_in_sentences_are_what_is_counted():
    lectures = bottleneck((28, 28, 192), 5, 32, through=16)
    plain, reduced = (convolution((56, 56, 64), 3, 64), convolution((56, 56, 256), 1, 64))
    spread = convolution((56, 56, 64), 1, 256)
    vgg = {stage.name: stage for stage in count(meta_network("vgg16")).stages}
    for value in (
        lectures.direct.multiplications,
        lectures.multiplications,
        2 * plain.multiplications,
        reduced.multiplications + plain.multiplications + spread.multiplications,
        convolution((6, 6, 32), 1, 32).multiplications,
        vgg["fc6"].parameters,
        count(meta_network("googlenet")).side_parameters,
        count(meta_network("alexnet", groups=1)).multiplications,
    ):
        assert f"{value:,}" in TEXT
    share = vgg["fc6"].multiplications / FIGURES["vgg16"].multiplications
    assert share == pytest.approx(0.007, abs=0.0005)
