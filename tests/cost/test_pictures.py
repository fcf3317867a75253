"""Pictures: what they draw, where, and that nothing covers anything else."""

import itertools
import re

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from tortie.cost import drawing, pictures
from tortie.cost.compare import compare
from tortie.cost.convolution import convolution, separable
from tortie.cost.count import count
from tortie.cost.describe import describe
from tortie.cost.drawing import draw_convolutions, draw_network
from tortie.cost.meta_network import meta_network
from tortie.cost.pictures import draw_comparison, draw_parts
from tortie.errors import UsageError
from tortie.networks.table import TABLE


def draw(name, path, **arguments):
    """The drawing of a network of the table."""
    cost = count(meta_network(name, **arguments))
    draw_network(name, cost.input, describe(cost), path)


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that would be written."""
    figures = []
    for module in (pictures, drawing):
        monkeypatch.setattr(module, "save", lambda figure, path: figures.append(figure))
    return figures


@pytest.mark.parametrize(
    "names",
    [
        ["alexnet", "vgg16", "googlenet", "resnet50", "resnet152"],
        ["vgg11", "vgg13", "vgg16", "vgg19"],
        ["plain18", "plain34", "resnet18-a", "resnet34-a", "resnet34", "resnet50-v1"],
    ],
)
def test_no_label_covers_another(drawn, tmp_path, names):
    draw_comparison(compare(names), tmp_path / "a.png")
    (figure,) = drawn
    (axes,) = figure.axes
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert [text.get_text().split("\n")[0] for text in axes.texts] != []
    assert {text.get_text().split("\n")[0] for text in axes.texts} == set(names)
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    inside = axes.get_window_extent(renderer).padded(1)
    assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 for box in boxes)


def test_areas_are_as_parameters_and_places_as_published(drawn, tmp_path):
    draw_comparison(compare(["vgg16", "resnet50"]), tmp_path / "a.png")
    vgg, resnet = drawn[0].axes[0].collections
    assert vgg.get_sizes()[0] / resnet.get_sizes()[0] == pytest.approx(138_357_544 / 25_557_032)
    assert vgg.get_offsets()[0].tolist() == [15_470_264_320, 9.618]
    assert resnet.get_offsets()[0].tolist() == [4_089_184_256, 7.138]


def test_nothing_published_is_nothing_to_draw(tmp_path):
    with pytest.raises(UsageError, match="no error of these networks is published"):
        draw_comparison(compare(["lenet5"]), tmp_path / "a.png")


def test_bars_are_shares_of_the_whole(drawn, tmp_path):
    draw_parts("lenet5", count(meta_network("lenet5")).stages, tmp_path / "a.png")
    multiplications, parameters = drawn[0].axes
    wanted = [117_600, 240_000, 48_000, 10_080, 840]  # 28·28·6·25, 10·10·16·150, 400·120, ...
    bars = [bar.get_width() for bar in multiplications.patches]
    assert bars == pytest.approx([100 * value / 416_520 for value in wanted])
    assert sum(bar.get_width() for bar in parameters.patches) == pytest.approx(100)
    names = [label.get_text() for label in multiplications.get_yticklabels()]
    assert names == ["c1", "c3", "c5", "f6", "head"]  # what pools has neither


def test_a_network_is_drawn_with_windows_and_volumes(drawn, tmp_path):
    draw("lenet5", tmp_path / "a.png")
    texts = texts_of(drawn[0])
    for expected in ("input", "c1", "28×28×6", "s2", "14×14×6", "10×10×16", "5×5×16", "120", "84"):
        assert expected in texts
    assert "61,706 parameters, 416,520 multiplications" in texts
    assert "f=5 s=1 p=2, 6, ReLU" in texts
    assert "max f=2 s=2 p=0" in texts


def test_alexnet_has_two_towers(drawn, tmp_path):
    draw("alexnet", tmp_path / "a.png")
    texts = texts_of(drawn[0])
    assert texts.count("f=11 s=4 p=0, 96, ReLU") == 1 and "55×55×96" in texts
    assert texts.count("f=5 s=1 p=2\n128, ReLU") == 2  # of conv2: each tower sees its own maps
    assert texts.count("f=3 s=1 p=1, 384, ReLU") == 1  # conv3 sees both
    assert texts.count("f=3 s=1 p=1\n192, ReLU") == 2


def test_branches_shortcuts_and_repetitions_are_drawn(drawn, tmp_path):
    draw("googlenet", tmp_path / "a.png")
    texts = texts_of(drawn[0])
    assert "64 + 128 + 32 + 32 = 256" in texts and "28×28×256" in texts
    assert "5×5, 32\ns=1 p=2" in texts
    draw("resnet50", tmp_path / "a.png")
    texts = texts_of(drawn[1])
    assert [text for text in texts if text.endswith("×")] == ["2×", "3×", "5×", "2×"]
    assert texts.count("+") == texts.count("ReLU after") == 8  # of 16 blocks, alike ones once
    arrows = [text for text in drawn[1].axes[0].texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == 8
    assert [text for text in texts if text.startswith("1×1\n")] == ["1×1\ns=1", *["1×1\ns=2"] * 3]
    draw("plain18", tmp_path / "a.png")
    assert "+" not in texts_of(drawn[2])


def test_a_convolution_and_its_cheaper_way_are_drawn(drawn, tmp_path):
    both = separable((14, 14, 512), 3, 512)
    assert both.depthwise.multiplications == 14 * 14 * 512 * 9
    assert both.pointwise.multiplications == 14 * 14 * 512 * 512
    assert both.saving == pytest.approx(1 / (1 / 512 + 1 / 9))  # section 3.1 of MobileNet's paper
    assert both.direct == convolution((14, 14, 512), 3, 512)
    ways = [("a convolution", [both.direct]), ("separable", [both.depthwise, both.pointwise])]
    draw_convolutions(ways, tmp_path / "a.png")
    texts = texts_of(drawn[0])
    assert "462,422,016 multiplications" in texts and "52,283,392 multiplications" in texts
    assert "f=3 s=1 p=same, 512, depthwise" in texts


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet50", "densenet121", "vgg19"])
def test_texts_do_not_touch_and_are_legible_on_a_telephone(drawn, tmp_path, name):
    draw(name, tmp_path / "a.png")
    (figure,) = drawn
    assert figure.get_size_inches()[0] * 96 == pytest.approx(390)
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    assert min(text.get_fontsize() for text in texts) * 96 / 72 > 8.4  # pixels
    boxes = [text.get_window_extent(renderer) for text in texts]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    whole = figure.bbox
    assert all(box.x0 >= 0 and box.x1 <= whole.x1 for box in boxes)


def test_nineteen_networks_are_numbered(drawn, tmp_path):
    names = [entry.name for entry in TABLE if "imagenet" in entry.weights and entry.published][:19]
    draw_comparison(compare(names), tmp_path / "a.png")
    (axes,) = drawn[0].axes
    legend, *numbers = axes.texts
    assert {text.get_text() for text in numbers} == {str(n) for n in range(1, 20)}
    assert all(name in legend.get_text() for name in names)
    renderer = FigureCanvasAgg(drawn[0]).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)


def test_rows_of_nothing_are_left_out(drawn, tmp_path):
    draw_parts("resnet152", count(meta_network("resnet152")).layers, tmp_path / "a.png")
    multiplications, parameters = drawn[0].axes
    for one, other in zip(multiplications.patches, parameters.patches, strict=True):
        assert max(one.get_width(), other.get_width()) > 0.1  # percent
    assert "below a thousandth left out" in drawn[0].get_suptitle()
    # What is left out of the rows is in the sums: the figures of test_costs and of the papers.
    assert multiplications.get_title("left") == "multiplications: 11,513,626,624"
    assert parameters.get_title("left") == "parameters: 60,192,808"


def test_files_are_small_and_the_same_at_every_run(tmp_path):
    for suffix in ("svg", "png"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in "ab")
        draw("alexnet", first)
        draw("alexnet", second)
        assert first.read_bytes() == second.read_bytes()
        assert first.stat().st_size < 200_000
    with Image.open(tmp_path / "a.png") as image:
        assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
    assert re.search(r"<svg", (tmp_path / "a.svg").read_text())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.gif", "expected a name that ends in .png, .svg or .pdf"),
        ("no/a.png", "no folder .*no to write a.png into"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, message):
    with pytest.raises(UsageError, match=message):
        draw("lenet5", tmp_path / name)
