"""Networks of timm cut into stages against timm's own, with the same drawn tensors.

Run by `make conformance`, in an environment that has timm. No trained weights are fetched: a server
on loopback answers as the hub does, with tensors that timm saved.
"""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from typer.testing import CliRunner

import tortie
from tests.conformance.test_published_networks import perturb, relative
from tests.conftest import lay_out
from tests.weights.conftest import Server, server
from tortie import networks
from tortie.cost.count import count
from tortie.cost.meta_network import meta_network
from tortie.errors import TortieError, UsageError
from tortie.networks.arguments import parse_network
from tortie.networks.ladder import LADDER
from tortie.networks.network import Network
from tortie.weights.layouts import translate

timm = pytest.importorskip("timm")

__all__ = ["server"]  # a fixture

# A family each: what its stages are, and what is special of its end.
FAMILIES = {
    "resnet18": ("act1", "layer1", "layer2", "layer3", "layer4", "pre_logits"),
    "convnext_tiny": ("stages_0", "stages_1", "stages_2", "stages_3", "pre_logits"),
    "mobilenetv3_small_100": ("bn1", *(f"blocks_{n}" for n in (0, 1, 3, 5)), "pre_logits"),
    "efficientnet_b0": (*(f"blocks_{n}" for n in (0, 1, 2, 4, 6)), "pre_logits"),
    "regnetx_002": ("stem", "s1", "s2", "s3", "s4", "pre_logits"),
    "densenet121": (
        "features_norm0",
        *(f"features_denseblock{n}" for n in (1, 2, 3)),
        "features_norm5",
        "pre_logits",
    ),
    "vit_tiny_patch16_224": (*(f"blocks_{n}" for n in range(12)), "pre_logits"),
    # windows that are shifted by masks, which timm does not save; maps of channels last
    "swin_tiny_patch4_window7_224": (*(f"layers_{n}" for n in range(4)), "pre_logits"),
    # features inside blocks with shortcuts, behind which the cut moves
    "xception41": (
        *(f"blocks_{n}_stack_act3" for n in (0, 1, 2, 11)),
        "blocks_12",
        "pre_logits",
    ),
    # a 1×1 convolution as head
    "dla34": (*(f"level{n}" for n in range(6)), "pre_logits"),
    # dropout by a function, whose mode a trace must not freeze
    "ghostnet_100": ("conv_stem", *(f"blocks_{n}" for n in (1, 3, 5, 7)), "pre_logits"),
    # rotary positions, and no published head
    "eva02_tiny_patch14_224": (*(f"blocks_{n}" for n in range(12)), "pre_logits"),
    # images of any size, at which its pass looks
    "vit_small_patch16_dinov3": (*(f"blocks_{n}" for n in range(12)), "pre_logits"),
}


def drawn(name: str, classes: int = 7) -> nn.Module:
    """timm's own network in evaluation, with tensors of which none is at rest."""
    torch.manual_seed(0)
    whole = timm.create_model(name, num_classes=classes)
    perturb(whole)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in whole.parameters():
            if tensor.dim() < 2 or tensor.shape[0] == 1:  # gains, shifts, positions
                tensor.add_(0.05 * torch.randn(tensor.shape, generator=generator))
    return whole.eval()


def images_for(network: Network, size: int | None = None, count: int = 2) -> Tensor:
    height, width, channels = network.input_shape
    if size is not None and not network.fixed_size:
        height = width = size
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(1))


def cut_alike(name: str, whole: nn.Module, classes: int = 7) -> Network:
    """The network as stages, with timm's tensors."""
    entry = networks.find(f"timm:{name}")
    network = entry.build(classes=classes)
    network.load_state_dict(translate(entry, network, whole.state_dict()))
    return network.eval()


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_cut_at_every_stage_it_is_timms(name: str) -> None:
    whole = drawn(name)
    network = cut_alike(name, whole)
    assert network.stage_names == FAMILIES[name]
    assert network.classes == 7
    images = images_for(network, 96)
    wanted = whole(images)
    assert wanted.std() > 1e-3  # logits that vanish would agree by themselves
    assert relative(network(images), wanted) < 1e-5
    activations = images
    for number, stage in enumerate(network.stages, 1):
        activations = stage(activations)
        kept = activations.clone()
        prefix, rest = network.cut(number)
        assert len(prefix) == number
        assert relative(rest(activations), wanted) < 1e-5, network.stage_names[number - 1]
        if not torch.equal(activations, kept):  # a layer that works in place
            activations = kept
    assert activations.shape == (2, network.feature_count)
    torch.testing.assert_close(whole.forward_head(whole.forward_features(images)), wanted)
    pre_logits = whole.forward_head(whole.forward_features(images), pre_logits=True)
    assert relative(activations, pre_logits.flatten(1)) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "layout"),
    [("resnet18", "NCHW"), ("convnext_tiny", "NCHW"), ("swin_tiny_patch4_window7_224", "NHWC")],
)
def test_a_stage_ends_where_timm_takes_features(name: str, layout: str) -> None:
    whole = drawn(name)
    network = cut_alike(name, whole)
    assert network.channels_last == (layout == "NHWC")
    activations = images = images_for(network, 96)
    features = whole.forward_intermediates(images, intermediates_only=True)
    assert len(features) == len(network.stage_names) - 1
    for stage, wanted in zip(network.stages, features, strict=False):
        activations = stage(activations)
        got = activations.permute(0, 3, 1, 2) if layout == "NHWC" else activations
        assert relative(got, wanted) < 1e-5


@pytest.mark.parametrize("name", FAMILIES)
def test_every_parameter_learns_and_dropout_drops(name: str) -> None:
    network = networks.build(f"timm:{name}", classes=5).train()
    images = images_for(network, 64)
    nn.functional.cross_entropy(network(images), torch.tensor([1, 4])).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None or not parameter.requires_grad, key
    network.freeze(network.stage_names[0])
    assert not any(parameter.requires_grad for parameter in network.stages[0].parameters())
    dropouts = [module for module in network.modules() if isinstance(module, nn.Dropout)]
    assert all(
        module.training for module in dropouts if module not in [*network.stages[0].modules()]
    )
    if name == "ghostnet_100":
        assert [module.p for module in dropouts] == [0.2]


@torch.no_grad()
def test_a_copy_a_new_head_and_other_channels() -> None:
    network = networks.build("timm:resnet18", classes=5, in_channels=1).eval()
    images = images_for(network, 64)
    assert images.shape[1] == 1
    wanted = network(images)
    other = copy.deepcopy(network)
    network.new_head(3)
    assert network(images).shape == (2, 3)
    assert torch.equal(other(images), wanted)
    with pytest.raises(UsageError, match=r"takes \(images, 1, height, width\)"):
        network(torch.zeros(2, 3, 64, 64))
    fixed = networks.build("timm:vit_tiny_patch16_224")
    with pytest.raises(
        UsageError, match=r"\(images, 3, 224, 224\), a size that its parameters fix"
    ):
        fixed(torch.zeros(2, 3, 96, 96))


@pytest.mark.parametrize("name", ["resnet18", "convnext_tiny", "vit_tiny_patch16_224"])
def test_it_exports_and_compiles_whole(name: str) -> None:
    network = networks.build(f"timm:{name}", classes=5).eval()
    images = images_for(network, 64)
    with torch.no_grad():
        wanted = network(images)
        program = torch.export.export(network, (images,))
        torch.testing.assert_close(program.module()(images), wanted)
    torch.compiler.reset()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(images), wanted)
    torch.compiler.reset()


@pytest.mark.parametrize(
    "name",
    ["resnet50.a1_in1k", "convnext_tiny", "vit_tiny_patch16_224", "vit_small_patch14_dinov2"],
)
def test_an_image_becomes_what_timm_makes_of_it(name: str) -> None:
    """Against timm's own transform: resizing, crop, mean and deviation."""
    from timm.data import create_transform, resolve_data_config

    config = resolve_data_config({}, timm.models.get_pretrained_cfg(name).to_dict())
    transform = create_transform(**config, is_training=False)
    photograph = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (300, 420, 3), np.uint8)
    ).resize((840, 600))
    wanted = transform(photograph)
    preprocessing = networks.find(f"timm:{name}").preprocessing
    pixels = torch.from_numpy(preprocessing.pixels(photograph).copy()).permute(2, 0, 1).float()
    mean = torch.tensor(preprocessing.mean).view(-1, 1, 1)
    std = torch.tensor(preprocessing.std).view(-1, 1, 1)
    got = (pixels - mean) / std
    assert got.shape == wanted.shape
    # Pillow resizes a crop with other roundings than a whole: one grey level in a few places
    assert (got - wanted).abs().max() < 2.5 / min(preprocessing.std)
    assert (got - wanted).abs().mean() < 0.2 / max(preprocessing.std)


def test_a_name_says_the_weights_and_a_wrong_one_is_told() -> None:
    entry = networks.find("timm:convnext_tiny")
    assert entry.name == "timm:convnext_tiny." + timm.models.get_pretrained_cfg("convnext_tiny").tag
    assert networks.find(entry.name) == entry
    assert networks.find("timm:convnext_tiny.fb_in1k").name == "timm:convnext_tiny.fb_in1k"
    with pytest.raises(
        UsageError, match="no model 'convnext_tinny': did you mean timm:convnext_ti"
    ):
        networks.find("timm:convnext_tinny")
    with pytest.raises(UsageError, match="no weights 'mine' of resnet18: it has a1_in1k, "):
        networks.find("timm:resnet18.mine")
    with pytest.raises(UsageError, match=r"levit_128s.* has 2 heads: tortie needs one linear map"):
        networks.build("timm:levit_128s")
    with pytest.raises(UsageError, match=r"twins_svt_small.* cannot be cut .*cannot be traced"):
        networks.build("timm:twins_svt_small")
    with pytest.raises(UsageError, match="nfnet_f0 has no weights 'imagenet'"):
        networks.build("timm:nfnet_f0", weights="imagenet")


PUBLISHED = {  # multiply-adds in billions, parameters in millions, as the papers print them
    "convnext_tiny": (4.5, 29),  # Liu et al. 2022, table 9
    "swin_tiny_patch4_window7_224": (4.5, 29),  # Liu et al. 2021, table 1
    "deit_tiny_patch16_224": (1.3, 6),  # Touvron et al. 2021
    "efficientnet_b0": (0.39, 5.3),  # Tan and Le 2019, table 2
    "regnetx_002": (0.2, 2.7),  # Radosavovic et al. 2020, table 4
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_costs_are_the_papers(name: str) -> None:
    cost = count(meta_network(f"timm:{name}"))
    billions, millions = PUBLISHED[name]
    assert cost.multiplications / 1e9 == pytest.approx(
        billions, abs=0.05 if billions > 1 else 0.006
    )
    assert cost.parameters / 1e6 == pytest.approx(millions, abs=0.05 if millions < 6 else 0.75)
    assert not cost.arithmetic.uncounted


def test_shapes_are_height_width_channels_whatever_the_memory() -> None:
    shapes = {
        stage.name: stage.output
        for stage in count(meta_network("timm:swin_tiny_patch4_window7_224")).stages
    }
    assert shapes["layers_0"] == (56, 56, 96)
    assert shapes["layers_3"] == (7, 7, 768)
    layers = {
        layer.name: layer.output for layer in count(meta_network("timm:convnext_tiny")).layers
    }
    assert layers["stages_0.stages.0.blocks.0.mlp.fc1"] == (56, 56, 384)  # seen as a linear layer
    assert layers["stages_0.stages.0.blocks.0.mlp.act"] == (56, 56, 384)
    assert layers["stages_0.stages.0.blocks.0.conv_dw"] == (56, 56, 96)


@pytest.fixture
def hub(server: Server, tmp_path: Path) -> Server:
    """A hub with drawn tensors of two of timm's models, as timm saves them."""
    for name, tag, classes in [
        ("resnet18", "a1_in1k", 1000),
        ("swin_tiny_patch4_window7_224", "ms_in1k", 1000),
        ("vit_small_patch16_dinov3", "lvd1689m", 0),
    ]:
        timm.models.save_for_hf(drawn(name, classes), tmp_path / name, safe_serialization=True)
        body = (tmp_path / name / "model.safetensors").read_bytes()
        server.hub(f"timm/{name}.{tag}", "model.safetensors", body)
        config = (tmp_path / name / "config.json").read_bytes()
        server.hub(f"timm/{name}.{tag}", "config.json", config)
    return server


@torch.no_grad()
def test_imagenet_is_what_timm_fetches(hub: Server) -> None:
    for name in ("resnet18", "swin_tiny_patch4_window7_224"):
        network = networks.build(f"timm:{name}", weights="imagenet").eval()
        whole = timm.create_model(name, pretrained=True).eval()
        images = images_for(network, 96)
        assert relative(network(images), whole(images)) < 1e-5
        assert network.notes == ()
    assert not any("pytorch_model" in path for _, path, _ in hub.requests)  # no pickle is asked for
    named = networks.build("timm:resnet18", weights="hf://timm/resnet18.a1_in1k").eval()
    assert torch.equal(
        named(images), networks.build("timm:resnet18", weights="imagenet").eval()(images)
    )
    with pytest.raises(UsageError, match="holds resnet18, not timm:resnet34"):
        networks.build("timm:resnet34", weights="hf://timm/resnet18.a1_in1k")
    few = networks.build("timm:resnet18", classes=3, weights="imagenet")
    (note,) = few.notes
    assert "the head of 3 classes is new" in note
    headless = networks.build("timm:vit_small_patch16_dinov3", classes=3, weights="imagenet")
    assert headless.classes == 3
    assert "none was published" in headless.notes[0]
    whole = timm.create_model("vit_small_patch16_dinov3", pretrained=True).eval()
    images = images_for(headless)
    assert relative(headless.eval().forward_features(images), whole(images)) < 1e-5


def test_a_hub_that_does_not_answer_is_told_in_a_line(server: Server) -> None:
    with pytest.raises(
        TortieError, match=r"cannot fetch hf://timm/resnet18\.a1_in1k/model"
    ) as told:
        networks.build("timm:resnet18", weights="imagenet")
    assert "\n" not in str(told.value)


@torch.no_grad()
def test_a_file_of_timms_names_is_loaded_and_another_networks_refused(tmp_path: Path) -> None:
    whole = drawn("regnetx_002", 7)
    path = tmp_path / "mine.safetensors"
    save_file(whole.state_dict(), path)
    network = networks.build("timm:regnetx_002", weights=path).eval()
    images = images_for(network, 96)
    assert relative(network(images), whole(images)) < 1e-5
    with pytest.raises(UsageError, match="do not fit timm:regnetx_004"):
        networks.build("timm:regnetx_004", weights=path)


@pytest.mark.parametrize("name", ["mobilenetv3_small_100", "vit_tiny_patch16_224"])
def test_photographs_to_a_classifier_and_back(tmp_path: Path, name: str) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file(drawn(name, 10).state_dict(), weights)
    folder = lay_out(tmp_path / "photographs")
    classifier = tortie.ImageClassifier(f"timm:{name}", weights=str(weights)).fit(folder)
    path = tmp_path / "textures.safetensors"
    classifier.save(path)
    files = sorted(folder.glob("*/*.jpg"))
    again = tortie.load(path)
    np.testing.assert_array_equal(again.predict_proba(files), classifier.predict_proba(files))
    (member,) = again.metadata.members
    assert member.network.startswith(f"timm:{name}.")
    assert member.arguments == {"model": member.network.removeprefix("timm:")}
    # what the stages yield, by timm alone: features of the same pixels, the head of the file
    whole = drawn(name, 10)
    preprocessing = networks.find(member.network).preprocessing
    pixels = np.stack([preprocessing.pixels(Image.open(file)) for file in files])
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    images = ((torch.from_numpy(pixels).float() - mean) / std).permute(0, 3, 1, 2)
    tensors = load_file(path)
    with torch.no_grad():
        features = whole.forward_head(whole.forward_features(images), pre_logits=True)
    logits = features @ tensors["members.0.head.weight"].T + tensors["members.0.head.bias"]
    wanted = (logits / again.metadata.temperature["1"]).softmax(dim=1).numpy()
    exact = tortie.load(path).set_params(precision="float32")
    np.testing.assert_allclose(exact.predict_proba(files), wanted, atol=2e-3)


def test_the_command_line_counts_and_describes_it(capsys: pytest.CaptureFixture[str]) -> None:
    from tortie.cli.main import application

    run = CliRunner().invoke(application(), ["networks", "timm:regnetx_002", "--json"])
    assert run.exit_code == 0, run.output
    assert '"s4"' in run.output
    run = CliRunner().invoke(
        application(), ["cost", "timm:resnet18", "--input", "64x64x3", "--json"]
    )
    assert run.exit_code == 0, run.output


def test_a_side_of_the_images_is_timms_own():
    """timm's network of that side, with the same tensors, is the oracle."""
    name = "vit_tiny_patch16_224"
    torch.manual_seed(0)
    whole = timm.create_model(name, img_size=96, num_classes=7).eval()
    network = networks.build(f"timm:{name}", classes=7, img_size=96).eval()
    assert network.input_shape == (96, 96, 3)
    entry = networks.find(f"timm:{name}")
    network.load_state_dict(translate(entry, network, whole.state_dict()))
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert relative(network(images), whole(images)) < 1e-5


def test_what_takes_no_side_says_so():
    with pytest.raises(UsageError, match="takes no img_size=96"):
        networks.build("timm:resnet18", img_size=96)


@pytest.mark.parametrize("one", LADDER[2:], ids=lambda one: one.network)
def test_the_ladder_says_what_timm_has(one):
    """Bytes are four of each of timm's parameters; multiplications are counted on its network."""
    entry, given = parse_network(one.network)
    cost = count(meta_network(entry.name, **given))
    assert cost.multiplications - cost.stages[-1].multiplications == one.multiplications
    with torch.device("meta"):
        whole = timm.create_model(entry.arguments["model"])
    assert one.fetched == 4 * sum(parameter.numel() for parameter in whole.parameters())
    published = timm.models.get_pretrained_cfg(entry.arguments["model"])
    assert published.license == one.licence.lower()
