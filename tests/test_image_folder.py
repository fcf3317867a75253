"""What somebody who writes PyTorch takes: networks as functions, transforms, a data set."""

import inspect
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import tortie
from tests.conftest import lay_out, photograph
from tortie.augment import policy
from tortie.networks.table import find


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("images") / "photographs", 3, ("train", "test"))


def test_the_functions_of_networks_say_what_they_take():
    """The oracle is the builder's own signature."""
    from tortie.networks.resnet import resnet

    function = tortie.networks.resnet34_a
    own = inspect.signature(function).parameters
    builder = inspect.signature(resnet).parameters
    assert set(own) == set(builder) - {"in_channels"} | {"weights"}
    assert own["depth"].default == 34
    assert own["shortcut"].default == "A"
    assert "He" in function.__doc__ and "shortcut" in function.__doc__
    names = dir(tortie.networks)
    assert {"resnet34_a", "lenet5", "build"} <= set(names)
    assert all(callable(getattr(tortie.networks, name)) for name in names)
    assert pickle.loads(pickle.dumps(function))(classes=3).classes == 3


def test_looking_at_networks_does_not_import_torch():
    code = (
        "import sys, inspect, tortie; f = tortie.networks.vgg16; f.__doc__; inspect.signature(f)\n"
        "dir(tortie.networks); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_network_and_the_transform_of_a_classifier_give_its_probabilities(fitted_file):
    classifier = tortie.load(fitted_file).set_params(precision="float32")
    transform = classifier.preprocessing_.transform()
    image = photograph("stripes", 88)
    batch = torch.stack([transform(image), transform(np.asarray(image))])
    assert batch.dtype == torch.float32 and batch.shape == (2, 3, 224, 224)
    with torch.inference_mode():
        logits = classifier.network_(batch)
    found = (logits / classifier.temperature).softmax(dim=1).numpy()
    np.testing.assert_allclose(found, classifier.predict_proba([image, image]), atol=1e-4)


def test_an_ensemble_has_networks_and_not_one():
    images = [photograph(label, i) for label in ("blobs", "stripes") for i in range(4)]
    ensemble = tortie.ImageClassifier("efficientnet-lite0", members=2, augment="mirror", views=1)
    ensemble.fit(images, list("bbbbssss"))
    assert len(ensemble.networks_) == 2
    with pytest.raises(tortie.UsageError, match="an ensemble of 2 networks: networks_ has all"):
        _ = ensemble.network_


def test_a_data_set_is_the_folder(folder):
    images = tortie.ImageFolder(folder, split="train")
    assert images.classes == ["blobs", "stripes"]
    assert images.class_to_idx == {"blobs": 0, "stripes": 1}
    assert images.targets == [0, 0, 0, 1, 1, 1]
    assert [path.parent.name for path, _ in images.samples] == ["blobs"] * 3 + ["stripes"] * 3
    tensor, target = images[4]
    preprocessing = tortie.networks.find("efficientnet-lite0").preprocessing
    expected = preprocessing.transform()(images.samples[4][0])
    assert target == 1
    torch.testing.assert_close(tensor, expected)
    pixels = preprocessing.pixels(Image.open(images.samples[4][0]).convert("RGB"))
    torch.testing.assert_close(  # by hand
        tensor, (torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() - 127) / 128
    )
    assert len(tortie.ImageFolder(folder)) == 12


def test_a_transform_gets_the_upright_image_and_a_policy_draws_anew(folder):
    sizes = tortie.ImageFolder(folder, transform=lambda image: image.size)
    assert sizes[0] == ((128, 96), 0)
    drawn = tortie.ImageFolder(folder, transform=policy("standard"))
    torch.manual_seed(1)
    first, second = drawn[0][0], drawn[0][0]
    assert first.shape == (3, 224, 224)
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(drawn[0][0], first)


def test_workers_of_a_loader_take_it(folder):
    images = tortie.ImageFolder(folder, network="lenet5")
    (batch, targets), *_ = DataLoader(pickle.loads(pickle.dumps(images)), batch_size=12)
    assert batch.shape == (12, 1, 28, 28)
    assert targets.tolist() == images.targets


@pytest.mark.parametrize("given", [5, [Image.new("RGB", (9, 9))] * 2, np.zeros((9, 9, 3))])
def test_a_transform_refuses_what_is_no_image(given):
    with pytest.raises(tortie.UsageError) as refused:
        find("lenet5").preprocessing.transform()(given)
    assert len(refused.traceback) <= 4  # this one, and at most three of tortie


def test_an_image_has_one_number(folder):
    images = tortie.ImageFolder(folder, network="lenet5")
    assert images[np.int64(1)][1] == images.targets[1]
    with pytest.raises(tortie.UsageError, match="the number of an image, not a slice"):
        images[:3]


def test_a_split_that_is_not_there_is_refused(folder):
    with pytest.raises(tortie.UsageError, match="no split 'valid'"):
        tortie.ImageFolder(folder, split="valid")
