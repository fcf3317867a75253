"""Parquet as Hugging Face's data sets write it: the same photographs, classes and bytes."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import lay_out
from tortie.errors import TortieError, UsageError
from tortie.images import UnreadableImage, find, find_files
from tortie.images.content import file_bytes, file_digest

CLASSES = ["blobs", "stripes"]
FEATURES = {"image": {"_type": "Image"}, "label": {"names": CLASSES, "_type": "ClassLabel"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("set") / "photos", 5, ("train", "test"))


def written(target, files, labels, features=FEATURES, rows=3):
    """A table as ``datasets`` writes it, in small groups of rows."""
    images = [{"bytes": content, "path": f"{n}.jpg"} for n, content in enumerate(files)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(images, kind)}
    if labels is not None:
        columns["label"] = pa.array(labels)
    table = pa.table(columns)
    if features:
        said = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": said})
    pq.write_table(table, target, row_group_size=rows)
    return target


def of(folder, split):
    paths = sorted((folder / split).rglob("*.jpg"))
    return [one.read_bytes() for one in paths], [CLASSES.index(one.parent.name) for one in paths]


def said(collection):
    return sorted((one.label, one.split, file_digest(one.path)) for one in collection.photographs)


def test_a_data_set_is_what_its_folder_is(folder, tmp_path):
    """The oracle is the folder; the names of the files say the splits, as the hub has them."""
    for split in ("train", "test"):
        written(tmp_path / f"{split}-00000-of-00001.parquet", *of(folder, split))
    found = find(tmp_path)
    assert said(found) == said(find(folder))
    assert found.classes == ("blobs", "stripes") and found.notes == ()
    first = found.photographs[0]
    assert str(first.path) == f"{tmp_path}/test-00000-of-00001.parquet:000000"
    assert find_files([tmp_path / "test-00000-of-00001.parquet"]).paths == [
        one.path for one in found.photographs if one.split == "test"
    ]


def test_labels_without_names_are_their_own(folder, tmp_path):
    files, labels = of(folder, "train")
    numbers = find(written(tmp_path / "a.parquet", files, labels, features=None))
    assert numbers.classes == ("0", "1") and numbers.label_type == "int"
    (note,) = numbers.notes
    assert note.endswith("no names for its labels; the numbers name the classes: 2 ('0', '1')")
    names = [CLASSES[label] for label in labels]
    assert find(written(tmp_path / "b.parquet", files, names, features=None)).classes == (
        "blobs", "stripes",
    )  # fmt: skip


def test_rows_without_a_label_or_an_image_are_named(folder, tmp_path):
    files, labels = of(folder, "train")
    files[4], labels[2], labels[3] = None, -1, None
    found = find(written(tmp_path / "a.parquet", files, labels))
    (note,) = found.notes
    assert note.startswith(f"left out, without a label: 2 ('{tmp_path}/a.parquet:000002', ")
    assert len(found.photographs) == len(files) - 2
    with pytest.raises(UnreadableImage):
        from tortie.images import decode

        decode(tmp_path / "a.parquet:000004")
    assert file_bytes(tmp_path / "a.parquet:000009") == files[9]
    with pytest.raises(UnreadableImage, match="not in the archive"):
        file_bytes(tmp_path / "a.parquet:000010")


def test_what_cannot_be_learnt_from_is_one_line(folder, tmp_path):
    files, _ = of(folder, "train")
    path = written(tmp_path / "a.parquet", files, None)
    with pytest.raises(
        UsageError, match=r"a.parquet' has no column of labels, but image: expected"
    ):
        find(path)
    assert len(find_files([path]).paths) == 10  # which predict takes
    with pytest.raises(UsageError, match=r"a.parquet', row 1: label 9 is none of its 2 classes"):
        find(written(path, files[:2], [0, 9]))
    with pytest.raises(UsageError, match="row 0: label -2 is none of its 2 classes"):
        find(written(path, files[:2], [-2, 1]))
    with pytest.raises(UsageError, match="row 0: label 'bees' is none of its 2 classes"):
        find(written(path, files[:2], ["bees", "stripes"]))
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(UsageError, match="has no column of images: it has a"):
        find(path)
    path.write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(TortieError, match="cannot be read as Parquet"):
        find(path)


def test_without_pyarrow_the_way_out_is_said(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"needs pyarrow: pip install 'tortie\[parquet\]'"):
        find(tmp_path / "a.parquet")
