import hashlib
import importlib
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from tests.conftest import photograph
from tortie.errors import UsageError
from tortie.images import (
    Preprocessing,
    decode,
    facts_of,
    hash_all,
    read,
)

TINY = Preprocessing(
    resize=12,
    height=10,
    width=10,
    channels=3,
    interpolation="bicubic",
    mean=(0, 0, 0),
    std=(1, 1, 1),
)


@pytest.fixture
def paths(tmp_path):
    files = [tmp_path / f"{number:03}.png" for number in range(40)]
    for number, path in enumerate(files):
        Image.new("RGB", (30 + number, 20), (number, 0, 0)).save(path)
    return files


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("tortie-read")]


@pytest.mark.parametrize("threads", [1, 3])
def test_reading_in_threads_gives_what_the_steps_give_in_order(paths, threads):
    results = list(read(paths, preprocessing=TINY, threads=threads, ahead=5))
    assert [result.index for result in results] == list(range(40))
    for result in results:
        path = paths[result.index]
        decoded = decode(path)
        assert result.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert result.facts == facts_of(decoded)
        assert result.reason is None
        np.testing.assert_array_equal(result.pixels, TINY.pixels(decoded.image)[None])
    assert not readers()


def test_a_bad_file_is_said_and_the_others_are_read(paths, tmp_path):
    paths[1].write_bytes(paths[1].read_bytes()[:-30])
    paths[2].write_text("words")
    paths[3] = tmp_path / "none.png"
    results = list(read(paths, preprocessing=TINY, threads=2))
    reasons = [result.reason for result in results]
    missing = "cannot be opened: No such file or directory"
    assert reasons == [None, "truncated", "not an image", missing, *[None] * 36]
    assert results[2].sha256 == hashlib.sha256(b"words").hexdigest()
    assert results[3].sha256 is None
    assert all(result.pixels is None and result.facts is None for result in results[1:4])


def test_the_size_limit_and_the_orientation_are_the_decoders(paths):
    limited = read(paths[:2], preprocessing=TINY, threads=1, max_pixels=600)
    assert [result.reason for result in limited] == [
        None,
        "31×20 pixels is over the limit of 0.0006 megapixels",
    ]


@pytest.fixture
def decoded_paths(monkeypatch):
    """The files that were decoded, as they are."""
    module = importlib.import_module("tortie.images.read")
    seen, whole = [], module.decode

    def watched(content, **how):
        seen.append(content)
        return whole(content, **how)

    monkeypatch.setattr(module, "decode", watched)
    return seen


def test_work_begins_before_the_first_result_is_asked_for(paths, decoded_paths):
    with read(paths, preprocessing=TINY, threads=1):
        for _ in range(1000):
            if decoded_paths:
                return
            time.sleep(0.01)
    raise AssertionError("nothing was read")


def test_no_more_than_ahead_files_are_read_before_their_turn(paths, decoded_paths):
    reading = read(paths, preprocessing=TINY, threads=3, ahead=4)
    for taken in range(1, 20):
        next(reading)
        time.sleep(0.002)
        assert len(decoded_paths) <= taken + 4
    reading.close()
    assert len(decoded_paths) < 40


def test_closing_ends_the_threads_and_the_iteration(paths):
    reading = read(paths, preprocessing=TINY, threads=2)
    next(reading)
    assert readers()
    reading.close()
    assert not readers()
    assert list(reading) == []


def test_leaving_it_behind_ends_the_threads(paths):
    reading = read(paths, preprocessing=TINY, threads=2, ahead=2)
    next(reading)
    del reading
    for thread in readers():
        thread.join(10)
    assert not readers()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_comes_out_and_ends_the_threads(paths, error, monkeypatch):
    def fail(*content, **how):
        raise error("bug")

    monkeypatch.setattr(importlib.import_module("tortie.images.read"), "decode", fail)
    with pytest.raises(error, match="bug"):
        list(read(paths, preprocessing=TINY, threads=2))
    assert not readers()


def test_an_image_in_memory_is_read_as_its_file_is(paths):
    image = Image.open(paths[7])
    array = np.asarray(image)
    results = list(read([paths[7], image, array], preprocessing=TINY, threads=1))
    for result in results[1:]:
        np.testing.assert_array_equal(result.pixels, results[0].pixels)
        assert result.facts.perceptual_hash == results[0].facts.perceptual_hash
    assert len({result.sha256 for result in results}) == 3


def test_nothing_to_read(paths):
    assert list(read([], preprocessing=TINY, threads=1)) == []
    with pytest.raises(UsageError, match="cannot read with 0 threads"):
        read(paths, preprocessing=TINY, threads=0)


def test_hash_all(tmp_path):
    """SHA-256 of "abc", from FIPS 180-2, appendix B.1."""
    (tmp_path / "abc").write_bytes(b"abc")
    published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    array = np.zeros((2, 3), np.uint8)
    digests = hash_all([tmp_path / "abc", tmp_path, array, array.reshape(3, 2)], threads=2)
    assert digests[:2] == [published, None]
    assert digests[2] != digests[3]  # the same pixels in another shape are another image


def test_each_view_is_rendered_from_one_decode(paths, decoded_paths):
    def shifted(by):
        return lambda decoded, sha256: TINY.pixels(decoded.image) + np.uint8(by)

    results = list(read(paths, preprocessing=TINY, threads=2, renders=[shifted(0), shifted(5)]))
    assert len(decoded_paths) == len(paths)
    for result in results:
        assert result.pixels.shape == (2, 10, 10, 3)
        np.testing.assert_array_equal(result.pixels[1], result.pixels[0] + 5)


def test_the_interpreters_switch_interval_is_put_back(paths):
    before = sys.getswitchinterval()
    reading = read(paths, preprocessing=TINY, threads=2)
    assert sys.getswitchinterval() < before
    reading.close()
    reading.close()
    assert sys.getswitchinterval() == before
    list(read(paths, preprocessing=TINY, threads=2))
    assert sys.getswitchinterval() == before


@pytest.mark.parametrize("first", [0, 1])
def test_readings_that_overlap_leave_the_switch_interval_as_it_was(paths, first):
    before = sys.getswitchinterval()
    readings = [read(paths, preprocessing=TINY, threads=2) for _ in range(2)]
    readings[first].close()
    assert sys.getswitchinterval() < before  # the other reads on
    readings[1 - first].close()
    assert sys.getswitchinterval() == before


def test_memory_that_runs_out_names_the_file_and_ends_nothing(tmp_path, monkeypatch):
    """Wherever it runs out: while a file is read, decoded, or made a view."""
    for name in "abc":
        photograph("stripes", ord(name)).save(tmp_path / f"{name}.jpg")
    paths = [tmp_path / f"{name}.jpg" for name in "abc"]

    def render(decoded, sha256):
        if sha256 == hash_all(paths[1:2], 1)[0]:
            raise MemoryError
        return np.zeros((2, 2, 3), np.uint8)

    preprocessing = Preprocessing(resize=8, height=8, width=8, mean=(0,) * 3, std=(1,) * 3)
    with read(paths, preprocessing=preprocessing, threads=1, renders=[render]) as reading:
        reasons = [one.reason for one in reading]
    assert reasons == [None, "not enough memory to read it", None]
