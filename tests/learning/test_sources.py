"""A set of photographs is one classifier wherever it lies: here, in archives, in a bucket.

The oracle is the fit on the folder. The bucket is that of an S3-compatible server on loopback.
"""

import logging

import fsspec
import numpy as np
import pytest

import tortie
from tests.conftest import lay_out, photograph
from tests.images.test_archives import packed
from tests.images.test_parquet import of, written
from tests.learning.test_extract_shards import write_tar
from tortie.cli.main import main
from tortie.errors import TortieError
from tortie.images import find
from tortie.images.remote import RemotePath
from tortie.learning.shard_features import ShardExtractor

SOURCES = ("photos", "set.zip", "set.tar.gz", "shards", "shards/{train,val}-000.tar", "pq")


def shards_of(folder, target, splits):
    """Two shards of webdataset in the order of the photographs' names, as most tools write them."""
    target.mkdir()
    for name, part in splits.items():
        members = {}
        for number, path in enumerate(sorted((folder / part).rglob("*.jpg"))):
            members[f"{number:04}.jpg"] = path.read_bytes()
            members[f"{number:04}.cls"] = path.parent.name.encode()
        write_tar(target / f"{name}.tar", members)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The set in a folder, in archives, in two shards, in Parquet."""
    folder = tmp_path_factory.mktemp("sources")
    photos = lay_out(folder / "photos", 5, ("train", "val"))
    for kind in (".zip", ".tar.gz"):
        packed(photos, folder / f"set{kind}", "wrapper/")
    shards_of(photos, folder / "shards", {"train-000": "train", "val-000": "val"})
    (folder / "pq").mkdir()
    for split in ("train", "val"):
        written(folder / f"pq/{split}-00000-of-00001.parquet", *of(photos, split))
    return folder


def copied(folder, system, to):
    for path in folder.rglob("*"):
        if path.is_file():
            system.pipe_file(f"{to}/{path.relative_to(folder)}", path.read_bytes())


@pytest.fixture(scope="module")
def server():
    """An S3-compatible server on loopback, which the environment names."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patched.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patched.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patched.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patched.setenv("AWS_MAX_ATTEMPTS", "1")
        patched.setattr("s3fs.core.S3FileSystem.retries", 1)
        yield server
        fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.stop()


@pytest.fixture(scope="module")
def bucket(here, server):
    """A bucket that holds what the folder does."""
    system = fsspec.filesystem("s3")
    system.call_s3("create_bucket", Bucket="photographs")
    copied(here, system, "photographs/set")
    return "s3://photographs/set"


@pytest.fixture(scope="module")
def memory(here):
    system = fsspec.filesystem("memory")
    copied(here, system, "/photographs/set")
    yield "memory://photographs/set"
    system.rm("/photographs", recursive=True)


def fitted(source):
    return tortie.ImageClassifier(threads=1, precision="float32", seed=3).fit(source)


@pytest.fixture(scope="module")
def expected(here):
    return fitted(here / "photos")


def check_same(found, expected):
    def said(data):
        return sorted(zip(data.sha256, data.split.splits, strict=True))

    assert said(found.fitted_.data) == said(expected.fitted_.data)
    assert found.accuracy_ == expected.accuracy_
    assert list(found.classes_) == list(expected.classes_)
    np.testing.assert_array_equal(
        found.fitted_.part.tensors["head.weight"], expected.fitted_.part.tensors["head.weight"]
    )


@pytest.mark.parametrize("source", SOURCES)
def test_it_is_the_classifier_of_the_folder(here, memory, expected, source):
    check_same(fitted(here / source), expected)
    check_same(fitted(f"{memory}/{source}"), expected)


@pytest.mark.parametrize(
    "source",
    [one if "{" in one else pytest.param(one, marks=pytest.mark.slow) for one in SOURCES],
)
def test_it_is_the_classifier_of_the_folder_from_s3(bucket, expected, source):
    check_same(fitted(f"{bucket}/{source}"), expected)


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_it_is_measured_and_predicted_alike(bucket, here, expected, tmp_path, source):
    expected.save(tmp_path / "c.safetensors")
    classifier = tortie.load(tmp_path / "c.safetensors")
    other = classifier.evaluate(f"{bucket}/{source}")
    own = classifier.evaluate(here / "photos")
    assert (other.scores, other.sha256) == (own.scores, own.sha256)
    (in_bucket, here_too) = (
        np.sort(classifier.predict_proba(one), axis=0)
        for one in (f"{bucket}/{source}", here / "photos")
    )
    np.testing.assert_array_equal(in_bucket, here_too)


@pytest.fixture
def refused(capfdbinary):
    """What the command line says of a command that it refuses, and its exit code."""

    def refused(*command):
        with pytest.raises(SystemExit) as caught:
            main([*map(str, command)])
        return caught.value.code, capfdbinary.readouterr().err.decode().strip().splitlines()

    return refused


def test_a_bucket_or_a_file_that_is_not_there_is_one_line(server, bucket, tmp_path, refused):
    output = ("-o", tmp_path / "c.safetensors")
    code, (line,) = refused("fit", "s3://nobody/x", *output)
    assert (code, line) == (
        1, "tortie: s3://nobody/x: no such file (The specified bucket does not exist)",
    )  # fmt: skip
    code, (line,) = refused("fit", f"{bucket}/none.tar", *output)
    assert code == 2 and line.startswith(f"tortie: there is nothing at '{bucket}/none.tar': give")
    code, (line,) = refused("extract", f"{bucket}/shards/*.zip", "-o", tmp_path / "features")
    assert (code, line) == (2, f"tortie: no file matches '{bucket}/shards/*.zip'")


def test_without_credentials_the_way_out_is_said(bucket, tmp_path, monkeypatch, refused):
    system = fsspec.get_filesystem_class("s3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(system, "_cache", {})  # its file systems know the credentials
    code, (line,) = refused("fit", f"{bucket}/photos", "-o", tmp_path / "c.safetensors")
    assert code == 1
    assert line.startswith(
        f"tortie: {bucket}/photos cannot be read: Unable to locate credentials: give AWS_ACCESS"
    )
    monkeypatch.setitem(fsspec.config.conf, "s3", {"anon": True})
    assert len(find(RemotePath(f"{bucket}/photos")).photographs) == 20


@pytest.mark.slow
def test_a_server_that_dies_is_one_line_and_the_next_run_goes_on(
    here, server, tmp_path, monkeypatch, refused
):
    """A shard that was read in part is no file of features, and no photograph is left out."""
    import moto.server

    second = moto.server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    second.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*second.get_host_and_port()))
    monkeypatch.setattr(fsspec.get_filesystem_class("s3"), "_cache", {})
    monkeypatch.setattr("tortie.images.remote._BLOCK", 1000)
    system = fsspec.filesystem("s3")
    system.call_s3("create_bucket", Bucket="dies")
    copied(here / "shards", system, "dies/shards")
    compute, features = ShardExtractor.compute, tmp_path / "features"

    def dying(self, shard, *rest):
        if "val" in shard.name:
            shard.listed()
            second.stop()
        compute(self, shard, *rest)

    monkeypatch.setattr(ShardExtractor, "compute", dying)
    code, lines = refused("extract", "s3://dies/shards", "-o", features, "--threads", "1")
    assert code == 1 and len(lines) == 1
    assert lines[0].startswith("tortie: s3://dies/shards/val-000.tar")
    assert len(list(features.glob("*.safetensors"))) == 1
    with pytest.raises(TortieError, match="extract"):
        fitted(features)


@pytest.mark.slow
def test_a_thousand_photographs_are_one_classifier(tmp_path, server):
    """As many are split, by their content: the split is the same, and every value of the head
    where the photographs' order is."""
    photos = tmp_path / "photos"
    for number in range(1040):
        label = ("blobs", "stripes")[number % 2]
        (photos / label).mkdir(parents=True, exist_ok=True)
        photograph(label, number).resize((48, 36)).save(photos / label / f"{number:04}.jpg")
    shards_of(photos, tmp_path / "shards", {"one": "blobs", "two": "stripes"})
    system = fsspec.filesystem("s3")
    system.call_s3("create_bucket", Bucket="thousand")
    copied(tmp_path / "shards", system, "thousand/shards")
    expected = fitted(photos)
    assert expected.fitted_.data.split.on == "test"
    check_same(fitted(packed(photos, tmp_path / "set.tar.gz")), expected)
    check_same(fitted("s3://thousand/shards"), expected)
