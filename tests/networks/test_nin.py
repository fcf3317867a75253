"""Network in Network against the paper's shapes, and its head by its definition."""

import pytest
import torch
from torch import nn

from tortie.cost.count import count
from tortie.cost.meta_network import meta_network
from tortie.errors import UsageError
from tortie.networks.nin import MLPConv, nin


def test_maps_are_32_16_8():
    outputs = [stage.output for stage in count(meta_network("nin")).stages]
    assert outputs == [(16, 16, 96), (8, 8, 192), (8, 8, 192), (10,)]


def test_maps_of_the_imagenet_network():
    outputs = [stage.output for stage in count(meta_network("nin-imagenet")).stages]
    assert outputs == [(27, 27, 96), (13, 13, 256), (6, 6, 384), (6, 6, 1024), (1000,)]


def test_cifar_100_has_the_counted_figures():
    cost = count(meta_network("nin", classes=100))
    assert (cost.parameters, cost.multiplications) == (984_356, 223_592_448)


def test_pools_are_maxima_of_windows_that_start_at_0_and_run_off_the_edge():
    pool = meta_network("nin").stages.mlpconv1.pool
    row = torch.arange(8.0).expand(1, 1, 8, 8)
    # windows 0-2, 2-4, 4-6, 6-7; padded ports would give 1, 3, 5, 7
    assert pool(row)[0, 0, 0].tolist() == [2.0, 4.0, 6.0, 7.0]


def test_a_1x1_convolution_is_a_linear_layer_at_each_position():
    torch.manual_seed(0)
    block = MLPConv(32, (16,), 1, pool=False)  # 6×6×32 to 6×6×16
    maps = torch.randn(1, 32, 6, 6)
    weight, bias = block.conv.weight[:, :, 0, 0], block.conv.bias
    for i, j in ((0, 0), (2, 5)):
        wanted = (weight @ maps[0, :, i, j] + bias).clamp_min(0)
        torch.testing.assert_close(block(maps)[0, :, i, j], wanted)


@torch.no_grad()
def test_logits_are_the_means_of_class_activation_maps():
    torch.manual_seed(0)
    network = nin().eval()
    images = torch.randn(2, 3, 32, 32)
    maps = network.stages(images)
    kernel = network.head.conv
    activation = torch.einsum("ndhw,kd->nkhw", maps, kernel.weight[:, :, 0, 0])
    activation = (activation + kernel.bias[:, None, None]).clamp_min(0)  # ReLU before the mean
    torch.testing.assert_close(network(images), activation.mean((2, 3)), rtol=1e-4, atol=1e-6)


def test_every_convolution_is_followed_by_a_relu():
    kinds = [type(m) for m in meta_network("nin").modules() if isinstance(m, nn.Conv2d | nn.ReLU)]
    assert kinds == [nn.Conv2d, nn.ReLU] * 9


@torch.no_grad()
def test_a_new_head_sees_the_means_of_the_last_maps():
    network = nin()
    assert network.feature_count == 192
    assert network.classes == 10
    maps = network.stages.eval()(torch.zeros(1, 3, 32, 32))
    network.new_head(3)
    assert network.stage_names[-1] == "avgpool"
    features = network.eval().forward_features(torch.zeros(1, 3, 32, 32))
    torch.testing.assert_close(features, maps.mean((2, 3)))
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    assert network.state_dict().keys() == nin(classes=3, head="linear").state_dict().keys()


def test_another_head_is_refused():
    with pytest.raises(UsageError, match="head must be one of convolution, linear"):
        nin(head="mlp")
