"""What must hold for every network of the table: one of each family fast, all in the slow tests."""

import copy
import importlib
import io
import math
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from tortie import networks
from tortie.cost.meta_network import meta_network
from tortie.networks.layers import SameConv2d, StochasticDepth
from tortie.networks.lenet import rbf_loss
from tortie.networks.network import Network
from tortie.networks.table import TABLE

FAMILIES = (
    "lenet5",
    "lenet5-1998",
    "alexnet-one-tower",
    "nin",
    "googlenet-bn",
    "resnet18",
    "resnet20-cifar",
    "squeezenet",
    "mobilenet-v1",
    "mobilenet-v2",
    "efficientnet-b0",
    "efficientnet-lite0",
)
NAMES = [
    name if name in FAMILIES else pytest.param(name, marks=pytest.mark.slow)
    for name in networks.names()
    if name != "resnet1202-cifar"  # the code of resnet20-cifar, sixty times over
]


def test_a_function_is_not_hidden_by_the_file_of_its_paper() -> None:
    # Python binds an imported submodule in its package: alexnet.py would hide alexnet().
    for entry in TABLE:
        importlib.import_module(entry.builder.split(":")[0])
    for name in networks.names():
        build = getattr(networks, name.replace("-", "_"))
        assert not isinstance(build, ModuleType), name
        assert build.__name__ == name.replace("-", "_")
    assert networks.nin(classes=3).classes == networks.nin(classes=3).classes == 3


def fresh(name: str) -> tuple[Network, Tensor, Tensor]:
    """The network, drawn from a seed; two images, small where it takes any size; two labels."""
    torch.manual_seed(0)
    network = networks.build(name)
    height, width, channels = network.input_shape
    # the printed side heads see images of 224×224 alone
    if not network.fixed_size and name != "googlenet":
        height, width = min(height, 64), min(width, 64)
    scale = networks.find(name).preprocessing.std[0] == 1.0  # images in grey levels
    images = torch.randn(2, channels, height, width) * (60.0 if scale else 1.0)
    return network, images, torch.tensor([1, network.classes - 1])


def loss_of(network: Network, images: Tensor, labels: Tensor) -> Tensor:
    logits, sides = network.forward_with_sides(images)
    if network.stage_names[0] == "c1" and not list(network.head.parameters()):
        return rbf_loss(logits, labels)
    loss = nn.functional.cross_entropy(logits, labels)
    for side in sides.values():
        loss = loss + network.side_weight * nn.functional.cross_entropy(side, labels)
    return loss


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient_and_a_step_lowers_the_loss(name):
    network, images, labels = fresh(name)
    if name.endswith("-cifar"):  # small and deep: steps are finer than float32
        network, images = network.double(), images.double()
    network.train()
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0  # the same function before and after the step
        elif isinstance(layer, StochasticDepth):
            layer.survival = 1.0
    before = loss_of(network, images, labels)
    assert torch.isfinite(before)
    before.backward()
    gradients = {key: parameter.grad for key, parameter in network.named_parameters()}
    for key, gradient in gradients.items():
        assert gradient is not None and torch.isfinite(gradient).all(), key
    assert any(gradient.any() for gradient in gradients.values())
    length = math.sqrt(sum(float(g.square().sum()) for g in gradients.values() if g is not None))
    # To first order a step takes 2% off the loss; where gradients are shattered, as in the deepest
    # plain networks, that holds for smaller steps alone.
    with torch.no_grad():
        step = 0.02 * before.item() / length**2
        for shrunk in (1.0, 0.1, 0.01, 1e-4, 1e-6):
            taken = step * shrunk
            for key, parameter in network.named_parameters():
                parameter -= taken * gradients[key]
            after = loss_of(network, images, labels)
            if after < before:
                break
            for key, parameter in network.named_parameters():
                parameter += taken * gradients[key]
    assert after < before


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_cut_after_any_stage_and_joined_it_is_the_whole(name):
    network, images, _ = fresh(name)
    network.eval()
    wanted = network(images)
    assert wanted.shape == (2, network.classes)
    assert torch.isfinite(wanted).all()
    activations = images
    for number, stage in enumerate(network.stages, 1):
        activations = stage(activations)
        prefix, rest = network.cut(number)
        assert len(prefix) == number
        torch.testing.assert_close(rest(activations), wanted)
    if not network.head_sees_maps:
        assert activations.shape == (2, network.feature_count)
    torch.testing.assert_close(network.forward_features(images), activations)


class Tracer(torch.fx.Tracer):
    """What runs frozen stages traces so: TensorFlow's padding looks at shapes, and is a leaf."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, SameConv2d) or super().is_leaf_module(m, module_qualified_name)

    def trace_module(self, module: nn.Module) -> torch.fx.GraphModule:
        return torch.fx.GraphModule(module, self.trace(module))


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_copied_and_traced_it_is_the_same(name):
    network, images, _ = fresh(name)
    for module in network.modules():  # so that a statistic that is not saved shows
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
    network.eval()
    wanted = network(images)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    assert torch.equal(Tracer().trace_module(network)(images), wanted)
    other = copy.deepcopy(network)
    for tensor in other.state_dict().values():
        tensor.zero_()
    assert not torch.equal(other(images), wanted)
    assert torch.equal(network(images), wanted)  # the copy shares nothing
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(images), wanted)


@pytest.mark.parametrize("name", [*NAMES, pytest.param("resnet1202-cifar", marks=pytest.mark.slow)])
def test_classes_and_channels_are_arguments(name):
    arguments = {} if name == "lenet5-1998" else {"in_channels": 2}  # its C1 sees one, as printed
    network = meta_network(name, classes=7, **arguments)
    height, width, channels = network.input_shape
    assert channels == (2 if arguments else 1)
    images = torch.empty(1, channels, height, width, device="meta")
    assert network(images).shape == (1, 7)
    assert network.classes == 7
    assert all(side.fc2.out_features == 7 for side in network.side_heads.values())


@torch.no_grad()
@pytest.mark.parametrize("name", [n for n in NAMES if n != "lenet5-1998"])
def test_first_loss_is_near_that_of_guessing(name):
    """Mean over all classes as labels, so that no label's luck shows; ln K is no knowledge."""
    network, images, _ = fresh(name)
    # normalisations must measure the batch; at rest they know nothing of it yet
    network.train(any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()))
    logits = network(images)
    loss = (logits.logsumexp(dim=1) - logits.mean(dim=1)).mean().item()
    guessing = math.log(network.classes)
    assert guessing - 1e-4 <= loss <= guessing + 0.8


@pytest.mark.parametrize("name", [name for name in networks.names() if "1202" not in name])
def test_the_table_agrees_with_the_network(name):
    entry = networks.find(name)
    network = meta_network(name)
    preprocessing = entry.preprocessing
    shape = (preprocessing.height, preprocessing.width, preprocessing.channels)
    assert network.input_shape == shape
    assert preprocessing.resize >= max(shape[:2])
    assert entry.preprocessing_source
    if not entry.weights and entry.preprocessing.channels == 3 and "-cifar" not in name:
        # papers before the published weights give grey levels; NiN's whitening is not offered
        assert set(preprocessing.std) == {1.0} or name == "nin"
    if entry.sibling:
        sibling = networks.find(entry.sibling)
        assert sibling.weights and not entry.weights


def test_one_batch_is_learnt_by_heart():
    network, images, labels = fresh("resnet20-cifar")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for _ in range(12):
        optimizer.zero_grad()
        loss = loss_of(network, images, labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_export_takes_any_number_of_images():
    network, images, _ = fresh("resnet20-cifar")
    network.eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(network, (images,), dynamic_shapes=({0: batch},))
    more = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(program.module()(more), network(more))
