"""Photographs in memory: what is kept of them while a batch is predicted."""

import copy
import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import photograph
from tortie.evaluation import activation_maps, live
from tortie.evaluation.live import LivePredictor
from tortie.images import decode
from tortie.loading import load


@pytest.fixture
def decoded(monkeypatch):
    """Weak references to all images that were decoded; no other may be there when one begins."""
    seen = []

    def alone(source, **options):
        gc.collect()
        assert [one() for one in seen if one() is not None] == []
        found = decode(source, **options)
        seen.append(weakref.ref(found.image))
        return found

    monkeypatch.setattr(live, "decode", alone)
    monkeypatch.setattr(activation_maps, "decode", alone)
    return seen


def larger(member):
    """The same network, on photographs that are resized to more before they are cut."""
    seen = member.extractor.preprocessing
    seen = seen.model_copy(update={"resize": seen.resize + 32})
    prefix = copy.copy(member.extractor.prefix)
    prefix.preprocessing = seen
    return replace(member, extractor=replace(member.extractor, prefix=prefix))


def test_one_photograph_is_there_in_full_size_and_members_are_averaged(fitted_file, decoded):
    # Invariant: the mean of the members asked alone; an earlier photograph is gone by the next.
    sources = [np.array(photograph("blobs", 700 + number)) for number in range(5)]
    member = load(fitted_file)._ready()[0]
    members = [member, larger(member), member]
    alone = [LivePredictor([one], 1.0, 1, None, 10**7)(sources).probabilities for one in members]
    del decoded[:]
    found = LivePredictor(members, 1.0, 1, None, 10**7)(sources)
    assert found.probabilities == pytest.approx(np.mean(alone, axis=0), abs=1e-6)
    assert np.abs(alone[0] - alone[1]).max() > 0  # they do see different pixels
    assert len(decoded) == 10  # two sizes; members of one preprocessing share theirs


def test_crops_and_activation_maps_keep_no_photograph(fitted_file, decoded):
    # Invariant: as above, for what else is made of a photograph.
    sources = [np.array(photograph("stripes", 720 + number)) for number in range(3)]
    classifier = load(fitted_file).set_params(crops=10)
    predictor = classifier.live()
    before = len(decoded)
    found = predictor(sources)
    assert len(decoded) == before + 3 and found.probabilities.shape == (3, 2)
    preprocessing = classifier._ready()[0].extractor.preprocessing
    pixels = list(activation_maps._read(sources, preprocessing))
    assert len(decoded) == before + 6 and all(len(one) for one in pixels)
