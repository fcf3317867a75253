"""Graphs of the table's networks, run by ONNX Runtime, against eager PyTorch."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tortie.graphs.fold import with_weights
from tortie.graphs.graph import Graph, UnknownOperator
from tortie.graphs.write import write_graph
from tortie.images.preprocess import Preprocessing
from tortie.networks.network import Network
from tortie.networks.table import TABLE, find

# One of each kind of layer; the others take seconds to lay out their weights.
FAST = ("lenet5-1998", "nin", "squeezenet", "googlenet-bn", "resnet20-cifar", "efficientnet-lite0")
NAMES = [
    entry.name if entry.name in FAST else pytest.param(entry.name, marks=pytest.mark.slow)
    for entry in TABLE
    if entry.name != "resnet1202-cifar"  # the code of resnet20-cifar, sixty times over
]
SMALL = Preprocessing(resize=20, height=20, width=17, mean=(127.0,) * 3, std=(128.0,) * 3)


def run(graph: Graph, module: nn.Module, given: np.ndarray, name: str) -> torch.Tensor:
    """What ONNX Runtime makes of a graph with its weights folded in."""
    tensors = {f"{name}.{key}": one.numpy() for key, one in module.state_dict().items()}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        with_weights(graph, tensors).SerializeToString(), options, ["CPUExecutionProvider"]
    )
    return torch.from_numpy(session.run(None, {"images": given})[0])


def trained(module: nn.Module) -> nn.Module:
    """Batch-norm statistics as after training, so that folding them is tested.

    Scales below one keep the activations of deep networks in bounds: where they grow from block to
    block, rounding grows with them, in eager PyTorch as well.
    """
    generator = torch.Generator().manual_seed(1)
    lows = {"weight": 0.2, "bias": -0.2, "running_mean": -0.2, "running_var": 0.8}
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for name, tensor in layer.state_dict().items():
                if name in lows:
                    drawn = torch.rand(tensor.shape, generator=generator)
                    tensor.copy_(lows[name] + 0.4 * drawn)
    return module.eval()


def small_enough(name: str) -> Preprocessing:
    """The network's preprocessing, at a side that is quickly computed where any will do."""
    drawn = find(name).preprocessing
    if find(name).build().fixed_size or drawn.height < 64:
        return drawn
    return drawn.model_copy(update={"resize": 70, "height": 66, "width": 63})


def images(preprocessing: Preprocessing, count: int) -> tuple[np.ndarray, torch.Tensor]:
    """Random pixels, and what a network is given of them."""
    pixels = np.random.default_rng(3).integers(0, 256, (count, *preprocessing.shape), np.uint8)
    given = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    mean, std = (
        torch.tensor(one).view(1, -1, 1, 1) for one in (preprocessing.mean, preprocessing.std)
    )
    return pixels, (given - mean) / std


def error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    assert got.shape == wanted.shape and got.dtype == torch.float32
    return float((got - wanted).norm() / wanted.norm())


@torch.inference_mode()
@pytest.mark.parametrize("name", NAMES)
def test_cut_at_each_stage_it_computes_what_pytorch_does(name):
    torch.manual_seed(0)
    network, preprocessing = find(name).build(), small_enough(name)
    trained(network)
    pixels, wanted = images(preprocessing, 2)
    for stage, module in network.stages.named_children():
        prefix, _ = network.cut(stage)
        wanted = module(wanted)
        graph = write_graph("stages", prefix, preprocessing)
        assert error(run(graph, prefix, pixels, "stages"), wanted) < 1e-5, stage


@torch.inference_mode()
@pytest.mark.parametrize("name", NAMES)
def test_whole_with_its_head_it_computes_what_pytorch_does(name):
    torch.manual_seed(0)
    network, preprocessing = find(name).build(), small_enough(name)
    trained(network)
    pixels, given = images(preprocessing, 3)
    features, whole = network.stages(given), nn.Sequential(network.stages, network.head)
    graph = write_graph("network", whole, preprocessing)
    assert error(run(graph, whole, pixels, "network"), network(given)) < 1e-5
    head = write_graph("head", network.head, features.shape[1:])
    assert error(run(head, network.head, features.numpy(), "head"), network(given)) < 1e-5


@torch.inference_mode()
def test_any_number_of_images_goes_through_one_graph():
    network, preprocessing = trained(find("resnet20-cifar").build()), small_enough("resnet20-cifar")
    assert isinstance(network, Network)
    graph = write_graph("stages", network.stages, preprocessing)
    for count in (1, 5):
        pixels, given = images(preprocessing, count)
        wanted = network.forward_features(given)
        assert error(run(graph, network.stages, pixels, "stages"), wanted) < 1e-5


def test_a_graph_is_the_same_whatever_the_weights_are():
    # So that it can be kept once for all classifiers on one network.
    graphs = [
        write_graph("stages", find("efficientnet-lite0").build().stages, SMALL) for _ in range(2)
    ]
    assert graphs[0].content == graphs[1].content
    assert len(graphs[0].content) < 40_000


def test_writing_leaves_the_module_as_it_is():
    network = find("resnet20-cifar").build().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    write_graph("stages", network.stages, small_enough("resnet20-cifar"))
    assert network.training and network.stages.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


class Layers(nn.Module):
    """What the table's networks do seldom: each line once, at sizes that do not divide."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding="same", dilation=2)
        self.bare = nn.BatchNorm2d(8, affine=False)
        self.second = nn.Conv2d(8, 12, (1, 3), stride=2, padding=(0, 1), groups=4, bias=False)
        self.norm = nn.BatchNorm2d(12)
        self.adaptive = nn.AdaptiveAvgPool2d((3, 2))
        self.linear = nn.Linear(72, 5, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bare(self.first(x)))
        x = F.max_pool2d(x, 1) if self.training else x
        y = self.norm(self.second(x))
        y = torch.cat([y[:, :6], F.silu(y[:, 6:].mul(2.0))], 1) + y * 0.5
        return self.linear(torch.flatten(self.adaptive(torch.sigmoid(y)), 1))


POOLS = (
    nn.MaxPool2d(3, 2, padding=1),
    nn.MaxPool2d(3, 2, ceil_mode=True),
    nn.MaxPool2d(3, 2, padding=1, dilation=2),
    nn.AvgPool2d(3, 2, padding=1),
    nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
    nn.AvgPool2d(3, 2, ceil_mode=True, count_include_pad=False),
    nn.AvgPool2d(2, divisor_override=3),
    nn.AdaptiveAvgPool2d((6, 5)),
    nn.Sequential(
        nn.Hardswish(), nn.Hardsigmoid(), nn.SiLU(), nn.ConstantPad2d((1, 2, 0, 3), -0.1)
    ),
    Layers(),
)


@torch.inference_mode()
@pytest.mark.parametrize("module", POOLS, ids=lambda module: str(module)[:60])
def test_layers_of_every_kind_equal_pytorch(module):
    torch.manual_seed(0)
    trained(module)
    pixels, given = images(SMALL, 2)
    graph = write_graph("part", module, SMALL)
    assert error(run(graph, module, pixels, "part"), module(given)) < 1e-5


class Branching(nn.Module):
    """The data decide which way to go."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Branching(), "cannot be recorded"),
        (nn.Sequential(nn.ReLU(), nn.Softplus()), "no ONNX for the layer Softplus"),
        (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), "padded by reflect"),
        (nn.AvgPool2d(3, 2, ceil_mode=True), "runs off the edge"),
        (nn.BatchNorm2d(3, track_running_stats=False), "without statistics"),
        (nn.Linear(17, 4), "a linear layer of maps"),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_what_has_no_translation_is_refused_by_name(module, message):
    with pytest.raises(UnknownOperator, match=message):
        write_graph("part", module, SMALL)
