"""Published names, written out by hand; what they hold is compared by `make conformance`."""

import pytest
import torch

from tortie import networks
from tortie.cost.meta_network import meta_network
from tortie.errors import UsageError
from tortie.weights.layouts import looks_like, translate
from tortie.weights.published_names import LAYOUTS

# Names as torchvision, timm and the CIFAR port print them, and the paper's layers they hold.
NAMES = {
    "alexnet-one-tower": {
        "features.0.weight": "stages.conv1.conv.weight",
        "features.10.bias": "stages.conv5.conv.bias",
        "classifier.1.weight": "stages.fc6.3.weight",
        "classifier.4.weight": "stages.fc7.1.weight",
        "classifier.6.bias": "head.bias",
    },
    "vgg16": {
        "features.0.weight": "stages.conv1_1.conv.weight",
        "features.5.weight": "stages.conv2_1.conv.weight",
        "features.14.weight": "stages.conv3_3.conv.weight",
        "features.28.bias": "stages.conv5_3.conv.bias",
        "classifier.0.weight": "stages.fc6.1.weight",
        "pre_logits.fc2.weight": "stages.fc7.0.weight",
        "head.fc.weight": "head.weight",
    },
    "vgg11-bn": {
        "features.0.weight": "stages.conv1_1.conv.weight",
        "features.1.running_var": "stages.conv1_1.norm.running_var",
        "features.4.weight": "stages.conv2_1.conv.weight",
        "features.26.running_mean": "stages.conv5_2.norm.running_mean",
        "classifier.6.weight": "head.weight",
    },
    "googlenet-bn": {
        "conv1.conv.weight": "stages.conv1.conv.weight",
        "conv3.bn.bias": "stages.conv2.1.norm.bias",
        "inception3a.branch1.conv.weight": "stages.inception_3a.one.conv.weight",
        "inception4e.branch3.1.bn.weight": "stages.inception_4e.five.1.norm.weight",
        "inception5b.branch4.1.conv.weight": "stages.inception_5b.pool.1.conv.weight",
        "aux1.conv.bn.weight": "side_heads.inception_4a.conv.norm.weight",
        "aux2.fc2.bias": "side_heads.inception_4d.fc2.bias",
        "fc.weight": "head.weight",
    },
    "resnet50": {
        "conv1.weight": "stages.conv1.conv.weight",
        "bn1.running_mean": "stages.conv1.norm.running_mean",
        "layer1.0.conv1.weight": "stages.conv2_x.block1.conv1.weight",
        "layer2.0.downsample.0.weight": "stages.conv3_x.block1.shortcut.conv.weight",
        "layer4.2.bn3.bias": "stages.conv5_x.block3.norm3.bias",
        "fc.bias": "head.bias",
    },
    "resnet20-cifar": {
        "layer3.2.conv2.weight": "stages.conv4_x.block3.conv2.weight",
        "linear.weight": "head.weight",
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_published_names_lead_to_the_papers_layers(name):
    network = meta_network(name)
    layout = LAYOUTS[networks.find(name).builder.partition(":")[2]]
    for published, wanted in NAMES[name].items():
        module, _, leaf = published.rpartition(".")
        assert f"{layout(module, network)}.{leaf}" == wanted
        assert wanted in network.state_dict()


def port(depth: int = 20, seed: int = 0) -> dict[str, torch.Tensor]:
    """A checkpoint of the CIFAR port: its names in its order, wrapped as it saves them."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, torch.Tensor] = {}

    def draw(name: str, *shape: int) -> None:
        state[f"module.{name}"] = torch.randn(shape, generator=generator)

    def norm(name: str, width: int) -> None:
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            draw(f"{name}.{leaf}", width)
        state[f"module.{name}.running_var"].abs_()  # a variance

    draw("conv1.weight", 16, 3, 3, 3)
    norm("bn1", 16)
    channels = 16
    for layer, width in enumerate((16, 32, 64), 1):
        for block in range((depth - 2) // 6):
            draw(f"layer{layer}.{block}.conv1.weight", width, channels, 3, 3)
            norm(f"layer{layer}.{block}.bn1", width)
            draw(f"layer{layer}.{block}.conv2.weight", width, width, 3, 3)
            norm(f"layer{layer}.{block}.bn2", width)
            channels = width
    draw("linear.weight", 10, 64)
    draw("linear.bias", 10)
    return state


def test_a_checkpoint_fills_every_tensor_and_missing_counters_are_zero():
    entry = networks.find("resnet20-cifar")
    network, published = entry.build(), port()
    state = translate(entry, network, published)
    network.load_state_dict(state)  # strict: complete, nothing more
    counters = [key for key in state if key.endswith("num_batches_tracked")]
    assert len(counters) == 19 and all(state[key] == 0 for key in counters)
    assert len(state) - len(counters) == len(published)
    assert torch.equal(
        network.stages.conv3_x.block2.conv1.weight, published["module.layer2.1.conv1.weight"]
    )


def test_a_kernel_that_is_a_linear_layer_becomes_one():
    entry = networks.find("vgg11")
    network = meta_network("vgg11")
    published = {
        f"{module}.{leaf}": network.state_dict()[f"{target}.{leaf}"]
        for module, target in [
            ("features.0", "stages.conv1_1.conv"),
            ("features.3", "stages.conv2_1.conv"),
            ("features.6", "stages.conv3_1.conv"),
            ("features.8", "stages.conv3_2.conv"),
            ("features.11", "stages.conv4_1.conv"),
            ("features.13", "stages.conv4_2.conv"),
            ("features.16", "stages.conv5_1.conv"),
            ("features.18", "stages.conv5_2.conv"),
            ("pre_logits.fc1", "stages.fc6.1"),
            ("pre_logits.fc2", "stages.fc7.0"),
            ("head.fc", "head"),
        ]
        for leaf in ("weight", "bias")
    }
    kernel = published["pre_logits.fc1.weight"].view(4096, 512, 7, 7)
    state = translate(entry, network, {**published, "pre_logits.fc1.weight": kernel})
    assert state["stages.fc6.1.weight"].shape == (4096, 25088)


def test_weights_of_another_network_are_refused():
    entry = networks.find("resnet20-cifar")
    with pytest.raises(
        UsageError, match=r"layer1\.3\.conv1\.weight, .* no place in resnet20-cifar"
    ):
        translate(entry, entry.build(), port(32))
    deeper = networks.find("resnet32-cifar")
    with pytest.raises(
        UsageError, match=r"stages\.conv2_x\.block4\.conv1\.weight, 16×16×3×3, .*not in"
    ):
        translate(deeper, deeper.build(), port(20))
    vgg = networks.find("vgg11")
    with pytest.raises(UsageError, match=r"module\.conv1\.weight, 16×3×3×3, .* no place in vgg11"):
        translate(vgg, meta_network("vgg11"), port())


def test_a_wrong_shape_is_refused_with_both():
    entry = networks.find("resnet20-cifar")
    published = port() | {"module.linear.weight": torch.zeros(100, 64)}
    with pytest.raises(UsageError, match=r"linear\.weight is 100×64, .* has 10×64"):
        translate(entry, entry.build(), published)


def test_a_network_nobody_published_is_refused():
    entry = networks.find("nin")
    with pytest.raises(UsageError, match=r"features\.0\.weight, 3, has no place in nin"):
        translate(entry, meta_network("nin"), {"features.0.weight": torch.ones(3)})


def test_side_heads_may_be_missing_on_either_side():
    entry = networks.find("googlenet-bn")
    whole, bare = (
        meta_network("googlenet-bn", classes=2, side_heads=sides) for sides in (True, False)
    )
    # Published names by asking the layout for each name of torchvision's that could be meant.
    starts = ["conv1", "conv2", "conv3", "fc", "aux1.conv", "aux1.fc1", "aux1.fc2"]
    starts += ["aux2.conv", "aux2.fc1", "aux2.fc2"]
    starts += [
        f"inception{block}.branch{branch}"
        for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
        for branch in ("1", "2.0", "2.1", "3.0", "3.1", "4.1")
    ]
    layout, own = LAYOUTS["googlenet_bn"], whole.state_dict()
    published = {}
    for module in [start + end for start in starts for end in ("", ".conv", ".bn")]:
        for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            target = f"{layout(module, whole)}.{leaf}"
            if target in own:
                published[f"{module}.{leaf}"] = own[target]
    assert len(published) == len(own)
    assert translate(entry, bare, published).keys() == bare.state_dict().keys()
    without = {key: tensor for key, tensor in published.items() if not key.startswith("aux")}
    assert translate(entry, whole, without).keys() == own.keys()


def named(*names: str, side: int = 3) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(1, 1, side, side) for name in names}


def row(places: range | list[int], *others: str, side: int = 3) -> dict[str, torch.Tensor]:
    """Convolutions in a row of layers, as torchvision's ``features``, and what follows."""
    linear = {name: torch.zeros(1, 1) for name in others}
    return named(*(f"features.{place}.weight" for place in places), side=side) | linear


# Where torchvision's VGG-11 and VGG-16 have their convolutions.
VGG11, VGG16 = [0, 3, 6, 8, 11, 13, 16, 18], [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]


@pytest.mark.parametrize(
    ("published", "name"),
    [
        (port(20), "resnet20-cifar"),
        (port(56), "resnet56-cifar"),
        (
            named(
                *(
                    f"layer{layer}.{block}.conv{number}.weight"
                    for layer, blocks in enumerate((3, 4, 6, 3), 1)
                    for block in range(blocks)
                    for number in (1, 2, 3)
                )
            ),
            "resnet50",
        ),
        (row(VGG11, "classifier.0.weight", "classifier.6.weight"), "vgg11"),
        (row(VGG16, "pre_logits.fc1.weight", "head.fc.weight"), "vgg16"),
        (row(VGG16, "classifier.6.weight", "features.1.running_mean"), "vgg16-bn"),
        (row([0, 3, 6], "classifier.6.weight", side=11), "alexnet-one-tower"),
        (named("conv1.conv.weight", "inception3a.branch1.conv.weight"), "googlenet-bn"),
        (named("conv_stem.weight", "blocks.0.0.conv_dw.weight"), "an EfficientNet"),
        (named("features.0.weight", "features.3.squeeze.weight"), "squeezenet"),
        (named("blocks.0.attn.qkv.weight"), None),
    ],
)
def test_what_tensors_look_like(published, name):
    assert looks_like(published) == name
