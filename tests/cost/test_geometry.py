"""What layers see, against published receptive fields and against the gradient of one value."""

import pytest
import torch
from torch import nn

from tortie import networks
from tortie.cost.count import count
from tortie.cost.meta_network import meta_network
from tortie.networks.network import Network

# Araujo, Norris, Sim: Computing receptive fields of convolutional neural networks, Distill 2019.
PUBLISHED = {
    ("alexnet", "conv5"): 195,
    ("vgg16", "maxpool5"): 212,
    ("resnet50-v1", "conv5_x"): 483,
    ("mobilenet-v1", "separable13"): 315,
}


@pytest.mark.parametrize(("name", "stage"), PUBLISHED)
def test_published_receptive_fields_are_reproduced(name, stage):
    stages = {part.name: part for part in count(meta_network(name)).stages}
    assert stages[stage].geometry.receptive_field == (PUBLISHED[name, stage],) * 2
    assert stages["head"].geometry.receptive_field is None  # the whole image


@pytest.mark.parametrize(
    ("name", "size"),
    [("nin", 64), ("resnet20-cifar", 96), ("squeezenet", 256), ("lenet5-1998", 32)],
)
def test_a_value_depends_on_the_pixels_of_its_receptive_field(name, size):
    """The extent of its gradient, where the field does not reach over the edge."""
    torch.manual_seed(0)
    network = networks.build(name).double().eval()
    for module in network.modules():  # so that no path is dead
        if isinstance(module, nn.ReLU):
            module.forward = torch.nn.functional.softplus
        elif isinstance(module, nn.MaxPool2d):
            mean = nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode)
            module.forward = mean.forward
    images = torch.rand(1, network.input_shape[2], size, size, dtype=torch.double)
    images.requires_grad_()
    activations, checked = images, 0
    parts = count(network, (size, size, images.shape[1])).stages[:-1]
    for stage, part in zip(network.stages, parts, strict=True):
        activations = stage(activations)
        field = part.geometry.receptive_field
        if activations.dim() != 4 or field is None or field[0] > size:
            break
        side = activations.shape[-1] // 2
        (gradient,) = torch.autograd.grad(
            activations[0, :, side, side].sum(), images, retain_graph=True
        )
        for axis, length in zip(((0, 1, 3), (0, 1, 2)), field, strict=True):
            touched = gradient.abs().sum(axis).nonzero()
            assert int(touched.max() - touched.min()) + 1 == length, part.name
        checked += 1
    assert checked >= 3


def test_alexnets_layers_are_the_papers():
    rows = {layer.name: layer.row() for layer in count(meta_network("alexnet")).layers}
    first, pool, second = (rows[name] for name in ("conv1.conv", "conv1.pool", "conv2.conv"))
    assert (first["kernel"], first["stride"], first["padding"]) == ([11, 11], [4, 4], [0, 0])
    assert (first["output"], first["activation"]) == ([55, 55, 96], "ReLU")
    assert (pool["kernel"], pool["stride"], pool["output"]) == ([3, 3], [2, 2], [27, 27, 96])
    assert (second["kernel"], second["padding"], second["groups"]) == ([5, 5], [2, 2], 2)


def test_paddings_have_their_names():
    lite = {layer.name: layer for layer in count(meta_network("efficientnet-lite0")).layers}
    assert lite["stem.conv"].geometry.padding == "same"
    assert lite["stem.conv"].geometry.activation == "ReLU6"
    googlenet = {part.name: part for part in count(meta_network("googlenet")).stages}
    assert googlenet["maxpool3"].geometry.padding == "ceil"


def test_the_activation_is_that_which_follows_even_after_pooling():
    network = meta_network("lenet5", activation="sigmoid", activation_after="pooling")
    stages = {part.name: part.geometry for part in count(network).stages}
    assert (stages["c1"].activation, stages["s2"].activation) == (None, "sigmoid")


class Power(nn.Module):
    """Generalised mean pooling: a power whose exponent is learnt."""

    def __init__(self):
        super().__init__()
        self.power = nn.Parameter(torch.full((4, 1, 1), 3.0))

    def forward(self, maps):
        powers = maps.clamp(min=1e-6) ** self.power
        return powers.mean((2, 3)) ** (1 / self.power.flatten())


class Branch(nn.Module):
    """A pass that looks at values: a branch, a selection, a number read."""

    def forward(self, maps):
        means = maps.mean((2, 3))
        if means.sum() > 0 and len(means[means > 0]) >= 0:
            means = means * float(means.max().item() ** 0)
        return means


@pytest.mark.parametrize(("pooling", "looks"), [(Power(), False), (Branch(), True)])
def test_what_depends_on_values_is_counted_and_no_image_is_blamed(pooling, looks):
    network = Network({"conv": nn.Conv2d(3, 4, 3), "pool": pooling}, nn.Linear(4, 2), (8, 8, 3))
    cost = count(network, training=True)
    assert cost.multiplications == 36 * 4 * 27 + 8
    assert cost.looks_at_values is looks
    if not looks:
        assert cost.arithmetic.functions["power"] == 4 * 36 + 4
    assert cost.peak_training_bytes > cost.peak_activation_bytes
