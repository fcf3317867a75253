"""Views: each drawn once for all, each with an entry of its own in the store."""

from itertools import combinations

import numpy as np
import pytest
import torch

from tests.activations.conftest import SMALL
from tortie.activations.extract import Extraction
from tortie.activations.views import Drawn, Undistorted
from tortie.augment import policy
from tortie.images import decode, hash_all


def drawn(count=2, name="standard", seed=0):
    return [Drawn(SMALL, policy(name), seed, number) for number in range(1, count + 1)]


def test_the_undistorted_view_is_the_preprocessed_image(paths):
    decoded = decode(paths[0])
    got = Undistorted(SMALL).pixels(decoded, "0" * 64)
    np.testing.assert_array_equal(got, SMALL.pixels(decoded.image))


def test_a_drawn_view_depends_on_content_seed_and_number_alone(paths):
    decoded = decode(paths[0])
    first, second = drawn()
    other_seed = drawn(seed=1)[0]
    pictures = [
        first.pixels(decoded, "a" * 64),
        second.pixels(decoded, "a" * 64),
        first.pixels(decoded, "b" * 64),
        other_seed.pixels(decoded, "a" * 64),
    ]
    for one, other in combinations(pictures, 2):
        assert not np.array_equal(one, other)
    np.testing.assert_array_equal(pictures[0], drawn()[0].pixels(decode(paths[0]), "a" * 64))
    assert pictures[0].shape == (32, 32, 3)


def test_every_part_of_a_view_is_in_its_name():
    names = [
        view.name for view in (*drawn(3), *drawn(1, "full"), *drawn(1, seed=1), Undistorted(SMALL))
    ]
    assert len(set(names)) == len(names)


def test_grey_input_is_drawn_in_grey(paths):
    grey = SMALL.model_copy(update={"channels": 1, "mean": (127.0,), "std": (128.0,)})
    view = Drawn(grey, policy("standard").for_grey(), 0, 1)
    assert view.pixels(decode(paths[0]), "a" * 64).shape == (32, 32, 1)


def run(extractor, paths, views):
    with Extraction(extractor, paths, hash_all(paths, 2), views=views) as extraction:
        return extraction, *extraction.finish(lambda done, total: None)


def test_stored_views_are_those_that_the_network_sees_live(extractor, paths):
    views = drawn(3)
    extraction, activations, rows = run(extractor, paths, views)
    assert activations.shape == (36, 3, 1280)
    assert extraction.computed == 35  # one is a copy, one cannot be read
    digest = hash_all(paths[:1], 1)[0]
    pixels = np.stack([view.pixels(decode(paths[0]), digest) for view in views])
    with torch.inference_mode():
        images = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
        live = extractor.prefix.module.eval()(images).numpy()
    np.testing.assert_allclose(activations[0], live, rtol=1e-4, atol=1e-5)
    again, same, same_rows = run(extractor, paths, views)
    assert again.computed == 0
    np.testing.assert_array_equal(same, activations)
    np.testing.assert_array_equal(same_rows, rows)


@pytest.mark.parametrize("views", [drawn(2, seed=1), drawn(2, "full"), drawn(3)])
def test_other_views_are_computed(extractor, paths, views):
    run(extractor, paths[:4], drawn(2))
    assert run(extractor, paths[:4], views)[0].computed > 0
