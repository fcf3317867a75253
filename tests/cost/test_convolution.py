"""One convolution: the lectures' example, and torch's own shapes."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tortie.cost.convolution import bottleneck, convolution
from tortie.errors import UsageError
from tortie.networks.layers import SameConv2d


def test_the_lectures_example():
    cost = convolution((28, 28, 192), 5, 32)
    assert cost.output == (28, 28, 32)
    assert cost.multiplications == 120_422_400
    assert cost.parameters == 5 * 5 * 192 * 32 + 32


def test_the_lectures_bottleneck():
    cost = bottleneck((28, 28, 192), 5, 32, through=16)
    assert cost.reduction.multiplications == 2_408_448
    assert cost.convolution.multiplications == 10_035_200
    assert cost.multiplications == 12_443_648
    assert cost.direct.multiplications == 120_422_400
    assert cost.saving == pytest.approx(9.677, abs=5e-4)


def test_alexnets_first_layer_in_three_ways():
    assert convolution((227, 227, 3), 11, 96, 4, "valid").output == (55, 55, 96)
    assert convolution((224, 224, 3), 11, 96, 4, 2).output == (55, 55, 96)
    assert convolution((224, 224, 3), 11, 96, 4, "valid").output == (54, 54, 96)  # 54.25


@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    channels=st.integers(1, 3),
    groups=st.integers(1, 2),
    kernel=st.integers(1, 5),
    filters=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.sampled_from(["same", "valid", 0, 1, 2]),
)
@torch.no_grad()
def test_shapes_and_counts_are_torchs(
    height, width, channels, groups, kernel, filters, stride, padding
):
    zeros = 0 if isinstance(padding, str) else padding
    assume(padding == "same" or min(height, width) + 2 * zeros >= kernel)
    shape, filters = (height, width, channels * groups), filters * groups
    kind = SameConv2d if padding == "same" else nn.Conv2d
    with torch.device("meta"):
        layer = kind(channels * groups, filters, kernel, stride, zeros, groups=groups)
        images = torch.empty(1, channels * groups, height, width)
    with FlopCounterMode(display=False) as counter:
        _, *out = layer(images).shape
    cost = convolution(shape, kernel, filters, stride, padding, groups)
    assert cost.output == (out[1], out[2], out[0])
    assert 2 * cost.multiplications == counter.get_total_flops()
    assert cost.parameters == sum(parameter.numel() for parameter in layer.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": 0}, "kernel must be at least 1, not 0"),
        ({"filters": -1}, "filters must be at least 1, not -1"),
        ({"stride": 0}, "stride must be at least 1, not 0"),
        ({"groups": 5}, "5 does not divide 192 and 32"),
        ({"kernel": 31, "padding": 1}, "kernel of 31 does not fit into a height of 28 padded by 1"),
        ({"padding": "full"}, "same, valid or a number from 0, not 'full'"),
        ({"padding": -1}, "same, valid or a number from 0, not -1"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        convolution(**{"input": (28, 28, 192), "kernel": 5, "filters": 32, **arguments})


def test_an_image_without_channels_is_refused():
    with pytest.raises(UsageError, match="channels must be at least 1, not 0"):
        convolution((28, 28, 0), 5, 32)
