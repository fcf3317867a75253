"""Extraction: the same activations live and from the store, and nothing computed twice."""

import copy
import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.activations.conftest import SMALL
from tortie.activations import extract
from tortie.activations.engine import BATCH, EngineChoice
from tortie.activations.extract import Extraction
from tortie.activations.prefix import Prefix
from tortie.activations.store import ActivationStore
from tortie.images import hash_all, read
from tortie.networks import efficientnet_lite0


def silent(done, total):
    pass


def run(extractor, paths, reads=None):
    with Extraction(extractor, paths, hash_all(paths, 2), reads) as extraction:
        return extraction, *extraction.finish(silent)


def test_activations_are_those_of_the_network(extractor, paths):
    extraction, activations, rows = run(extractor, paths)
    assert [i for i in range(37) if i not in rows] == [30]
    assert extraction.reasons == {30: "not an image"}
    pixels = np.stack([SMALL.pixels(Image.open(paths[i])) for i in rows])
    with torch.inference_mode():
        images = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
        live = extractor.prefix.module.eval()(images).numpy()
    np.testing.assert_allclose(activations, live, rtol=1e-4, atol=1e-5)
    assert all(extraction.facts[i].width == 50 for i in rows)


def test_an_engine_that_was_released_is_made_ready_again(extractor, paths):
    """The oracle is the same engine before."""
    first = extractor.engine
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SMALL.shape), np.uint8)
    before = first(pixels)
    extractor.release()
    assert "engine" not in vars(extractor)
    np.testing.assert_array_equal(extractor.engine(pixels), before)
    assert extractor.engine is not first


def test_a_second_run_decodes_and_computes_nothing(extractor, paths, monkeypatch):
    _, first, _ = run(extractor, paths)

    def forbidden(*given, **how):
        raise AssertionError("the store has it")

    paths[30].unlink()
    monkeypatch.setattr(extract, "ready", forbidden)
    reading = importlib.import_module("tortie.images.read")
    monkeypatch.setattr(reading, "decode", forbidden)
    again = replace(extractor)  # without the engine that the first one had made ready
    extraction, second, rows = run(again, paths)
    assert extraction.computed == 0
    assert extraction.missing == 1  # the file that is gone
    np.testing.assert_array_equal(first, second)
    assert len(rows) == 36


def test_copies_are_computed_once(extractor, paths):
    extraction, activations, rows = run(extractor, paths)
    assert extraction.computed == 35
    np.testing.assert_array_equal(activations[3], activations[list(rows).index(20)])


def test_only_new_photographs_are_computed(extractor, paths):
    run(extractor, paths[:10])
    extraction, _, _ = run(extractor, paths)
    assert extraction.computed == 25


def test_reading_that_began_early_gives_the_same(extractor, paths):
    _, wanted, _ = run(extractor, paths)
    extractor.store.clear()
    reads = read(paths, preprocessing=SMALL, threads=2)
    extraction, got, rows = run(extractor, paths, reads)
    assert extraction.computed == 35
    assert len(rows) == 36
    np.testing.assert_array_equal(got, wanted)


def test_a_flipped_byte_in_the_store_is_computed_anew(extractor, paths):
    _, wanted, _ = run(extractor, paths)
    extractor.store.close()
    content = bytearray(extractor.store.path.read_bytes())
    content[content.index(wanted[7].tobytes()[:64]) + 10] ^= 1
    extractor.store.path.write_bytes(content)
    extraction, got, _ = run(extractor, paths)
    assert extraction.computed == 1
    np.testing.assert_array_equal(got, wanted)


def test_stopping_keeps_what_was_computed(extractor, paths):
    with (
        pytest.raises(KeyboardInterrupt),
        Extraction(extractor, paths, hash_all(paths, 2)) as extraction,
    ):
        extraction.sample()
        raise KeyboardInterrupt
    extraction, _, _ = run(extractor, paths)
    assert extraction.computed == 35 - 2 * BATCH  # two batches are there


def test_a_full_store_costs_time_and_nothing_else(extractor, paths, tmp_path):
    _, wanted, _ = run(extractor, paths)
    nothing = ActivationStore(tmp_path / "none", 0, note=lambda line: None)
    for _ in range(2):
        extraction, got, _ = run(replace(extractor, store=nothing), paths)
        assert extraction.computed == 35
        np.testing.assert_array_equal(got, wanted)


def test_a_file_that_changes_after_it_was_hashed_is_left_out(extractor, paths):
    digests = hash_all(paths, 2)
    paths[5].write_bytes(paths[6].read_bytes())
    with Extraction(extractor, paths, digests) as extraction:
        _, rows = extraction.finish(silent)
    assert extraction.reasons[5] == "it changed while it was being read"
    assert 5 not in rows and 6 in rows


@pytest.mark.parametrize(
    "change",
    [
        {"preprocessing": SMALL.model_copy(update={"resize": 40})},
        {"choice": EngineChoice("onednn", "bfloat16")},
        {"choice": EngineChoice("onednn", "float32")},
        {"choice": EngineChoice("eager", "float32")},
        {"code": 2},
        {"structure": "another"},
        {"cut": "elsewhere"},
    ],
)
def test_what_computes_otherwise_does_not_share_entries(extractor, paths, change):
    run(extractor, paths)
    own = {name: change.pop(name) for name in ("preprocessing", "cut") if name in change}
    if own:
        change["prefix"] = copy.copy(extractor.prefix)
        for name, value in own.items():
            setattr(change["prefix"], name, value)
    extraction, _, _ = run(replace(extractor, **change), paths)
    assert extraction.computed == 35


def test_other_weights_do_not_share_entries(extractor, paths):
    run(extractor, paths)
    network = efficientnet_lite0().eval()  # the generator has moved on
    extraction, _, _ = run(replace(extractor, prefix=Prefix.of(network, SMALL)), paths)
    assert extraction.computed == 35


def test_networks_that_differ_after_the_cut_share_entries(extractor, paths):
    torch.manual_seed(0)
    network = efficientnet_lite0().eval()
    run(replace(extractor, prefix=Prefix.of(network, SMALL, "mbconv7")), paths[:5])
    torch.nn.init.ones_(network.stages.conv_head.conv.weight)
    shared = replace(extractor, prefix=Prefix.of(network, SMALL, "mbconv7"))
    extraction, _, _ = run(shared, paths[:5])
    assert extraction.computed == 0
