"""PCA colour along the principal colours of the training photographs."""

import json

import numpy as np
import pytest
from PIL import Image

import tortie
from tortie.augment.colour import IMAGENET_COLOURS


@pytest.fixture(scope="module")
def purple(tmp_path_factory):
    """Photographs of purple blots on black: red and blue vary together, green hardly."""
    folder = tmp_path_factory.mktemp("purple")
    rng = np.random.default_rng(0)
    for label in ("light", "dark"):
        (folder / label).mkdir()
        for number in range(12):
            level = rng.uniform(0, 1, (12, 12, 1)).repeat(4, 0).repeat(4, 1)
            colour = np.array([200, 20, 220]) * (1 if label == "light" else 0.6)
            pixels = (level * colour + rng.normal(0, 1, (48, 48, 3))).clip(0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{number:02}.png")
    return folder


def first_axis(document):
    return np.array(json.loads(document)["colours"]["axes"][0])


def test_on_purple_photographs_red_and_blue_move_and_green_hardly(purple, tmp_path):
    """By hand: the colours are multiples of (200, 20, 220), whose direction is (0.67, 0.07, 0.74).

    The network sees the pixels as they are but for their resizing, which keeps to that line.
    """
    for basis in ("photographs", "imagenet"):
        folder = tmp_path / basis
        classifier = tortie.ImageClassifier(
            "resnet20-cifar", weights=None, freeze="none", recipe="scratch", epochs=1, batch=8,
            augment="full", colour_basis=basis, run=folder,
        ).fit(purple)  # fmt: skip
        axis = first_axis((folder / "run.json").read_text())
        notes = " ".join(classifier.fitted_.plan.notes)
        if basis == "imagenet":
            np.testing.assert_allclose(axis, IMAGENET_COLOURS.axes[0])
            assert "PCA colour" not in notes
            continue
        expected = np.array([200, 20, 220]) / np.linalg.norm([200, 20, 220])
        np.testing.assert_allclose(axis, expected, atol=0.03)
        assert "PCA colour goes along the principal colours of the" in notes
        assert "the first is R +0.6" in notes


def test_drawn_views_of_a_frozen_network_have_them_too(purple):
    classifier = tortie.ImageClassifier(augment="alexnet", views=1).fit(purple)
    assert any("PCA colour goes along" in note for note in classifier.fitted_.notes)
    plain = tortie.ImageClassifier(augment="mirror", views=1).fit(purple)
    assert not any("PCA colour" in note for note in plain.fitted_.notes)
