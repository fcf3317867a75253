"""Class activation maps: their mean is the logit, they point where the evidence was put."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tortie.activations.engine import EngineChoice
from tortie.activations.extract import Extractor
from tortie.activations.prefix import Prefix
from tortie.activations.store import ActivationStore
from tortie.evaluation.activation_maps import activation_maps, heat
from tortie.evaluation.last_maps import last_maps
from tortie.images import hash_all
from tortie.images.preprocess import Preprocessing
from tortie.networks.network import Network
from tortie.networks.table import find

GREY = Preprocessing(resize=32, height=32, width=32, mean=(0, 0, 0), std=(255, 255, 255))


def brightness_network():
    """Class 0 speaks for red, class 1 for blue, 8×8 positions; the linear map is worked by hand."""
    pool = nn.AvgPool2d(4)
    network = Network(
        {"conv": pool, "avgpool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())},
        nn.Linear(3, 2), (32, 32, 3),
    )  # fmt: skip
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]))
        network.head.bias.zero_()
    return network.eval()


def drawn(network, preprocessing, sources, classes, engine="onednn"):
    """Maps of images by this engine."""
    extractor = Extractor(
        prefix=Prefix.of(network, preprocessing), structure="", code=0,
        store=ActivationStore.default(), device="cpu", choice=EngineChoice(engine, "float32"),
        threads=1,
        max_pixels=10**6,
    )  # fmt: skip
    last = last_maps(network, preprocessing)
    return activation_maps(last, extractor, sources, hash_all(sources, 1), classes)


def lightness(uri):
    """Grey levels of a map, 0 to 255."""
    return levels(uri)[..., :3].astype(float) @ (0.299, 0.587, 0.114)


def levels(uri):
    kind, data = uri.split(";base64,")
    assert kind == "data:image/png"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.mark.parametrize("name", ["resnet20-cifar", "googlenet", "efficientnet-lite0", "nin"])
def test_the_mean_of_the_map_is_the_lead_of_the_logit(name):
    torch.manual_seed(0)
    network = find(name).build(classes=5).eval()
    for parameter in network.head.parameters():
        nn.init.normal_(parameter)
    preprocessing = find(name).preprocessing
    last = last_maps(network, preprocessing)
    images = torch.randn(2, 3, preprocessing.height, preprocessing.width)
    with torch.inference_mode():
        logits = network(images)
        lead = last.lead(last.prefix.module(images).numpy(), [3, 0])
    expected = logits[[0, 1], [3, 0]] - logits.mean(dim=1)
    np.testing.assert_allclose(lead.mean(axis=(1, 2)), expected, rtol=1e-4, atol=1e-4)


def test_a_frozen_fit_of_network_in_network_has_maps():
    network = find("nin").build(classes=10)
    network.new_head(2)
    assert last_maps(network, find("nin").preprocessing).weight.shape == (2, 192)


@pytest.mark.parametrize("name", ["lenet5", "alexnet"])
def test_without_global_average_pooling_there_are_none(name):
    assert last_maps(find(name).build(classes=2), find(name).preprocessing) is None


def test_something_between_pooling_and_head_changes_values_so_there_are_none():
    network = brightness_network()
    network.stages.add_module("fc", nn.Linear(3, 3))
    assert last_maps(network, GREY) is None


@pytest.mark.parametrize("engine", ["onednn", "onnxruntime"])
def test_light_lies_where_the_evidence_is(engine):
    image = np.zeros((32, 32, 3), np.uint8)
    image[:8, :8] = 255, 0, 0  # red at the top left
    image[24:, 24:] = 0, 0, 255  # blue at the bottom right
    red, blue = drawn(brightness_network(), GREY, [image, image], [0, 1], engine)
    light = lightness(red.heat)
    assert light.shape == (56, 56)
    assert light[4, 4] > 180 and light[50, 50] < 60
    light = lightness(blue.heat)
    assert light[50, 50] > 180 and light[4, 4] < 60
    seen = Image.open(io.BytesIO(base64.b64decode(red.image.split(",")[1])))
    assert seen.format == "JPEG" and seen.size == (224, 224)


def test_where_nothing_speaks_for_it_all_is_of_one_dark_colour():
    painted = levels(heat(np.full((7, 7), -1, np.float32)))
    assert (painted == (38, 22, 77, round(255 * 0.72))).all()


@pytest.mark.parametrize("grey", [0, 40, 128, 215, 255])
def test_a_map_is_read_on_dark_and_on_light_pictures(grey):
    # Oracle: WCAG 2's contrast of 3 to 1 for graphics, between most and nothing, over the grey.
    lead = np.zeros((7, 7), np.float32)
    lead[3, 3] = 1
    painted = levels(heat(lead)).astype(float) / 255
    over = painted[..., :3] * painted[..., 3:] + grey / 255 * (1 - painted[..., 3:])
    linear = np.where(over <= 0.04045, over / 12.92, ((over + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    assert (luminance.max() + 0.05) / (luminance.min() + 0.05) > 3


def test_what_cannot_be_read_any_more_has_none(tmp_path):
    image = np.zeros((32, 32, 3), np.uint8)
    gone = tmp_path / "gone.jpg"
    assert drawn(brightness_network(), GREY, [gone], [0]) == [None]
    first, second = drawn(brightness_network(), GREY, [gone, image], [0, 1])
    assert first is None and second is not None


def test_a_grey_network_shows_what_it_saw():
    network = Network(
        {
            "conv": nn.Conv2d(1, 2, 4, 4),
            "avgpool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        },
        nn.Linear(2, 2),
        (28, 28, 1),
    )
    grey = Preprocessing(resize=28, height=28, width=28, channels=1, mean=(0,), std=(1,))
    image = np.full((28, 28), 99, np.uint8)
    (one,) = drawn(network.eval(), grey, [image], [0])
    assert one is not None
