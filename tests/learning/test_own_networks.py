"""A network and a head of one's own: fitted, saved without code, and loaded by who has them."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn
from torch.nn import functional

import tortie
from tests.conftest import photograph
from tortie.evaluation.member import MemberNetwork
from tortie.images.preprocess import Preprocessing
from tortie.networks import find
from tortie.networks.own import OwnNetwork

IMAGES = [photograph(label, i) for label in ("blobs", "stripes") for i in range(8)]
LABELS = np.arange(16) // 8
SMALL = Preprocessing(resize=36, height=32, width=32, mean=(127,) * 3, std=(64,) * 3)


class SmallNet(nn.Module):
    """Named children, of which the forward pass is more than the row."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 5, stride=2)
        self.second = nn.Sequential(nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(64, 10)

    def forward(self, images):
        maps = self.second(functional.relu(self.first(images)))
        return self.fc(torch.flatten(self.pool(maps), 1))


def module(seed=0):
    torch.manual_seed(seed)
    return SmallNet()


OPTIONS = {"threads": 1, "precision": "float32"}


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    own = OwnNetwork(module(), preprocessing=SMALL)
    classifier = tortie.ImageClassifier(own, **OPTIONS).fit(IMAGES, LABELS)
    path = tmp_path_factory.mktemp("own") / "own.safetensors"
    classifier.save(path)
    return classifier, path


def test_its_features_are_what_the_module_computes(frozen):
    """Oracle: the module itself, in plain PyTorch."""
    classifier, _ = frozen
    net, transform = module().eval(), SMALL.transform()
    with torch.inference_mode():
        batch = torch.stack([transform(image) for image in IMAGES])
        expected = torch.flatten(net.pool(net.second(functional.relu(net.first(batch)))), 1)
    np.testing.assert_allclose(classifier.transform(IMAGES), expected.numpy(), atol=1e-4)
    assert classifier.network_.stage_names == ("first", "second", "pool", "pre_logits")
    assert classifier.fitted_.plan.network.startswith("own:SmallNet-")


def test_the_module_that_was_given_is_not_changed():
    net = module()
    before = copy.deepcopy(net.state_dict())
    own = OwnNetwork(net, preprocessing=SMALL)
    options = {"freeze": "first", "epochs": 1, "recipe": "fine-tune", **OPTIONS}
    fitted = tortie.ImageClassifier(own, **options).fit(IMAGES, LABELS)
    assert all(torch.equal(net.state_dict()[name], before[name]) for name in before)
    trained = fitted.network_.state_dict()
    assert torch.equal(trained["stages.first.first.weight"], before["first.weight"])  # frozen
    assert not torch.equal(trained["stages.second.second.0.weight"], before["second.0.weight"])


def test_its_file_is_loaded_by_who_has_the_module(frozen):
    classifier, path = frozen
    loaded = tortie.load(path, network=OwnNetwork(module(1), preprocessing=SMALL)).set_params(
        **OPTIONS
    )
    np.testing.assert_allclose(
        loaded.predict_proba(IMAGES), classifier.predict_proba(IMAGES), atol=1e-6
    )
    again = clone(classifier).fit(IMAGES, LABELS)
    np.testing.assert_array_equal(again.predict_proba(IMAGES), classifier.predict_proba(IMAGES))


def test_without_the_module_the_file_says_what_is_needed(frozen):
    _, path = frozen
    done = subprocess.run(
        [sys.executable, "-c", f"import tortie; tortie.load({str(path)!r})"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    last = done.stderr.strip().splitlines()[-1]
    assert "is a network of somebody's own, which no file holds: give its module" in last
    assert "tortie.load(FILE, network=MODULE)" in last
    assert b"tests.learning" not in path.read_bytes()  # no import string


@pytest.mark.parametrize(
    "given, message",
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), "Sequential has no linear layer"),
        (SmallNet(), None),  # of 224 pixels, which it takes as well
        (OwnNetwork(SmallNet(), head="second"), "cannot be cut into stages and a head"),
        (OwnNetwork(SmallNet(), ["firstt"]), "has no module 'firstt': did you mean 'first'"),
        (SmallNet, "expected an nn.Module, such as MODULE()"),
        (
            OwnNetwork(nn.Sequential(nn.Flatten(), nn.Linear(5, 2)), preprocessing=SMALL),
            r"does not take images \(2, 3, 32, 32\)",
        ),
    ],
)
def test_a_module_that_cannot_be_cut_says_why(given, message):
    from tortie.learning.options import FitOptions

    if message is None:
        assert FitOptions.of(network=given).network.startswith("own:SmallNet-")
        return
    with pytest.raises(tortie.UsageError, match=message):
        FitOptions.of(network=given)


def test_a_head_of_layers_is_trained_saved_and_loaded(tmp_path):
    torch.manual_seed(3)
    layers = [nn.BatchNorm1d(1280), nn.Linear(1280, 16), nn.Tanh(), nn.Linear(16, 2)]
    classifier = tortie.ImageClassifier(head=layers, epochs=2, **OPTIONS).fit(IMAGES, LABELS)
    path = tmp_path / "headed.safetensors"
    classifier.save(path)
    loaded = tortie.load(path, head=nn.Sequential(*layers)).set_params(**OPTIONS)
    assert isinstance(loaded.network_.head[2], nn.Tanh)
    np.testing.assert_allclose(
        loaded.predict_proba(IMAGES), classifier.predict_proba(IMAGES), atol=1e-6
    )
    assert not torch.equal(loaded.network_.head[1].weight, layers[1].weight)  # trained
    code = f"import tortie; tortie.load({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "give its module, as in tortie.load(FILE, head=MODULE)" in done.stderr


@pytest.mark.parametrize(
    "between", [nn.ReLU, nn.Tanh, nn.LeakyReLU, nn.Identity, nn.Sigmoid, nn.Softplus]
)
@pytest.mark.parametrize("after", [(), (nn.Softplus(),), (nn.ReLU(),)])
def test_a_head_predicts_what_its_layers_compute(between, after):
    """Oracle: the head's modules, in plain PyTorch; tensors do not tell what is between them."""
    torch.manual_seed(3)
    network = find("lenet5").build().eval()
    network.head = nn.Sequential(nn.Linear(84, 6), between(), nn.Linear(6, 2), *after)
    member = MemberNetwork.of(network, find("lenet5").preprocessing)
    features = torch.randn(5, 84)
    with torch.inference_mode():
        expected = network.head(features).softmax(1).numpy()
    np.testing.assert_allclose(member.probabilities(features.numpy()), expected, atol=1e-6)


def test_the_module_that_is_given_is_the_one_that_the_file_names(frozen, tmp_path):
    """Whatever this process knows from a fit: another process would not know it."""
    _, path = frozen
    with pytest.raises(tortie.UsageError, match=r"which no file holds: give its module"):
        tortie.load(path)
    other = OwnNetwork(nn.Sequential(nn.Flatten(), nn.Linear(3072, 2)), preprocessing=SMALL)
    with pytest.raises(tortie.UsageError, match=r"the network is own:SmallNet-.* and the module"):
        tortie.load(path, network=other)
    plain = tortie.ImageClassifier(**OPTIONS).fit(IMAGES, LABELS)
    plain.save(tmp_path / "plain.safetensors")
    with pytest.raises(tortie.UsageError, match="has no network of somebody's own"):
        tortie.load(tmp_path / "plain.safetensors", network=other)
    with pytest.raises(tortie.UsageError, match=r"expected an nn.Module or a list of them"):
        tortie.load(path, head="linear")


def test_a_network_of_the_table_brings_its_own_preprocessing():
    """Oracle: the table."""
    for name in ("resnet20-cifar", "lenet5", "efficientnet-lite0"):
        entry = find(name)
        assert OwnNetwork(entry.build(classes=2)).input == entry.preprocessing


def test_a_head_that_yields_no_logit_for_each_class_is_refused():
    with pytest.raises(
        tortie.UsageError, match=r"the head yields \(2, 5\) of features \(2, 1280\)"
    ):
        tortie.ImageClassifier(head=nn.Linear(1280, 5), **OPTIONS).fit(IMAGES, LABELS)
    with pytest.raises(tortie.UsageError, match=r"the head does not take features \(2, 1280\)"):
        tortie.ImageClassifier(head=[nn.Linear(7, 2)], **OPTIONS).fit(IMAGES, LABELS)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"augment": {"mirror": 0.5}}, "expected the name of an augmentation, a JSON file or a Po"),
        ({"head": 5}, "expected linear, mlp:N, an nn.Module or a list of layers"),
        ({"network": ["lenet5"]}, "expected the name of a network, or an nn.Module"),
    ],
)
def test_a_value_of_another_type_is_told_what_is_taken(given, message):
    with pytest.raises(tortie.UsageError, match=message):
        tortie.ImageClassifier(**given).plan(IMAGES, LABELS)


@pytest.mark.parametrize("classes", [0, -1, "3", 2.5])
def test_a_number_of_classes_that_is_none_is_refused(classes):
    with pytest.raises(tortie.UsageError, match="expected a whole number from 1 on"):
        tortie.networks.lenet5(classes=classes)
