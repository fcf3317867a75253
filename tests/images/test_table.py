"""CSVs of images: what is written comes back, and what spreadsheets on Windows write is read."""

import os

import pytest

from tests.conftest import photograph
from tortie.errors import TortieError, UsageError
from tortie.images.find import find
from tortie.images.table import read_table, write_table


@pytest.fixture
def photos(tmp_path):
    for label in ("café", "thé"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(2):
            photograph("blobs", number).save(tmp_path / "photos" / label / f"{number}.jpg")
    return tmp_path


ROWS = [("photos\\café\\0.jpg", "café"), ("photos\\thé\\1.jpg", "thé")]


def lines(delimiter, rows=ROWS):
    return "".join(delimiter.join(row) + "\r\n" for row in [("path", "label"), *rows])


@pytest.mark.parametrize(
    "content",
    [
        lines(",").encode("utf-8"),
        lines(",").encode("utf-8-sig"),
        lines(";").encode("cp1252"),
        lines("\t").encode("utf-16"),
        b"sep=;\r\n" + lines(";").encode("cp1252"),
        lines(",", [('"' + path + '"', label) for path, label in ROWS]).encode("utf-8"),
        lines(",", [(path.replace("\\", "/"), label) for path, label in ROWS]).encode("cp1252"),
    ],
    ids=["UTF-8", "with its mark", "Excel in Europe", "UTF-16", "sep=", "quoted", "/, Latin-1"],
)
def test_what_windows_writes_is_read(photos, content):
    (photos / "list.csv").write_bytes(content)
    found = find(photos / "list.csv")
    assert [one.path.relative_to(photos).as_posix() for one in found.photographs] == [
        "photos/café/0.jpg",
        "photos/thé/1.jpg",
    ]
    assert found.classes == ("café", "thé")


@pytest.mark.skipif(os.sep != "/", reason="elsewhere such a name is a path")
def test_a_name_with_a_backslash_is_taken_as_it_is(photos):
    image = photos / "photos\\café\\0.jpg"
    photograph("blobs", 5).save(image, format="JPEG")
    (photos / "list.csv").write_bytes(lines(",").encode())
    assert image in [one.path for one in find(photos / "list.csv").photographs]


@pytest.mark.parametrize("path", ["C:\\photos\\0.jpg", "C:/photos/0.jpg", "\\\\nas\\0.jpg", "a\\b"])
def test_paths_of_another_machine_are_refused_by_name(photos, path):
    (photos / "list.csv").write_text(f"path,label\n{path},x\n{path}2,y\n")
    with pytest.raises(UsageError, match="none of its 2 images is here; one would be") as refused:
        find(photos / "list.csv")
    assert f"{photos / path}'" in str(refused.value)


@pytest.mark.parametrize("begin", ["C:\\Users\\me\\", "D:/a b/", "\\\\nas\\share\\", "/home/me/"])
def test_full_paths_of_another_machine_are_found_beside_the_csv(photos, begin):
    # What is meant: all begin with one folder, and the rest is there.
    slash = "/" if begin.endswith("/") else "\\"
    rows = [(begin + path.replace("\\", slash), label) for path, label in ROWS]
    (photos / "list.csv").write_bytes(lines(";", rows).encode("cp1252"))
    found = find(photos / "list.csv")
    assert [one.path.relative_to(photos).as_posix() for one in found.photographs] == [
        "photos/café/0.jpg",
        "photos/thé/1.jpg",
    ]
    assert found.notes == (
        f"paths begin with '{begin}', which is not here: taken from {str(photos)!r}",
    )


def test_of_two_folders_of_another_machine_none_is_guessed(photos):
    (photos / "list.csv").write_text(
        "path,label\nC:\\a\\photos\\café\\0.jpg,x\nC:\\b\\photos\\thé\\1.jpg,y\n"
    )
    with pytest.raises(UsageError, match="none of its 2 images is here"):
        find(photos / "list.csv")


def test_odd_cells_come_back(tmp_path):
    names = [
        "=1.jpg",
        "-a.jpg",
        "'b.jpg",
        "a\rb.jpg",
        "c\u2028d.jpg",
        " e.jpg",
        "f\udce9.jpg",
        'g".jpg',
    ]
    labels = ["=1", "+2", "-3", "@x", "'y", "'=z", "a,b", '"']
    rows = [
        {"path": tmp_path / name, "label": label} for name, label in zip(names, labels, strict=True)
    ]
    write_table(tmp_path / "a.csv", ("path", "label"), rows)
    found = [row for _, row in read_table(tmp_path / "a.csv")]
    assert [tmp_path / row["path"] for row in found] == [row["path"] for row in rows]
    assert [row["label"] for row in found] == labels


def test_a_pipe_and_a_null_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(TortieError, match="pipe or a device"):
        find(tmp_path / "pipe.csv")
    (tmp_path / "a.csv").write_bytes(b"path,label\na\0b.jpg,x\n")
    with pytest.raises(UsageError, match="line 2: a cell holds a null"):
        find(tmp_path / "a.csv")
