"""Nearest images by scikit-learn; pairs that pixels confirm, whatever the activations say."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage import data
from sklearn.datasets import load_sample_images
from sklearn.metrics.pairwise import cosine_similarity

from tortie.activations import feature_duplicates
from tortie.activations.feature_duplicates import feature_duplicate_pairs, nearest_images
from tortie.images import decode, facts_of


def features(count, seed=0):
    """Rows with a large common part."""
    return np.random.default_rng(seed).exponential(size=(count, 200)).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [2, 5, 7, 8, 120, 300, 513])
def test_nearest_images_are_those_of_scikit_learns_cosines(count, threads, monkeypatch):
    monkeypatch.setattr(feature_duplicates, "_BLOCK", 128)  # several blocks, a short one last
    monkeypatch.setattr(feature_duplicates, "_ROWS", 50)
    rows = features(count)
    cosines = cosine_similarity(rows - rows.mean(axis=0, dtype=np.float64))
    np.fill_diagonal(cosines, -2)
    wanted = min(feature_duplicates.NEAREST, count - 1)
    expected = np.sort(np.argsort(-cosines, axis=1)[:, :wanted], axis=1)
    np.testing.assert_array_equal(
        np.sort(nearest_images(rows, np.arange(len(rows)), threads), axis=1), expected
    )


def test_blocks_that_better_nothing_are_passed_over(monkeypatch):
    """Three sets far apart, in blocks of their own: each image's nearest are of its set."""
    monkeypatch.setattr(feature_duplicates, "_BLOCK", 20)
    monkeypatch.setattr(feature_duplicates, "_ROWS", 20)
    near = np.random.default_rng(0).normal(scale=0.01, size=(60, 30)).astype(np.float32)
    near += np.eye(3, 30, dtype=np.float32).repeat(20, axis=0)
    found = nearest_images(near, np.arange(60))
    np.testing.assert_array_equal(found // 20, np.arange(60)[:, None] // 20 + 0 * found)


def test_many_images_are_compared_in_few_directions(monkeypatch):
    """Copies lie far nearer than anything else, and stay so."""
    rows = features(900)
    rows = np.concatenate([rows, rows[:30] + np.float32(0.1)])
    monkeypatch.setattr(feature_duplicates, "_EXACT_BELOW", 100)
    nearest = nearest_images(rows, np.arange(len(rows)))
    assert all(i in nearest[900 + i] and 900 + i in nearest[i] for i in range(30))


def facts(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    return facts_of(decode(file.getvalue(), at_least=256, max_pixels=10**8))


def photographs():
    names = ("chelsea", "coffee", "astronaut", "rocket", "camera", "hubble_deep_field")
    arrays = [getattr(data, name)() for name in names] + load_sample_images().images
    return [Image.fromarray(array).convert("RGB") for array in arrays]


@pytest.mark.parametrize("kind", ["as if trained", "collapsed", "random"])
def test_the_pixels_decide_whatever_the_network(kind):
    """Of a trained network classes lie close together: what is near is no copy for that."""
    images = photographs()
    known = [facts(image) for image in [*images, *map(ImageOps.mirror, images)]]
    count, generator = len(images), np.random.default_rng(0)
    rows = {
        "as if trained": np.tile(generator.normal(size=(count, 64)), (2, 1)),
        "collapsed": 1 + generator.normal(scale=1e-3, size=(2 * count, 64)),
        "random": generator.normal(size=(2 * count, 64)),
    }[kind].astype(np.float32)
    found = feature_duplicate_pairs(rows, known)
    planted = {(i, count + i) for i in range(count)}
    assert set(found) <= planted
    if kind == "as if trained":
        assert set(found) == planted


def test_no_image_is_a_copy_of_itself():
    """Activations that are NaN are near to nothing: then each image's nearest is any."""
    images = photographs()[:3]
    known = [facts(one) for one in images]
    assert feature_duplicate_pairs(np.full((3, 20), np.nan, np.float32), known) == []


def test_what_cannot_be_read_has_no_activations():
    one, other = photographs()[:2]
    known = [facts(one), None, facts(other), facts(ImageOps.mirror(one))]
    rows = features(3)
    assert feature_duplicate_pairs(rows, known) == [(0, 2)]
    with pytest.raises(ValueError, match="activations of 2 images, facts of 3"):
        feature_duplicate_pairs(rows[:2], known)


def test_pictures_of_a_few_pixels_are_left_to_the_hash():
    one = photographs()[0].resize((28, 28))
    known = [facts(one), facts(ImageOps.mirror(one))]
    assert feature_duplicate_pairs(np.ones((2, 7), np.float32), known) == []


def test_nothing_to_compare_gives_no_pairs():
    one = facts(photographs()[0])
    assert feature_duplicate_pairs(np.zeros((0, 7), np.float32), []) == []
    assert feature_duplicate_pairs(np.ones((3, 7), np.float32), [one, one, one]) == []
