"""Duplicates: planted copies of real photographs, brute force, and least squares as oracles."""

import io
from itertools import combinations
from unittest import mock

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from skimage import data
from sklearn.datasets import load_sample_images

from tortie.images import duplicates
from tortie.images.duplicates import (
    Groups,
    Pair,
    connected,
    duplicate_groups,
    join_groups,
    likeness,
    links_of,
    usable_groups,
)
from tortie.images.facts import Facts


def facts_of(thumbnail, perceptual_hash=None, reason=None):
    if perceptual_hash is None:
        low = cv2.dct(thumbnail.astype(np.float32))[:8, :8].ravel()
        perceptual_hash = int(np.packbits(low > np.median(low[1:])).view(">u8")[0])
    return Facts(32, 32, "PNG", 1, perceptual_hash, thumbnail.tobytes(), reason)


def thumbnail_of(image):
    return np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX))


def encoded(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def cut(image, share):
    """The middle of the image: its width and height times the share."""
    width, height = image.size
    x, y = width * (1 - share) / 2, height * (1 - share) / 2
    return image.crop((round(x), round(y), round(width - x), round(height - y)))


COPIES = {
    "re-encoded": lambda image: encoded(image, 20),
    "a third of the size": lambda image: image.resize((image.width // 3, image.height // 3)),
    "squeezed": lambda image: image.resize((200, 200)),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "grey": lambda image: image.convert("L"),
    "cut to 95%": lambda image: cut(image, 0.95),
    "turned by a degree": lambda image: image.rotate(1, Image.Resampling.BICUBIC),
}


@pytest.fixture(scope="module")
def photographs():
    names = ("chelsea", "coffee", "astronaut", "rocket")
    arrays = [getattr(data, name)() for name in names] + load_sample_images().images
    return [Image.fromarray(array).convert("RGB") for array in arrays]


@pytest.mark.parametrize("copy", COPIES)
def test_a_planted_copy_of_each_photograph_is_found_and_nothing_else(photographs, copy):
    images = photographs + [COPIES[copy](image) for image in photographs]
    found = duplicate_groups(
        [str(index) for index in range(12)], [facts_of(thumbnail_of(image)) for image in images]
    )
    assert found.groups == tuple((index, index + 6) for index in range(6))
    assert found.pairs == tuple(Pair(index, index + 6, "near") for index in range(6))


def test_patches_of_one_texture_are_no_copies():
    for texture in (data.brick(), data.grass(), data.gravel()):
        whole = Image.fromarray(texture)
        corners = [(x, y) for x in range(0, 512, 64) for y in range(0, 512, 64)]
        facts = [facts_of(thumbnail_of(whole.crop((x, y, x + 64, y + 64)))) for x, y in corners]
        assert duplicate_groups([str(index) for index in range(64)], facts) == Groups((), ())


def slow_likeness(first, second):
    """The same by numerical derivatives and least squares, point by point."""
    at = [2.5 + 2 * step for step in range(14)]

    def seen(picture, x, y):
        across = np.exp(-((np.arange(32) - x) ** 2) / 2)
        down = np.exp(-((np.arange(32) - y) ** 2) / 2)
        return down @ picture.astype(float) @ across / down.sum() / across.sum()

    step = 1e-4
    rows = []
    for y in at:
        for x in at:
            right = (seen(first, x + step, y) - seen(first, x - step, y)) / (2 * step)
            below = (seen(first, x, y + step) - seen(first, x, y - step)) / (2 * step)
            value = seen(first, x, y)
            rows.append([1, x, y, value, right, below, (x - 15.5) * right, (y - 15.5) * below])
    design = np.array(rows)
    target = np.array([seen(second, x, y) for y in at for x in at])

    def left(columns):
        return np.sum((target - columns @ np.linalg.lstsq(columns, target, rcond=None)[0]) ** 2)

    return 1 - left(design) / left(design[:, :3])


def test_likeness_is_the_least_squares_fit(photographs):
    thumbnails = [thumbnail_of(image) for image in photographs[:3]]
    thumbnails.append(thumbnail_of(cut(photographs[0], 0.9)))
    for first, second in combinations(thumbnails, 2):
        expected = max(slow_likeness(first, second), slow_likeness(second, first))
        assert likeness(first[None], second[None])[0] == pytest.approx(expected, abs=1e-3)
        turned = likeness(second[None], first[None])[0]
        assert turned == pytest.approx(likeness(first[None], second[None])[0], abs=1e-6)


def test_likeness_leaves_out_brightness_contrast_and_a_slope_of_light(photographs):
    picture = thumbnail_of(photographs[0])
    y, x = np.mgrid[0:32, 0:32]
    lit = (picture * 0.5 + 40 + x + 0.5 * y).astype(np.uint8)
    assert likeness(picture[None], lit[None])[0] > 0.999
    assert likeness(picture[None], picture[None, :, ::-1])[0] < 0.5
    # What the slope alone would explain is no likeness: two ramps of light with other noise on.
    noise = np.random.default_rng(0).normal(0, 6, (2, 32, 32))
    ramps = (4 * x + 60 + noise).astype(np.uint8)
    assert likeness(ramps[:1], ramps[1:])[0] < 0.5


@pytest.mark.parametrize("few", [0, 8192])
@given(seed=st.integers(0, 2**32 - 1), distance=st.integers(0, 15), flips=st.integers(0, 20))
@settings(max_examples=40)
def test_every_pair_of_hashes_within_the_distance_is_found_once(few, seed, distance, flips):
    generator = np.random.default_rng(seed)
    centres = generator.integers(0, 2**64, 4, np.uint64)
    hashes = []
    for _ in range(60):
        bits = generator.integers(0, 64, flips).astype(np.uint64)
        mask = np.bitwise_or.reduce(np.uint64(1) << bits, initial=np.uint64(0))
        hashes.append(int(centres[generator.integers(4)] ^ mask))
    expected = [
        (first, second)
        for first, second in combinations(range(60), 2)
        if (hashes[first] ^ hashes[second]).bit_count() <= distance
    ]
    with mock.patch.object(duplicates, "_FEW", few):  # by bands, and all with all
        found = [
            tuple(sorted(pair))
            for pieces in duplicates._candidates(np.array(hashes, np.uint64), distance)
            for pair in zip(*(piece.tolist() for piece in pieces), strict=True)
        ]
    assert sorted(found) == expected


def pictures(count, seed=0):
    """Smooth random pictures: ``(count, 32, 32)``, unlike one another."""
    small = np.random.default_rng(seed).integers(0, 256, (count, 8, 8), np.uint8)
    return [cv2.resize(one, (32, 32), interpolation=cv2.INTER_CUBIC) for one in small]


def test_blank_images_and_broken_ones_are_grouped_by_bytes_alone():
    generator = np.random.default_rng(0)
    walls = [generator.integers(200, 204, (32, 32), np.uint8) for _ in range(20)]
    blank = np.zeros((32, 32), np.uint8)
    facts = [facts_of(wall, 0) for wall in walls] + [facts_of(blank, 0)] * 4
    facts += [Facts(0, 0, "", 1, 0, b"", "truncated")] * 3
    faint = (200 + pictures(1)[0] / 30).astype(np.uint8)
    assert 2 < faint.std() < duplicates.FEATURELESS  # the same faint stain, but for brightness
    assert likeness(faint[None], faint[None] + np.uint8(1))[0] > 0.99
    facts += [facts_of(faint), facts_of(faint + np.uint8(1))]
    names = [str(index) for index in range(20)] + ["a", "a", "b", "c", "broken", "broken", "other"]
    names += ["faint", "brighter"]
    found = duplicate_groups(names, facts)
    assert found.pairs == (Pair(20, 21, "exact"), Pair(24, 25, "exact"))
    assert found.groups == ((20, 21), (24, 25))


def test_exact_and_near_pairs_join_into_one_group():
    one, other, third = pictures(3)
    brighter = (one * 0.8 + 30).astype(np.uint8)
    found = duplicate_groups(
        ["x", "y", "z", "x", "w"], [facts_of(p) for p in (one, other, brighter, one, third)]
    )
    assert found.groups == ((0, 2, 3),)
    assert found.pairs == (Pair(0, 2, "near"), Pair(0, 3, "exact"))


@given(order=st.permutations(range(16)))
@settings(max_examples=20)
def test_groups_are_the_same_sets_in_any_order(order):
    # Each of four pictures at three brightnesses, and one exact copy.
    rows = [
        (picture * light).astype(np.uint8) for picture in pictures(4) for light in (1, 0.9, 0.8, 1)
    ]
    names = [f"{index // 4}-{index % 4 % 3}" for index in range(16)]
    facts = [facts_of(row) for row in rows]
    plain = duplicate_groups(names, facts)
    mixed = duplicate_groups([names[i] for i in order], [facts[i] for i in order])
    assert len(plain.groups) == 4
    assert {frozenset(order[i] for i in group) for group in mixed.groups} == set(
        map(frozenset, plain.groups)
    )
    # So are the pairs, but for which of two equal files stands for both.
    assert {frozenset((names[order[p.first]], names[order[p.second]])) for p in mixed.pairs} == {
        frozenset((names[p.first], names[p.second])) for p in plain.pairs
    }


def test_many_frames_of_one_scene_are_one_group_at_little_cost(monkeypatch):
    compared = []

    def counting(first, second):
        compared.append(len(first))
        return likeness(first, second)

    monkeypatch.setattr(duplicates, "likeness", counting)
    scene, generator = pictures(1)[0].astype(int), np.random.default_rng(0)
    frames = [
        np.clip(scene + generator.normal(0, 3, (32, 32)), 0, 255).astype(np.uint8)
        for _ in range(400)
    ]
    found = duplicate_groups([str(i) for i in range(400)], [facts_of(frame) for frame in frames])
    assert found.groups == (tuple(range(400)),)
    assert len(found.pairs) == 399  # a tree
    assert sum(compared) < 4000  # of 79,800 pairs


def test_comparing_stops_at_the_limit_and_says_so(monkeypatch):
    monkeypatch.setattr(duplicates, "MOST_CONFIRMATIONS", 500)
    found = duplicate_groups(
        [f"{index:02}" for index in range(60)], [facts_of(p, 0) for p in pictures(60)]
    )
    assert found.groups == ()
    assert "500 pairs of images" in found.notes[0]
    assert duplicate_groups(["a", "b"], [facts_of(p) for p in pictures(2)]).notes == ()


def test_no_images_make_no_groups_and_wrong_arguments_are_refused():
    assert duplicate_groups([], []) == Groups((), ())
    with pytest.raises(ValueError, match="1 hashes for 0 images"):
        duplicate_groups(["a"], [])
    with pytest.raises(ValueError, match="16 bits"):
        duplicate_groups([], [], distance=16)


def chain(size, start=0, kind="near"):
    pairs = tuple(Pair(start + i, start + i + 1, kind) for i in range(size - 1))
    return Groups((tuple(range(start, start + size)),), pairs)


@pytest.mark.parametrize(
    ("size", "class_size", "kept"),
    [
        (3, 3, True),  # a burst of up to ten, however small the class
        (4, 5, True),
        (4, 13, True),
        (10, 10, True),
        (11, 60, False),  # more than 10 and more than 5%
        (11, 220, True),  # 5% of the class
        (12, 220, False),
    ],
)
def test_groups_too_large_to_be_copies_fall_apart_and_are_told(size, class_size, kept):
    found = usable_groups(chain(size), ["brick"] * class_size + ["grass"] * 1000)
    assert found.groups == (chain(size).groups if kept else ())
    assert found.look_alikes == (() if kept else tuple(range(size)))
    if not kept:
        assert f"{size} different images of 'brick' are similar" in found.notes[0]


def test_exact_duplicates_stay_together_whatever_their_number():
    exact = chain(30, kind="exact")
    assert usable_groups(exact, ["a"] * 40) == exact
    # Twenty exact copies are one image, so with two near ones the group holds three.
    mixed = Groups((tuple(range(22)),), (*chain(20, kind="exact").pairs, *chain(3, start=19).pairs))
    assert usable_groups(mixed, ["a"] * 40).groups == mixed.groups
    # A chain of 15 near ones falls apart, and leaves the exact pair in it.
    tail = Groups((tuple(range(16)),), (Pair(0, 1, "exact"), *chain(15, start=1).pairs))
    assert usable_groups(tail, ["a"] * 40).groups == ((0, 1),)


def test_given_groups_and_duplicates_join():
    found = Groups(((1, 4),), (Pair(1, 4, "near"),))
    assert join_groups(["x", "x", None, "y", None, None, "y"], found) == [0, 0, None, 3, 0, None, 3]
    assert join_groups(["alone", None], Groups((), ())) == [None, None]


@given(links=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_connected_gives_the_lowest_index_reached(links):
    lowest = list(range(20))
    for _ in range(20):  # the plain way: let the lower number spread until nothing changes
        for first, second in links:
            lowest[first] = lowest[second] = min(lowest[first], lowest[second])
    assert connected(20, links) == lowest


def test_links_are_made_by_equal_names_only():
    assert list(links_of(["a", None, "b", "a", None])) == [(0, 0), (2, 2), (0, 3)]


@pytest.mark.slow
def test_sixty_thousand_images_with_planted_copies():
    images = pictures(59_900)
    copies = [np.clip(image * 0.9 + 5, 0, 255).astype(np.uint8) for image in images[:100]]
    facts = [facts_of(image) for image in images + copies]
    found = duplicate_groups([str(index) for index in range(60_000)], facts)
    assert found.groups == tuple((index, 59_900 + index) for index in range(100))
