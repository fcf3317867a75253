"""Bytes alive, against sums worked by hand and against what autograd keeps of a real step."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from tortie import networks
from tortie.cost.count import count
from tortie.cost.meta_network import meta_network
from tortie.networks.network import Network


def test_lenets_worst_moment_is_its_first_relu():
    """Images 28·28, C1's maps 28·28·6 and their ReLU, not in place, all alive: 10,192 values."""
    cost = count(meta_network("lenet5"))
    assert cost.peak_activation_bytes == 4 * (784 + 4704 + 4704)


def test_vggs_worst_moment_is_its_second_convolution():
    """Images, and two maps of 224·224·64; its ReLUs work in place."""
    cost = count(meta_network("vgg16"))
    assert cost.peak_activation_bytes == 4 * (224 * 224 * 3 + 2 * 224 * 224 * 64)


def test_a_residual_block_keeps_its_input():
    """Images 3·H·W stay, as does the block's input, while a convolution reads and writes maps."""
    cost = count(meta_network("resnet20-cifar"))
    values = 32 * 32 * 16
    # input of the block, what the second convolution yields, and its normalisation; statistics of
    # the batch, empty or 2·16, ride along
    assert 0 <= cost.peak_activation_bytes - 4 * (32 * 32 * 3 + 5 * values) <= 1024


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "vgg11"])
def test_activations_grow_with_the_batch_and_by_the_same(name):
    network = meta_network(name)
    peaks = [count(network, batch=batch).peak_activation_bytes for batch in (4, 8, 12)]
    assert peaks[2] - peaks[1] == peaks[1] - peaks[0] > 0


def test_training_a_linear_map_worked_by_hand():
    """One linear map of 3 images of 4 values to 2 logits.

    Images 12 values, logits 6 and their sum 1 are alive when the backward pass brings a gradient of
    1 (expanded, not copied); the logits are gone by then. It yields gradients of the weight, 8, and
    of the bias, 2: at most 12 + 6 + 1 + 1 + 8 + 2 values at once, and at least the images, the
    weight's and the bias's gradients, and the loss.
    """
    network = Network({"flatten": nn.Flatten()}, nn.Linear(4, 2), (2, 2, 1))
    peak = count(network, batch=3, training=True).peak_training_bytes
    assert peak is not None
    assert 4 * (12 + 8 + 2 + 1) <= peak <= 4 * (12 + 6 + 1 + 1 + 8 + 2)


@pytest.mark.parametrize("name", ["resnet20-cifar", "nin", "lenet5-1998"])
def test_training_holds_what_autograd_keeps(name):
    """Autograd's own hooks, on a real step, say what must be alive when going back begins."""
    torch.manual_seed(0)
    network = networks.build(name).train()
    height, width, channels = network.input_shape
    own = {tensor.untyped_storage().data_ptr() for tensor in network.parameters()}
    own |= {tensor.untyped_storage().data_ptr() for tensor in network.buffers()}
    kept: dict[int, int] = {}
    alive = []  # so that no address is used twice

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(torch.randn(4, channels, height, width)).sum()
    cost = count(network, batch=4, training=True)
    gradients = 4 * cost.parameters
    assert cost.peak_training_bytes is not None
    assert sum(kept.values()) <= cost.peak_training_bytes
    assert cost.peak_training_bytes <= 1.5 * sum(kept.values()) + gradients


def test_training_holds_more_than_inference():
    cost = count(meta_network("googlenet"), batch=2, training=True)
    assert cost.peak_training_bytes is not None
    # 13,378,280 gradients of parameters, side heads too, and every map of the way
    assert cost.peak_training_bytes > cost.peak_activation_bytes + 4 * 13_378_280


@pytest.mark.slow
def test_resnet_152_is_counted_in_120_megabytes():
    script = """
import resource
import torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
from tortie.cost.count import count
from tortie.cost.meta_network import meta_network
assert count(meta_network("resnet152")).multiplications == 11_513_626_624
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((peak - before) / 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 120  # its parameters alone are 240 MB
