"""AlexNet against the paper's shapes and its formula of normalisation."""

import pytest
import torch
from torch import nn

from tortie.cost.count import count
from tortie.cost.meta_network import meta_network
from tortie.errors import UsageError
from tortie.networks.alexnet import alexnet


def maps(**arguments) -> dict[str, tuple[int, ...]]:
    """Shapes after each convolution and pooling."""
    layers = count(meta_network("alexnet", **arguments)).layers
    return {layer.name: layer.output for layer in layers if layer.kind in ("Conv2d", "MaxPool2d")}


@pytest.mark.parametrize("arguments", [{}, {"input_size": 224}])
def test_maps_are_those_of_figure_2(arguments):
    assert maps(**arguments) == {
        "conv1.conv": (55, 55, 96),
        "conv1.pool": (27, 27, 96),
        "conv2.conv": (27, 27, 256),
        "conv2.pool": (13, 13, 256),
        "conv3.conv": (13, 13, 384),
        "conv4.conv": (13, 13, 384),
        "conv5.conv": (13, 13, 256),
        "conv5.pool": (6, 6, 256),
    }


def test_kernels_are_those_of_section_3_5():
    network = meta_network("alexnet")
    shapes = [tuple(m.weight.shape) for m in network.modules() if hasattr(m, "weight")]
    assert shapes == [
        (96, 3, 11, 11),
        (256, 48, 5, 5),
        (384, 256, 3, 3),
        (384, 192, 3, 3),
        (256, 192, 3, 3),
        (4096, 9216),
        (4096, 4096),
        (1000, 4096),
    ]


def normalise(values: list[float], k: float, alpha: float) -> list[float]:
    """The paper's formula over the channels of one position, n = 5, beta = 0.75."""
    out = []
    for i, value in enumerate(values):
        window = values[max(0, i - 2) : min(len(values) - 1, i + 2) + 1]
        out.append(value / (k + alpha * sum(a * a for a in window)) ** 0.75)
    return out


@pytest.mark.parametrize(
    ("convention", "k", "alpha"), [("paper", 2.0, 1e-4), ("caffe", 1.0, 1e-4 / 5)]
)
def test_normalisation_is_the_formula(convention, k, alpha):
    with torch.device("meta"):
        layer = alexnet(normalisation=convention).stages.conv1.norm
    values = [float(value) for value in (3, 100, -40, 7, 0, 250, 12, -90)]
    got = layer(torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)).flatten()
    wanted = torch.tensor(normalise(values, k, alpha), dtype=torch.float64)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=0)


def test_normalisation_stands_between_relu_and_pooling_of_the_first_two():
    def order(stage: nn.Module) -> list[str]:
        return [name for name, _ in stage.named_children()]

    stages = meta_network("alexnet").stages
    assert order(stages.conv1) == order(stages.conv2) == ["conv", "relu", "norm", "pool"]
    assert order(stages.conv5) == ["conv", "relu", "pool"]
    bare = meta_network("alexnet", normalisation="none")
    assert not any(isinstance(layer, nn.LocalResponseNorm) for layer in bare.modules())


def test_a_gpu_sees_its_own_maps_in_conv2_alone():
    torch.manual_seed(0)
    network = alexnet(classes=2)
    maps = torch.randn(1, 96, 27, 27)
    other = maps.clone()
    other[:, 48:] += 1.0  # the second GPU's half
    first, second = network.stages.conv2.conv(maps), network.stages.conv2.conv(other)
    assert torch.equal(first[:, :128], second[:, :128])
    assert not torch.equal(first[:, 128:], second[:, 128:])
    # section 5: N(0, 0.01²); biases of 1 in conv2, conv4, conv5, fc6, fc7, of 0 elsewhere
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            assert parameter.std().item() == pytest.approx(0.01, rel=0.02), name
        else:
            zero = name.startswith(("stages.conv1", "stages.conv3", "head"))
            assert set(parameter.tolist()) == {0.0 if zero else 1.0}, name


def test_dropout_follows_the_hidden_layers_as_printed_and_precedes_them_in_one_tower():
    def order(stage: nn.Module) -> list[str]:
        return [type(layer).__name__ for layer in stage if not isinstance(layer, nn.Flatten)]

    stages = meta_network("alexnet").stages
    assert order(stages.fc6) == order(stages.fc7) == ["Linear", "ReLU", "Dropout"]
    tower = meta_network("alexnet-one-tower").stages
    assert order(tower.fc6) == ["AdaptiveAvgPool2d", "Dropout", "Linear", "ReLU"]
    assert order(tower.fc7) == ["Dropout", "Linear", "ReLU"]


@pytest.mark.parametrize(
    ("option", "value"), [("input_size", 225), ("groups", 3), ("normalisation", "torch")]
)
def test_an_unknown_option_is_refused(option, value):
    with pytest.raises(UsageError, match=f"{option} must be one of .*, not {value!r}"):
        alexnet(**{option: value})


def test_224_where_227_is_meant_is_refused_with_both():
    with pytest.raises(UsageError, match=r"\(1, 3, 224, 224\).*\(images, 3, 227, 227\)"):
        meta_network("alexnet")(torch.empty(1, 3, 224, 224, device="meta"))


def test_one_tower_takes_other_sizes():
    assert count(meta_network("alexnet-one-tower"), (63, 180, 3)).stages[-1].output == (1000,)
    with pytest.raises(UsageError, match="cannot take images of 62×62"):
        count(meta_network("alexnet-one-tower"), (62, 62, 3))
