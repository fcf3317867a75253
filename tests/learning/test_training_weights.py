"""What a photograph counts in training: by its class, and by its own weight."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight

import tortie
from tests.conftest import lay_out, photograph
from tests.learning.test_softmax import drawn
from tortie.errors import UsageError
from tortie.learning import softmax as S
from tortie.learning.options import FitOptions
from tortie.learning.training_weights import TrainingWeights, said
from tortie.training.recipes import recipe as named_recipe


def overlapping(n=600):
    """Classes of 10% and 90% that nothing tells apart well."""
    features, _ = drawn(n, 20, 2)
    labels = (np.arange(n) % 10 > 0).astype(np.int64)
    features[:, 0] += 0.5 * labels
    return features, labels


@pytest.mark.parametrize("weight", ["balanced", {"0": 3.0}])
def test_weights_of_classes_are_those_of_scikit_learn(weight):
    labels = np.array([0] * 9 + [1] * 3 + [2])
    asked = weight if isinstance(weight, str) else {0: 3.0, 1: 1.0, 2: 1.0}
    expected = compute_sample_weight(asked, labels)
    found = TrainingWeights(weight, ("0", "1", "2")).of(np.arange(13), labels, 3)
    np.testing.assert_allclose(found, expected / expected.mean(), rtol=1e-6)


def test_without_class_weights_the_mean_of_each_class_is_its_share():
    """Of any logistic regression whose biases are free: the gradient of the biases is zero."""
    features, labels = overlapping()
    weights = TrainingWeights(None).of(np.arange(600), labels, 2)
    head = S.Problem(features.copy(), labels, 2, weights).solve(0.01)
    mean = S.softmax(head.logits(features)).mean(axis=0)
    np.testing.assert_allclose(mean, [0.1, 0.9], atol=2e-3)
    equal = np.arange(600) % 2
    head = S.Problem(features.copy(), equal, 2).solve(0.01)  # the default, classes of equal size
    mean = S.softmax(head.logits(features)).mean(axis=0)
    np.testing.assert_allclose(mean, [0.5, 0.5], atol=2e-3)


def solved(features, labels, weights):
    own = TrainingWeights(None, (), np.asarray(weights, np.float64))
    scaled = own.of(np.arange(len(labels)), labels, 3)
    return S.softmax(S.Problem(features.copy(), labels, 3, scaled).solve(0.1).logits(features))


def test_an_image_of_no_weight_teaches_nothing():
    """Oracle: the same problem with the label of that image changed."""
    features, labels = drawn(60, 10, 3)
    weights = np.r_[0.0, np.ones(59)]
    changed = np.r_[(labels[0] + 1) % 3, labels[1:]]
    np.testing.assert_allclose(
        solved(features, labels, weights), solved(features, changed, weights), atol=1e-5
    )


def test_weights_count_by_their_ratio_and_copies_share_them():
    """Oracle: two images of one content, of weights 0.5 and 1.5 or of 1 and 1."""
    features, labels = drawn(60, 10, 3)
    features[3], weights = features[0], np.ones(60)
    weights[[0, 3]] = 0.5, 1.5
    expected = solved(features, labels, np.ones(60))
    np.testing.assert_allclose(solved(features, labels, weights), expected, atol=1e-5)
    np.testing.assert_allclose(solved(features, labels, 7 * weights), expected, atol=1e-5)


def test_weights_of_images_reach_a_fit():
    images = [photograph(label, i) for label in ("blobs", "stripes") for i in range(6)]
    labels = np.arange(12) // 6
    plain = tortie.ImageClassifier(class_weight=None).fit(images, labels)
    weighted = tortie.ImageClassifier(class_weight=None).fit(images, labels, [9.0] * 6 + [1.0] * 6)
    by_class = tortie.ImageClassifier(class_weight={0: 9}).fit(images, labels)
    assert "times the weight given" in weighted.fitted_.plan.class_weight
    new = [photograph("stripes", 50)]
    # A weight for each image of a class is the weight of the class.
    np.testing.assert_array_equal(weighted.predict_proba(new), by_class.predict_proba(new))
    assert (weighted.predict_proba(new) != plain.predict_proba(new)).any()


def test_by_steps_balanced_is_what_the_recipe_calls_balance_in_the_loss(tmp_path):
    """Oracle: a recipe that balances the loss itself. Its tensors are the same."""
    folder = lay_out(tmp_path / "photographs", 12)
    for path in sorted((folder / "blobs").iterdir())[6:]:
        path.unlink()
    recipe = tmp_path / "own.json"
    plain = named_recipe("lenet5").changed(epochs=1, balance="none")
    found = []
    for balance, weight in (("loss", "auto"), ("none", "balanced"), ("none", "auto")):
        recipe.write_text(plain.changed(balance=balance).model_dump_json())
        fitted = tortie.ImageClassifier(
            "lenet5",
            weights=None,
            freeze="none",
            recipe=str(recipe),
            class_weight=weight,
            threads=1,
            precision="float32",
        ).fit(folder)
        found.append(fitted.networks_[0].state_dict())
    apart = [
        max(float((found[0][name] - other[name]).abs().max()) for name in found[0])
        for other in found[1:]
    ]
    assert apart[0] < 1e-3  # class weights that differ in a last bit
    assert apart[1] > 10 * apart[0]


@pytest.mark.parametrize(
    "given, wanted",
    [
        ("none", None),
        (None, None),
        ("balanced", "balanced"),
        ("cat=2,dog=0.5", {"cat": 2.0, "dog": 0.5}),
        ({0: 1, 1: 5}, {"0": 1.0, "1": 5.0}),
    ],
)
def test_class_weights_as_they_may_be_given(given, wanted):
    assert FitOptions.of(class_weight=given).class_weight == wanted


@pytest.mark.parametrize(
    "given, message",
    [
        ("even", "class_weight is 'even': expected sqrt, balanced, none, or a weight for each"),
        ({"cat": -1}, "the weight of cat is -1, not"),
        ({"cat": "much"}, "the weight of cat is 'much', not a number"),
        ({"cat": 0}, "no class has a weight above 0"),
    ],
)
def test_class_weights_that_are_none_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        FitOptions.of(class_weight=given)


def test_a_weight_of_an_unknown_class_is_refused():
    images = [photograph(label, i) for label in ("blobs", "stripes") for i in range(3)]
    with pytest.raises(UsageError, match="class_weight names class 'dots': the classes are b, s"):
        tortie.ImageClassifier(class_weight={"dots": 2}).fit(images, list("bbbsss"))


@pytest.mark.parametrize(
    "weights, message",
    [
        ([1, 2], "6 images need as many weights in sample_weight, got 2"),
        ([1, 1, float("nan"), 1, 1, 1], "sample_weight 2 is nan: expected a number from 0 on"),
        ([1, 1, -1, 1, 1, 1], "sample_weight 2 is -1"),
    ],
)
def test_sample_weights_that_are_none_are_refused(weights, message):
    images = [photograph(label, i) for label in ("blobs", "stripes") for i in range(3)]
    with pytest.raises(UsageError, match=message):
        tortie.ImageClassifier().fit(images, list("bbbsss"), weights)


def test_a_plan_says_what_photographs_count():
    assert said("auto", False) == said("sqrt", False)
    assert "inverse square root of its class's share" in said("auto", False)
    assert said("auto", False, "loss") == "balanced: every class counts the same (the recipe's)"
    assert said({"cat": 2.0}, True) == "cat 2; times the weight given for each photograph"
