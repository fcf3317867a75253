"""Weights that a training can begin with."""

import pytest
import torch
from safetensors.torch import save_file

import tortie


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """ResNet-20 with statistics that are no fresh network's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = tortie.networks.resnet20_cifar().train()
        for _ in range(3):
            network(torch.randn(8, 3, 32, 32))
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(network.state_dict(), path)
    return path
