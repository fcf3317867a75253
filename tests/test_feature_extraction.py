"""Features of any stage, and a classifier as a step of a pipeline."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline

import tortie
from tests.conftest import photograph
from tortie.networks import build

IMAGES = [photograph(label, i) for label in ("blobs", "stripes") for i in range(6)]
LABELS = [label for label in ("blobs", "stripes") for _ in range(6)]


@pytest.fixture(scope="module")
def classifier(fitted_file):
    return tortie.load(fitted_file)


def test_features_times_the_head_are_the_probabilities(classifier):
    """Oracle: the classifier's own probabilities, from its head in plain NumPy."""
    found = classifier.transform(IMAGES)
    head = classifier.member_networks[0].tensors
    assert found.shape == (12, 1280)
    logits = found.astype(np.float64) @ head["head.weight"].T + head["head.bias"]
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)) / classifier.temperature)
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(IMAGES), expected, atol=1e-5)


def test_each_column_has_a_name(classifier):
    names = classifier.get_feature_names_out()
    assert len(names) == len(set(names)) == 1280
    assert names[0] == "efficientnet-lite0_0"


@pytest.mark.parametrize("stage", [None, "avgpool", "mbconv2"])
def test_features_are_what_plain_pytorch_computes(stage):
    """Oracle: the network's stages run by torch on the same pixels."""
    network = build("efficientnet-lite0", weights="imagenet").eval()
    prefix, _ = network.cut(stage or network.stage_names[-1])
    preprocessing = tortie.networks.find("efficientnet-lite0").preprocessing
    pixels = np.stack([preprocessing.pixels(image) for image in IMAGES[:3]])
    with torch.inference_mode():
        inputs = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
        expected = prefix(inputs).numpy()
    found = tortie.features(IMAGES[:3], stage=stage, precision="float32")
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_in_a_pipeline_before_another_estimator():
    pipeline = make_pipeline(tortie.ImageClassifier(), LogisticRegression(max_iter=1000))
    pipeline.fit(IMAGES, LABELS)
    assert accuracy_score(LABELS, pipeline.predict(IMAGES)) == 1


def test_no_image_has_no_features(classifier):
    assert classifier.transform([]).shape == (0, 1280)


@pytest.mark.parametrize(
    "choices, message",
    [
        ({"stage": "conv9"}, "no stage 'conv9'"),
        ({"network": "resnet9"}, "no network 'resnet9'"),
        ({"depth": 3}, "depth"),
    ],
)
def test_features_that_there_are_not_are_refused(choices, message):
    with pytest.raises(tortie.UsageError, match=message):
        tortie.features(IMAGES[:1], **choices)


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"words")
    with pytest.raises(tortie.TortieError, match=r"bad\.jpg: not an image"):
        tortie.features([tmp_path / "bad.jpg"])
