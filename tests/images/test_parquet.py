"""Parquet as Hugging Face's data sets write it: the same photographs, classes and bytes."""

import json
import random
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import lay_out
from tortie.errors import TortieError, UsageError
from tortie.images import UnreadableImage, find, find_files, parquet
from tortie.images.content import file_bytes, file_digest
from tortie.images.parquet import ParquetFile

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
    none = written(tmp_path / "none.parquet", files, [None, -1, *[None] * (len(files) - 2)])
    with pytest.raises(UsageError, match=r"no image in '\S+none.parquet' has a label: all labels"):
        find(none)


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


def test_few_rows_are_held_and_each_is_decoded_once(tmp_path, monkeypatch):
    """Of groups of 700 and 300 rows, read nearly in order, as threads that are out of step do."""
    files = [f"{n:05}".encode() * 40 for n in range(1000)]
    path = written(tmp_path / "a.parquet", files, [0] * 1000, rows=700)
    table = ParquetFile(path)
    decoded, held = [], []
    keep = parquet._kept.keep

    def counted(column):
        keep(column)
        decoded.append(len(column.values))
        held.append(sum(len(one.values) for one in parquet._kept._columns))

    monkeypatch.setattr(parquet._kept, "keep", counted)
    draws = random.Random(0)
    for row in sorted(range(1000), key=lambda row: row + draws.uniform(0, 100)):
        assert table.read(table.rows[row]) == files[row]
    assert sum(decoded) == 1000
    assert max(decoded) <= 32 and max(held) <= 8 * 32
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(table.read, table.rows)) == files
    assert max(held) <= 8 * 32
    assert [table.read(table.rows[n]) for n in (999, 3, 700, 699)] == [
        files[n] for n in (999, 3, 700, 699)
    ]
    table.close()
    assert not parquet._kept._columns


def test_a_group_that_is_damaged_is_named_row_by_row(folder, tmp_path):
    """The bytes of the second group of three are others: its rows are left out, no others."""
    files, labels = of(folder, "train")
    path = written(tmp_path / "a.parquet", files, labels)
    content = bytearray(path.read_bytes())
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(0)
    begin = chunk.dictionary_page_offset or chunk.data_page_offset
    content[begin : begin + 30] = bytes(30)
    path.write_bytes(content)
    good = []
    for row in range(len(files)):
        try:
            good += [row] * (file_bytes(tmp_path / f"a.parquet:{row:06}") == files[row])
        except UnreadableImage as error:
            assert "damaged in its archive" in error.reason
    assert {0, 1, 2} <= set(good) and set(range(6, len(files))) <= set(good)
    assert 3 not in good


def test_large_rows_are_held_by_their_bytes(tmp_path, monkeypatch):
    """Two batches are held where more would be over the limit."""
    monkeypatch.setattr(parquet, "_BYTES", 10_000)
    path = written(tmp_path / "a.parquet", [bytes(1000)] * 200, [0] * 200, rows=200)
    table = ParquetFile(path)
    for row in table.rows:
        table.read(row)
        assert sum(len(one.values) for one in parquet._kept._columns) <= 64
    table.close()


def test_without_pyarrow_the_way_out_is_said(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"needs pyarrow: pip install 'tortie\[parquet\]'"):
        find(tmp_path / "a.parquet")


def of_paths(target, paths, content=None):
    """A table as ``load_dataset("imagefolder").to_parquet`` of datasets 5.2 writes it."""
    images = [{"bytes": content, "path": str(path)} for path in paths]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {"image": pa.array(images, kind), "label": pa.array([0, 1] * (len(paths) // 2))}
    )
    said = json.dumps({"info": {"features": FEATURES}})
    pq.write_table(table.replace_schema_metadata({"huggingface": said}), target)
    return target


def test_a_table_of_paths_says_how_it_gets_its_images(folder, tmp_path):
    """The way out was run with datasets 5.2; no path is followed: the table may be anybody's."""
    paths = sorted(folder.rglob("*.jpg"))[:6]
    path = of_paths(tmp_path / "a.parquet", paths)
    way = r"a.parquet' holds no images, only paths such as '.*00.jpg': .*embed_table_storage, batch"
    for look in (find, lambda path: find_files([path])):
        with pytest.raises(UsageError, match=way):
            look(path)


def test_a_row_with_a_path_alone_is_named(folder, tmp_path):
    files, labels = of(folder, "train")
    files[4] = None
    found = find(written(tmp_path / "a.parquet", files, labels))
    with pytest.raises(UnreadableImage, match=r"its row has no bytes, only the path .4\.jpg"):
        file_bytes(found.photographs[4].path)
    assert file_bytes(found.photographs[5].path) == files[5]


@pytest.mark.parametrize(
    "column, kind", [(["a.jpg"], "string"), ([[1, 2]], "list<element: int64>"), ([None], "null")]
)
def test_a_column_of_anything_but_bytes_is_refused(tmp_path, column, kind):
    pq.write_table(pa.table({"image": column, "label": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=f"column 'image' is of {kind}: expected binary"):
        find(tmp_path / "a.parquet")
