"""The pictures of the studies: what they are, and that no test picture is trained on."""

import numpy as np
import pytest

from tests.conftest import lay_out
from tortie.errors import UsageError
from tortie.experiments.picture_sets import pictures


@pytest.mark.parametrize(("name", "count"), [("digits", 1797), ("patches", 2100)])
def test_splits_share_no_group_and_are_functions_of_the_seed(name, count):
    found = pictures(name, 8, 1, None)
    assert len(found.pixels) >= count
    train, test = found.rows(1)
    assert not set(found.groups[train]) & set(found.groups[test])
    again = pictures(name, 8, 1, None)
    assert again.sha256 == found.sha256
    assert all(np.array_equal(*pair) for pair in zip(found.rows(1), again.rows(1), strict=True))
    assert not np.array_equal(found.rows(1)[0], found.rows(2)[0])


def test_fewer_pictures_are_as_many_of_each_class():
    train, test = pictures("digits", 8, 1, None).rows(3, 50, 30)
    labels = pictures("digits", 8, 1, None).labels
    assert np.bincount(labels[train]).tolist() == [5] * 10
    assert np.bincount(labels[test]).tolist() == [3] * 10


def test_pictures_are_normalised_by_those_trained_on():
    split = pictures("digits", 8, 1, None).split(1, 200)
    assert split.train.shape == (200, 1, 8, 8)
    assert float(split.train.mean()) == pytest.approx(0, abs=1e-4)
    assert float(split.train.std()) == pytest.approx(1, abs=1e-2)


def test_a_folder_takes_their_place_and_its_test_stays_the_test(tmp_path):
    lay_out(tmp_path / "own", 6, splits=("train", "test"))
    found = pictures("digits", 16, 3, tmp_path / "own")
    assert found.pixels.shape == (24, 16, 16, 3)
    assert found.classes == ("blobs", "stripes")
    train, test = found.rows(1)
    assert len(train) == len(test) == 12
    assert found.tested is not None
    assert found.tested[test].all()
    assert not found.tested[train].any()


def test_a_folder_of_nothing_is_refused(tmp_path):
    lay_out(tmp_path / "own", 2)
    with pytest.raises(UsageError, match="4 readable photographs of 2 classes"):
        pictures("digits", 16, 3, tmp_path / "own")
