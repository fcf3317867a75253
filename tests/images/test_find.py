import csv
import os

import pytest

from tortie.errors import TortieError, UsageError
from tortie.images import Photograph, find, find_files
from tortie.images.names import survey


@pytest.fixture
def tree(tmp_path):
    """Make files, given by their paths below the folder that is returned."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path

    return make


def found(collection):
    root = collection.root if collection.root.is_dir() else collection.root.parent
    return [
        (photograph.path.relative_to(root).as_posix(), photograph.label, photograph.split)
        for photograph in collection.photographs
    ]


def table(root, text, name="images.csv"):
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root / name


def test_a_folder_is_a_class_and_its_subfolders_belong_to_it(tree):
    collection = find(tree("misty/b.JPG", "tigger/2020/june/a.heic", "tigger/z.png", "misty/a.gif"))
    assert found(collection) == [
        ("misty/a.gif", "misty", None),
        ("misty/b.JPG", "misty", None),
        ("tigger/2020/june/a.heic", "tigger", None),
        ("tigger/z.png", "tigger", None),
    ]
    assert collection.classes == ("misty", "tigger")
    assert collection.splits == collection.notes == ()


def test_classes_are_sorted_by_code_points(tree):
    root = tree("zebra/1.jpg", "Zebra/1.jpg", "été/1.jpg", "10/1.jpg", "9/1.jpg", "猫/1.jpg")
    assert find(root).classes == ("10", "9", "Zebra", "zebra", "été", "猫")


SUFFIXES = ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff")


@pytest.mark.parametrize("suffix", [*SUFFIXES, "heic", "heif", "avif"])
def test_every_suffix_of_an_image_counts(tree, suffix):
    assert len(find(tree(f"a/1.{suffix}", f"a/2.{suffix.upper()}")).photographs) == 2


@pytest.mark.parametrize("validation", ["valid", "val", "validation", "Val"])
def test_folders_of_splits(tree, validation):
    collection = find(tree("TRAIN/cat/deep/1.jpg", f"{validation}/cat/2.jpg", "test/cat/3.jpg"))
    assert sorted(found(collection), key=lambda one: one[0][-5:]) == [
        ("TRAIN/cat/deep/1.jpg", "cat", "train"),
        (f"{validation}/cat/2.jpg", "cat", "validation"),
        ("test/cat/3.jpg", "cat", "test"),
    ]
    assert collection.splits == ("train", "validation", "test")
    assert collection.classes == ("cat",)


def test_a_class_may_be_called_train(tree):
    collection = find(tree("train/1.jpg", "car/2.jpg", "test/3.jpg"))
    assert collection.classes == ("car", "test", "train")
    assert collection.splits == ()


def test_a_split_beside_a_class_is_refused(tree):
    with pytest.raises(UsageError, match=r"has splits, 1 \('train'\), beside other .*'car'"):
        find(tree("train/steam/1.jpg", "car/2.jpg"))


def test_splits_without_class_folders_are_refused(tree):
    with pytest.raises(UsageError, match=r"'test', 'train'\) of .* lie in no class: give one fol"):
        find(tree("train/1.jpg", "test/2.jpg"))


def test_two_folders_of_one_split_are_refused(tree):
    with pytest.raises(UsageError, match=r"\('val', 'valid'\) of .* all mean validation: keep one"):
        find(tree("train/a/1.jpg", "val/a/2.jpg", "valid/a/3.jpg"))


def test_a_class_that_train_misses_is_refused(tree):
    root = tree("train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/c/1.jpg")
    with pytest.raises(UsageError, match=r"in validation, but not in train: 1 \('c'\)"):
        find(root)
    counted = find(root, known=["a", "c"])  # by a classifier, for which nothing is to be learned
    assert found(counted)[-2:] == [
        ("val/a/1.jpg", "a", "validation"),
        ("val/c/1.jpg", "c", "validation"),
    ]


def test_a_class_that_another_split_misses_is_said(tree):
    root = tree("train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "test/b/1.jpg", "test/a/1.jpg")
    assert find(root).incomplete == ("classes in train, but not in validation: 1 ('b')",)


def test_a_test_alone_needs_no_train(tree):
    collection = find(tree("test/a/1.jpg", "test/b/1.jpg"))
    assert (collection.splits, collection.classes) == (("test",), ("a", "b"))


def test_what_is_left_out_is_said_in_a_line_each_kind(tree):
    root = tree(
        "a/1.jpg",
        "a/Thumbs.db",
        "a/.DS_Store",
        "b/2.jpg",
        "b/Thumbs.db",
        "b/notes.txt",
        "b/.cache/3.jpg",
        "empty/notes.txt",
        "__MACOSX/4.jpg",
        ".git/5.jpg",
        "loose.jpg",
        "README",
    )
    collection = find(root)
    assert [name for name, *_ in found(collection)] == ["a/1.jpg", "b/2.jpg"]
    assert collection.notes == (
        "left out, hidden: 3 ('.DS_Store', '.cache', '.git')",
        "left out, the system's own: 1 ('__MACOSX')",
        "left out, no images by their suffix: 5 ('README', 'Thumbs.db', 'notes.txt')",
        f"no class, without an image: 1 ('{root}/empty')",
        f"left out, in no class's folder: 1 ('{root}/loose.jpg')",
    )


def test_strays_in_splits_are_said(tree):
    root = tree("train/a/1.jpg", "train/2.jpg", "train/b/x.txt", "test/a/1.jpg", "test/.x/1.jpg")
    assert find(root).notes == (
        "left out, hidden: 1 ('.x')",
        "left out, no images by their suffix: 1 ('x.txt')",
        f"no class, without an image: 1 ('{root}/train/b')",
        f"left out, in no class's folder: 1 ('{root}/train/2.jpg')",
    )


def test_a_thousand_strays_are_one_line(tree):
    root = tree("a/1.jpg", *(f"a/{number:04}.txt" for number in range(1000)))
    (note,) = find(root).notes
    assert note.startswith("left out, no images by their suffix: 1000 ('0000.txt', ")
    assert len(note) < 120


def test_links_are_followed_and_loops_end(tree):
    root = tree("a/1.jpg", "a/deep/2.jpg")
    (root / "a/deep/up").symlink_to(root / "a")
    (root / "b").symlink_to(root / "a/deep")
    (root / "b.jpg").symlink_to(root / "nowhere")
    (root / "a/gone.jpg").symlink_to(root / "nowhere")
    collection = find(root)
    assert [name for name, *_ in found(collection)] == [
        "a/1.jpg",
        "a/deep/2.jpg",
        "a/gone.jpg",  # is said when it cannot be read
        "b/2.jpg",
        "b/up/1.jpg",
        "b/up/gone.jpg",
    ]
    assert any(note.startswith("met twice, counted once: 2 ") for note in collection.notes)


NAMES = ("with space.jpg", "quote'\".jpg", "new\nline.jpg", "寅.jpg", "comma,.jpg", "\udcff.jpg")


def test_odd_names_work_in_folders_and_in_a_csv(tree):
    root = tree(*(f"odd\n{name[:-4]}/{name}" for name in NAMES))
    collection = find(root)
    assert sorted(photograph.path.name for photograph in collection.photographs) == sorted(NAMES)
    named = {"new\nline": r"new\x0aline", "\udcff": r"\xff"}  # class names are clean text
    short = [name[:-4] for name in NAMES]
    assert collection.classes == tuple(sorted(rf"odd\x0a{named.get(n, n)}" for n in short))
    assert all(photograph.path.exists() for photograph in collection.photographs)
    with open(root / "again.csv", "w", newline="", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        for photograph in collection.photographs:
            writer.writerow([photograph.path.relative_to(root), photograph.label])
    assert find(root / "again.csv").photographs == collection.photographs


def test_composed_and_decomposed_accents_are_one_class(tree):
    """As a folder copied from a Mac: é is one code point, or e and an accent."""
    collection = find(tree("train/caf\u00e9/1.jpg", "test/cafe\u0301/1.jpg"))
    assert collection.classes == ("caf\u00e9",)


def test_the_order_of_the_file_system_does_not_matter(tree, monkeypatch):
    root = tree(*(f"{label}/{number}.jpg" for label in "ba" for number in range(20)))
    before, scandir = find(root), os.scandir

    class Reversed:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(os, "scandir", Reversed)
    assert find(root) == before


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "no image in .*: give one folder for each class, IMAGES/CLASS"),
        (("a/notes.txt",), "no image in "),
        (("1.jpg", "2.jpg"), "lie in no class: put them in one folder for each class"),
    ],
)
def test_a_folder_without_classes_is_refused(tree, names, message):
    with pytest.raises(UsageError, match=message):
        find(tree(*names))


def test_a_source_that_is_none_is_refused(tree):
    root = tree("cat.jpg")
    with pytest.raises(UsageError, match=r"no such folder or CSV: '.*none'"):
        find(root / "none")
    with pytest.raises(UsageError, match=r"'.*cat\.jpg' is neither a folder of images nor a \.csv"):
        find(root / "cat.jpg")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_folder_without_permission_is_named(tree):
    root = tree("a/1.jpg", "b/deep/2.jpg")
    for name in ("b/deep", "b", "."):
        (root / name).chmod(0)
        with pytest.raises(TortieError, match=r"cannot read '.*': Permission denied"):
            find(root)
        (root / name).chmod(0o700)


def test_a_refusal_of_the_system_is_named(tree, monkeypatch):
    root = tree("a/1.jpg")

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(TortieError, match=r"cannot read '.*': Permission denied") as caught:
        find(root)
    assert caught.value.exit_code == 1


def test_a_csv(tmp_path):
    source = table(
        tmp_path,
        "\ufeffgroup,Label , path,split\r\nsea,Tigger, a.jpg,train\r\n"
        ',Misty,"sub/b, c.jpg",VAL\r\n\r\nsea,Misty,/abs/d.jpg,train\r\n'
        "x,Misty,e.jpg,calibration\n",
    )
    rows = find(source).photographs
    assert rows == tuple(
        sorted(
            (
                Photograph(tmp_path / " a.jpg", "Tigger", "train", "sea"),
                Photograph(tmp_path / "sub/b, c.jpg", "Misty", "validation", None),
                Photograph(tmp_path / "e.jpg", "Misty", "calibration", "x"),
                Photograph(tmp_path.__class__("/abs/d.jpg"), "Misty", "train", "sea"),
            ),
            key=lambda one: str(one.path),
        )
    )
    assert find(source).splits == ("train", "validation", "calibration")


def test_the_order_of_the_rows_does_not_matter(tmp_path):
    rows = [f"{number}.jpg,{number % 3}\n" for number in range(30)]
    one = find(table(tmp_path, "path,label\n" + "".join(rows), "one.csv"))
    other = find(table(tmp_path, "path,label\n" + "".join(reversed(rows)), "other.csv"))
    assert one.photographs == other.photographs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: the columns are ''; expected path,label\[,split\[,group\]\] with commas"),
        ("path,label\n", "no image in "),
        ("path|label\na|b\n", r"line 1: the columns are 'path\|label'"),
        ("path,class\na,b\n", "line 1: the columns are 'path,class'"),
        ("label\na\n", "line 1: the columns are 'label'"),
        ("path,label,label\na,b,c\n", "line 1: the columns"),
        ("path,label\na.jpg,cat\nb.jpg\n", "line 3: 1 cells; expected 2"),
        ("path,label\na.jpg,cat,train\n", "line 2: 3 cells; expected 2"),
        ("path,label\na.jpg, \n", "line 2: no label"),
        ("path,label\n,cat\n", "line 2: no path"),
        ("path,label,split\na.jpg,cat,\n", "line 2: no split"),
        ("path,label,split\na.jpg,cat,dev\n", "line 2: split 'dev'; expected one of train, val"),
        ('path,label\n"a.jpg,cat\n', "line 2: unexpected end of data"),
        (
            "path,label\na.jpg,cat\na.jpg,dog\n",
            "lines 2 and 3: '.*a.jpg' is listed twice, with other",
        ),
        ("path,label,split\na,x,train\nb,y,test\n", r"in test, but not in train: 1 \('y'\)"),
        ("path,label\n".encode("utf-32"), "line 1: the columns are .* in UTF-8"),
    ],
)
def test_a_csv_that_cannot_be_meant_is_refused(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as caught:
        find(table(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_row_that_is_repeated_is_counted_once_and_said(tmp_path):
    collection = find(table(tmp_path, "path,label\na.jpg,cat\nb.jpg,dog\na.jpg,cat\n"))
    assert len(collection.photographs) == 2
    assert collection.notes == (f"met twice, counted once: 1 ('{tmp_path}/a.jpg')",)


def test_files_for_prediction(tree):
    root = tree("b/2.jpg", "b/1.PNG", "b/c/3.webp", "b/.hidden/4.jpg", "b/x.txt", "odd.suffix")
    sources = [root / "odd.suffix", root / "b", root / "none.jpg"]
    names = ["odd.suffix", "b/1.PNG", "b/2.jpg", "b/c/3.webp", "none.jpg"]
    assert find_files(sources).paths == [root / name for name in names]


SYSTEM = (
    "Thumbs",
    *("@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", "RECYCLER", "System Volume Information"),
    *("lost+found", "LOST.DIR", "__MACOSX", "Network Trash Folder", "thumbnails"),
)


@pytest.mark.parametrize("name", SYSTEM)
def test_what_systems_keep_beside_photographs_is_neither_class_nor_photograph(tree, name):
    root = tree(
        "ants/1.jpg", f"ants/{name}/1.jpg/THUMB_M.jpg", f"ants/deep/{name}/2.jpg", "bees/2.jpg",
        f"{name}/S-1-5-21/$R1.jpg",
    )  # fmt: skip
    collection = find(root)
    assert [one for one, *_ in found(collection)] == ["ants/1.jpg", "bees/2.jpg"]
    assert collection.notes == (f"left out, the system's own: 3 ({name!r})",)
    files = find_files([root])
    assert files.paths == [root / "ants/1.jpg", root / "bees/2.jpg"]
    assert files.notes == list(collection.notes)


def test_in_splits_too(tree):
    root = tree("train/a/1.jpg", "train/@eaDir/x/1.jpg", "train/a/@eaDir/1.jpg", "test/a/2.jpg")
    assert [one for one, *_ in found(find(root))] == ["test/a/2.jpg", "train/a/1.jpg"]


def test_one_bad_entry_does_not_end_the_walk(tree):
    """A link to itself, as a folder and as a photograph, and a folder in itself."""
    root = tree("a/1.jpg", "b/2.jpg")
    os.symlink("loop", root / "loop")
    os.symlink("loop.jpg", root / "a" / "loop.jpg")
    os.symlink(root / "a", root / "a" / "again")
    collection = find(root)
    assert [one for one, *_ in found(collection)] == ["a/1.jpg", "a/loop.jpg", "b/2.jpg"]
    assert "left out, no images by their suffix: 1 ('loop')" in collection.notes
    assert any(note.startswith("met twice") for note in collection.notes)
    assert root / "a" / "loop.jpg" in find_files([root]).paths


def test_a_folder_that_may_not_be_entered_is_named(tree, monkeypatch):
    root = tree("a/1.jpg", "a/secret/2.jpg", "b/3.jpg", "c/4.jpg")
    scandir = os.scandir

    def refusing(path):
        if os.fspath(path).endswith(("secret", "c")):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    collection = find(root)
    assert [one for one, *_ in found(collection)] == ["a/1.jpg", "b/3.jpg"]
    named = f"left out, cannot be entered: 2 ('{root}/a/secret', '{root}/c')"
    assert named in collection.notes
    assert find_files([root]).notes == [named]
    with pytest.raises(TortieError, match=r"cannot read .*c': Permission denied"):
        find_files([root / "c"])


def test_a_path_that_is_too_long_is_named(tmp_path):
    """Made step by step; no system call takes 4,096 characters at once."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").touch()
    name = "x" * 200
    here = os.open(tmp_path / "a", os.O_RDONLY)
    for _ in range(21):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("2.jpg", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)
    collection = find(tmp_path)
    assert [one for one, *_ in found(collection)] == ["a/1.jpg"]
    (note,) = collection.notes
    assert note.startswith("left out, cannot be entered: 1 ('")
    assert len(note) < 300


def test_a_folder_of_features_holds_no_photographs(tmp_path):
    (tmp_path / "features.json").write_text("{}")
    for look in (find, lambda path: survey([path]), lambda path: find_files([path])):
        with pytest.raises(
            UsageError, match=r"holds features, which tortie fit takes: give the ph"
        ):
            look(tmp_path)
