"""Networks here against torchvision's, timm's and a port's, with the same random tensors.

Run by `make conformance`, in an environment that has torchvision and timm. Every batch-norm
statistic is drawn too: at rest, a normalisation of mean 0 and variance 1 would hide a swap.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from tests.weights.conftest import Server, server
from tortie import networks
from tortie.errors import UsageError
from tortie.networks.figures import FIGURES
from tortie.networks.network import Network
from tortie.networks.table import TABLE
from tortie.weights.layouts import looks_like, translate

torchvision_models = pytest.importorskip("torchvision.models")
timm = pytest.importorskip("timm")

__all__ = ["server"]  # a fixture

PRECISIONS = [(torch.float32, 1e-5), (torch.float64, 1e-10)]


@torch.no_grad()
def perturb(network: nn.Module) -> None:
    """Draw every tensor so that activations keep their size and no normalisation is at rest."""
    generator = torch.Generator().manual_seed(7)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            module.weight.normal_(0, (1.6 / fan_in) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.normal_(0, 0.2, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.weight.uniform_(0.5, 1.0, generator=generator)
            module.bias.normal_(0, 0.2, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)


def relative(got: Tensor, wanted: Tensor) -> float:
    return float((got - wanted).abs().max() / wanted.abs().max())


def keep(seen: dict[str, Tensor], name: str) -> Callable[..., None]:
    """A hook; an in-place ReLU after the module must not reach what it keeps."""

    def hook(module: nn.Module, args: object, out: Tensor) -> None:
        seen[name] = out.clone()

    return hook


@torch.no_grad()
def compare(name: str, other: nn.Module, stages: dict[str, str], size: int, **arguments) -> None:
    """Logits and the outputs of ``stages`` (here: their names there), in both precisions."""
    perturb(other)
    other.eval()
    entry = networks.find(name)
    network: Network = entry.build(**arguments)
    network.load_state_dict(translate(entry, network, other.state_dict()))
    network.eval()
    assert set(stages) <= set(network.stage_names)
    for dtype, tolerance in PRECISIONS:
        seen: dict[str, Tensor] = {}
        hooks = [
            module.register_forward_hook(keep(seen, there))
            for there, module in other.to(dtype).named_modules()
            if there in stages.values()
        ]
        images = torch.randn(
            2, 3, size, size, dtype=dtype, generator=torch.Generator().manual_seed(1)
        )
        wanted = other(images)
        for hook in hooks:
            hook.remove()
        own = network.to(dtype)
        activations = images
        for stage, module in own.stages.named_children():
            activations = module(activations)
            if stage in stages:
                there = seen[stages[stage]]
                got = activations.reshape(there.shape)
                assert relative(got, there) < tolerance, (stage, dtype)
        assert relative(own(images), wanted) < tolerance, dtype
        assert wanted.std() > 1e-3  # logits that vanish would agree by themselves


RESNET_STAGES = {
    "conv1": "relu",
    "conv2_x": "layer1",
    "conv3_x": "layer2",
    "conv4_x": "layer3",
    "conv5_x": "layer4",
    "avgpool": "avgpool",
}


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_resnet_is_torchvisions(depth: int) -> None:
    other = getattr(torchvision_models, f"resnet{depth}")()
    stages = {name: there for name, there in RESNET_STAGES.items() if name != "conv1"}
    compare(f"resnet{depth}", other, stages, 160)


@pytest.mark.parametrize("depth", [18, 50, 152])
def test_resnet_is_timms(depth: int) -> None:
    other = timm.create_model(f"resnet{depth}")
    stages = RESNET_STAGES | {"conv1": "act1", "avgpool": "global_pool"}
    compare(f"resnet{depth}", other, stages, 160)


def vgg_stages(name: str) -> dict[str, str]:
    """Each stage's last layer in torchvision's and timm's row of layers."""
    stages, place = {}, -1
    for stage, module in networks.find(name).build().stages.named_children():
        if stage.startswith("fc"):
            break
        place += max(1, len(list(module.children())))
        stages[stage] = f"features.{place}"
    return stages


VGGS = ["vgg11", "vgg11-bn", "vgg13", "vgg16", "vgg16-bn", "vgg19"]


@pytest.mark.parametrize("name", VGGS)
def test_vgg_is_torchvisions(name: str) -> None:
    other = getattr(torchvision_models, name.replace("-", "_"))()
    stages = vgg_stages(name) | {"fc6": "classifier.1", "fc7": "classifier.4"}
    compare(name, other, stages, 224)


@pytest.mark.parametrize("name", ["vgg11", "vgg16-bn"])
def test_vgg_is_timms(name: str) -> None:
    other = timm.create_model(name.replace("-", "_"))
    compare(name, other, vgg_stages(name), 224)


@pytest.mark.parametrize("size", [224, 180])
def test_alexnet_in_one_tower_is_torchvisions(size: int) -> None:
    stages = {
        "conv1": "features.2",
        "conv2": "features.5",
        "conv3": "features.7",
        "conv4": "features.9",
        "conv5": "features.12",
        "fc6": "classifier.2",
        "fc7": "classifier.5",
    }
    compare("alexnet-one-tower", torchvision_models.alexnet(), stages, size)


@pytest.mark.parametrize("sides", [True, False])
@pytest.mark.parametrize("size", [224, 192])
def test_googlenet_is_torchvisions(sides: bool, size: int) -> None:
    other = torchvision_models.googlenet(
        aux_logits=sides, init_weights=False, transform_input=False
    )
    stages = {
        "conv1": "conv1",
        "maxpool1": "maxpool1",
        "conv2": "conv3",
        "maxpool2": "maxpool2",
        "inception_3a": "inception3a",
        "inception_3b": "inception3b",
        "maxpool3": "maxpool3",
        **{f"inception_4{letter}": f"inception4{letter}" for letter in "abcde"},
        "maxpool4": "maxpool4",
        "inception_5a": "inception5a",
        "inception_5b": "inception5b",
        "avgpool": "avgpool",
    }
    compare("googlenet-bn", other, stages, size, side_heads=sides)


@torch.no_grad()
def test_googlenets_side_heads_are_torchvisions() -> None:
    other = torchvision_models.googlenet(init_weights=False, transform_input=False)
    perturb(other)
    entry = networks.find("googlenet-bn")
    network = entry.build()
    network.load_state_dict(translate(entry, network, other.state_dict()))
    # In training torchvision runs its side heads; the statistics of batches then hide running ones,
    # and dropout would draw, so both are put at rest module by module.
    other.eval(), network.eval()
    other.training = True
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    wanted = other(images)
    logits, sides = network.forward_with_sides(images)
    assert relative(logits, wanted.logits) < 1e-5
    assert relative(sides["inception_4a"], wanted.aux_logits1) < 1e-5
    assert relative(sides["inception_4d"], wanted.aux_logits2) < 1e-5


class PortBlock(nn.Module):
    """A block of the CIFAR port, written from its description: zeros on both sides."""

    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.widens = stride != 1

    def forward(self, x: Tensor) -> Tensor:
        way = x
        if self.widens:
            way = x[:, :, ::2, ::2]
            zeros = torch.zeros_like(way[:, : way.shape[1] // 2])
            way = torch.cat([zeros, way, zeros], dim=1)
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + way)


class Port(nn.Module):
    """The CIFAR port's layout: conv1, bn1, layer1 to layer3, linear."""

    def __init__(self, repeats: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        planes = 16
        for number, width in enumerate((16, 32, 64), 1):
            strides = [1 if number == 1 else 2] + [1] * (repeats - 1)
            blocks = [
                PortBlock(planes if place == 0 else width, width, stride)
                for place, stride in enumerate(strides)
            ]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
            planes = width
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


@pytest.mark.parametrize("depth", [20, 56, 110])
def test_resnet_for_cifar_is_the_ports(depth: int) -> None:
    stages = {"conv2_x": "layer1", "conv3_x": "layer2", "conv4_x": "layer3"}
    compare(f"resnet{depth}-cifar", Port((depth - 2) // 6), stages, 32)


MBCONV_STAGES = {f"mbconv{number}": f"blocks.{number - 1}" for number in range(1, 8)}


@pytest.mark.parametrize("number", range(5))
def test_efficientnet_lite_is_timms(number: int) -> None:
    other = timm.create_model(f"tf_efficientnet_lite{number}")
    size = (224, 240, 260, 150, 150)[number]  # those of 280 and 300 take long
    compare(f"efficientnet-lite{number}", other, MBCONV_STAGES, size)


@pytest.mark.parametrize(
    ("form", "other"), [("paper", "tf_efficientnet_b0"), ("torchvision", "efficientnet_b0")]
)
def test_efficientnet_b0_is_timms(form: str, other: str) -> None:
    compare("efficientnet-b0", timm.create_model(other), MBCONV_STAGES, 224, form=form)


def test_efficientnet_b0_is_torchvisions() -> None:
    stages = {f"mbconv{number}": f"features.{number}" for number in range(1, 8)}
    other = torchvision_models.efficientnet_b0()
    compare("efficientnet-b0", other, stages | {"avgpool": "avgpool"}, 224)


def test_mobilenet_v1_is_timms() -> None:
    ends = {1: "blocks.0", 3: "blocks.1", 5: "blocks.2", 11: "blocks.3", 13: "blocks.4"}
    stages = {f"separable{number}": there for number, there in ends.items()}
    compare("mobilenet-v1", timm.create_model("mobilenetv1_100"), stages, 224)


def test_mobilenet_v2_is_torchvisions() -> None:
    ends = (1, 3, 6, 10, 13, 16, 17)
    stages = {f"bottleneck{number}": f"features.{end}" for number, end in enumerate(ends, 1)}
    stages |= {"conv1": "features.0", "conv_last": "features.18"}
    compare("mobilenet-v2", torchvision_models.mobilenet_v2(), stages, 224)


def test_mobilenet_v2_is_timms() -> None:
    stages = {f"bottleneck{number}": f"blocks.{number - 1}" for number in range(1, 8)}
    compare("mobilenet-v2", timm.create_model("mobilenetv2_100"), stages, 224)


@pytest.mark.parametrize("size", [224, 227])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_squeezenet_is_torchvisions(version: str, size: int) -> None:
    other = getattr(torchvision_models, f"squeezenet{version.replace('.', '_')}")()
    names = networks.find("squeezenet").build(version=version).stage_names[1:]
    stages = {name: f"features.{place}" for place, name in enumerate(names, 2)}
    compare("squeezenet", other, stages, size, version=version)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_densenet_is_theirs(library: str) -> None:
    torchvisions = library == "torchvision"
    other = torchvision_models.densenet121() if torchvisions else timm.create_model("densenet121")
    stages = {f"dense{number}": f"features.denseblock{number}" for number in (1, 2, 3)}
    stages |= {f"transition{number}": f"features.transition{number}" for number in (1, 2, 3)}
    compare("densenet121", other, stages, 224)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_resnext_is_theirs(library: str) -> None:
    torchvisions = library == "torchvision"
    make = torchvision_models.resnext50_32x4d
    other = make() if torchvisions else timm.create_model("resnext50_32x4d")
    stages = {name: there for name, there in RESNET_STAGES.items() if name.endswith("_x")}
    compare("resnext50", other, stages, 160)


def test_se_resnet_is_timms() -> None:
    stages = {name: there for name, there in RESNET_STAGES.items() if name.endswith("_x")}
    compare("se-resnet50", timm.create_model("seresnet50"), stages, 160)


@pytest.mark.parametrize("depth", [50, 101])
def test_resnet_v2_is_timms(depth: int) -> None:
    stages = {"conv1": "stem"} | {f"conv{number + 2}_x": f"stages.{number}" for number in range(3)}
    compare("resnet50-v2", timm.create_model(f"resnetv2_{depth}"), stages, 160, depth=depth)


def test_old_checkpoints_of_densenet_are_loaded() -> None:
    """Those that torchvision publishes have ``norm.1`` for ``norm1``."""
    other = torchvision_models.densenet121()
    perturb(other)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): tensor
        for key, tensor in other.state_dict().items()
    }
    entry = networks.find("densenet121")
    network = entry.build()
    state = translate(entry, network, old)
    assert torch.equal(
        state["stages.dense4.layer16.conv2.weight"],
        other.features.denseblock4.denselayer16.conv2.weight,
    )


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("mobilenet-v2", torchvision_models.mobilenet_v2),
        ("squeezenet", torchvision_models.squeezenet1_0),
        ("densenet121", torchvision_models.densenet121),
        ("resnext50", torchvision_models.resnext50_32x4d),
        ("efficientnet-b0", torchvision_models.efficientnet_b0),
        ("resnet50", torchvision_models.resnet50),
        ("se-resnet50", lambda: timm.create_model("seresnet50")),
        ("resnet50-v2", lambda: timm.create_model("resnetv2_50")),
    ],
)
def test_a_checkpoint_tells_whose_it_is(name: str, make: Callable[[], nn.Module]) -> None:
    assert looks_like(make().state_dict()) == name


COUNTED = {
    "efficientnet-b0": (torchvision_models.efficientnet_b0, "EfficientNet_B0_Weights"),
    "mobilenet-v2": (torchvision_models.mobilenet_v2, "MobileNet_V2_Weights"),
    "squeezenet": (torchvision_models.squeezenet1_0, "SqueezeNet1_0_Weights"),
    "densenet121": (torchvision_models.densenet121, "DenseNet121_Weights"),
    "resnext50": (torchvision_models.resnext50_32x4d, "ResNeXt50_32X4D_Weights"),
}


@pytest.mark.parametrize("name", COUNTED)
def test_figures_are_those_that_torchvision_prints(name: str) -> None:
    figures = FIGURES[name]
    meta = getattr(torchvision_models, COUNTED[name][1]).IMAGENET1K_V1.meta
    assert figures.parameters == meta["num_params"]
    assert round(figures.multiplications / 1e9, 3) == meta["_ops"]


@pytest.mark.parametrize(
    "name", [entry.name for entry in TABLE if "hf://timm/" in "".join(entry.weights.values())]
)
def test_weights_and_input_are_those_that_timm_names(name: str) -> None:
    entry = networks.find(name)
    there = networks.find(f"timm:{entry.weights['imagenet'].removeprefix('hf://timm/')}")
    published = timm.models.get_pretrained_cfg(there.name.removeprefix("timm:"))
    assert f"hf://{published.hf_hub_id}" == entry.weights["imagenet"]
    assert entry.timm in (published.architecture, None)
    own, theirs = entry.preprocessing, there.preprocessing
    for here, other in ((own.mean, theirs.mean), (own.std, theirs.std)):
        assert here == pytest.approx(other, abs=1)  # 127 is 127.5 to any network
    if "lite" not in name:  # whose sizes are TensorFlow's, not timm's
        assert (own.shape, own.resize) == (theirs.shape, theirs.resize)
        assert own.interpolation == theirs.interpolation


@torch.no_grad()
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_torchvision_saved_is_loaded(tmp_path: Path, suffix: str) -> None:
    other = torchvision_models.resnet18(num_classes=7)
    perturb(other)
    path = tmp_path / f"resnet18{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(other.state_dict(), path)
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    network = networks.build("resnet18", weights=str(path))
    assert relative(network.eval()(images), other.eval()(images)) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0"])
def test_a_repository_that_timm_saved_is_loaded(server: Server, tmp_path: Path, name: str) -> None:
    other = timm.create_model(name, num_classes=7)
    perturb(other)
    timm.models.save_for_hf(other, tmp_path, safe_serialization=True)
    for path in tmp_path.iterdir():
        if path.is_file():
            server.hub(f"timm/{name}", path.name, path.read_bytes())
    own = name.removeprefix("tf_").replace("_", "-")
    network = networks.build(own, weights=f"hf://timm/{name}")
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    assert relative(network.eval()(images), other.eval()(images)) < 1e-5
    assert network.notes == ()
    with pytest.raises(UsageError, match=f"holds {name}, not vgg11"):
        networks.build("vgg11", weights=f"hf://timm/{name}")


@torch.no_grad()
@pytest.mark.parametrize("number", [0, 1, 2])
def test_lites_with_their_trained_tensors_are_timms_on_photographs(number: int) -> None:
    from sklearn.datasets import load_sample_images

    other = timm.create_model(f"tf_efficientnet_lite{number}").eval()
    network = networks.build(f"efficientnet-lite{number}", weights="imagenet").eval()
    tensors = list(network.state_dict().values())
    other.load_state_dict(dict(zip(other.state_dict(), tensors, strict=True)))
    preprocessing = networks.find(f"efficientnet-lite{number}").preprocessing
    pixels = [preprocessing.pixels(Image.fromarray(one)) for one in load_sample_images().images]
    images = (torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() - 127) / 128
    assert relative(network(images), other(images)) < 1e-5


PUBLISHED: dict[str, Callable[[], nn.Module]] = {
    name: getattr(torchvision_models, builder)
    for name, builder in [("alexnet-one-tower", "alexnet"), ("googlenet-bn", "googlenet")]
    + [(name, name.replace("-", "_")) for name in (*VGGS, "vgg13-bn", "vgg19-bn")]
    + [(f"resnet{depth}", f"resnet{depth}") for depth in (18, 34, 50, 101, 152)]
    + [(name, builder.__name__) for name, (builder, _) in COUNTED.items()]
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_addresses_are_those_that_torchvision_has(name: str) -> None:
    """Addresses and errors of the table against torchvision's own record of its weights."""
    builder = PUBLISHED[name].__name__
    weights = torchvision_models.get_model_weights(builder).IMAGENET1K_V1
    entry = networks.find(name)
    assert entry.weights["imagenet"] == weights.url
    accuracy = weights.meta["_metrics"]["ImageNet-1K"]
    (found,) = [error for error in entry.published if "torchvision" in error.source]
    assert found.top1 == pytest.approx(100 - accuracy["acc@1"])
    assert found.top5 == pytest.approx(100 - accuracy["acc@5"])
    assert re.search(r"-[0-9a-f]{8}\.pth$", weights.url)
