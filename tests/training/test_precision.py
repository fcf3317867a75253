"""bfloat16 in training: the layers that are done by kind agree with float32 and with autocast."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tortie.networks.layers import SameConv2d
from tortie.training.precision import arithmetic

CPU = torch.device("cpu")
ROUNDING = 2.0**-8  # half a unit in the last place of bfloat16's 8 bits, relative


def gradients(layer, images, context):
    """Output, gradient of the images, gradients of the parameters."""
    images = images.clone().requires_grad_()
    layer.zero_grad()
    with context:
        made = layer(images)
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(made.shape, generator=generator)
    (made.float() * weight).sum().backward()
    return made, images.grad, *(one.grad.clone() for one in layer.parameters())


def error(got, wanted):
    return float((got.detach().float() - wanted.detach()).norm() / wanted.detach().norm())


DEPTHWISE = [
    pytest.param(kernel, stride, padding, dilation, id=f"{kernel}, stride {stride}, {dilation}")
    for kernel in (3, 5)
    for stride in (1, 2)
    for padding, dilation in ((kernel // 2, 1), (0, 1), (kernel - 1, 2))
]


@pytest.mark.parametrize("kernel, stride, padding, dilation", DEPTHWISE)
def test_depthwise_gradients_are_float32s_to_rounding(kernel, stride, padding, dilation):
    torch.manual_seed(0)
    layer = nn.Conv2d(
        12, 12, kernel, stride, padding, dilation=dilation, groups=12, bias=False
    )  # fmt: skip
    # Values that bfloat16 holds exactly, so that products alone are rounded.
    layer.weight.data = layer.weight.data.bfloat16().float()
    images = torch.randn(3, 12, 16, 16).bfloat16().float()
    wanted = gradients(layer, images, arithmetic("float32", CPU))
    got = gradients(layer, images, arithmetic("bfloat16", CPU))
    plain = gradients(layer, images, torch.autocast("cpu", torch.bfloat16))
    assert got[0].dtype == plain[0].dtype == torch.bfloat16
    assert got[1].dtype == got[2].dtype == torch.float32
    assert torch.equal(got[0], plain[0])
    for own, other, true in zip(got[1:], plain[1:], wanted[1:], strict=True):
        assert error(own, true) < 2 * ROUNDING
        assert error(own, true) <= 1.5 * error(other, true) + 1e-6  # no worse than autocast


def test_same_padding_goes_the_same_way():
    """EfficientNet-Lite's depthwise layer at stride 2, its padding of one side."""
    torch.manual_seed(0)
    layer = SameConv2d(8, 8, 5, 2, groups=8, bias=False)
    images = torch.randn(2, 8, 14, 14)
    wanted = gradients(layer, images, arithmetic("float32", CPU))
    got = gradients(layer, images, arithmetic("bfloat16", CPU))
    for own, true in zip(got, wanted, strict=True):
        assert error(own, true) < 4 * ROUNDING


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(6, 8, 3, padding=1),
        nn.Conv2d(6, 6, 3, padding=1, groups=6),  # with bias: left to autocast
        nn.Conv2d(6, 12, 3, groups=6, bias=False),  # two maps of each
        nn.Conv2d(6, 6, 3, padding="same", groups=6, bias=False),
        nn.Sequential(nn.Flatten(), nn.Linear(6 * 64, 5)),
    ],
    ids=["dense", "with bias", "multiplied", "same", "linear"],
)
def test_all_else_is_autocasts_to_the_bit(layer):
    torch.manual_seed(0)
    images = torch.randn(2, 6, 8, 8)
    got = gradients(layer, images, arithmetic("bfloat16", CPU))
    wanted = gradients(layer, images, torch.autocast("cpu", torch.bfloat16))
    for own, other in zip(got, wanted, strict=True):
        assert torch.equal(own, other)


def test_frozen_images_ask_for_no_gradient_of_theirs():
    """The first depthwise layer after a cut: what comes in has no gradient."""
    weight = torch.randn(4, 1, 3, 3, requires_grad=True)
    with arithmetic("bfloat16", CPU):
        made = F.conv2d(torch.randn(2, 4, 6, 6), weight, None, 2, 1, 1, 4)
    made.float().sum().backward()
    assert weight.grad is not None
    images = torch.randn(2, 4, 6, 6, requires_grad=True)
    with arithmetic("bfloat16", CPU):
        made = F.conv2d(images, weight.detach(), None, 2, 1, 1, 4)
    made.float().sum().backward()
    assert images.grad is not None


def test_float32_is_torchs_own_and_nothing_is_left_behind():
    layer = nn.Conv2d(4, 4, 3, groups=4, bias=False)
    images = torch.randn(1, 4, 8, 8)
    plain = layer(images)
    with arithmetic("bfloat16", CPU):
        layer(images)
    with arithmetic("float32", CPU):
        assert torch.equal(layer(images), plain)
    assert not torch.is_autocast_enabled("cpu")
    assert layer(images).dtype == torch.float32


def test_a_step_of_a_depthwise_network_learns_in_bfloat16():
    """Ten steps of Lite0's kind of block: losses within rounding of float32's."""
    losses = {}
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        block = nn.Sequential(
            nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
            nn.Conv2d(8, 8, 3, 2, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
        )  # fmt: skip
        optimiser = torch.optim.SGD(block.parameters(), 0.1)
        images, labels = torch.randn(16, 3, 12, 12), torch.arange(16) % 2
        images[labels == 1] += 0.5
        for _ in range(10):
            with arithmetic(precision, CPU):
                logits = block(images)
            loss = F.cross_entropy(logits.float(), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.setdefault(precision, []).append(loss.item())
    assert losses["float32"][-1] < 0.9 * losses["float32"][0]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.03)
