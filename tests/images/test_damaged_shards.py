"""Of shards among which one is damaged the others are read, and one line names what is not.

The oracle is what the good shards alone yield.
"""

import io
import tarfile
import zipfile

import pytest

from tests.images.test_parquet import written
from tests.learning.test_extract_shards import members, write_tar
from tortie.errors import UsageError
from tortie.images import find, find_files
from tortie.images.content import file_digest
from tortie.images.input_shards import input_shards
from tortie.images.names import survey
from tortie.images.unreadable import UnreadableArchive

GOOD = ("000.tar", "002.tar")


@pytest.fixture
def folder(tmp_path):
    """Three shards of four photographs, of which the second is made worse."""
    for number in range(3):
        write_tar(tmp_path / f"{number:03}.tar", members(range(number * 4, number * 4 + 4)))
    return tmp_path


def header_of(path, number):
    with tarfile.open(path) as archive:
        return archive.getmembers()[number].offset


def worsened(path, how):
    content = path.read_bytes()
    if how == "no member":
        write_tar(path, {})
    elif how == "no image":
        write_tar(path, {"readme.txt": b"hello", "a.cls": b"blobs"})
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "first header":
        path.write_bytes(content[:200])
    elif how == "no tar":
        path.write_bytes(b"no tar at all" * 99)


FAULTS = {
    "no member": "left out, no image in them: 1 ('{0}')",
    "no image": "left out, no image in them: 1 ('{0}')",
    "empty": "left out, cannot be read as archives: 1 ('{0}: empty file')",
    "first header": "left out, cannot be read as archives: 1 ('{0}: truncated header')",
    "no tar": "left out, cannot be read as archives: 1 ('{0}: invalid header')",
}


@pytest.mark.parametrize("which", ["000.tar", "001.tar"])
@pytest.mark.parametrize("how", FAULTS)
def test_a_shard_without_an_image_is_named_and_left_out(folder, how, which):
    bad = folder / which
    worsened(bad, how)
    good = [folder / name for name in ("000.tar", "001.tar", "002.tar") if name != which]
    wanted = [str(one.path) for path in good for one in find(path).photographs]
    note = FAULTS[how].format(bad)

    for source in (folder, folder / "*.tar", folder / "{000..002}.tar"):
        found = find(source)
        assert [str(one.path) for one in found.photographs] == wanted
        assert note in found.notes
        looked = survey([source])
        assert looked.total == len(wanted) and note in looked.notes

    each = [shard.listed() for shard in input_shards(folder)]
    assert [str(one.path) for part in each for one in part.photographs] == wanted
    assert note in [line for part in each for line in part.notes]


@pytest.mark.parametrize("how", FAULTS)
def test_alone_it_is_an_error(folder, how):
    bad = folder / "001.tar"
    worsened(bad, how)
    said = "no image in 1" if how.startswith("no ") and how != "no tar" else "cannot be read as an"
    with pytest.raises((UsageError, UnreadableArchive), match=said):
        find(bad)


@pytest.mark.parametrize(
    "at, told",
    [
        (("header", 5, 200), "cut short within a header after 5 members"),
        (("header", 5, 0), "cut short, it may be: no mark of the end after 5 members"),
        (("header", 5, 512 + 2), "cut short after 6 members"),
        (("header", 1, 200), "cut short within a header after 1 members"),
    ],
)
def test_where_a_shard_is_cut_is_told(folder, at, told):
    """A tar file ends with blocks of zeros (POSIX.1-1988, ustar): what ends otherwise was cut."""
    path = folder / "001.tar"
    _, number, more = at
    path.write_bytes(path.read_bytes()[: header_of(path, number) + more])
    (cut,) = [one for one in find(folder).notes if one.startswith("read as far as it goes")]
    assert f"1 ('{path}: {told}" in cut
    (cut,) = [one for one in survey([folder]).notes if one.startswith("read as far as it goes")]
    assert told in cut
    notes = [note for shard in input_shards(folder) for note in shard.listed().notes]
    assert any(told in note for note in notes)


def test_a_header_that_is_damaged_in_the_middle_is_told(folder):
    path = folder / "001.tar"
    content, at = bytearray(path.read_bytes()), header_of(folder / "001.tar", 4)
    content[at : at + 512] = b"x" * 512
    path.write_bytes(content)
    assert any("damaged after 4 members: what follows is no" in one for one in find(path).notes)


def test_a_whole_tar_is_not_taken_for_a_cut_one(folder, tmp_path):
    assert find(folder).notes == ()
    path = tmp_path / "one-block.tar"  # one block of zeros and nothing to fill a record, as some do
    whole = (folder / "000.tar").read_bytes().rstrip(b"\0")
    path.write_bytes(whole + bytes(-len(whole) % 512) + bytes(512))
    assert find(path).notes == ()


def test_a_cut_zip_or_parquet_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/1.jpg", b"1" * 999)
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content[:-40])
    with pytest.raises(UnreadableArchive, match=r"a.zip' cannot be read as an archive: cut short"):
        find(tmp_path / "a.zip")
    path = written(tmp_path / "b.parquet", [b"1"], [0])
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UnreadableArchive, match="as Parquet: damaged or cut short"):
        find(path)
    path.write_bytes(b"")
    with pytest.raises(UnreadableArchive, match="as Parquet: empty file"):
        find(path)


def twice(path, *more):
    with tarfile.open(path, "w") as archive:
        for name, data in [("x/a.jpg", b"1"), ("x/a.jpg", b"2"), *more]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_two_members_of_one_name_are_told_by_every_verb(tmp_path):
    """The line is that of a fit; a plain tar file has its last member, as ``tar`` unpacks it."""
    twice(tmp_path / "a.tar", ("x/a.cls", b"blobs"))
    for look in (find, lambda path: survey([path]), lambda path: find_files([path])):
        with pytest.raises(UsageError, match=r"a.tar': two members of the name 'x/a.jpg': keep on"):
            look(tmp_path / "a.tar")
    twice(tmp_path / "b.tar")
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(tmp_path / "c.zip", "w") as archive,
    ):
        archive.writestr("x/a.jpg", b"1")
        archive.writestr("x/a.jpg", b"2")
    for name in ("b.tar", "c.zip"):
        note = f"met twice, counted once: 1 ('{tmp_path}/{name}:x/a.jpg')"
        found = find(tmp_path / name)
        assert note in found.notes and note in survey([tmp_path / name]).notes
        (only,) = found.photographs
        assert file_digest(only.path) == (
            "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"  # SHA-256 of "2"
        )


def test_of_two_labels_that_of_the_cls_counts_and_is_told(tmp_path):
    image = members([0])["000.jpg"]
    both = {"a.jpg": image, "a.json": b'{"label": "cat"}', "a.cls": b"dog"}
    same = {"b.jpg": image, "b.json": b'{"label": "cat", "width": 3}', "b.cls": b"cat"}
    more = {"c.jpg": image, "c.json": b'{"width": 3}', "c.cls": b"cat"}
    write_tar(tmp_path / "a.tar", both | same | more)
    found = find(tmp_path / "a.tar")
    assert [one.label for one in found.photographs] == ["dog", "cat", "cat"]
    assert found.notes == (
        f"another label in the .json, that of the .cls counts: 1 ('{tmp_path}/a.tar:a.json')",
    )


def test_labels_beside_images_are_no_strays_of_a_prediction(folder):
    assert survey([folder]).notes == []
    write_tar(folder / "001.tar", members([1]) | {"lonely.cls": b"x", "000.txt": b"a caption"})
    assert survey([folder]).notes == [
        "left out, no images by their suffix: 2 ('000.txt', 'lonely.cls')"
    ]


@pytest.mark.parametrize("kind", ["cls", "json", "parquet"])
def test_a_label_of_megabytes_is_a_short_line(folder, kind):
    long = "z" * 3_000_000
    if kind == "parquet":
        source = written(folder / "a.parquet", [b"1", b"2"], [long, "a"], features=None)
    else:
        source = folder / "001.tar"
        content = long if kind == "cls" else f'{{"label": "{long}"}}'
        write_tar(source, members([1]) | {"x.jpg": b"1", f"x.{kind}": content.encode()})
    with pytest.raises(UsageError, match="a class name of 3,000,000 characters, 'zzz"):
        find(source)
    try:
        find(source)
    except UsageError as error:
        assert len(str(error)) < 600


def test_a_row_of_a_table_has_no_wrong_suffix(tmp_path):
    """``a.parquet:000001`` names a row, which has no suffix that could be wrong."""
    from tortie.learning.check import check_images

    files = [members([number])[f"{number:03}.jpg"] for number in range(8)]
    path = written(tmp_path / "a.parquet", files, [0, 1] * 4)
    checked = check_images(path, network="none")
    assert "wrong-extension" not in {one.kind for one in checked.findings}


def test_a_tar_that_is_cut_leaves_one_class_and_says_why(folder, tmp_path):
    from tortie.learning.dataset import enough_classes

    path = folder / "001.tar"
    path.write_bytes(path.read_bytes()[: header_of(path, 2) + 100])
    found = find(path)
    with pytest.raises(UsageError, match=r"only one class, 'blobs': .*; read as far as it goes: 1"):
        enough_classes([one.label for one in found.photographs], "str", found.notes)
