"""scikit-learn takes a classifier of images as one of its own, and labels keep their type."""

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn import base, model_selection
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

import tortie
from tests.conftest import photograph
from tortie.errors import UsageError
from tortie.images.labels import in_order, labels_of, names_of

N = 8  # images of each class


@pytest.fixture(scope="module")
def images():
    return np.stack(
        [np.asarray(photograph(label, i)) for label in ("blobs", "stripes") for i in range(N)]
    )


@pytest.fixture(scope="module")
def labels():
    return np.array(["blobs"] * N + ["stripes"] * N)


@pytest.fixture(scope="module")
def numbers():
    """Whole numbers whose order is another as text: 9 before 10."""
    return np.array([10] * N + [9] * N)


@pytest.fixture(scope="module")
def fitted(images, numbers):
    return tortie.ImageClassifier().fit(images, numbers)


def test_it_is_a_classifier():
    classifier = tortie.ImageClassifier(seed=3)
    assert base.is_classifier(classifier)
    assert not base.is_regressor(classifier)
    assert has_fit_parameter(classifier, "sample_weight")
    copy = base.clone(classifier)
    assert copy is not classifier
    assert copy.get_params() == classifier.get_params()


def test_cross_validation_and_a_search(images, labels):
    scores = model_selection.cross_val_score(tortie.ImageClassifier(), images, labels, cv=2)
    assert scores.shape == (2,)
    assert (scores >= 0.5).all()
    search = model_selection.GridSearchCV(
        tortie.ImageClassifier(), {"class_weight": [None, "balanced"]}, cv=2
    ).fit(images, labels)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert set(search.predict(images[:2])) <= {"blobs", "stripes"}


def test_predictions_out_of_fold_have_the_columns_of_sorted_labels(images, numbers):
    """Oracle: log_loss, which takes the columns in the order of np.unique, is below guessing's."""
    found = model_selection.cross_val_predict(
        tortie.ImageClassifier(), images, numbers, cv=2, method="predict_proba"
    )
    assert log_loss(numbers, found, labels=np.unique(numbers)) < np.log(2)


def test_in_a_pipeline_a_vote_and_a_calibration(images, numbers):
    pipeline = make_pipeline(tortie.ImageClassifier()).fit(images, numbers)
    assert accuracy_score(numbers, pipeline.predict(images)) == 1
    vote = VotingClassifier(
        [("one", tortie.ImageClassifier()), ("two", tortie.ImageClassifier(class_weight=None))],
        voting="soft",
    ).fit(images, numbers)
    assert set(vote.predict(images)) == {9, 10}
    calibrated = CalibratedClassifierCV(tortie.ImageClassifier(), cv=2).fit(images, numbers)
    rows = calibrated.predict_proba(images)
    assert accuracy_score(numbers, calibrated.classes_[rows.argmax(axis=1)]) > 0.8


def test_scikit_learn_knows_whether_it_is_fitted(fitted):
    from sklearn.exceptions import NotFittedError

    check_is_fitted(fitted)
    for call in (check_is_fitted, lambda one: one.predict(["a.jpg"])):
        with pytest.raises(NotFittedError):
            call(tortie.ImageClassifier())


@pytest.mark.parametrize(
    "given, kind",
    [
        ([0] * N + [1] * N, np.int64),
        (np.array([0] * N + [1] * N, np.uint8), np.int64),
        ([False] * N + [True] * N, np.bool_),
        (np.array([0.0] * N + [1.0] * N), np.float64),
    ],
)
def test_labels_keep_their_type(images, given, kind, tmp_path):
    classifier = tortie.ImageClassifier().fit(images, given)
    predicted = classifier.predict(images)
    assert predicted.dtype == classifier.classes_.dtype == kind
    assert accuracy_score(given, predicted) == 1
    assert accuracy_score(given, predicted) == np.mean(predicted == np.array(given))
    classifier.save(tmp_path / "typed.safetensors")
    loaded = tortie.load(tmp_path / "typed.safetensors")
    np.testing.assert_array_equal(loaded.predict(images), predicted)
    assert loaded.predict(images).dtype == kind


def test_numbers_are_in_the_order_of_their_values(fitted):
    assert fitted.classes_.tolist() == [9, 10]  # as text, 10 comes before 9
    assert in_order(["10", "9", "-1"], "int") == ("-1", "9", "10")
    assert in_order(["10", "9"], "str") == ("10", "9")


@pytest.mark.parametrize(
    "given, message",
    [
        ([1, None], "label 1 is None: every image needs a label"),
        (["a", "b", float("nan")], "label 2 is nan: every image needs a label"),
        ([1, "a"], "label 0 is of type int and label 1 of type str"),
        ([1, True], "label 0 is of type int and label 1 of type bool"),
        ([0.5], "label 0 is 0.5: labels are text, whole numbers or booleans"),
        ([2**63], "label 0 is 9223372036854775808"),
        ([b"a"], "label 0 is a bytes"),
    ],
)
def test_labels_that_are_none_are_refused_by_position(given, message):
    with pytest.raises(UsageError, match=message):
        names_of(given)


@pytest.mark.parametrize("kind, name", [("int", "01"), ("int", "1e3"), ("bool", "true"),
                                        ("float", "0.50"), ("int", "9" * 30)])  # fmt: skip
def test_a_file_cannot_claim_labels_that_are_none(kind, name):
    with pytest.raises(ValueError, match=r"is no label|could not|invalid literal"):
        labels_of([name], kind)


def test_a_loaded_classifier_says_how_it_was_trained(images, labels, tmp_path):
    asked = tortie.ImageClassifier(
        class_weight={"blobs": 2}, augment="mirror", views=2, seed=4, threads=1
    )
    asked.fit(images, labels).save(tmp_path / "asked.safetensors")
    found = tortie.load(tmp_path / "asked.safetensors").get_params()
    wanted = {**asked.get_params(), "threads": None, "weights": "imagenet"}  # as they were found
    assert found == wanted
    again = base.clone(tortie.load(tmp_path / "asked.safetensors")).fit(images, labels)
    np.testing.assert_array_equal(again.predict_proba(images), asked.predict_proba(images))


def test_scikit_learn_is_imported_only_when_it_asks():
    code = (
        "import sys, json, numpy as np, tortie; c = tortie.ImageClassifier(seed=1); repr(c)\n"
        "c.get_params(); c.set_params(seed=2)\n"
        "print(json.dumps([m for m in ('sklearn', 'pandas', 'torch') if m in sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert json.loads(found.stdout) == []


APPLICABLE = {
    "check_decision_proba_consistency",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_get_tags_default_keys",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_estimators_partial_fit_n_features",
    "check_estimators_unfitted",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_non_transformer_estimators_n_iter",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
}
# Everything else begins with a table of numbers (N, D), of which a row is no image. What those of
# them check is checked above with images: types of labels, weights, copies, refitting.
TABLES = "fits a table of numbers, and a row of it is no image"
NOT_APPLICABLE = {
    "check_array_api_input": "images are decoded by Pillow and OpenCV, on no array namespace",
    "check_array_api_mixed_inputs": "the same",
    "check_array_api_same_namespace": "the same",
    "check_complex_data": TABLES,
    "check_sparsify_coefficients": "the softmax layer is part of a network, and dense",
    "check_estimator_sparse_array": "an image is no sparse matrix",
    "check_estimator_sparse_matrix": "an image is no sparse matrix",
    "check_estimator_sparse_tag": "an image is no sparse matrix",
    "check_estimators_nan_inf": "an image is uint8, which has neither",
    "check_fit1d": "a vector is no image",
    "check_fit2d_1feature": "an image has no number of features",
    "check_fit2d_1sample": "an image has no number of features",
    "check_fit2d_predict1d": "a vector is no image",
    "check_n_features_in": "images may differ in size, so there is no number of features",
    "check_n_features_in_after_fitting": "the same",
    "check_positive_only_tag_during_fit": "an image is uint8, which is never negative",
    "check_requires_y_none": "a folder brings its labels, so none may be given",
    "check_fit_score_takes_y": "the second argument is labels; scikit-learn passes it by position",
}


def test_the_checks_of_scikit_learn_that_apply_to_images_pass():
    """All of them that its own classifier is checked by are named here, applicable or not."""
    if hasattr(estimator_checks, "estimator_checks_generator"):
        checks = list(estimator_checks.estimator_checks_generator(LogisticRegression()))
    else:
        checks = list(estimator_checks.check_estimator(LogisticRegression(), generate_only=True))
    names = set()
    for _, check in checks:
        name = getattr(check, "func", check).__name__
        names.add(name)
        if name in APPLICABLE:
            check(tortie.ImageClassifier())
    assert len(names & APPLICABLE) > 10
