"""Pictures: what they draw, where, and that nothing covers anything else."""

import itertools
import re

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from torch import nn

from tortie.cost import blocks, pictures
from tortie.cost.blocks import draw_network
from tortie.cost.compare import compare
from tortie.cost.count import count
from tortie.cost.meta_network import meta_network
from tortie.cost.pictures import draw_comparison, draw_parts
from tortie.errors import UsageError
from tortie.networks.network import Network


class Tokens(nn.Module):
    """Maps as a row of tokens, ``(N, H·W, C)``."""

    def __init__(self, cut):
        super().__init__()
        self.cut = cut

    def forward(self, images):
        return self.cut(images).transpose(1, 2)


class Mean(nn.Module):
    def forward(self, tokens):
        return tokens.mean(dim=1)


@pytest.fixture
def drawn(monkeypatch):
    """The figures that would be written."""
    figures = []
    for module in (pictures, blocks):
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


def test_a_network_is_drawn_with_every_stage_and_shape(drawn, tmp_path):
    draw_network("lenet5", count(meta_network("lenet5")), tmp_path / "a.png")
    (axes,) = drawn[0].axes
    texts = [text.get_text() for text in axes.texts]
    for expected in ("input", "c1", "28×28×6", "s2", "14×14×6", "10×10×16", "5×5×16", "120", "84"):
        assert expected in texts
    assert "61,706 parameters, 416,520 multiplications" in texts
    assert len(axes.patches) == 3 * 8  # face, side and top of each volume


def test_tokens_are_drawn_as_a_square_of_them(drawn, tmp_path):
    """64 tokens of 6 channels stand as high as maps of 8×8."""
    cut = nn.Sequential(nn.Conv2d(3, 6, 2, 2), nn.Flatten(2))
    stages = {"maps": nn.Conv2d(3, 3, 2, 2), "tokens": Tokens(cut), "pool": Mean()}
    draw_network("small", count(Network(stages, nn.Linear(6, 2), (32, 32, 3))), tmp_path / "a.png")
    texts = [text.get_text() for text in drawn[0].axes[0].texts]
    assert "64×6" in texts
    faces = [patch.get_xy() for patch in drawn[0].axes[0].patches[::3]]
    heights = [face[:, 1].max() - face[:, 1].min() for face in faces]
    assert heights[2] / heights[1] == pytest.approx((8 / 16) ** 0.5)


@pytest.mark.parametrize(
    ("name", "network"),
    [("vgg19", "vgg19"), ("timm:swin_tiny_patch4_window7_224.ms_in1k", "resnet18")],
)
def test_texts_of_the_longest_network_do_not_touch(drawn, tmp_path, name, network):
    draw_network(name, count(meta_network(network)), tmp_path / "a.png")
    (figure,) = drawn
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)


def test_files_are_small_and_the_same_at_every_run(tmp_path):
    cost = count(meta_network("alexnet"))
    for suffix in ("svg", "png"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in "ab")
        draw_network("alexnet", cost, first)
        draw_network("alexnet", cost, second)
        assert first.read_bytes() == second.read_bytes()
        assert first.stat().st_size < 200_000
    with Image.open(tmp_path / "a.png") as image:
        assert image.size[0] > 1000
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
        draw_network("lenet5", count(meta_network("lenet5")), tmp_path / name)
