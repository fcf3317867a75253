"""What the documentation teaches reaches a fit: policies, recipes, bases and heads of one's own."""

import json

import numpy as np
import pytest
import torch

import tortie
from tests.conftest import photograph
from tortie.augment import ColourBasis, Policy, policy
from tortie.learning.options import FitOptions, hidden_layers
from tortie.training.recipes import recipe

IMAGES = [photograph(label, i) for label in ("blobs", "stripes") for i in range(6)]
LABELS = np.arange(12) // 6
TURNED = Policy(mirror=0.5, rotate=(-30, 30))
BASIS = ColourBasis(axes=((1, 0, 0), (0, 1, 0), (0, 0, 1)), spreads=(30, 20, 10))


def test_a_policy_is_its_json_and_its_file(tmp_path):
    path = tmp_path / "own.json"
    path.write_text(TURNED.model_dump_json())
    for given in (TURNED, TURNED.text(), path, str(path)):
        assert policy(FitOptions.of(augment=given).augment) == TURNED
    assert json.loads(TURNED.text()) == {"mirror": 0.5, "rotate": [-30.0, 30.0]}


def test_a_policy_of_ones_own_draws_what_the_same_ranges_in_text_draw():
    """Oracle: the ranges in brackets after a name, which draw the same views by another way."""
    options = {"views": 1, "threads": 1}
    own = tortie.ImageClassifier(augment=TURNED, **options).fit(IMAGES, LABELS)
    named = tortie.ImageClassifier(augment="mirror(rotate=-30:30)", **options).fit(IMAGES, LABELS)
    np.testing.assert_array_equal(own.predict_proba(IMAGES), named.predict_proba(IMAGES))
    assert "rotate" in own.fitted_.plan.augment


def test_a_recipe_object_is_its_file(tmp_path):
    """Oracle: the same recipe in a file; the trained tensors are the same bits."""
    own = recipe("lenet5").changed(epochs=1, learning_rate=0.02)
    (tmp_path / "own.json").write_text(own.model_dump_json())
    states = []
    for given in (own, str(tmp_path / "own.json")):
        options = {"weights": None, "freeze": "none", "threads": 1, "recipe": given}
        options |= {"precision": "float32"}  # auto goes by timing
        fitted = tortie.ImageClassifier("lenet5", **options).fit(IMAGES * 2, [*LABELS] * 2)
        states.append(fitted.network_.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_colour_basis_of_ones_own_reaches_the_views(tmp_path):
    (tmp_path / "basis.json").write_text(BASIS.model_dump_json())
    for given in (BASIS, tmp_path / "basis.json", BASIS.model_dump_json()):
        assert (
            ColourBasis.model_validate_json(FitOptions.of(colour_basis=given).colour_basis) == BASIS
        )
    options = {"augment": Policy(pca_colour=1.0), "views": 1, "threads": 1}
    fitted = tortie.ImageClassifier(colour_basis=BASIS, **options).fit(IMAGES, LABELS)
    assert "PCA colour goes along a given basis" in fitted.fitted_.notes
    within = Policy(pca_colour=1.0, pca_basis=BASIS)  # the basis in the policy itself
    same = tortie.ImageClassifier(augment=within, views=1, threads=1).fit(IMAGES, LABELS)
    np.testing.assert_array_equal(fitted.predict_proba(IMAGES), same.predict_proba(IMAGES))


@pytest.mark.parametrize(
    "choices, message",
    [
        ({"augment": '{"turn": 3}'}, "no operation 'turn'"),
        ({"augment": "{"}, "augmentation: no JSON"),
        ({"augment": "nowhere.json"}, "cannot read this policy: No such file"),
        ({"colour_basis": '{"axes": 1}'}, "no JSON of three axes"),
        ({"colour_basis": "mine"}, "expected photographs, imagenet, or a JSON file"),
        ({"head": "mlp:0"}, "expected linear, or mlp:N"),
        ({"head": "mlp:3,"}, "expected linear, or mlp:N"),
    ],
)
def test_parts_that_are_none_are_refused(choices, message):
    with pytest.raises(tortie.UsageError, match=message):
        FitOptions.of(**choices)


@pytest.mark.parametrize(
    "choices, message",
    [
        ({}, "for PCA colour, which none does not draw"),
        ({"augment": "mirror", "views": 1}, "which mirror does not draw"),
        ({"freeze": "none", "recipe": "head"}, "which none does not draw"),
        ({"augment": Policy(pca_colour=1.0, pca_basis=BASIS)}, "the policy has a basis of its own"),
    ],
)
def test_a_colour_basis_is_not_ignored(choices, message):
    classifier = tortie.ImageClassifier(colour_basis="imagenet", **choices)
    with pytest.raises(tortie.UsageError, match=message):
        classifier.fit(IMAGES, LABELS)


def test_several_hidden_layers_are_saved_and_predict_as_plain_pytorch_does(tmp_path):
    """Oracle: the loaded network run whole by torch."""
    assert hidden_layers("mlp:512,256") == (512, 256)
    classifier = tortie.ImageClassifier(head="mlp:24,12", epochs=2, threads=1, precision="float32")
    classifier.fit(IMAGES, LABELS).save(tmp_path / "deep.safetensors")
    loaded = tortie.load(tmp_path / "deep.safetensors").set_params(precision="float32")
    sizes = [
        tuple(one.shape) for one in loaded.network_.head.state_dict().values() if one.dim() > 1
    ]
    assert sizes == [(24, 1280), (12, 24), (2, 12)]
    transform = loaded.preprocessing_.transform()
    with torch.inference_mode():
        logits = loaded.network_(torch.stack([transform(image) for image in IMAGES]))
    expected = (logits / loaded.temperature).softmax(dim=1).numpy()
    np.testing.assert_allclose(loaded.predict_proba(IMAGES), expected, atol=1e-4)
    assert loaded.get_params()["head"] == "mlp:24,12"
