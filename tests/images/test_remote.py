"""Photographs that are not on this disk are those that are: fsspec's file system in memory."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import os
import re
import tempfile
import threading
from pathlib import Path

import fsspec
import pytest

from tests.conftest import lay_out
from tests.images.test_archives import packed, said
from tests.images.test_parquet import of, written
from tests.learning.test_extract_shards import write_tar
from tortie.errors import TortieError, UsageError
from tortie.images import Preprocessing, UnreadableImage, find, find_files, read, remote
from tortie.images.archives import copying
from tortie.images.content import file_bytes, file_digest
from tortie.images.input_shards import input_shards
from tortie.images.patterns import expanded
from tortie.images.remote import RemoteError, RemotePath, located


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


def pad(folder):
    """Make photographs large enough for several reads of any library."""
    for path in folder.rglob("*.jpg"):
        path.write_bytes(path.read_bytes() + os.urandom(2**20))


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
    with pytest.raises(UsageError, match="there is nothing at 'memory://nothing'"):
        find(kind("memory://nothing"))
    with pytest.raises(UnreadableImage, match=r"a.jpg': cannot be opened: no such file$"):
        file_bytes(kind("memory://nothing/a.jpg"))
    with pytest.raises(UsageError, match="nosuch://a: no kind of address that fsspec knows"):
        find(kind("nosuch://a"))
    bucket.pipe_file("/b/a.zip", b"no zip")
    with pytest.raises(TortieError, match=r"'memory://b/a.zip' cannot be read as an archive"):
        find(kind("memory://b/a.zip"))


def test_a_missing_driver_is_said(monkeypatch, tmp_path):
    def missing(scheme):
        raise ImportError(f"Install a driver for {scheme}")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    wanted = {
        "s3": ("s3fs", "s3"),
        "gs": ("gcsfs", "gs"),
        "az": ("adlfs", "az"),
        "https": ("aiohttp", "http"),
    }
    for scheme, (package, extra) in wanted.items():
        said = rf"{scheme}://b/photos needs {package}: pip install 'tortie\[{extra}\]'"
        with pytest.raises(UsageError, match=said):
            find(tmp_path.__class__(f"{scheme}://b/photos"))


def test_patterns_of_addresses_are_those_of_files(folder, bucket, tmp_path):
    for name in ("train-000.tar", "train-001.tar", "val-000.tar"):
        packed(folder, tmp_path / name, only=f"{'a' if name < 'u' else 'l'}")
        put(bucket, f"/s/{name}", tmp_path / name)
    kind = folder.__class__
    for pattern in ("train-*.tar", "train-{000..001}.tar", "{train,val}-00?.tar"):
        here, there = expanded(tmp_path / pattern), expanded(located(kind(f"memory://s/{pattern}")))
        assert [one.name for one in there] == [one.name for one in here]
        assert all(str(one).startswith("memory://s/") for one in there)
    for pattern in ("none-*.tar", "train-{000..002}.tar"):
        with pytest.raises(UsageError, match=r"no file matches 'memory://s/(none-\*|train-002)"):
            find(kind(f"memory://s/{pattern}"))
    page = located(kind("https://example.org/a.jpg?size=large"))
    assert expanded(page) == [page]  # its question mark begins a query


KINDS = ("photos", "set.zip", "set.tar", "set.tar.gz", "pq")


@pytest.mark.parametrize("kind", [one for one in KINDS if "gz" not in one])  # which reads ahead
def test_a_server_that_dies_ends_the_run(folder, bucket, tmp_path, monkeypatch, kind):
    """Its photographs are not left out one by one, as damaged ones are; later they are there."""
    monkeypatch.setattr(remote, "_BLOCK", 100)  # else all of it is there at once
    pad(folder)
    if kind == "photos":
        for path in folder.rglob("*.jpg"):
            put(bucket, f"/dies/photos/{path.relative_to(folder)}", path)
    elif kind == "pq":
        for split in ("train", "val"):
            target = written(tmp_path / split, *of(folder, split), rows=1)
            put(bucket, f"/dies/pq/{split}-0.parquet", target)
    else:
        put(bucket, f"/dies/{kind}", packed(folder, tmp_path / kind))
    found = find(folder.__class__(f"memory://dies/{kind}"))
    first, last = found.photographs[0].path, found.photographs[-1].path
    file_bytes(first)

    def gone(*_):
        raise ConnectionError("Could not connect\nto the server")

    with monkeypatch.context() as patched:
        patched.setattr(type(bucket), "cat_file", gone)
        patched.setattr(fsspec.implementations.memory.MemoryFile, "read", gone)
        pixels = Preprocessing(
            resize=32, height=32, width=32, interpolation="bilinear", mean=(0,) * 3, std=(1,) * 3
        )
        reading = read([last] * 3, preprocessing=pixels, threads=2)
        with reading, pytest.raises(RemoteError, match=rf"^memory://dies/{kind}\S* cannot be read"):
            list(reading)
    assert hashlib.sha256(file_bytes(last)).hexdigest() == file_digest(last)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_server_that_dies_while_an_archive_is_listed(folder, bucket, tmp_path, monkeypatch, kind):
    """What was listed by then is no archive that was cut short."""
    monkeypatch.setattr(remote, "_BLOCK", 100)
    pad(folder)
    if kind == "pq":
        put(bucket, "/listed/pq/train-0.parquet", written(tmp_path / "a", *of(folder, "train")))
    else:
        put(bucket, f"/listed/{kind}", packed(folder, tmp_path / kind))
    whole, read_once = fsspec.implementations.memory.MemoryFile.read, []

    def gone(file, *size):
        if read_once:
            raise ConnectionError("gone")
        read_once.append(1)
        return whole(file, *size)

    monkeypatch.setattr(fsspec.implementations.memory.MemoryFile, "read", gone)
    with pytest.raises(RemoteError, match=r"memory://listed/\S+ cannot be read: gone"):
        find(folder.__class__(f"memory://listed/{kind}"))


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, or the part of one that is asked for."""

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404 if "private" not in self.path else 403)
            return
        content = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (0, "") if asked is None else (int(asked[1]), asked[2])
        end = min(int(last) + 1, len(content)) if last else len(content)
        self.send_response(200 if asked is None else 206)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(content)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - first))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[first:end])

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path):
    """The address of a server of the web that has the files of a folder."""
    pytest.importorskip("aiohttp")
    handler = functools.partial(Ranges, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_archives_and_photographs_of_the_web_are_those_here(folder, web, tmp_path):
    here = said(find(folder))
    for name in ("set.zip", "set.tar.gz"):
        packed(folder, tmp_path / name)
        assert said(find(RemotePath(f"{web}/{name}"))) == here
    for split in ("train", "val"):
        packed(folder, tmp_path / f"{split}-000.tar", only=f"/{split}/")
    assert said(find(RemotePath(f"{web}/{{train,val}}-000.tar"))) == here
    first = find(folder).photographs[0].path
    address = RemotePath(f"{web}/{first.relative_to(tmp_path)}?size=large")
    assert find_files([address]).paths == [address]
    assert file_bytes(address) == first.read_bytes()


@pytest.mark.parametrize("wanted", [find, input_shards])
def test_a_shard_of_the_web_that_is_not_there_is_not_left_out(folder, web, tmp_path, wanted):
    """Of shards that braces name each is there, as it must be on a disk and in a bucket."""
    for split in ("train", "val"):
        packed(folder, tmp_path / f"{split}-000.tar", only=f"/{split}/")
    with pytest.raises(UsageError, match=r"or not there: 1 \('http\S+/test-000.tar'\); give"):
        wanted(RemotePath(f"{web}/{{train,val,test}}-000.tar"))
    (tmp_path / "private").mkdir()
    with pytest.raises(RemoteError, match=r"private/val-000.tar cannot be read: 403"):
        wanted(RemotePath(f"{web}/{{train-000,private/val-000}}.tar"))


def test_a_server_that_fails_while_it_is_asked_for_a_file_is_told(
    folder, bucket, tmp_path, monkeypatch
):
    """What fsspec's ``isfile`` makes of such a server is that there is no file."""
    for split in ("train", "val"):
        put(
            bucket,
            f"/asked/{split}-000.tar",
            packed(folder, tmp_path / f"{split}.tar", only=f"/{split}/"),
        )
    info = type(bucket).info

    def failing(system, path, **options):
        if "val" in path:
            raise ConnectionError("slow down")
        return info(system, path, **options)

    monkeypatch.setattr(type(bucket), "info", failing)
    with pytest.raises(RemoteError, match=r"memory://asked/val-000.tar cannot be read: slow down"):
        find(RemotePath("memory://asked/*-000.tar"))


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_shard_elsewhere_is_fetched_once(folder, web, tmp_path, monkeypatch, kind):
    """Counted by the server: listed, then read, it has sent each byte once, and a few to begin."""
    sent, answer = [], Ranges.do_GET

    def counted(handler):
        sent.append(handler.headers.get("Range"))
        with contextlib.suppress(ConnectionError):  # of one who only asks for the size
            answer(handler)

    monkeypatch.setattr(Ranges, "do_GET", counted)
    paths = sorted((folder / "train").rglob("*.jpg"))
    padding = bytes(2**20)  # of which each photograph has some after its end
    if kind == "tar":
        members = {}
        for number, path in enumerate(paths * 6):
            members[f"{number:04}.jpg"] = path.read_bytes() + padding
            members[f"{number:04}.cls"] = path.parent.name.encode()
        write_tar(tmp_path / "set.tar", members)
    else:
        files, labels = of(folder, "train")
        content = [one + os.urandom(2**20) for one in files * 6]
        written(tmp_path / "set.parquet", content, labels * 6, rows=4)
    size = (tmp_path / f"set.{kind}").stat().st_size
    (shard,) = input_shards(f"{web}/set.{kind}")
    with shard.opened() as collection:
        found = [file_digest(one.path) for one in collection.photographs]
        read_again = [file_digest(one.path) for one in collection.photographs]
    assert len(found) == 24 and found == read_again
    ranges = [re.fullmatch(r"bytes=(\d+)-(\d+)", one or "") for one in sent]
    fetched = sum(min(int(one[2]) + 1, size) - int(one[1]) for one in ranges if one)
    assert size <= fetched <= size + 3 * 2**23


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_in_an_order_of_their_own_are_fetched_once(web, tmp_path, monkeypatch, kind):
    """Counted by the server: after the list, the bytes of the members, and little beside them."""
    sent, answer = [], Ranges.do_GET

    def counted(handler):
        first, last = handler.headers.get("Range", "bytes=0-0").removeprefix("bytes=").split("-")
        sent.append(int(last) - int(first) + 1)
        answer(handler)

    folder = tmp_path / "set" / "a"
    folder.mkdir(parents=True)
    for number in range(60):
        (folder / f"{number * 37 % 60:02}.jpg").write_bytes(os.urandom(200_000))
    packed(folder.parent, tmp_path / f"set.{kind}")
    (found,) = [find_files([RemotePath(f"{web}/set.{kind}")]).paths]
    monkeypatch.setattr(Ranges, "do_GET", counted)
    for number in range(60):
        path = found[number * 23 % 60]
        assert file_bytes(path) == (folder / path.name).read_bytes()
    assert sum(sent) < 1.2 * 60 * 200_000


def test_a_shard_that_is_large_or_finds_no_room_is_read_where_it_is(
    folder, bucket, tmp_path, monkeypatch
):
    put(bucket, "/room/set.tar", packed(folder / "train", tmp_path / "set.tar"))

    def full():
        raise OSError(28, "No space left on device")

    expected = sorted(file_digest(path) for path in (folder / "train").rglob("*.jpg"))
    for change in ((remote, "_LARGEST_COPY", 10), (tempfile, "TemporaryFile", full)):
        with monkeypatch.context() as patched, copying(located(Path("memory://room/set.tar"))):
            patched.setattr(*change)
            found = find(folder.__class__("memory://room/set.tar"))
            assert sorted(file_digest(one.path) for one in found.photographs) == expected


def test_a_photograph_of_the_web_that_is_not_there_says_why(web):
    for name, reason in (("none.jpg", "no such file"), ("private.jpg", "403, message='Forbidden'")):
        (path,) = find_files([RemotePath(f"{web}/{name}")]).paths
        with pytest.raises(UnreadableImage, match=rf"{name}.*{reason}"):
            file_bytes(path)
    with pytest.raises(UnreadableImage, match="opened: Cannot connect to host"):
        file_bytes(RemotePath("http://127.0.0.1:1/a.jpg"))
    with pytest.raises(RemoteError, match=r"set.zip cannot be read: Cannot connect to host"):
        find(RemotePath("http://127.0.0.1:1/set.zip"))


def test_an_address_that_is_not_there_is_no_empty_folder(bucket):
    """Reading it tells, as of a file here: predict names it, and its exit code is 1."""
    address = RemotePath("memory://nothing/a.jpg")
    assert find_files([address]).paths == [address]
    bucket.makedirs("/there")
    assert find_files([RemotePath("memory://there")]).paths == []


def test_a_web_address_that_is_gone_is_a_photograph_that_is(monkeypatch, tmp_path):
    """A list of addresses has many servers: one that fails is no end of the run."""

    class Gone(fsspec.AbstractFileSystem):
        def info(self, path, **_):
            raise ConnectionError("no route to host")

    monkeypatch.setattr(fsspec, "get_filesystem_class", lambda scheme: Gone)
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda address: (Gone(), address))
    with pytest.raises(UnreadableImage, match=r"b.jpg': cannot be opened: no route to host$"):
        file_bytes(tmp_path.__class__("https://a/b.jpg"))
    with pytest.raises(RemoteError):
        file_bytes(tmp_path.__class__("s3://a/b.jpg"))


@pytest.mark.parametrize(
    "scheme, said, way_out",
    [
        ("s3", "Unable to locate credentials", "AWS_ACCESS_KEY_ID"),
        ("gs", "Your default credentials were not found", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az", "Must provide either a connection_string or account_name", "AZURE_STORAGE_ACCOUNT"),
    ],
)
def test_credentials_that_are_missing_say_how_to_give_them(
    monkeypatch, tmp_path, scheme, said, way_out
):
    """The words are those of the three drivers."""

    def refused(address):
        raise ValueError(said)

    monkeypatch.setattr(fsspec, "get_filesystem_class", lambda scheme: None)
    monkeypatch.setattr(fsspec.core, "url_to_fs", refused)
    with pytest.raises(RemoteError, match=f"^{scheme}://a/b cannot be read: {said}.*{way_out}"):
        find(tmp_path.__class__(f"{scheme}://a/b"))


class Wholes(Ranges):
    """Files of a folder, each as a whole whatever is asked for, as ``python -m http.server``."""

    def do_GET(self):
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            with contextlib.suppress(ConnectionError):
                self.wfile.write(content)

    do_HEAD = do_GET


@pytest.fixture
def plain_web(tmp_path):
    """The address of a server without ranges that has the files of a folder."""
    pytest.importorskip("aiohttp")
    handler = functools.partial(Wholes, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz", "train.parquet"])
def test_an_archive_of_a_server_without_ranges_is_read_from_a_copy(
    folder, tmp_path, plain_web, name, monkeypatch
):
    """The oracle is the archive on this disk."""
    if name.endswith("parquet"):
        written(tmp_path / name, *of(folder, "train"))
    else:
        packed(folder, tmp_path / name)
    found = find(RemotePath(f"{plain_web}/{name}"))
    assert said(found) == said(find(tmp_path / name))
    assert len(find_files([RemotePath(f"{plain_web}/{name}")]).paths) == len(found.photographs)
    monkeypatch.setattr(remote, "_LARGEST_COPY", 100)
    (tmp_path / f"large-{name}").write_bytes((tmp_path / name).read_bytes())
    with pytest.raises(TortieError, match=r"no parts of a file \(HTTP ranges\): download it, and"):
        find(RemotePath(f"{plain_web}/large-{name}"))


def test_a_gzipped_shard_elsewhere_is_read_from_its_copy(folder, bucket, tmp_path):
    """The copy is open for writing, too, which the reader of gzip refuses by itself."""
    image = next(folder.rglob("*.jpg")).read_bytes()
    write_tar(tmp_path / "a.tar", {"a.jpg": image, "a.cls": b"x"})
    bucket.pipe_file("/room/a.tar.gz", gzip.compress((tmp_path / "a.tar").read_bytes()))
    (shard,) = input_shards("memory://room/a.tar.gz")
    with shard.opened() as collection:
        (only,) = collection.photographs
        assert file_bytes(only.path) == image
