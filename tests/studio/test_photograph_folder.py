"""The studio's folder is an ordinary one at every moment, and loses nothing."""

import pytest

from tests.conftest import lay_out
from tests.studio.conftest import jpeg
from tortie.errors import UsageError
from tortie.images.find import find
from tortie.studio.photograph_folder import PhotographFolder


def contents(folder):
    return {str(one.relative_to(folder)): one.read_bytes()
            for one in folder.rglob("*") if one.is_file()}  # fmt: skip


def test_what_is_added_is_what_fit_finds(tmp_path):
    folder = PhotographFolder(tmp_path / "pets")
    for label in ("Tigger", "Misty"):
        folder.add_class(label)
        for number in range(3):
            folder.add(label, jpeg("blobs", 10 * len(label) + number))
    folder.add("Tigger", jpeg("blobs", 60))  # again: the same bytes are one file
    found = find(tmp_path / "pets")
    assert [one.label for one in found.photographs] == ["Misty"] * 3 + ["Tigger"] * 3
    assert not found.splits and not found.notes


def test_moved_removed_and_renamed_photographs_are_still_there(tmp_path):
    # Invariant: the bytes of all photographs, under the root, hidden folders included.
    root = lay_out(tmp_path / "two", count=3)
    before = sorted(contents(root).values())
    folder = PhotographFolder(root)
    first, second, *_ = folder.listing().photographs
    folder.move([first], "stripes")  # where a file of that name is
    folder.remove([second])
    folder.rename_class("stripes", "bars")
    folder.add_class("stripes")
    labels = [one.label for one in folder.listing().photographs]
    assert labels == ["bars"] * 4 + ["blobs"]
    assert (root / ".removed" / "blobs" / second.path.name).exists()
    folder.remove_class("blobs")
    folder.add_class("blobs")
    folder.remove_class("blobs")
    assert sorted(contents(root).values()) == before
    assert list(folder.listing().folders) == ["bars", "stripes"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "cannot be named"), (".hidden", "cannot be named"), ("../up", "cannot be named"),
        ("a/b", "cannot be named"), ("a\\b", "cannot be named"), ("a\x00b", "cannot be named"),
        ("a\u202eb", "cannot be named"), ("x" * 101, "cannot be named"), ("con.", "cannot be"),
        ("test", "part of a split"), ("Training", "part of a split"), ("blobs", "there already"),
    ],
)  # fmt: skip
def test_names_that_are_no_class(tmp_path, name, message):
    root = lay_out(tmp_path / "two", count=1)
    folder = PhotographFolder(root)
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=message):
        folder.add_class(name)
    with pytest.raises(UsageError, match=message):
        folder.rename_class("stripes", name)
    assert contents(tmp_path) == before


def test_what_is_no_image_is_not_kept(tmp_path):
    folder = PhotographFolder(tmp_path)
    folder.add_class("a")
    with pytest.raises(UsageError, match="not an image"):
        folder.add("a", b"#!/bin/sh")
    with pytest.raises(UsageError, match="no class"):
        folder.add("b", jpeg("blobs", 1))
    assert contents(tmp_path) == {}


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "hi.txt").write_text("hi")
    with pytest.raises(UsageError, match=r"'.*hi\.txt' is no folder: expected"):
        PhotographFolder(tmp_path / "hi.txt")


def test_folders_of_splits_are_refused(tmp_path):
    with pytest.raises(UsageError, match="holds splits"):
        PhotographFolder(lay_out(tmp_path, count=2, splits=("train", "test")))


def test_bursts_are_known_by_their_names(tmp_path):
    folder = PhotographFolder(tmp_path)
    folder.add_class("a")
    for number in range(2):
        folder.add("a", jpeg("blobs", number), burst="k3")
    folder.add("a", jpeg("blobs", 3))
    bursts = [one.burst for one in PhotographFolder(tmp_path).listing().photographs]
    assert bursts == ["k3", "k3", None]
