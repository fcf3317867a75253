"""Features in shards are those of the network, each photograph once; a fit on them is the fit."""

import io
import json
import shutil
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import tortie
from tests.conftest import photograph
from tortie.activations.feature_shards import (
    FeatureShard,
    Manifest,
    ShardHeader,
    ShardRows,
    read_manifest,
    write_shard,
)
from tortie.errors import TortieError, UsageError
from tortie.images import Photograph
from tortie.learning import shard_features
from tortie.learning.extract_shards import extract_shards
from tortie.learning.job import Events
from tortie.learning.options import FitOptions
from tortie.processes import Processes, join

OPTIONS = FitOptions.of(threads=1, precision="float32")


def jpeg(label, number):
    file = io.BytesIO()
    photograph(label, number).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def members(numbers):
    found = {}
    for number in numbers:
        label = ("blobs", "stripes")[number % 2]
        found[f"{number:03}.jpg"] = jpeg(label, number)
        found[f"{number:03}.cls"] = label.encode()
    return found


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Two shards of twelve photographs; one member of the second is no image."""
    folder = tmp_path_factory.mktemp("shards")
    write_tar(folder / "000.tar", members(range(12)))
    broken = {"900.jpg": b"no image", "900.cls": b"blobs"}
    write_tar(folder / "001.tar", members(range(12, 24)) | broken)
    return folder


@pytest.fixture(scope="module")
def extracted(shards, tmp_path_factory):
    """Their features, float32, and what was told."""
    folder, told = tmp_path_factory.mktemp("features") / "features", []
    found = extract_shards(shards, folder, OPTIONS, "float32", Events(note=told.append))
    return folder, found, told


def rows_of(folder):
    return [FeatureShard(folder / name) for name in read_manifest(folder).files]


def test_each_photograph_is_once_in_the_features(shards, extracted):
    """The oracle is ``tortie.features`` of the same bytes."""
    folder, found, told = extracted
    assert (found.computed, found.shards) == (2, 2)
    assert found.manifest.photographs == 24
    assert found.manifest.classes == ["blobs", "stripes"]
    assert [line for line in told if "900.jpg" in line]
    assert found.manifest.skipped == 1
    expected = tortie.features(
        [jpeg(("blobs", "stripes")[n % 2], n) for n in range(24)], threads=1, precision="float32"
    )
    parts = rows_of(folder)
    np.testing.assert_array_equal(
        np.concatenate([one.features(np.arange(12)) for one in parts]), expected
    )
    some = np.array([0, 3, 11])
    np.testing.assert_array_equal(parts[1].features(some), expected[12:][some])
    paths = [str(one.path) for part in parts for one in part.photographs(range(len(part)))]
    assert [path.rpartition(":")[2] for path in paths] == [f"{n:03}.jpg" for n in range(24)]


def test_a_fit_on_features_is_the_fit_on_the_photographs(shards, extracted):
    """Its oracle is the fit on the shards themselves: split, figures and every value."""
    choices = {"threads": 1, "precision": "float32"}
    own = tortie.ImageClassifier(**choices).fit(extracted[0], events=Events())
    other = tortie.ImageClassifier(**choices).fit(shards, events=Events())
    np.testing.assert_array_equal(
        own.fitted_.part.tensors["head.weight"], other.fitted_.part.tensors["head.weight"]
    )
    assert own.fitted_.data.split == other.fitted_.data.split
    assert own.accuracy_ == other.accuracy_
    assert own.fitted_.data.skipped == other.fitted_.data.skipped


def test_a_head_on_features_is_the_head_on_the_photographs(shards, extracted):
    """Its oracle is the training on the shards themselves, to the last bit."""
    choices = {"threads": 1, "precision": "float32", "head": "mlp:8", "epochs": 2}
    own = tortie.ImageClassifier(**choices).fit(extracted[0], events=Events()).fitted_
    other = tortie.ImageClassifier(**choices).fit(shards, events=Events()).fitted_
    assert own.part.tensors.keys() == other.part.tensors.keys()
    for name, tensor in other.part.tensors.items():
        np.testing.assert_array_equal(own.part.tensors[name], tensor)
    assert own.data.split == other.data.split
    assert own.history == other.history
    np.testing.assert_allclose(own.probabilities, other.probabilities, atol=1e-6)
    assert own.calibration.temperature == pytest.approx(other.calibration.temperature)


def test_what_is_done_is_not_done_again(shards, extracted, tmp_path, monkeypatch):
    """A shard that changes is the only one that is computed; a file that is damaged, too."""
    folder = tmp_path / "features"
    source = tmp_path / "shards"
    source.mkdir()
    for name in ("000.tar", "001.tar"):
        (source / name).write_bytes((shards / name).read_bytes())
    assert extract_shards(source, folder, OPTIONS).computed == 2
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}
    assert extract_shards(source, folder, OPTIONS).computed == 0
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}
    write_tar(source / "001.tar", members(range(30, 36)))
    found = extract_shards(source, folder, OPTIONS)
    assert (found.computed, found.manifest.photographs) == (1, 18)
    first = folder / found.manifest.files[0]
    first.write_bytes(first.read_bytes()[:-100])
    with pytest.raises(TortieError, match="extract again"):
        tortie.ImageClassifier(threads=1).fit(folder)
    assert extract_shards(source, folder, OPTIONS).computed == 1


def test_a_shard_without_a_readable_photograph_is_a_file_without_rows(tmp_path):
    """The oracle is the fit on the shards themselves; the members are named."""
    folder, told = tmp_path / "shards", []
    folder.mkdir()
    for number in range(2):
        write_tar(folder / f"{number}.tar", members(range(12 * number, 12 * number + 12)))
    junk = {f"9{n}.jpg": b"no image" for n in range(3)} | {f"9{n}.cls": b"blobs" for n in range(3)}
    write_tar(folder / "2.tar", junk)
    features = tmp_path / "features"
    found = extract_shards(folder, features, OPTIONS, "float32", Events(note=told.append))
    assert (found.manifest.photographs, found.manifest.skipped) == (24, 3)
    assert sum("2.tar:9" in line for line in told)
    assert [len(one) for one in rows_of(features)] == [12, 12, 0]
    choices = {"threads": 1, "precision": "float32"}
    own = tortie.ImageClassifier(**choices).fit(features, events=Events())
    other = tortie.ImageClassifier(**choices).fit(folder, events=Events())
    np.testing.assert_array_equal(
        own.fitted_.part.tensors["head.weight"], other.fitted_.part.tensors["head.weight"]
    )
    assert own.fitted_.data.skipped == other.fitted_.data.skipped


def test_float16_is_float32_rounded(shards, extracted, tmp_path):
    """numpy's own rounding is the oracle."""
    extract_shards(shards, tmp_path / "half", OPTIONS)
    for half, single in zip(rows_of(tmp_path / "half"), rows_of(extracted[0]), strict=True):
        rounded = single.features(np.arange(12)).astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(half.features(np.arange(12)), rounded)


def test_a_kill_leaves_whole_files(shards, tmp_path, monkeypatch):
    """The first file is kept, the folder says that it is not whole, and the rest is computed."""
    write = shard_features.write_shard

    def killed(path, *content):
        if "001" in path.name:
            raise KeyboardInterrupt
        write(path, *content)

    folder = tmp_path / "features"
    monkeypatch.setattr(shard_features, "write_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        extract_shards(shards, folder, OPTIONS)
    with pytest.raises(TortieError, match="not whole: run tortie extract again"):
        tortie.ImageClassifier(threads=1).fit(folder)
    monkeypatch.setattr(shard_features, "write_shard", write)
    assert extract_shards(shards, folder, OPTIONS).computed == 1
    assert read_manifest(folder).complete


def test_stages_before_the_last(shards, extracted, tmp_path):
    """Maps are written as they are; a fit asks for all stages."""
    options = OPTIONS.changed(freeze="1")
    found = extract_shards(shards, tmp_path / "maps", options, "float32")
    expected = tortie.features([jpeg("blobs", 0)], stage=1, threads=1, precision="float32")
    first = rows_of(tmp_path / "maps")[0].features(np.arange(1))
    assert found.manifest.shape == list(expected.shape[1:])
    np.testing.assert_allclose(first, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(UsageError, match="--freeze all"):
        tortie.ImageClassifier(threads=1).fit(tmp_path / "maps")


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"augment": "mirror"}, "augment needs the photographs"),
        ({"crops": 10}, "crops needs the photographs"),
        ({"test": "elsewhere"}, "a fraction goes with features"),
        ({"network": "resnet50"}, "network resnet50: .* of efficientnet-lite0"),
    ],
)
def test_what_features_cannot_give_is_refused(extracted, choices, said):
    with pytest.raises(UsageError, match=said):
        tortie.ImageClassifier(**choices).fit(extracted[0])


def test_a_folder_of_something_else_is_left_alone(shards, extracted, tmp_path):
    """Features of another network, other files, and what float16 cannot hold."""
    with pytest.raises(UsageError, match="choose another folder"):
        extract_shards(shards, extracted[0], OPTIONS, "float16")
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds no features"):
        extract_shards(shards, tmp_path, OPTIONS)
    with pytest.raises(UsageError, match="computes frozen stages"):
        extract_shards(shards, tmp_path / "none", OPTIONS.changed(freeze="none"))
    header = ShardHeader(
        context="", stamp="", dtype="float16", classes=["a"], label_type="str", skipped=[], notes=[]
    )
    rows = ShardRows(np.full((1, 2), 7e4, np.float32), ["00" * 32], [], [Photograph("a", "a")])
    with pytest.raises(UsageError, match="float32"):
        write_shard(tmp_path / "a.safetensors", header, rows)


def test_a_manifest_of_another_format(tmp_path):
    (tmp_path / "features.json").write_text("{}")
    with pytest.raises(TortieError, match="no manifest of features"):
        tortie.ImageClassifier().fit(tmp_path)
    other = Manifest(
        format="tortie features 9", complete=True, network="", weights=None, freeze="all",
        frozen=True, input=None, cut="", shape=[1], dtype="float16", precision="", context="",
        tensors="",
    )  # fmt: skip
    other.write(tmp_path)
    with pytest.raises(TortieError, match="'tortie features 9'"):
        tortie.ImageClassifier().fit(tmp_path)


def test_a_folder_of_photographs_is_cut_into_parts(photographs, tmp_path, monkeypatch):
    """24 photographs in parts of 10 are three files, and classes are those of all."""
    monkeypatch.setattr("tortie.images.input_shards.PART", 10)
    found = extract_shards(photographs, tmp_path / "features", OPTIONS)
    assert [len(one) for one in rows_of(tmp_path / "features")] == [10, 10, 4]
    assert found.manifest.classes == ["blobs", "stripes"]


@pytest.mark.skipif(sys.platform == "darwin", reason="file names are UTF-8 there")
def test_names_that_are_no_utf8_are_kept_or_escaped(tmp_path):
    folder = tmp_path / "photographs"
    for number in range(4):
        path = folder / ("blobs", "stripes")[number % 2] / f"{number}\udce9.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(path.parent.name, number))
    (folder / "blobs" / "bad\udcff.jpg").write_bytes(b"no image")
    extract_shards(folder, tmp_path / "features", OPTIONS)
    (shard,) = rows_of(tmp_path / "features")
    assert {one.path.name for one in shard.photographs(range(4))} == {
        f"{number}\udce9.jpg" for number in range(4)
    }
    assert [Path(name).name for name, _, _ in shard.header.skipped] == [r"bad\xff.jpg"]


def test_the_classifier_of_features_predicts(extracted, tmp_path):
    """Saved and loaded, it tells the photographs that it was trained on."""
    classifier = tortie.ImageClassifier(threads=1).fit(extracted[0])
    classifier.save(tmp_path / "a.safetensors")
    loaded = tortie.load(tmp_path / "a.safetensors")
    assert loaded.predict([jpeg("blobs", 0), jpeg("stripes", 1)]).tolist() == ["blobs", "stripes"]


@pytest.mark.parametrize(
    ("column", "value"), [("labels", 9), ("labels", -9), ("splits", 200), ("names", 0)]
)
def test_a_file_that_says_what_cannot_be_is_refused(extracted, tmp_path, column, value):
    """A shard is rewritten with a class or a split that there is not, or names that are no JSON."""
    folder = tmp_path / "features"
    shutil.copytree(extracted[0], folder)
    first = folder / read_manifest(folder).files[0]
    arrays = load_file(first)
    with safe_open(first, "np") as file:
        told = json.loads(file.metadata()["tortie_features"])
    arrays[column] = np.full_like(arrays[column], value)
    save_file(arrays, first, {"tortie_features": json.dumps({**told, "sha256": ""})})
    with pytest.raises(TortieError, match=f"{first.name} is damaged: extract again"):
        tortie.ImageClassifier(threads=1).fit(folder)


def test_a_name_that_is_too_long_is_no_folder_of_features():
    with pytest.raises(TortieError, match=r"^cannot read 'a+': File name too long$"):
        tortie.ImageClassifier().fit("a" * 300)


def extracted_again(images, folder):
    told = []
    return extract_shards(images, folder, OPTIONS, "float32", Events(note=told.append)), told


def test_an_empty_shard_is_left_out_and_the_others_are_there(shards, extracted, tmp_path):
    """The oracle is the extraction of the good shards; numbers as labels keep their type."""
    for number in range(2):
        shutil.copy(shards / f"{number:03}.tar", tmp_path / f"{number}.tar")
    write_tar(tmp_path / "2.tar", {})
    (tmp_path / "3.tar").write_bytes(b"")
    found, told = extracted_again(tmp_path, tmp_path / "features")
    assert (found.computed, found.manifest.photographs) == (4, 24)
    assert f"note: left out, no image in them: 1 ('{tmp_path}/2.tar')" in told
    assert f"note: left out, cannot be read as archives: 1 ('{tmp_path}/3.tar: empty file')" in told
    both = [*rows_of(extracted[0]), *rows_of(tmp_path / "features")[:2]]
    for one, other in zip(both[:2], both[2:], strict=True):
        np.testing.assert_array_equal(one.column("features"), other.column("features"))
    again, _ = extracted_again(tmp_path, tmp_path / "features")
    assert again.computed == 0
    write_tar(tmp_path / "2.tar", members([30, 31]))  # it came in the meantime
    again, told = extracted_again(tmp_path, tmp_path / "features")
    assert (again.computed, again.manifest.photographs) == (1, 26)


def test_an_empty_shard_takes_no_label_s_type(tmp_path):
    for number in range(2):
        image = members([number])[f"{number:03}.jpg"]
        write_tar(tmp_path / f"{number}.tar", {"a.jpg": image, "a.cls": str(number).encode()})
    write_tar(tmp_path / "2.tar", {})
    found, _ = extracted_again(tmp_path, tmp_path / "features")
    assert (found.manifest.label_type, found.manifest.classes) == ("int", ["0", "1"])


def test_an_extraction_that_fails_leaves_no_folder(tmp_path):
    """A folder that was there stays, and so do the features of shards that were done."""
    image = members([0])["000.jpg"]
    source, folder = tmp_path / "shards", tmp_path / "features"
    source.mkdir()
    write_tar(source / "0.tar", {"a.jpg": image, "a.json": b"{}"})
    with pytest.raises(UsageError, match="has no label"):
        extracted_again(source, folder)
    assert not folder.exists()
    write_tar(source / "0.tar", {"a.jpg": b"none", "a.cls": b"x"})
    with pytest.raises(TortieError, match="none of the 1 photographs can be read"):
        extracted_again(source, folder)
    assert not folder.exists()
    write_tar(source / "0.tar", {"a.jpg": image})
    with pytest.raises(UsageError, match=r"lie in no class.*, or beside each KEY.jpg its label"):
        extracted_again(source, folder)
    assert not folder.exists()
    folder.mkdir()
    write_tar(source / "0.tar", {"a.jpg": image, "a.json": b"{}"})
    with pytest.raises(UsageError, match="has no label"):
        extracted_again(source, folder)
    assert folder.is_dir()
    shutil.rmtree(folder)
    write_tar(source / "0.tar", {"a.jpg": image, "a.cls": b"x"})
    write_tar(source / "1.tar", {"a.jpg": image, "a.json": b"{}"})
    with pytest.raises(UsageError, match="has no label"):
        extracted_again(source, folder)
    assert len(list(folder.glob("0-*.safetensors"))) == 1


def test_without_ray_nothing_is_written(shards, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"needs ray: pip install 'tortie\[ray\]'"):
        extract_shards(shards, tmp_path / "features", OPTIONS, runner="ray")
    assert not (tmp_path / "features").exists()


def test_what_all_processes_computed_is_counted(shards, extracted, tmp_path, monkeypatch):
    """The second of two processes, which is made up, computes one file beside this one's."""
    folder = tmp_path / "features"
    shutil.copytree(extracted[0], folder)
    next(folder.glob("000-*")).unlink()
    monkeypatch.setattr(Processes, "barrier", lambda self: None)
    monkeypatch.setattr(
        Processes, "all_reduce_scalars", lambda self, *own: tuple(one + 1 for one in own)
    )
    monkeypatch.setattr(
        "tortie.learning.extract_shards.join", lambda device: replace(join(device), count=2)
    )
    found, _ = extracted_again(shards, folder)
    assert (found.computed, found.shards) == (2, 2)
