"""The classifier in Python: scikit-learn's habits, and the same answers from every way in."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import tortie
from tests.conftest import lay_out, photograph
from tortie.errors import TortieError, UsageError
from tortie.loading import load_or_pretrained, pretrained
from tortie.weights import class_names, classifier_file


@pytest.fixture(scope="module")
def classifier(fitted_file):
    return tortie.load(fitted_file)


def test_saved_and_loaded_is_the_same(fitted_file, classifier, tmp_path):
    again = tmp_path / "again.safetensors"
    classifier.save(again)
    assert again.read_bytes() == fitted_file.read_bytes()


def test_a_file_is_replaced_only_when_asked(classifier, fitted_file, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"a.safetensors exists: save\(..., force=True\) replaces"):
        classifier.save(path)
    assert path.read_text() == "mine"
    classifier.save(path, force=True)
    assert path.read_bytes() == fitted_file.read_bytes()
    with pytest.raises(UsageError, match=r"a\.pt does not end in \.safetensors"):
        classifier.save(tmp_path / "a.pt", force=True)
    assert [one.name for one in tmp_path.iterdir()] == ["a.safetensors"]


def test_fitting_twice_gives_the_same_bytes(fitted_file, tmp_path):
    path = tmp_path / "twice.safetensors"
    tortie.ImageClassifier().fit(fitted_file.parent / "photographs").save(path)
    first, second = classifier_file.read(fitted_file), classifier_file.read(path)
    assert first[1].keys() == second[1].keys()
    for name, tensor in first[1].items():
        assert torch.equal(tensor, second[1][name]), name


def test_the_order_and_names_of_files_do_not_matter(fitted_file, tmp_path):
    for label in ("blobs", "stripes"):
        (tmp_path / "renamed" / label).mkdir(parents=True)
        for path in (fitted_file.parent / "photographs" / label).iterdir():
            name = f"{99 - int(path.stem)}.jpg"
            (tmp_path / "renamed" / label / name).write_bytes(path.read_bytes())
    renamed = tortie.ImageClassifier().fit(tmp_path / "renamed")
    first = tortie.load(fitted_file)
    assert renamed.accuracy_ == first.accuracy_
    new = [photograph("stripes", 50), photograph("blobs", 50)]
    np.testing.assert_allclose(renamed.predict_proba(new), first.predict_proba(new), atol=1e-3)


def test_paths_images_and_arrays_give_the_same_probabilities(classifier, tmp_path):
    image = photograph("stripes", 60)
    path = tmp_path / "a.png"
    image.save(path)
    rows = classifier.predict_proba([path, str(path), image, np.asarray(image)])
    assert rows.shape == (4, 2)
    np.testing.assert_allclose(rows, np.broadcast_to(rows[0], rows.shape), atol=1e-6)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
    assert list(classifier.predict([path, image])) == ["stripes", "stripes"]


def test_one_image_in_memory_is_one(classifier):
    # Invariant: an image alone is judged as the same image in a list. Its rows are no images.
    image = photograph("stripes", 60)
    pixels = np.asarray(image)
    expected = classifier.predict_proba([image])
    for alone in (image, pixels):
        np.testing.assert_array_equal(classifier.predict_proba(alone), expected)
    grey = np.asarray(image.convert("L"))
    assert classifier.predict_proba(grey).shape == (1, 2)
    # A stack of images is as many: (N, H, W, 3) in colour, (N, H, W) in grey.
    assert classifier.predict_proba(np.stack([pixels, pixels, pixels])).shape == (3, 2)
    assert classifier.predict_proba(np.stack([grey, grey, grey])).shape == (3, 2)


def test_arguments_that_change_later_hold(fitted_file):
    # Oracle: a classifier that had them from the start.
    image = photograph("stripes", 61)
    changed = tortie.load(fitted_file)
    changed.predict_proba([image])
    changed.set_params(precision="float32", threads=1)
    fresh = tortie.load(fitted_file).set_params(precision="float32", threads=1)
    np.testing.assert_array_equal(changed.predict_proba([image]), fresh.predict_proba([image]))
    assert changed._ready()[0].extractor.context.precision == "float32"


def test_it_shows_the_arguments_that_are_not_the_defaults():
    assert repr(tortie.ImageClassifier()) == "ImageClassifier()"
    shown = repr(tortie.ImageClassifier("resnet18", seed=3))
    assert shown == "ImageClassifier(network='resnet18', seed=3)"


def test_the_command_line_gives_the_probabilities_of_python(classifier, fitted_file, tmp_path):
    path = tmp_path / "a.png"
    photograph("blobs", 61).save(path)
    words = [sys.executable, "-m", "tortie", "predict", fitted_file, path, "--json"]
    document = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    row = classifier.predict_proba([path])[0]
    for name, p in zip(classifier.classes_, row, strict=True):
        assert document[0]["probabilities"][name] == pytest.approx(p, abs=1e-4)


def test_the_head_is_the_softmax_of_the_networks_logits(classifier):
    """The classifier's probabilities against its own network run whole, in plain PyTorch."""
    image = photograph("stripes", 62)
    network = classifier.networks_[0].eval()
    preprocessing = classifier.metadata.members[0].preprocessing
    pixels = torch.from_numpy(preprocessing.pixels(image).copy()).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        temperature = classifier.metadata.temperature["1"]
        wanted = (network((pixels - 127) / 128) / temperature).softmax(dim=1).numpy()
    classifier.set_params(precision="float32")
    classifier._members = None
    np.testing.assert_allclose(classifier.predict_proba([image]), wanted, atol=1e-4)
    classifier.set_params(precision="auto")
    classifier._members = None


def test_fit_takes_a_sequence_with_labels():
    images = [photograph(label, i) for label in ("blobs", "stripes") for i in range(6)]
    labels = ["b"] * 6 + ["s"] * 6
    fitted = tortie.ImageClassifier().fit([np.asarray(image) for image in images], labels)
    assert list(fitted.classes_) == ["b", "s"]
    assert list(fitted.predict([photograph("stripes", 70)])) == ["s"]
    assert fitted.evaluate(images, labels).seen == 0  # other content: images, not arrays
    assert fitted.evaluate([np.asarray(image) for image in images], labels).seen == 12


def test_labels_given_in_python_are_cleaned_as_names_of_folders_are(tmp_path):
    """The oracle is the same photographs in folders of these names."""
    names = {"blobs": " cafe\u0301 ", "stripes": "dog\u202e"}
    for number in range(6):
        for label, name in names.items():
            (tmp_path / name).mkdir(exist_ok=True)
            photograph(label, number).save(tmp_path / name / f"{number}.png")
    paths = sorted(tmp_path.rglob("*.png"))
    given = tortie.ImageClassifier().fit(paths, [path.parent.name for path in paths])
    assert list(given.classes_) == ["caf\u00e9", "dog\\u202e"]
    assert list(given.classes_) == list(tortie.ImageClassifier().fit(tmp_path).classes_)


def test_score_counts_only_what_was_not_trained_on(classifier, fitted_file, tmp_path):
    folder = lay_out(tmp_path / "new", 5, ("", "unused"))
    # Split "" has photographs that were trained on, so nothing is left to count.
    with pytest.raises(TortieError, match="trained on 10"):
        classifier.score(folder)
    images = [photograph(label, 500 + i) for label in ("blobs", "stripes") for i in range(5)]
    labels = ["blobs"] * 5 + ["stripes"] * 5
    predicted = classifier.predict(images)
    assert classifier.score(images, labels) == (predicted == labels).mean()


def test_evaluate_leaves_out_classes_that_are_unknown(classifier):
    images = [photograph("blobs", 700), photograph("stripes", 700), photograph("blobs", 701)]
    evaluation = classifier.evaluate(images, ["blobs", "stripes", "dogs"])
    assert evaluation.scores.accuracy.n == 2
    assert [one.reason for one in evaluation.skipped] == [
        "class 'dogs' is not one of the classifier's"
    ]
    with pytest.raises(UsageError, match="no photograph of a class that the classifier knows"):
        classifier.evaluate(images, ["dogs"] * 3)


def test_predict_names_what_cannot_be_read(classifier, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("words")
    with pytest.raises(TortieError, match=r"bad\.jpg: not an image"):
        classifier.predict([photograph("blobs", 1), bad])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: tortie.ImageClassifier().predict(["a.jpg"]), "not fitted yet"),
        (lambda: tortie.ImageClassifier().save("a.safetensors"), "not fitted yet"),
        (lambda: tortie.ImageClassifier().fit([Image.new("RGB", (9, 9))]), "as many labels"),
        (lambda: tortie.ImageClassifier().fit("x", ["a"]), "labels go with a sequence"),
        (lambda: tortie.ImageClassifier().fit([3], ["a"]), "image 0 is a int"),
        (lambda: tortie.ImageClassifier().fit(3, ["a"]), "sequence of images, not int"),
        (lambda: tortie.ImageClassifier().classify(None), "sequence of images, not NoneType"),
        (lambda: tortie.ImageClassifier().classify([], reject_below=90), "reject_below is 90"),
        (lambda: tortie.ImageClassifier(seed=-1).fit("x"), "seed is -1"),
        (lambda: tortie.ImageClassifier(threads=0).fit("x"), "threads is 0"),
        (lambda: tortie.ImageClassifier().set_params(depth=3), "no argument 'depth'"),
        (lambda: pretrained("lenet5"), "has no weights 'imagenet'"),
    ],
)
def test_wrong_use_says_what_was_expected(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_parameters_as_scikit_learn_asks_for_them():
    from sklearn.base import clone

    classifier = tortie.ImageClassifier(seed=3, precision="float32")
    assert classifier.get_params()["seed"] == 3
    assert clone(classifier).get_params() == classifier.get_params()


def test_a_tensor_of_another_shape_is_refused(fitted_file, tmp_path):
    metadata, tensors = classifier_file.read(fitted_file)
    tensors["members.0.head.weight"] = torch.zeros(3, 1280)
    path = tmp_path / "wrong.safetensors"
    classifier_file.write(path, metadata, tensors)
    with pytest.raises(TortieError, match=r"head.weight is \(3, 1280\), expected \(2, 1280\)"):
        tortie.load(path)


def test_a_missing_tensor_is_refused(fitted_file, tmp_path):
    metadata, tensors = classifier_file.read(fitted_file)
    del tensors["members.0.stages.stem.conv.weight"]
    path = tmp_path / "wrong.safetensors"
    classifier_file.write(path, metadata, tensors)
    with pytest.raises(TortieError, match=r"stages.stem.conv.weight is not there"):
        tortie.load(path)


# ImageNet class names are published; the photographs are scikit-image's and scikit-learn's.
@pytest.mark.parametrize(
    "name, expected",
    [
        ("chelsea", {"tabby", "tiger cat", "Egyptian cat"}),
        ("coffee", {"espresso"}),
        ("rocket", {"missile"}),
        ("china", {"palace"}),
    ],
)
def test_the_embedded_weights_know_what_they_see(name, expected):
    import skimage.data
    from sklearn.datasets import load_sample_image

    image = load_sample_image("china.jpg") if name == "china" else getattr(skimage.data, name)()
    prediction = pretrained("efficientnet-lite0").classify([image])[0]
    assert expected <= set(list(prediction.probabilities)[:5])


def test_a_network_takes_the_weights_that_it_has_and_their_names(monkeypatch):
    from tests.weights.test_layouts import port
    from tortie.weights import published
    from tortie.weights.checkpoint import Checkpoint

    # what its address has, without fetching it
    monkeypatch.setattr(published, "_obtain", lambda entry, source: (Checkpoint(port()), []))
    classifier = pretrained("resnet20-cifar")
    assert list(classifier.classes_[:3]) == ["airplane", "automobile", "bird"]
    assert class_names("imagenet", 1000)[281] == "tabby"
    assert class_names("a.safetensors", 3) == ("0", "1", "2")


def test_a_network_takes_weights_of_a_file(tmp_path):
    """Oracle: the published layout's own parameters, by the name that its file has."""
    from tests.weights.test_layouts import port

    known, other = tmp_path / "resnet20-12fca82f.th", tmp_path / "mine.pth"
    torch.save(port(), known)
    torch.save(port(), other)
    named = load_or_pretrained("resnet20-cifar", str(known))
    assert list(named.classes_[:2]) == ["airplane", "automobile"]
    assert list(load_or_pretrained("resnet20-cifar", str(other)).classes_[:2]) == ["0", "1"]
    with pytest.raises(tortie.UsageError, match=r"give the network, resnet20-cifar --weights"):
        load_or_pretrained(other)
    with pytest.raises(tortie.UsageError, match="do not fit lenet5"):
        load_or_pretrained("lenet5", str(other))
    with pytest.raises(tortie.UsageError, match="is a file, give a name"):
        load_or_pretrained(other, "cifar10")


def test_weights_without_a_head_do_not_predict(tmp_path):
    from tests.weights.test_layouts import port

    bare = {name: tensor for name, tensor in port().items() if "linear" not in name}
    torch.save(bare, tmp_path / "bare.pth")
    with pytest.raises(tortie.UsageError, match=r"head\.weight, 10×64, of resnet20-cifar is"):
        load_or_pretrained("resnet20-cifar", str(tmp_path / "bare.pth"))
