"""LeNet-5 against the paper's counts, values worked by hand and dense convolutions."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tortie.errors import UsageError
from tortie.networks import lenet
from tortie.networks.lenet import lenet5, lenet5_1998, rbf_loss


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_todays_form_has_the_known_parameters():
    stages = lenet5().stages
    # 5·5·1·6+6, 5·5·6·16+16, 400·120+120, 120·84+84, 84·10+10: 61,706 in all
    wanted = {"c1": 156, "s2": 0, "c3": 2416, "s4": 0, "c5": 48120, "f6": 10164}
    assert {name: parameters(stage) for name, stage in stages.named_children()} == wanted
    assert parameters(lenet5()) == 61_706


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("place", ["convolution", "pooling"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_todays_form_is_its_formula(activation, pooling, place):
    network = lenet5(activation=activation, pooling=pooling, activation_after=place).double()
    conv1, conv2 = (m for m in network.modules() if isinstance(m, nn.Conv2d))
    linear1, linear2, linear3 = (m for m in network.modules() if isinstance(m, nn.Linear))
    act = getattr(torch, activation)
    pool = F.max_pool2d if pooling == "max" else F.avg_pool2d

    def subsample(maps):
        return pool(act(maps), 2) if place == "convolution" else act(pool(maps, 2))

    images = torch.randn(3, 1, 28, 28, dtype=torch.float64)
    hidden = subsample(F.conv2d(images, conv1.weight, conv1.bias, padding=2))
    hidden = subsample(F.conv2d(hidden, conv2.weight, conv2.bias)).reshape(3, 400)
    wanted = linear3(act(linear2(act(linear1(hidden)))))
    torch.testing.assert_close(network(images), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("option", ["activation", "pooling", "activation_after"])
def test_an_unknown_option_is_refused(option):
    with pytest.raises(UsageError, match=f"{option} must be one of .*not 'swish'"):
        lenet5(**{option: "swish"})


def test_a_wrong_size_is_refused_with_both_sizes():
    with pytest.raises(UsageError, match=r"\(1, 1, 32, 32\).*\(images, 1, 28, 28\)"):
        lenet5()(torch.zeros(1, 1, 32, 32))


def test_a_wrong_number_of_channels_is_refused():
    with pytest.raises(UsageError, match=r"\(2, 3, 28, 28\).*\(images, 1, 28, 28\)"):
        lenet5()(torch.zeros(2, 3, 28, 28))


def test_as_printed_has_the_papers_parameters():
    stages = lenet5_1998().stages
    wanted = {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164}
    assert {name: parameters(stage) for name, stage in stages.named_children()} == wanted
    assert parameters(lenet5_1998()) == 60_000


def test_as_printed_has_the_papers_connections():
    wanted = {"c1": 122304, "s2": 5880, "c3": 151600, "s4": 2000, "c5": 48120, "f6": 10164}
    assert lenet.connections() == {**wanted, "head": 840}
    assert sum(lenet.connections().values()) == 340_908


def test_table_of_c3_is_the_papers():
    lengths = [len(row) for row in lenet.C3_TABLE]
    assert lengths == [3] * 6 + [4] * 9 + [6]
    seen = [source for row in lenet.C3_TABLE for source in row]
    assert [seen.count(source) for source in range(6)] == [10] * 6  # every row of table I has 10 X
    assert len(set(lenet.C3_TABLE)) == 16
    # contiguous triples and quadruples, wrapping around, come first; then the ones with gaps
    triples = [tuple(sorted((i + j) % 6 for j in range(3))) for i in range(6)]
    quadruples = [tuple(sorted((i + j) % 6 for j in range(4))) for i in range(6)]
    assert sorted(lenet.C3_TABLE[:6]) == sorted(triples)
    assert sorted(lenet.C3_TABLE[6:12]) == sorted(quadruples)


def test_c3_trains_as_it_predicts():
    """Kernels that are absent are zeros in training: the same maps and the same gradients."""
    torch.manual_seed(0)
    layer = lenet.PartialConv2d().double()
    maps = torch.randn(2, 6, 14, 14, dtype=torch.float64)
    found = []
    for mode in (True, False):
        layer.zero_grad()
        out = layer.train(mode)(maps)
        out.square().sum().backward()
        found.append([out.detach(), *(one.grad.clone() for one in layer.parameters())])
    for dense, grouped in zip(*found, strict=True):
        torch.testing.assert_close(dense, grouped)


@torch.no_grad()
def test_c3_is_a_dense_convolution_with_zeros():
    layer = lenet.PartialConv2d().double()
    rows = [row for convolution in layer.convolutions for row in convolution.weight]
    dense = torch.zeros(16, 6, 5, 5, dtype=torch.float64)
    for target, (sources, kernel) in enumerate(zip(lenet.C3_TABLE, rows, strict=True)):
        dense[target, list(sources)] = kernel
    bias = torch.cat([convolution.bias for convolution in layer.convolutions])
    maps = torch.randn(2, 6, 14, 14, dtype=torch.float64)
    torch.testing.assert_close(layer(maps), F.conv2d(maps, dense, bias), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_subsampling_adds_four_and_scales():
    layer = lenet.Subsampling(2)
    layer.coefficient.copy_(torch.tensor([0.5, -1.0]).view(2, 1, 1))
    layer.bias.copy_(torch.tensor([1.0, 0.25]).view(2, 1, 1))
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 1.0]]]])
    assert layer(maps).flatten().tolist() == [6.0, -0.75]  # 10 / 2 + 1, -1 + 0.25


def test_squashing_function_is_one_at_one():
    squashed = lenet.ScaledTanh()(torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))
    wanted = torch.tensor([-0.9999972559, 0.0, 0.9999972559], dtype=torch.float64)
    torch.testing.assert_close(squashed, wanted, rtol=0, atol=1e-10)


def test_codes_are_ten_pictures_far_apart():
    codes = lenet.digit_codes()
    assert codes.shape == (10, 84)
    assert set(codes.flatten().tolist()) == {-1.0, 1.0}
    differing = (codes[:, None] != codes).sum(dim=2)
    assert differing[~torch.eye(10, dtype=torch.bool)].min() >= 10
    one = codes[1].view(12, 7)
    assert one[3].tolist() == [-1, 1, 1, 1, -1, -1, -1]  # the serif of the 1
    assert (one[0] == -1).all() and (one[11] == -1).all()


def test_output_is_minus_the_squared_distance():
    head = lenet.EuclideanRBF(lenet.digit_codes())
    assert head(torch.zeros(1, 84)).tolist() == [[-84.0] * 10]  # every code is 84 ones away
    own = head(lenet.digit_codes())
    assert own.diagonal().tolist() == [0.0] * 10
    differing = int((lenet.digit_codes()[0] != lenet.digit_codes()[1]).sum())
    assert own[0, 1] == -4.0 * differing
    assert not list(head.parameters())


def test_loss_is_the_one_worked_by_hand():
    # penalties 1 and 2, the first right, j = 1: 1 + log(e^-1 + e^-1 + e^-2) = 0.861995
    one = rbf_loss(torch.tensor([[-1.0, -2.0]]), torch.tensor([0]), rubbish=1.0)
    assert one.item() == pytest.approx(1 + math.log(2 * math.exp(-1) + math.exp(-2)), abs=1e-6)
    assert one.item() == pytest.approx(0.861995, abs=1e-6)
    # and with the second right, 1 more; the loss is the mean
    both = rbf_loss(torch.tensor([[-1.0, -2.0]] * 2), torch.tensor([0, 1]), rubbish=1.0)
    assert both.item() == pytest.approx(1.361995, abs=1e-6)


def test_first_loss_as_printed():
    # F6 near 0 is 84 away from every code: 84 + log(e^-1 + 10 e^-84) = 83
    network = lenet5_1998()
    with torch.no_grad():
        for parameter in network.stages.f6.parameters():
            parameter.zero_()
    loss = rbf_loss(network(torch.zeros(2, 1, 32, 32)), torch.tensor([3, 8]))
    assert loss.item() == pytest.approx(83.0, abs=1e-4)


def test_initialisation_is_uniform_within_the_fan_in():
    torch.manual_seed(0)
    network = lenet5_1998()
    for layer, fan_in in [
        (network.stages.c1[0], 25),
        (network.stages.s2[0], 4),
        (network.stages.c3[0].convolutions[1], 100),
        (network.stages.c5[0], 400),
        (network.stages.f6[0], 120),
    ]:
        drawn = torch.cat([parameter.flatten() for parameter in layer.parameters()])
        assert drawn.abs().max() <= 2.4 / fan_in
        assert drawn.abs().max() > 0.7 * 2.4 / fan_in


@torch.no_grad()
def test_28_is_padded_with_the_background():
    torch.manual_seed(0)
    whole, padded = lenet5_1998(), lenet5_1998(input_size=28)
    padded.load_state_dict(
        {key.replace("c1.0", "c1.1"): tensor for key, tensor in whole.state_dict().items()}
    )
    digits = torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(padded(digits), whole(F.pad(digits, (2, 2, 2, 2), value=-0.1)))
    with pytest.raises(UsageError, match="input_size must be 32, or 28"):
        lenet5_1998(input_size=30)
