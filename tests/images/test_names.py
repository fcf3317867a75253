"""Names as they come: in order, whatever their bytes, without waiting for others."""

import threading
from pathlib import Path

import pytest

from tortie.errors import TortieError, UsageError
from tortie.images import find_files
from tortie.images.names import STANDARD_INPUT, each_name, in_parts, survey
from tortie.images.walk import Strays, each_image


def never():
    raise AssertionError("nobody asked for standard input")


@pytest.fixture
def tree(tmp_path):
    """Names that sort otherwise by folder than by whole path: a-b/ comes before a/."""
    for name in ("a/2.jpg", "a/1.jpg", "a-b/1.jpg", "a.jpg", "a/b/c.png", "z.txt", "ä/1.gif"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def test_images_come_in_the_order_of_their_whole_paths(tree):
    """The oracle is the list of all, sorted."""
    found = list(each_image(tree, Strays()))
    assert found == sorted(found, key=str)
    assert {str(one.relative_to(tree)) for one in found} == {
        "a/2.jpg", "a/1.jpg", "a-b/1.jpg", "a.jpg", "a/b/c.png", "ä/1.gif",
    }  # fmt: skip


def test_a_survey_counts_what_the_names_are(tree):
    sources = [tree / "a", tree / "none.jpg", tree]
    names = list(each_name(sources, never))
    assert names == find_files(sources).paths
    surveyed = survey(sources)
    assert surveyed.total == len(names) == 10
    assert surveyed.empty == []
    assert any("z.txt" in note for note in surveyed.notes)
    (tree / "empty").mkdir()
    assert survey([tree / "empty"]).empty == [tree / "empty"]


@pytest.mark.parametrize(
    "ends, content, names",
    [
        (b"\n", b"a b.jpg\nc.jpg\r\n\n\xff.jpg\nlast", ["a b.jpg", "c.jpg", "\udcff.jpg", "last"]),
        (b"\0", b"new\nline.jpg\0c.jpg\r\0\0", ["new\nline.jpg", "c.jpg\r"]),
        (b"\n", b"", []),
        (b"\n", b"x" * 70_000 + b"\ny\n", ["x" * 70_000, "y"]),  # longer than what is read at once
    ],
)
def test_names_come_from_standard_input(tmp_path, ends, content, names):
    (tmp_path / "names").write_bytes(content)
    with (tmp_path / "names").open("rb") as file:
        found = each_name([STANDARD_INPUT], file.fileno, ends)
        assert [str(one) for one in found] == names


def test_names_that_end_with_null_bytes_are_told_from_lines(tmp_path):
    (tmp_path / "names").write_bytes(b"a.jpg\0b.jpg\0")
    with (
        (tmp_path / "names").open("rb") as file,
        pytest.raises(UsageError, match="end with null bytes: say --null"),
    ):
        list(each_name([STANDARD_INPUT], file.fileno))


def test_a_part_does_not_wait_for_names_that_take_long():
    """The second name comes only after the first part was taken."""
    taken = threading.Event()

    def names():
        yield Path("a")
        assert taken.wait(60)
        yield Path("b")

    parts = in_parts(names(), lambda: 9)
    assert next(parts) == [Path("a")]
    taken.set()
    assert list(parts) == [[Path("b")]]


def test_parts_have_no_more_names_than_asked_for_and_keep_their_order():
    sizes = iter([2, 3, 1, 100])
    names = [Path(str(number)) for number in range(20)]
    parts = list(in_parts(iter(names), lambda: next(sizes, 100)))
    assert [len(part) for part in parts[:3]] == [2, 3, 1]
    assert [one for part in parts for one in part] == names


def test_what_ends_the_names_is_raised_after_those_that_came():
    def names():
        yield Path("a")
        raise TortieError("a folder went away")

    parts = in_parts(names(), lambda: 9)
    assert next(parts) == [Path("a")]
    with pytest.raises(TortieError, match="went away"):
        next(parts)


def test_a_csv_is_a_list_of_photographs(tmp_path):
    """In the order of its lines, whatever else is in it; the oracle is the list."""
    for name in ("b.jpg", "a.jpg", "c d.jpg"):
        (tmp_path / name).write_bytes(b"1")
    wanted = [tmp_path / name for name in ("b.jpg", "a.jpg", "c d.jpg", "b.jpg", "gone.jpg")]
    for number, header in enumerate(("path", "path,label", "label;path;split", "id\tpath\tcat")):
        mark = next((one for one in ",;\t" if one in header), ",")
        place = header.split(mark).index("path")
        rows = [
            [one.name if at == place else "x" for at in range(header.count(mark) + 1)]
            for one in wanted
        ]
        text = "\n".join([header, *(mark.join(row) for row in rows)])
        source = tmp_path / f"{number}.csv"
        source.write_text(text)
        assert list(each_name([source], lambda: -1)) == wanted
        assert survey([source]).total == 5
    with pytest.raises(
        UsageError, match=r"x.csv', line 1: the columns are .*one of them to be path"
    ):
        (tmp_path / "x.csv").write_text("file,label\na.jpg,x\n")
        list(each_name([tmp_path / "x.csv"], lambda: -1))
    with pytest.raises(UsageError, match=r"x.csv', line 3: no path"):
        (tmp_path / "x.csv").write_text("path,label\na.jpg,x\n,x\n")
        list(each_name([tmp_path / "x.csv"], lambda: -1))
    assert list(each_name([tmp_path / "gone.csv"], lambda: -1)) == [tmp_path / "gone.csv"]
