"""Gradients that are computed by another way than torch's: torch's own in float64 is the oracle."""

import copy

import pytest
import torch
from torch import nn

from tortie.networks.layers import SameConv2d
from tortie.training import gradients
from tortie.training.precision import arithmetic

CPU = torch.device("cpu")

LAYERS = [
    pytest.param(nn.Conv2d(12, 20, 1, bias=False), "_Pointwise", id="1x1"),
    pytest.param(nn.Conv2d(12, 20, 1), None, id="1x1 with bias"),
    pytest.param(nn.Conv2d(12, 20, 1, stride=2, bias=False), None, id="1x1 of stride 2"),
    pytest.param(nn.Conv2d(12, 12, 5, padding=2, groups=12, bias=False), "_Depthwise5", id="5x5"),
    pytest.param(SameConv2d(12, 12, 5, groups=12, bias=False), "_Depthwise5", id="5x5, same"),
    pytest.param(nn.Conv2d(12, 12, 5, groups=12, bias=False), None, id="5x5 not padded"),
    pytest.param(SameConv2d(12, 12, 5, 2, groups=12, bias=False), None, id="5x5 of stride 2"),
    pytest.param(nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False), None, id="3x3"),
    pytest.param(nn.ReLU6(inplace=True), "_Hardtanh", id="ReLU6 in place"),
    pytest.param(nn.Hardtanh(-0.5, 0.25), "_Hardtanh", id="hardtanh"),
    pytest.param(nn.SiLU(inplace=True), None, id="SiLU in place"),
]


def through(layer, images, context):
    """Output, gradient of the images, gradients of the parameters, behind a doubling."""
    images = images.clone().requires_grad_()
    doubled = (2 * images).contiguous(memory_format=torch.channels_last)
    with context:
        made = layer(doubled)
    weight = torch.randn(made.shape, generator=torch.Generator().manual_seed(1))
    (made * weight).sum().backward()
    return made, images.grad, *(one.grad for one in layer.parameters())


@pytest.mark.parametrize("size", [(7, 7), (9, 6), (3, 2)])
@pytest.mark.parametrize(("layer", "way"), LAYERS)
def test_gradients_are_torchs_to_rounding(layer, way, size, monkeypatch):
    if size == (3, 2) and getattr(layer, "padding", None) == (0, 0) and way is None:
        size = (5, 6)  # a kernel must find room
    torch.manual_seed(0)
    images = torch.randn(4, 12, *size).contiguous(memory_format=torch.channels_last)
    own = copy.deepcopy(layer).to(memory_format=torch.channels_last)
    taken = []
    for name in ("_Pointwise", "_Depthwise5", "_Hardtanh"):
        kind = getattr(gradients, name)
        before = kind.apply
        monkeypatch.setattr(
            kind, "apply", lambda *a, n=name, b=before: (taken.append(n), b(*a))[1]
        )  # fmt: skip
    got = through(own, images, arithmetic("float32", CPU))
    wanted = through(copy.deepcopy(layer).double(), images.double(), torch.enable_grad())
    assert taken == ([way] if way else [])
    for one, true in zip(got, wanted, strict=True):
        torch.testing.assert_close(one.double(), true, rtol=2e-5, atol=2e-5)


def test_a_frozen_kernel_and_inference_are_left_alone():
    layer = nn.Conv2d(4, 6, 1, bias=False).to(memory_format=torch.channels_last)
    images = torch.randn(2, 4, 5, 5).contiguous(memory_format=torch.channels_last)
    with arithmetic("float32", CPU):
        assert "Pointwise" in type(layer(images).grad_fn).__name__
        assert layer.requires_grad_(False)(images).grad_fn is None
        with torch.inference_mode():
            assert torch.equal(layer(images), nn.functional.conv2d(images, layer.weight))


def test_relu6_in_place_keeps_one_tensor():
    """torch keeps a copy of the input too: a third of a training's memory between two layers."""
    images = torch.randn(2, 4, 5, 5, requires_grad=True)
    with arithmetic("float32", CPU):
        doubled = images * 2
        cut = nn.ReLU6(inplace=True)(doubled)
    assert cut.data_ptr() == doubled.data_ptr()
    (kept,) = cut.grad_fn.saved_tensors
    assert kept.data_ptr() == cut.data_ptr()
