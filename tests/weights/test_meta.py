"""Shapes alone: the same as a whole network's, and nothing heavy is imported to make them."""

import subprocess
import sys
import threading

import pytest
import torch
from torch import nn

from tests.weights.test_published import classifier
from tortie.networks import find
from tortie.weights.meta import meta_device


@pytest.mark.parametrize("name", ["lenet5-1998", "resnet20-cifar", "nin", "googlenet-bn"])
def test_shapes_are_those_of_the_network(name):
    whole = find(name).build()
    with meta_device():
        shapes = find(name).build()
    assert {n: (t.shape, t.dtype) for n, t in whole.state_dict().items()} == {
        n: (t.shape, t.dtype) for n, t in shapes.state_dict().items()
    }
    assert all(tensor.is_meta for tensor in shapes.state_dict().values())


def test_what_is_drawn_elsewhere_meanwhile_is_drawn():
    drawn = []
    with meta_device():
        thread = threading.Thread(target=lambda: drawn.append(nn.init.ones_(torch.empty(3))))
        thread.start()
        thread.join()
        assert nn.Linear(3, 2).weight.is_meta
    assert torch.equal(drawn[0], torch.ones(3))
    assert torch.equal(nn.init.ones_(torch.empty(2)), torch.ones(2))  # after the block too


def test_a_residual_network_is_loaded_without_the_compiler(tmp_path):
    classifier_file = tmp_path / "pets.safetensors"
    classifier(classifier_file, "resnet20-cifar")
    # Oracle: the modules that Python has loaded.
    code = f"""
import sys, torch
import tortie
tortie.load(r"{classifier_file}").classes_
network = tortie.networks.resnet20_cifar()
torch.save(network.state_dict(), r"{tmp_path / "weights.pth"}")
tortie.networks.resnet20_cifar(weights=r"{tmp_path / "weights.pth"}")
from tortie.cost.meta_network import meta_network
meta_network("resnet50")
heavy = {{"torch._dynamo", "sympy"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
