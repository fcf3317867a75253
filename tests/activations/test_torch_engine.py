"""PyTorch's engine against plain eager PyTorch."""

import pytest
import torch
from torch import nn

from tortie.activations.engine import BATCH, native_precision
from tortie.activations.torch_engine import FusedConv2d, TorchEngine
from tortie.images.preprocess import Preprocessing
from tortie.networks import build, efficientnet_lite0
from tortie.networks.layers import SameConv2d
from tortie.processor import native_bfloat16

CPU = torch.device("cpu")
SMALL = Preprocessing(
    resize=32, height=32, width=32, channels=3, interpolation="bicubic",
    mean=(127.0,) * 3, std=(128.0,) * 3,
)  # fmt: skip


def pixels(n: int, side: int = 32, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, side, side, channels), dtype=torch.uint8, generator=generator)


def eager(prefix: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return prefix.eval()((images.permute(0, 3, 1, 2).float() - 127) / 128)


def with_statistics(network: nn.Module) -> nn.Module:
    """Batch-norm statistics as after training, so that folding them is tested."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias.data):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
            for tensor in (module.running_var, module.weight.data):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return network


def has_convolutions(precision: str) -> bool:
    """Whether oneDNN convolves in this precision here; without, it runs eagerly, emulated."""
    return precision == "float32" or native_bfloat16()


class Runs:
    """The engine, from and to tensors."""

    def __init__(self, *given):
        self.engine = TorchEngine(*given)
        self.fused = self.engine.fused

    def __call__(self, images):
        return torch.from_numpy(self.engine(images.numpy()))


def close(got: torch.Tensor, wanted: torch.Tensor, tolerance: float) -> bool:
    return float((got - wanted).norm() / wanted.norm()) < tolerance


@pytest.mark.parametrize("cut", ["stem", "mbconv2", "mbconv7", "avgpool"])
def test_lite0_fused_equals_eager_at_every_kind_of_cut(cut):
    torch.manual_seed(0)
    prefix, _ = with_statistics(efficientnet_lite0()).cut(cut)
    engine = Runs(prefix, SMALL, CPU, "float32")
    assert engine.fused
    images = pixels(3)
    assert close(engine(images), eager(prefix, images), 1e-5)


@pytest.mark.parametrize("side", [32, 33, 47, 64])
def test_same_padding_of_odd_and_even_sides(side):
    torch.manual_seed(0)
    prefix = with_statistics(efficientnet_lite0()).cut("mbconv6")[0]
    images = pixels(2, side)
    assert close(Runs(prefix, SMALL, CPU, "float32")(images), eager(prefix, images), 1e-5)


class Residual(nn.Module):
    """An addition followed by a ReLU, a branch used twice, a concatenation, a strided dilation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding="same", dilation=2, bias=False)
        self.norm = nn.BatchNorm2d(8, affine=False)
        self.third = nn.Conv2d(8, 8, (1, 3), stride=2, padding=(0, 1), groups=4)
        self.reflected = nn.Conv2d(8, 4, 3, padding=1, padding_mode="reflect")
        self.linear = nn.Linear(12 * 16 * 16, 5)

    def forward(self, images):
        x = torch.relu(self.first(images))
        x = nn.functional.relu(x + self.norm(self.second(x)))
        y = self.third(x)
        return self.linear(torch.cat([y, self.reflected(y)], 1).flatten(1))


def test_any_graph_of_layers_equals_eager():
    torch.manual_seed(0)
    prefix = with_statistics_of_plain(Residual())
    engine = Runs(prefix, SMALL, CPU, "float32")
    assert engine.fused
    assert close(engine(pixels(4)), eager(prefix, pixels(4)), 1e-5)


def with_statistics_of_plain(module: Residual) -> Residual:
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
    return module


class Branching(nn.Module):
    """What a recorded graph cannot hold: the data decide which way to go."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, images):
        x = self.conv(images)
        return x if x.sum() > 0 else -x


def test_what_cannot_be_fused_runs_eagerly_and_says_so(caplog):
    torch.manual_seed(0)
    engine = Runs(Branching(), SMALL, CPU, "float32")
    assert not engine.fused
    (said,) = caplog.messages
    assert said.startswith("the frozen part runs layer by layer, slower than fused: ")
    assert "control flow" in said and len(said.splitlines()) == 1
    prefix = Branching()
    engine = Runs(prefix, SMALL, CPU, "float32")
    assert close(engine(pixels(1)), eager(prefix, pixels(1)), 1e-6)


def test_bfloat16_is_near_float32():
    prefix, _ = build("efficientnet-lite0", weights="imagenet").cut("avgpool")
    images = pixels(1, 64)
    images[:, :, :, :] = torch.linspace(0, 255, 64).to(torch.uint8).view(1, 64, 1, 1)
    wanted = eager(prefix, images)
    got = Runs(prefix, SMALL, CPU, "bfloat16")(images)
    assert got.dtype == torch.float32
    assert close(got, wanted, 0.1)


class Normalised(nn.Module):
    """AlexNet's normalisation between convolutions, twice the same, and after the last of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.norm = nn.LocalResponseNorm(5, alpha=0.5, beta=0.75, k=2.0)
        self.second = nn.Conv2d(8, 8, 3)

    def forward(self, images):
        return self.norm(self.second(self.norm(self.norm(self.first(images).relu()))))


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_local_response_normalisation_is_fused_in_both_precisions(precision, tolerance):
    torch.manual_seed(0)
    prefix = Normalised()
    engine = Runs(prefix, SMALL, CPU, precision)
    assert engine.fused or not has_convolutions(precision)
    assert close(engine(pixels(2)), eager(prefix, pixels(2)), tolerance)


@pytest.mark.parametrize(("name", "cut"), [("alexnet", "conv2"), ("googlenet", "maxpool2")])
def test_networks_with_that_normalisation_are_fused_in_bfloat16(name, cut):
    torch.manual_seed(0)
    prefix = build(name).cut(cut)[0]
    engine = Runs(prefix, SMALL.model_copy(update={"height": 64, "width": 64}), CPU, "bfloat16")
    assert engine.fused or not has_convolutions("bfloat16")
    assert close(engine(pixels(2, 64)), eager(prefix, pixels(2, 64)), 0.02)


@pytest.mark.parametrize("precision", ["float32", native_precision(CPU)])
def test_an_image_does_not_depend_on_its_batch(precision):
    torch.manual_seed(0)
    prefix = with_statistics(efficientnet_lite0()).cut("avgpool")[0]
    engine = Runs(prefix, SMALL, CPU, precision)
    images = pixels(BATCH + 3)
    together = engine(images)
    alone = torch.cat([engine(images[i : i + 1]) for i in range(len(images))])
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-5)


def test_the_network_is_left_as_it_is():
    torch.manual_seed(0)
    network = efficientnet_lite0()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    Runs(network.cut("avgpool")[0], SMALL, CPU, "bfloat16")(pixels(1))
    assert network.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_same_convolution_at_stride_two_is_fused_without_a_padded_copy():
    torch.manual_seed(0)
    conv = SameConv2d(4, 6, 3, stride=2)
    fused = FusedConv2d(conv, None, torch.float32)
    images = torch.randn(2, 4, 10, 7)
    with torch.inference_mode():
        torch.testing.assert_close(fused(images), conv(images), rtol=1e-5, atol=1e-5)
