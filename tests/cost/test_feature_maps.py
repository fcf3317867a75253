"""What each stage makes of a photograph, drawn."""

import numpy as np
import pytest
from PIL import Image

from tests.conftest import photograph
from tortie.cost.feature_maps import _filters, _scaled, _stages, draw_feature_maps
from tortie.errors import UsageError
from tortie.networks import build
from tortie.networks.arguments import parse_network, varied


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "blobs.png"
    photograph("blobs", 1).save(path)
    return path


def test_stages_are_those_of_the_network_and_maps_those_that_it_yields():
    """The oracle is the network as a whole: the last stage's vector, and shapes of the paper."""
    network = build("resnet20-cifar").eval()
    values = np.random.default_rng(0).normal(size=(32, 32, 3)).astype(np.float32)
    rows = _stages(network, values)
    assert [(name, shape) for name, shape, _ in rows] == [
        ("conv1", (32, 32, 16)), ("conv2_x", (32, 32, 16)), ("conv3_x", (16, 16, 32)),
        ("conv4_x", (8, 8, 64)), ("avgpool", (64,)),
    ]  # fmt: skip
    import torch

    with torch.inference_mode():
        vector = network.forward_features(torch.from_numpy(values.transpose(2, 0, 1)[None].copy()))
    np.testing.assert_allclose(rows[-1][2][0], _scaled(vector[0].numpy()), atol=1e-5)
    _, shape, shown = _filters(network)
    assert shape == (16, 3, 3, 3) and len(shown) == 6
    assert all(picture.min() == 0 and picture.max() == 1 for picture in shown)


@pytest.mark.parametrize("name", ["lenet5", "lenet5(activation=tanh)", "nin"])
def test_a_picture_of_390_pixels(name, image, tmp_path):
    path = tmp_path / "maps.png"
    draw_feature_maps(varied(*parse_network(name)), None, image, path)
    with Image.open(path) as drawn:
        width, height = drawn.size
        assert width == 390 * 1.5  # _DPI, 144, of the 96 of a CSS pixel
        assert height > width
    first = path.read_bytes()
    draw_feature_maps(varied(*parse_network(name)), None, image, path)
    assert path.read_bytes() == first


def test_another_format_is_refused(image, tmp_path):
    with pytest.raises(UsageError, match=r"\.png, \.svg or \.pdf"):
        draw_feature_maps(varied(*parse_network("lenet5")), None, image, tmp_path / "maps.gif")
