"""scikit-learn takes a classifier of images as one of its own, and labels keep their type."""

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn import base, config_context, model_selection
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


def test_weights_count_in_a_score(fitted):
    """Oracle: accuracy_score of scikit-learn on new pictures, with the same weights."""
    new = np.stack([np.asarray(photograph("blobs", 100 + i)) for i in range(4)])
    truth = np.array([10, 10, 10, 9])
    weights = np.array([0.0, 2.0, 1.0, 3.0])
    asked = accuracy_score(truth, fitted.predict(new), sample_weight=weights)
    assert fitted.score(new, truth, sample_weight=weights) == pytest.approx(asked)
    assert asked != accuracy_score(truth, fitted.predict(new)), "the weights change something"
    scaled = fitted.evaluate(new, truth, sample_weight=100 * weights)
    assert scaled.scores.accuracy.value == pytest.approx(asked)
    # By hand, Kish's effective number of photographs: (2 + 1 + 3)^2 / (4 + 1 + 9).
    assert scaled.weights.sum() == pytest.approx(36 / 14)


def test_a_learning_curve_has_training_scores_by_accuracy(images, numbers):
    """``score`` counts no photograph that was trained on, ``scoring="accuracy"`` counts all."""
    _, train, test = model_selection.learning_curve(
        tortie.ImageClassifier(), images, numbers, cv=2, train_sizes=[1.0], scoring="accuracy"
    )
    assert np.isfinite(train).all()
    assert np.isfinite(test).all()


def test_logarithms_of_probabilities(fitted, images):
    """Oracle: their exponentials."""
    found = fitted.predict_log_proba(images[:2])
    np.testing.assert_allclose(np.exp(found), fitted.predict_proba(images[:2]), rtol=1e-6)


def test_features_are_a_table_where_that_is_asked(fitted, images, monkeypatch):
    """Oracle: the array that ``transform`` gives, and its names of columns."""
    plain = fitted.transform(images[:2])
    told = base.clone(fitted).set_output(transform="pandas")
    assert base.clone(told)._sklearn_output_config == {"transform": "pandas"}
    table = make_pipeline(told).fit(images, np.arange(2 * N) % 2).transform(images[:2])
    assert list(table.columns) == list(fitted.get_feature_names_out())
    np.testing.assert_array_equal(table.to_numpy(), plain)
    with config_context(transform_output="pandas"):
        assert list(fitted.transform(images[:2]).columns) == list(table.columns)
        assert isinstance(told.set_output(transform="default").fit(images, np.arange(2 * N) % 2)
                          .transform(images[:2]), np.ndarray)  # fmt: skip
    with pytest.raises(UsageError, match="default, pandas, polars"):
        told.set_output(transform="arrow")
    monkeypatch.setitem(sys.modules, "polars", None)
    told.set_output(transform="polars")
    with pytest.raises(UsageError, match="pip install polars"):
        told.transform(images[:2])


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
    said = loaded.classify(images[:2])
    assert [one.label for one in said] == predicted[:2].tolist()
    assert [type(one.label) for one in said] == [type(one) for one in predicted[:2].tolist()]
    assert [one.document("a.jpg")["label"] for one in said] == [one.class_name for one in said]


def test_labels_in_one_column_are_labels():
    assert names_of(np.array([[1], [2]])) == (["1", "2"], "int")
    with pytest.raises(UsageError, match=r"labels of shape \(2, 2\): expected one for each image"):
        names_of(np.eye(2))


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
        ([0.5], "label 0 is 0.5, a continuous target: labels are text, whole numbers"),
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
# The others begin with a table of numbers (N, D). By WITH_PICTURES they pass where each row is made
# a picture; what is left is listed with the reason.
WITH_PICTURES = {
    "check_all_zero_sample_weights_error",
    "check_classifiers_classes",
    "check_classifiers_one_label",
    "check_classifiers_one_label_sample_weights",
    "check_classifiers_regression_target",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimators_dtypes",
    "check_estimators_fit_returns_self",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_pipeline_consistency",
    "check_readonly_memmap_input",
    "check_sample_weights_list",
    "check_sample_weights_not_overwritten",
    "check_sample_weights_pandas_series",
    "check_sample_weights_shape",
    "check_supervised_y_no_nan",
}
TABLES = "a row of numbers is no image, so its error names the image"
NOT_APPLICABLE = {
    "check_array_api_input": "images are decoded by Pillow and OpenCV, on no array namespace",
    "check_array_api_mixed_inputs": "the same",
    "check_array_api_same_namespace": "the same",
    "check_class_weight_balanced_linear_classifier": "the softmax layer has no coef_",
    "check_class_weight_classifiers": "its classes are told apart by numbers, not by pictures",
    "check_classifier_data_not_an_array": "an image is an array or a file",
    "check_classifiers_train": "its accuracy is that of tables of numbers",
    "check_complex_data": TABLES,
    "check_dict_unchanged": "predict keeps the engine that it made ready, for the next call",
    "check_estimators_empty_data_messages": TABLES,
    "check_sample_weight_equivalence_on_dense_data": "the penalty is cross-validated, and an image "
    "twice is one piece of evidence",
    "check_sample_weight_equivalence_on_sparse_data": "an image is no sparse matrix",
    "check_sample_weights_not_an_array": "an image is an array or a file",
    "check_supervised_y_2d": "labels of one column are taken without a warning",
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
}


def pictures(table):
    """A picture for each row, which the row alone decides: noise, and a bar for each number."""
    found = []
    for row in np.asarray(table, float):
        seed = np.frombuffer(np.ascontiguousarray(row.round(6)).tobytes(), np.uint32)
        noise = np.random.default_rng(seed).integers(0, 120, (32, 32, 3))
        bars = np.clip(60 + 25 * row[:8], 0, 130)
        wide = np.repeat(bars, -(-32 // len(bars)))[:32]
        found.append((noise + wide[None, :, None]).astype(np.uint8))
    return found


class OfRows(tortie.ImageClassifier):
    """A classifier of tables, so that scikit-learn's checks can give it theirs."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(pictures(X), y, sample_weight)

    def predict_proba(self, X):
        return super().predict_proba(pictures(X) if self.metadata else X)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def score(self, X, y):
        return float(np.mean(self.predict(X) == y))

    @property
    def transform(self):
        raise AttributeError("a classifier alone")

    fit_transform = get_feature_names_out = transform


def checks():
    """All that scikit-learn checks a classifier of its own by, with their names."""
    if hasattr(estimator_checks, "estimator_checks_generator"):
        found = estimator_checks.estimator_checks_generator(LogisticRegression())
    else:
        found = estimator_checks.check_estimator(LogisticRegression(), generate_only=True)
    return [(getattr(check, "func", check).__name__, check) for _, check in found]


def test_the_checks_of_scikit_learn_that_apply_to_images_pass():
    names = set()
    for name, check in checks():
        names.add(name)
        if name in APPLICABLE:
            check(tortie.ImageClassifier())
    assert len(names & APPLICABLE) > 10
    assert names <= APPLICABLE | WITH_PICTURES | NOT_APPLICABLE.keys(), "a check without a reason"


@pytest.mark.slow  # some forty fits
@pytest.mark.filterwarnings("ignore")  # of the checks' own data
def test_the_checks_that_begin_with_a_table_pass_where_a_row_is_a_picture():
    for name, check in checks():
        if name in WITH_PICTURES:
            check(OfRows())
