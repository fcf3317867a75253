"""Networks are ordinary modules: what torch offers works on them, one of each family."""

import copy

import pytest
import torch
from torch import Tensor, nn

from tests.networks.test_every_network import fresh, loss_of
from tortie import networks
from tortie.errors import UsageError
from tortie.networks.network import Network

FAST = ("lenet5", "lenet5-1998", "nin")
SLOW = (
    "resnet20-cifar", "efficientnet-lite0", "alexnet", "alexnet-one-tower", "vgg11-bn",
    "googlenet", "googlenet-bn", "resnet18",
)  # fmt: skip
NAMES = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def without_chance(network: Network) -> Network:
    """Dropout off, so that two runs of training draw nothing."""
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return network


def state_after_a_step(network: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Parameters and statistics after a step of SGD on the network's own loss."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    optimizer.zero_grad()
    loss_of(network, images, labels).backward()
    optimizer.step()
    return network.state_dict()


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_learns_as_the_original_does_and_alone(name):
    network, images, labels = fresh(name)
    without_chance(network).train()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    other = copy.deepcopy(network)
    learnt = state_after_a_step(other, images, labels)
    assert any(not torch.equal(learnt[key], before[key]) for key in before)
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[key]), key
    for key, tensor in state_after_a_step(network, images, labels).items():
        torch.testing.assert_close(tensor, learnt[key])


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_exported_it_is_the_same_for_any_number_of_images(name):
    network, images, _ = fresh(name)
    network.eval()
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    program = torch.export.export(network, (images,), dynamic_shapes=shapes)
    more = torch.cat([images, -images, images[:1]])
    torch.testing.assert_close(program.module()(more), network(more))
    kept = program.state_dict
    assert kept.keys() == {*network.state_dict()}


@pytest.mark.parametrize("name", NAMES)
def test_compiled_whole_it_gives_the_same_logits_and_gradients(name):
    """``fullgraph``: a branch on values, or a call that torch cannot follow, would raise."""
    network, images, _ = fresh(name)
    without_chance(network).train()
    other = copy.deepcopy(network)
    torch.compiler.reset()
    compiled = torch.compile(other, backend="aot_eager", fullgraph=True)
    wanted, got = network(images), compiled(images)
    torch.testing.assert_close(got, wanted)
    wanted.sum().backward()
    got.sum().backward()
    theirs = dict(other.named_parameters())
    for key, parameter in network.named_parameters():
        if parameter.grad is None:
            assert key.startswith("side_heads."), key
            continue
        torch.testing.assert_close(
            theirs[key].grad, parameter.grad, msg=lambda m, k=key: f"{k}: {m}"
        )
    torch.compiler.reset()


def test_the_compiled_network_still_refuses_other_images():
    network = networks.build("resnet20-cifar").eval()
    compiled = torch.compile(network, backend="eager")
    with pytest.raises(UsageError, match=r"the network takes \(images, 3, height, width\)"):
        compiled(torch.zeros(1, 1, 32, 32))
    torch.compiler.reset()
