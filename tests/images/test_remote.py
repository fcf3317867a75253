"""Photographs that are not on this disk are those that are: fsspec's file system in memory."""

import fsspec
import pytest

from tests.conftest import lay_out
from tests.images.test_archives import packed, said
from tests.images.test_parquet import of, written
from tortie.errors import TortieError, UsageError
from tortie.images import UnreadableImage, find, find_files
from tortie.images.content import file_bytes
from tortie.images.remote import RemotePath, located


@pytest.fixture
def folder(tmp_path):
    return lay_out(tmp_path / "photos", 2, ("train", "val"))


@pytest.fixture
def bucket():
    """A bucket in memory; ``put`` puts a file into it."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def put(bucket, target, path):
    bucket.pipe_file(target, path.read_bytes())


def test_an_address_keeps_its_slashes_as_a_path(tmp_path):
    path = located(tmp_path.__class__("s3://bucket/photos/a.jpg"))
    assert str(path) == str(located(path)) == "s3://bucket/photos/a.jpg"
    assert str(path.parent / "b.jpg") == "s3://bucket/photos/b.jpg"
    assert path.relative_to(RemotePath("s3://bucket")).parts == ("photos", "a.jpg")
    for other in ("C:/photos", "a:b/c", "photos/s3:/x", "file:///x"):
        assert not isinstance(located(tmp_path.__class__(other)), RemotePath)


def test_a_folder_in_a_bucket_is_what_it_is_here(folder, bucket):
    for path in folder.rglob("*.jpg"):
        put(bucket, f"/bucket/photos/{path.relative_to(folder)}", path)
    found = find(folder.__class__("memory://bucket/photos"))
    assert said(found) == said(find(folder))
    assert str(found.photographs[0].path) == "memory://bucket/photos/train/blobs/00.jpg"
    assert find_files([found.root]).paths == [one.path for one in found.photographs]
    table = "path,label\nmemory://bucket/photos/train/blobs/00.jpg,a\nphotos/val/blobs/00.jpg,b\n"
    bucket.pipe_file("/bucket/set.csv", table.encode())
    (first, second) = find(folder.__class__("memory://bucket/set.csv")).photographs
    assert file_bytes(first.path) == (folder / "train/blobs/00.jpg").read_bytes()
    assert file_bytes(second.path) == (folder / "val/blobs/00.jpg").read_bytes()


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
def test_an_archive_in_a_bucket_is_what_it_is_here(folder, bucket, tmp_path, kind):
    put(bucket, f"/{kind}/set{kind}", packed(folder, tmp_path / f"set{kind}"))
    for source in (f"memory://{kind}/set{kind}", f"memory://{kind}"):
        found = find(folder.__class__(source))
        assert said(found) == said(find(folder))
        first = f"memory://{kind}/set{kind}:train/blobs/00.jpg"
        assert str(found.photographs[0].path) == first
        assert file_bytes(folder.__class__(first)) == file_bytes(folder / "train/blobs/00.jpg")


def test_parquet_in_a_bucket_is_what_it_is_here(folder, bucket, tmp_path):
    for split in ("train", "val"):
        put(bucket, f"/pq/{split}-0.parquet", written(tmp_path / split, *of(folder, split)))
    assert said(find(folder.__class__("memory://pq"))) == said(find(folder))


def test_what_is_not_there_or_not_known_is_one_line(bucket, tmp_path):
    kind = tmp_path.__class__
    with pytest.raises(UsageError, match="no image in 'memory://nothing'"):
        find(kind("memory://nothing"))
    with pytest.raises(UnreadableImage, match=r"memory://nothing/a.jpg: no such file"):
        file_bytes(kind("memory://nothing/a.jpg"))
    with pytest.raises(UsageError, match="nosuch://a: no kind of address that fsspec knows"):
        find(kind("nosuch://a"))
    bucket.pipe_file("/b/a.zip", b"no zip")
    with pytest.raises(TortieError, match=r"'memory://b/a.zip' cannot be read as an archive"):
        find(kind("memory://b/a.zip"))


def test_a_missing_driver_is_said(monkeypatch, tmp_path):
    def missing(address):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(UsageError, match="s3://b/photos needs s3fs: pip install s3fs"):
        find(tmp_path.__class__("s3://b/photos"))
