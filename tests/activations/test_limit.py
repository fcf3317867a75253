import gc
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from tortie.activations import limit
from tortie.activations.database import NAME
from tortie.activations.store import ActivationStore
from tortie.errors import UsageError

Disk = namedtuple("Disk", "total used free")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("123", 123),
        ("5GB", 5_000_000_000),
        ("500 mb", 500_000_000),
        ("1.5GiB", 1_610_612_736),
        ("64k", 64_000),
        ("2TB", 2_000_000_000_000),
    ],
)
def test_sizes(text, expected):
    assert limit.parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "much", "-5GB", "5 XB", "5iB", "1e9", "5GB!"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match=r"TORTIE_CACHE_LIMIT is .* give a size such as 5GB"):
        limit.parse_size(text)


def test_default_limit_is_a_quarter_of_the_free_disk_or_10_gb(tmp_path, monkeypatch):
    monkeypatch.delenv("TORTIE_CACHE_LIMIT", raising=False)
    (tmp_path / NAME).write_bytes(bytes(400))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(10**12, 0, 10**6))
    assert limit.default_limit(tmp_path) == 250_100  # what it holds counts as free
    assert limit.default_limit(tmp_path / "not" / "yet") == 250_000
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(10**12, 0, 10**12))
    assert limit.default_limit(tmp_path) == 10_000_000_000
    monkeypatch.setenv("TORTIE_CACHE_LIMIT", "1MB")
    assert limit.default_limit(tmp_path) == 1_000_000


def test_where_the_store_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORTIE_CACHE_LIMIT", "2MB")
    with ActivationStore.default() as store:
        assert store.root == tmp_path / "cache" / "activations"
        assert store.limit == 2_000_000
    monkeypatch.delenv("TORTIE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert limit.default_root().is_relative_to(tmp_path)
    assert limit.default_root().parts[-2:] == ("tortie", "activations")
    monkeypatch.setenv("TORTIE_CACHE", "~/here")
    assert limit.default_root() == Path(tmp_path, "here", "activations")


def test_without_a_home_nothing_is_stored(monkeypatch):
    monkeypatch.setenv("TORTIE_CACHE", "~nobody-of-that-name/cache")
    notes = []
    with ActivationStore.default(notes.append) as store:
        assert store.is_empty
    assert len(notes) == 1
    assert "there is no home folder: set TORTIE_CACHE" in notes[0]
    assert not Path("~nobody-of-that-name").exists()


@pytest.mark.skipif(os.name == "nt", reason="the home is said otherwise")
@pytest.mark.parametrize("home", [None, "", "relative"])
def test_a_user_without_a_home_and_a_password_entry_has_no_store(monkeypatch, home):
    """As ``docker run --user 54321`` leaves it."""

    def nobody(uid):
        raise KeyError(uid)

    monkeypatch.delenv("TORTIE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    notes = []
    with ActivationStore.default(notes.append) as store:
        assert store.is_empty
    assert len(notes) == 1
    assert "there is no home folder: set TORTIE_CACHE" in notes[0]


def test_a_cache_that_may_not_be_looked_into_is_no_store(tmp_path, monkeypatch):
    """As another user's folder is; the tests may run as a user whom nothing is denied."""
    closed = tmp_path / "closed" / "activations"
    plain = Path.exists

    def denied(path):
        if path.parent.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(Path, "exists", denied)
    monkeypatch.setattr(Path, "mkdir", lambda path, **how: denied(path))
    notes = []
    with ActivationStore(closed, note=notes.append) as store:
        assert store.is_empty
    assert len(notes) == 1
    assert "Permission denied" in notes[0] and notes[0].endswith("; nothing is stored")


def test_a_limit_that_is_no_size_leaves_no_half_of_a_store(monkeypatch):
    monkeypatch.setenv("TORTIE_CACHE_LIMIT", "abc")
    unraisable = []
    monkeypatch.setattr("sys.unraisablehook", unraisable.append)
    with pytest.raises(UsageError, match="TORTIE_CACHE_LIMIT is 'abc'"):
        ActivationStore.default()
    gc.collect()
    assert not unraisable
