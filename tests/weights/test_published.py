"""``weights=`` through the real loading code: names, addresses, hub repositories and files.

The tensors come from a checkpoint whose names are written out by hand (``port``), so that what a
network holds afterwards can be compared with what was published, name by name.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save, save_file

import tortie
from tests.weights.conftest import Answer
from tests.weights.test_layouts import port
from tortie import networks
from tortie.cli.main import main
from tortie.errors import TortieError, UsageError
from tortie.networks.table import TABLE
from tortie.weights import classifier_file, load_published
from tortie.weights.classifier_metadata import Metadata, StoredMember
from tortie.weights.packaged import PACKAGED, load_packaged

NAME = "resnet20-cifar"
HELD = {  # the network's names, and the port's
    "stages.conv1.conv.weight": "module.conv1.weight",
    "stages.conv2_x.block1.norm2.running_var": "module.layer1.0.bn2.running_var",
    "stages.conv4_x.block3.conv2.weight": "module.layer3.2.conv2.weight",
}
HEAD = {"head.weight": "module.linear.weight", "head.bias": "module.linear.bias"}


@pytest.fixture(scope="module")
def published():
    return port()


@pytest.fixture
def file(published, tmp_path):
    path = tmp_path / "resnet20.pth"
    torch.save(published, path)
    return path


def holds(network, published, names):
    own = network.state_dict()
    return all(torch.equal(own[name], published[there]) for name, there in names.items())


def test_every_source_of_the_table_can_be_checked():
    sources = [source for entry in TABLE for source in entry.weights.values()]
    assert len(sources) > 20
    for source in sources:
        kind, _, name = source.partition(":")
        if kind == "packaged":
            assert len(PACKAGED[name].sha256) == 64
        elif kind == "hf":  # whose hub has a checksum of each file
            assert re.fullmatch(r"//timm/[\w.]+", name)
        else:
            assert kind == "https" and re.search(r"-[0-9a-f]{8}\.(pth|th)$", source)


def test_packaged_weights_are_those_of_the_package_in_its_order():
    # The package's file lists its tensors in the network's order: names need not be understood.
    network = networks.build("efficientnet-lite0", weights="imagenet")
    tensors = load_packaged("efficientnet-lite0")
    own = network.state_dict()
    assert len(own) == len(tensors)
    for tensor, wanted in zip(own.values(), tensors.values(), strict=True):
        assert torch.equal(tensor, wanted)
    assert network.notes == ()


def test_a_published_address_is_fetched_checked_and_loaded(server, file, published):
    body = file.read_bytes()
    name = f"resnet20-{hashlib.sha256(body).hexdigest()[:8]}.th"
    entry = replace(networks.find(NAME), weights={"cifar10": server.plain(name, body)})
    network = load_published(entry, "cifar10", None, {})
    assert holds(network, published, HELD | HEAD)
    server.answers[f"/{name}"] = Answer(b"<html>", 500)
    assert holds(load_published(entry, "cifar10", None, {}), published, HELD)  # from the cache
    assert server.fetched(name) == 1


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_is_loaded_and_trains(tmp_path, published, suffix):
    path = tmp_path / f"a{suffix}"
    save_file(published, path) if suffix == ".safetensors" else torch.save(published, path)
    network = networks.build(NAME, weights=path)
    assert holds(network, published, HELD | HEAD) and network.classes == 10
    assert all(parameter.requires_grad for parameter in network.parameters())
    network(torch.randn(2, 3, 32, 32)).sum().backward()
    assert network.stages.conv1.conv.weight.grad.abs().sum() > 0


def test_new_classes_keep_the_stages_and_say_that_the_head_is_new(file, published):
    network = networks.build(NAME, classes=3, weights=str(file))
    assert holds(network, published, HELD)
    assert network.head.weight.shape == (3, 64)
    (note,) = network.notes
    assert note == (
        "the head of 3 classes is new and untrained: the published one has 10; the stages are "
        "trained"
    )
    assert note in repr(network)
    same = networks.build(NAME, classes=10, weights=str(file))
    assert holds(same, published, HELD | HEAD) and same.notes == ()


def test_a_checkpoint_of_other_classes_has_its_own_head(tmp_path, published):
    three = published | {
        "module.linear.weight": torch.randn(3, 64),
        "module.linear.bias": torch.randn(3),
    }
    torch.save(three, tmp_path / "a.pth")
    network = networks.build(NAME, weights=str(tmp_path / "a.pth"))
    assert network.classes == 3 and holds(network, three, HELD | HEAD)


def test_half_precision_becomes_float32(tmp_path, published):
    halves = {name: tensor.half() for name, tensor in published.items()}
    save_file(halves, tmp_path / "a.safetensors")
    network = networks.build(NAME, weights=str(tmp_path / "a.safetensors"))
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["lenet5", "lenet5-1998", "nin", "plain20-cifar"])
def test_what_a_network_saved_of_itself_comes_back(tmp_path, name):
    network = networks.build(name)
    torch.save(network.state_dict(), tmp_path / "a.pt")
    again = networks.build(name, weights=str(tmp_path / "a.pt"))
    assert network.state_dict().keys() == again.state_dict().keys()
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key])


def test_side_heads_that_were_not_published_are_fresh(tmp_path):
    bare = networks.build("googlenet-bn", side_heads=False)
    torch.save(bare.state_dict(), tmp_path / "a.pt")
    network = networks.build("googlenet-bn", weights=str(tmp_path / "a.pt"))
    assert not any(tensor.is_meta for tensor in network.state_dict().values())
    assert torch.equal(network.stages.conv1.conv.weight, bare.stages.conv1.conv.weight)
    assert network.side_heads.inception_4a.fc1.weight.std() > 0


def test_a_hub_repository_in_a_published_layout(server, published):
    server.hub("timm/resnet20", "model.safetensors", save(published))
    config = {"architecture": "resnet20_cifar", "pretrained_cfg": {"mean": [0.485, 0.456, 0.406]}}
    server.hub("timm/resnet20", "config.json", json.dumps(config).encode())
    network = networks.build(NAME, weights="hf://timm/resnet20")
    assert holds(network, published, HELD | HEAD) and network.notes == ()


def test_a_hub_repository_of_another_normalisation_is_noted(server, published):
    server.hub("timm/other", "model.safetensors", save(published))
    config = {"pretrained_cfg": {"mean": [0.5, 0.5, 0.5]}}
    server.hub("timm/other", "config.json", json.dumps(config).encode())
    (note,) = networks.build(NAME, weights="hf://timm/other").notes
    assert "mean [0.5, 0.5, 0.5]" in note and "[0.485, 0.456, 0.406]" in note


def test_a_hub_repository_of_another_architecture_is_refused(server, published):
    # A ResNet with blurred strides has the names and the shapes of one without.
    server.hub("timm/blur", "model.safetensors", save(published))
    server.hub("timm/blur", "config.json", b'{"architecture": "resnetblur50"}')
    with pytest.raises(UsageError, match=f"holds resnetblur50, not {NAME}"):
        networks.build(NAME, weights="hf://timm/blur")


def classifier(path, network=NAME, members=1, **changed):
    """A classifier's file of two classes; its network."""
    entry = networks.find(network)
    inside = networks.build(network)
    inside.new_head(2)
    member = StoredMember(
        network=network, arguments=dict(entry.arguments), code=entry.code, weights=None,
        head="linear", frozen=[], precision="float32",
        **{"preprocessing": entry.preprocessing, **changed},
    )  # fmt: skip
    metadata = Metadata(tortie="0.1.0", classes=["Misty", "Tigger"], members=[member] * members)
    tensors = {
        f"members.{number}.{name}": tensor.clone()
        for number in range(members)
        for name, tensor in inside.state_dict().items()
    }
    tensors["training.sha256"] = torch.zeros(4, 32, dtype=torch.uint8)
    classifier_file.write(path, metadata, tensors)
    return inside


@pytest.mark.parametrize("name", [NAME, "nin"])
@pytest.mark.parametrize("hub", [False, True])
def test_a_classifier_of_tortie_gives_its_network(server, tmp_path, name, hub):
    path = tmp_path / "pets.safetensors"
    inside = classifier(path, name)
    server.hub("cats/pets", "pets.safetensors", path.read_bytes())
    weights = "hf://cats/pets/pets.safetensors" if hub else str(path)
    network = networks.build(name, classes=2, weights=weights)
    assert network.state_dict().keys() == inside.state_dict().keys()
    for key, tensor in inside.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[key])
    assert network.notes == (f"the head of {weights} is kept: Misty, Tigger",)
    assert networks.build(name, weights=weights).classes == 2
    more = networks.build(name, classes=5, weights=weights)
    assert more.classes == 5 and "the published one has 2" in more.notes[0]


def test_a_classifier_on_another_network_or_damaged_is_refused(tmp_path):
    path = tmp_path / "pets.safetensors"
    classifier(path)
    with pytest.raises(UsageError, match=f"is a classifier on {NAME}, not on plain20-cifar"):
        networks.build("plain20-cifar", weights=str(path))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(TortieError, match=r"pets\.safetensors is damaged: its SHA-256"):
        networks.build(NAME, weights=str(path))


def test_what_differs_in_a_classifier_is_noted(tmp_path):
    path = tmp_path / "pets.safetensors"
    other = networks.find("vgg11").preprocessing
    classifier(path, members=2, preprocessing=other)
    first, second = networks.build(NAME, weights=str(path)).notes
    assert "has 2 networks: the first is taken" in first
    assert "other preprocessing" in second


def test_weights_of_another_network_are_named(tmp_path, file):
    with pytest.raises(UsageError) as caught:
        networks.build("vgg11", weights=str(file))
    assert str(caught.value) == (
        f"the weights {file} do not fit vgg11: module.conv1.weight, 16×3×3×3, has no place in "
        "vgg11; they look like resnet20-cifar"
    )
    with pytest.raises(UsageError, match=r"conv1\.weight is 16×3×3×3, .* has 16×1×3×3 there$"):
        networks.build(NAME, weights=str(file), in_channels=1)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("conv1.weight", float("nan"), r"infinite or none in stages\.conv1\.conv\.weight"),
        ("linear.bias", float("inf"), r"infinite or none in head\.bias"),
        ("bn1.running_var", -1.0, r"variance below zero in stages\.conv1\.norm\.running_var"),
    ],
)
def test_numbers_that_cannot_be_weights_are_refused(tmp_path, published, key, value, reason):
    broken = published[f"module.{key}"].clone()
    broken.view(-1)[-1] = value
    torch.save(published | {f"module.{key}": broken}, tmp_path / "a.pth")
    with pytest.raises(TortieError, match=rf"a\.pth have .*{reason}: damaged"):
        networks.build(NAME, weights=tmp_path / "a.pth")


def test_names_that_are_not_there_say_what_is(tmp_path):
    for name, weights, reason in [
        (
            NAME,
            "imagenet",
            "resnet20-cifar has no weights 'imagenet': it has 'cifar10'; or give weights",
        ),
        ("resnet50-v1", "imagenet", "its sibling resnet50 has them"),
        ("nin", "imagenet", "nobody published any; train it from scratch"),
        (
            "resnet50",
            "jft",
            "it has 'imagenet'; or give weights: a .safetensors, .pth, .pt, .th file, or hf",
        ),
        ("resnet50", "no/such.pth", "cannot read the weights no/such.pth: No such file"),
        ("resnet50", "hf://pets", "hf://OWNER/NAME"),
        ("resnet50", str(tmp_path), "is a folder"),
    ]:
        with pytest.raises(UsageError, match=re.escape(reason)):
            networks.build(name, weights=weights)


def test_a_fit_takes_a_file_for_a_network_that_nobody_trained(photographs, tmp_path):
    path = tmp_path / "plain.pt"
    torch.save(networks.build("plain20-cifar").state_dict(), path)
    fitted = tortie.ImageClassifier("plain20-cifar", weights=str(path)).fit(photographs)
    assert fitted.metadata.members[0].weights == str(path)
    conv1 = fitted.fitted_.network.stages.conv1.conv.weight
    assert torch.equal(conv1, torch.load(path, weights_only=True)["stages.conv1.conv.weight"])
    with pytest.raises(UsageError, match=r"plain20-cifar has no trained weights.*--weights FILE"):
        tortie.ImageClassifier("plain20-cifar").fit(photographs)


@pytest.mark.slow
def test_the_command_line_fetches_from_the_hub_of_the_environment(
    server, photographs, tmp_path, published
):
    server.hub("cats/pets", "model.safetensors", save(published))
    environment = os.environ | {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}

    def fit(weights, **more):
        words = [
            sys.executable,
            "-m",
            "tortie",
            "fit",
            photographs,
            "-o",
            tmp_path / "a.safetensors",
        ]
        words += ["--network", NAME, "--weights", weights, "--force"]
        return subprocess.run(words, env=environment | more, capture_output=True, text=True)

    done = fit("hf://cats/pets")
    assert done.returncode == 0, done.stderr
    network = tortie.load(tmp_path / "a.safetensors").networks_[0]
    assert holds(network, published, HELD) and network.classes == 2
    assert fit("hf://cats/pets", HF_HUB_OFFLINE="1").returncode == 0
    assert server.fetched("model.safetensors") == 1
    refused = fit("hf://cats/other", HF_HUB_OFFLINE="1")
    assert refused.returncode == 1
    assert "offline (HF_HUB_OFFLINE), and no copy is cached" in refused.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("content", "code", "reason"),
    [
        (b"<!doctype html>", 2, "is a web page"),
        (b"", 2, "is empty"),
        (b"PK\x03\x04 and no more", 1, "is cut short or damaged"),
    ],
)
def test_the_command_line_refuses_in_a_line(photographs, tmp_path, capfd, content, code, reason):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(SystemExit) as stopped:
        main(["fit", str(photographs), "-o", str(tmp_path / "a.safetensors"),
              "--network", NAME, "--weights", str(path)])  # fmt: skip
    lines = capfd.readouterr().err.splitlines()
    assert stopped.value.code == code
    assert f"{path} {reason}" in lines[-1]
