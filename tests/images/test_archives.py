"""Archives are sets of images as folders are: the same photographs, classes and bytes."""

import io
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import lay_out
from tortie.errors import TortieError, UsageError
from tortie.images import (
    UnreadableImage,
    archives,
    find,
    find_files,
    hash_all,
    listed_archives,
)
from tortie.images.archives import member_bytes, member_of
from tortie.images.content import file_bytes, file_digest
from tortie.images.input_shards import input_shards
from tortie.images.inputs import with_split

KINDS = (".zip", ".tar", ".tar.gz", ".tgz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("set") / "photos", 3, ("train", "val"))


def packed(folder, target, wrapper="", only=""):
    """An archive of a folder, of the kind that its suffix names."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and only in str(path))
    names = [f"{wrapper}{path.relative_to(folder).as_posix()}" for path in files]
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for path, name in zip(files, names, strict=True):
                archive.write(path, name)
    else:
        with tarfile.open(target, "w:gz" if "gz" in target.name else "w") as archive:
            for path, name in zip(files, names, strict=True):
                archive.add(path, name)
    return target


def shard(target, **members):
    with tarfile.open(target, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("_DOT_", "."))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return target


def said(collection):
    return sorted((one.label, one.split, file_digest(one.path)) for one in collection.photographs)


@pytest.mark.parametrize("wrapper", ["", "photos/", "./", "a/photos/"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_what_its_folder_is(folder, tmp_path, kind, wrapper):
    """The oracle is the folder."""
    archive = packed(folder, tmp_path / f"set{kind}", wrapper)
    found = find(archive)
    assert said(found) == said(find(folder))
    assert not any(name.is_dir() for name in tmp_path.iterdir())
    for one in found.photographs:
        inside = str(one.path).rpartition(":")[2].removeprefix(wrapper)
        assert file_bytes(one.path) == (folder / inside).read_bytes()
    assert [str(one) for one in find_files([archive]).paths] == [
        str(one.path) for one in found.photographs
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_threads_read_what_one_reads(folder, tmp_path, kind):
    paths = [one.path for one in find(packed(folder, tmp_path / f"set{kind}")).photographs]
    alone = [file_digest(path) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(file_digest, paths * 20)) == alone * 20
    assert hash_all(paths, 4) == alone


def test_several_archives_are_one_set(folder, tmp_path):
    for number, split in enumerate(("train", "val")):
        packed(folder, tmp_path / f"set-{number}.tar", only=f"/{split}/")
    whole = said(find(folder))
    assert said(find(tmp_path / "set-*.tar")) == whole
    assert said(find(tmp_path / "set-{0..1}.tar")) == whole
    assert said(find(tmp_path / "set-{0,1}.tar")) == whole
    assert said(find(tmp_path)) == whole  # a folder that holds archives and no image


@pytest.mark.parametrize("split", ["validation", "test"])
def test_shards_of_one_split_are_given_as_any(tmp_path, split):
    """Beside those of train; several splits, or train, are no validation set."""
    for name in ("train-0", "val-0", "val-1"):
        one, two = f"{name}a", f"{name}b"
        content = {f"{one}_DOT_jpg": b"1", f"{one}_DOT_cls": b"x", f"{two}_DOT_jpg": b"2"}
        shard(tmp_path / f"{name}.tar", **content, **{f"{two}_DOT_cls": b"y"})
    train = find(tmp_path / "train-0.tar")
    both, sources = with_split(
        train, [one.path for one in train.photographs], tmp_path / "val-*.tar", split
    )
    assert [(one.path.name, one.split) for one in both.photographs] == [
        ("train-0.tar:train-0a.jpg", "train"), ("train-0.tar:train-0b.jpg", "train"),
        ("val-0.tar:val-0a.jpg", split), ("val-0.tar:val-0b.jpg", split),
        ("val-1.tar:val-1a.jpg", split), ("val-1.tar:val-1b.jpg", split),
    ]  # fmt: skip
    assert sources == [one.path for one in both.photographs]
    for other in (tmp_path, tmp_path / "train-0.tar"):
        with pytest.raises(UsageError, match="has splits of its own"):
            with_split(train, sources, other, split)


@pytest.mark.parametrize("labels", ["cls", "json", "number"])
def test_shards_of_webdataset_have_a_label_beside_each_image(folder, tmp_path, labels):
    for split in ("train", "val"):
        members = {}
        for path in sorted((folder / split).rglob("*.jpg")):
            key, name = f"{path.parent.name}{path.stem}", path.parent.name
            members[f"{key}_DOT_jpg"] = path.read_bytes()
            if labels == "json":
                members[f"{key}_DOT_json"] = f'{{"label": "{name}", "width": 3}}'.encode()
            else:
                number = str(int(name == "stripes"))
                members[f"{key}_DOT_cls"] = (number if labels == "number" else f"{name}\n").encode()
        shard(tmp_path / f"{split}-000000.tar", **members)
    found = find(tmp_path / "{train,val}-000000.tar")
    wanted = said(find(folder))
    if labels == "number":
        wanted = sorted((str(int(name == "stripes")), *rest) for name, *rest in wanted)
        assert found.label_type == "int"
    assert said(found) == wanted
    assert str(found.photographs[0].path) == f"{tmp_path}/train-000000.tar:blobs00.jpg"
    assert found.notes == ()


def test_a_split_that_was_written_is_read_again(folder, tmp_path):
    from tortie.images.split import Row, write_split

    found = find(packed(folder, tmp_path / "set.zip"))
    rows = [Row(one.path, one.label, one.split, None) for one in found.photographs]
    write_split(tmp_path / "set.csv", rows)
    assert (tmp_path / "set.csv").read_text().splitlines()[1].startswith("set.zip:train/blobs/")
    assert said(find(tmp_path / "set.csv")) == said(found)


def test_a_shard_that_is_cut_short_is_read_as_far_as_it_goes(folder, tmp_path):
    whole = packed(folder, tmp_path / "whole.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
    found = find(tmp_path / "cut.tar", "none")
    assert 0 < len(found.photographs) < 12
    assert any("read as far as it goes: 1 (" in note and "cut.tar" in note for note in found.notes)
    last = max(
        (one.path for one in found.photographs), key=lambda path: (path.parent.name, path.name)
    )
    reasons = []
    for one in found.photographs:
        try:
            file_bytes(one.path)
        except UnreadableImage as error:
            reasons.append(error.reason)
    assert reasons in ([], ["cut short in its archive"]), last


@pytest.mark.parametrize(
    "name, content, error",
    [
        ("a.zip", b"PK\3\4 no zip", "'.*a.zip' cannot be read as an archive"),
        ("a.tar", b"no tar at all" * 99, "cannot be read as an archive"),
        ("a.tar.gz", b"no gzip", "cannot be read as an archive"),
        ("a.zip", b"", "cannot be read as an archive"),
    ],
)
def test_what_is_no_archive_is_said(tmp_path, name, content, error):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TortieError, match=error):
        find(tmp_path / name)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("10", "2"), ("2", "10")),
        (("01", "2"), ("01", "2")),
        (("01", "bee"), ("01", "bee")),
        (("-0", "0"), ("-0", "0")),
    ],
)
def test_a_label_that_is_a_number_is_one_class_however_shards_are_listed(tmp_path, labels, classes):
    """Shards that are listed one at a time, as ``extract`` does, have the classes of the set."""
    shard(tmp_path / "0.tar", a_DOT_jpg=b"", a_DOT_cls=labels[0].encode())
    content = [label.encode() for label in labels]
    shard(
        tmp_path / "1.tar", b_DOT_jpg=b"", b_DOT_cls=content[0], c_DOT_jpg=b"", c_DOT_cls=content[1]
    )
    assert find(tmp_path).classes == classes
    one_by_one = {name for part in input_shards(tmp_path) for name in part.listed().classes}
    assert one_by_one == set(classes)


def test_two_images_of_one_key_and_labels_that_are_none_are_refused(tmp_path):
    shard(tmp_path / "a.tar", a_DOT_jpg=b"1", a_DOT_png=b"2", a_DOT_cls=b"x")
    with pytest.raises(UsageError, match=r"a.tar': two images of the key 'a', 'a.jpg' and 'a.png'"):
        find(tmp_path / "a.tar")
    shard(tmp_path / "b.tar", a_DOT_jpg=b"1", a_DOT_json=b"{}")
    with pytest.raises(UsageError, match=r"b.tar:a.json has no label: expected text or a whole"):
        find(tmp_path / "b.tar")
    shard(tmp_path / "c.tar", a_DOT_jpg=b"1", a_DOT_cls=b"x", b_DOT_jpg=b"1")
    assert find(tmp_path / "c.tar").notes == (
        f"left out, without a label: 1 ('{tmp_path}/c.tar:b.jpg')",
    )


def test_two_members_of_one_name_are_refused_beside_labels(folder, tmp_path):
    """A second ``a.jpg`` would be another photograph; of a plain tar file the last one counts."""
    content = (folder / "train/blobs/00.jpg").read_bytes()
    for target, beside in (("a.tar", [("a.cls", b"x")]), ("b.tar", [])):
        with tarfile.open(tmp_path / target, "w") as archive:
            for name, data in [("x/a.jpg", b"1"), ("x/a.jpg", content), *beside]:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    with pytest.raises(UsageError, match=r"a.tar': two members of the name 'x/a.jpg': keep one"):
        find(tmp_path / "a.tar")
    (only,) = find(tmp_path / "b.tar").photographs
    assert file_bytes(only.path) == content


def test_a_label_that_is_cut_short_is_none(folder, tmp_path):
    content = (folder / "train/blobs/00.jpg").read_bytes()
    shard(tmp_path / "a.tar", a_DOT_jpg=content, a_DOT_cls=b"x", b_DOT_jpg=content, b_DOT_cls=b"xy")
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: whole.rindex(b"xy") + 1])
    found = find(tmp_path / "a.tar")
    assert [one.path.name for one in found.photographs] == ["a.tar:a.jpg"]
    assert any("without a label: 1 (" in note and "a.tar:b.jpg" in note for note in found.notes)


def test_a_member_that_cannot_be_read_says_why(folder, tmp_path):
    archive = packed(folder, tmp_path / "set.zip")
    for name, reason in (("none.jpg", "not in the archive"), ("train", "not in the archive")):
        with pytest.raises(UnreadableImage) as caught:
            file_bytes(tmp_path / f"set.zip:{name}")
        assert caught.value.reason == reason
    content = bytearray(archive.read_bytes())
    content[200] ^= 255  # within the first member
    archive.write_bytes(content)
    first = min(str(one.path) for one in find(archive).photographs)
    with pytest.raises(UnreadableImage, match="damaged in its archive"):
        file_bytes(Path(first))


def test_names_that_lead_out_of_an_archive_are_none(tmp_path):
    shard(tmp_path / "a.tar", **{"../x/a_DOT_jpg": b"1", "/b/c_DOT_jpg": b"2", "d/e_DOT_jpg": b"3"})
    assert [one.label for one in find(tmp_path / "a.tar").photographs] == ["b", "d"]


def test_a_file_whose_name_has_a_colon_is_itself(tmp_path):
    (tmp_path / "a.zip:b.jpg").write_bytes(b"mine")
    assert file_bytes(tmp_path / "a.zip:b.jpg") == b"mine"
    assert member_of(tmp_path / "a.zip:b.jpg") is None


def test_an_archive_that_changes_is_listed_anew(folder, tmp_path):
    archive = packed(folder, tmp_path / "a.tar", only="/train/")
    before = find(archive).photographs[0].path
    member_bytes(member_of(before))
    packed(folder, archive, only="/val/")
    with pytest.raises(UnreadableImage, match="not in the archive"):
        member_bytes(member_of(before))


@pytest.mark.parametrize(
    "pattern, error",
    [
        ("none-*.tar", "no file matches"),
        ("a-{0..2}.tar", "no file matches '.*a-1.tar'"),
        ("a-{5..2}.tar", "stands for no sensible range"),
    ],
)
def test_patterns_that_match_nothing_are_refused(folder, tmp_path, pattern, error):
    packed(folder, tmp_path / "a-0.tar")
    with pytest.raises(UsageError, match=error):
        find(tmp_path / pattern)


def test_a_pattern_stands_for_files_to_predict(folder, tmp_path):
    assert find_files([folder / "*/blobs/0[01].jpg"]).paths == [
        folder / split / "blobs" / f"0{number}.jpg"
        for split in ("train", "val")
        for number in (0, 1)
    ]


def test_of_many_names_few_archives_are_kept_listed(folder, tmp_path, monkeypatch):
    """Eight archives, each with more names than are kept: the last four are; all are read."""
    monkeypatch.setattr(listed_archives, "_MOST_NAMES", 3)
    paths = [packed(folder, tmp_path / f"{number}.zip") for number in range(8)]
    every = [find(path).photographs[0].path for path in paths]
    listed = [path for path in paths if archives._archives.has(path)]
    assert listed == paths[-4:]
    assert len({file_digest(one) for one in every}) == 1


def test_archives_beside_a_folder_of_images_are_refused(folder, tmp_path):
    """A pattern that stands for both does not leave one of them out."""
    (tmp_path / "set").mkdir()
    packed(folder, tmp_path / "set/a.tar")
    (tmp_path / "set/photos").symlink_to(folder)
    with pytest.raises(UsageError, match=r"archives, and for .*: 1 \('\S+/set/photos'\); give"):
        find(tmp_path / "set/*")
    assert said(find(tmp_path / "set/*.tar")) == said(find(folder))
