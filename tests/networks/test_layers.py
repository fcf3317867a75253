"""Layers that torch does not have, against its own functions and by hand."""

import pytest
import torch
from torch.nn import functional as F

from tests.conftest import photograph
from tortie import networks
from tortie.networks.efficientnet import efficientnet
from tortie.networks.layers import LocalResponseNorm, StochasticDepth, normalise_response


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_response_is_normalised_as_torch_does(dtype):
    images = torch.randn(2, 8, 5, 4, dtype=dtype) * 50
    got = LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)(images)
    assert torch.equal(got, F.local_response_norm(images, 5, 5e-4, 0.75, 2.0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_it_is_rounded_once(dtype):
    images = (torch.randn(2, 8, 5, 4) * 300).to(dtype)  # squares of 300 overflow float16
    got = normalise_response(images, 5, 5e-4, 0.75, 2.0)
    assert got.dtype == dtype
    wanted = F.local_response_norm(images.double(), 5, 5e-4, 0.75, 2.0)
    torch.testing.assert_close(got.double(), wanted, rtol=2 * torch.finfo(dtype).eps, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("name", ["alexnet", "googlenet", "vgg11-lrn"])
def test_networks_that_normalise_responses_run_in_bfloat16(name):
    torch.manual_seed(0)
    network = networks.build(name).eval()
    height, width, channels = network.input_shape
    images = torch.randn(1, channels, height, width) * 60
    first = network.cut(3)[0]
    wanted = first(images)
    got = first.bfloat16()(images.bfloat16())
    assert got.dtype == torch.bfloat16
    assert (got.float() - wanted).norm() < 0.02 * wanted.norm()


@torch.no_grad()
@pytest.mark.parametrize("name", ["alexnet", "googlenet", "vgg11-lrn"])
def test_responses_are_normalised_beyond_their_constant(name):
    """By more than a hundredth on a photograph: nothing, were values of unit deviation given."""
    torch.manual_seed(0)
    network = networks.build(name).eval()
    preprocessing = networks.find(name).preprocessing
    pixels = torch.tensor(preprocessing.pixels(photograph("blobs", 1))).permute(2, 0, 1)
    mean, std = (torch.tensor(v)[:, None, None] for v in (preprocessing.mean, preprocessing.std))
    changes = []

    def hook(module, args, out):
        constant = module.k**-module.beta
        changes.append(float((out - constant * args[0]).norm() / (constant * args[0]).norm()))

    for module in network.modules():
        if isinstance(module, LocalResponseNorm):
            module.register_forward_hook(hook)
    network(((pixels - mean) / std)[None])
    assert max(changes) > 0.01


def test_stochastic_depth_drops_whole_images_and_keeps_the_mean():
    torch.manual_seed(0)
    layer = StochasticDepth(0.8)
    branch = torch.ones(20_000, 2, 1, 3)
    dropped = layer(branch)
    per_image = dropped.flatten(1)
    assert torch.equal(per_image.amin(1), per_image.amax(1))
    assert set(per_image[:, 0].tolist()) == {0.0, 1.25}
    # a binomial of 20,000: its deviation is 0.0028
    assert (per_image[:, 0] > 0).float().mean().item() == pytest.approx(0.8, abs=0.015)
    assert torch.equal(layer.eval()(branch), branch)
    assert torch.equal(StochasticDepth(1.0)(branch), branch)


def test_efficientnets_branches_survive_as_in_its_source():
    """1 - 0.2 i / 16 of block i: 1 of the first, 0.8125 of the last of 16."""
    network = efficientnet(form="lite")
    survivals = [m.survival for m in network.modules() if isinstance(m, StochasticDepth)]
    assert survivals == pytest.approx([1 - 0.2 * number / 16 for number in range(16)])


def test_efficientnet_starts_as_in_its_source():
    torch.manual_seed(0)
    network = efficientnet(form="lite")
    pointwise = network.stages.mbconv6[1].expand.conv.weight  # 1×1 to 1152: fan-out 1152
    assert pointwise.std().item() == pytest.approx((2 / 1152) ** 0.5, rel=0.02)
    depthwise = network.stages.mbconv6[1].depthwise.conv.weight  # 5×5 of one map: fan-out 25
    assert depthwise.std().item() == pytest.approx((2 / 25) ** 0.5, rel=0.02)
    bound = 1 / 1000**0.5
    assert 0.99 * bound < network.head.weight.abs().max().item() <= bound
    assert not network.head.bias.any()
