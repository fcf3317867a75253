import csv
import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from tests.conftest import lay_out, photograph
from tortie.activations.store import ActivationStore
from tortie.activations.stored_facts import stored_facts
from tortie.errors import UsageError
from tortie.images import Facts, find, hash_all
from tortie.images.class_names import similar_names
from tortie.images.find import Photograph
from tortie.images.finding import KINDS, Finding, by_kind, check_kinds, ranked, worst
from tortie.images.findings import file_findings
from tortie.images.inspection import Inspection
from tortie.images.manifest import dropped, write_manifest


@pytest.fixture
def examine():
    def of(source):
        collection = find(source)
        sources = [one.path for one in collection.photographs]
        sha256 = hash_all(sources, 2)
        store = ActivationStore.default(print)
        known = stored_facts(sources, sha256, store, threads=2, max_pixels=10**8)
        inspection = Inspection(collection.photographs, sha256, known.facts, known.reasons)
        return inspection, file_findings(inspection, collection.notes)

    return of


def told(findings, kind):
    """Severity and names of the files of every finding of a kind."""
    return [
        (one.severity, sorted(path.rsplit("/", 1)[1] for path in one.paths))
        for one in findings
        if one.kind == kind
    ]


def test_a_clean_folder_has_no_findings(examine, photographs):
    assert examine(photographs)[1] == []


def test_broken_files(examine, photographs):
    whole = (photographs / "blobs/00.jpg").read_bytes()
    (photographs / "blobs/cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photographs / "blobs/text.jpg").write_text("no image")
    (photographs / "stripes/empty.png").write_bytes(b"")
    _, found = examine(photographs)
    assert told(found, "truncated") == [("serious", ["cut.jpg"])]
    assert told(found, "unreadable") == [("serious", ["text.jpg"]), ("serious", ["empty.png"])]
    assert {one.kind for one in found} == {"truncated", "unreadable"}


def test_names_turns_and_looks(examine, photographs):
    photograph("blobs", 50).save(photographs / "blobs/png.jpg", "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in (51, 52):
        photograph("blobs", number).save(photographs / f"blobs/turned{number}.jpg", exif=exif)
    Image.new("RGB", (300, 200), (10, 200, 90)).save(photographs / "blobs/one colour.jpg")
    photograph("stripes", 53).resize((31, 40)).save(photographs / "stripes/tiny.jpg")
    photograph("stripes", 54).resize((301, 100)).save(photographs / "stripes/long.jpg")
    photograph("stripes", 55).resize((300, 100)).save(photographs / "stripes/just.jpg")
    photograph("stripes", 56).resize((32, 40)).save(photographs / "stripes/small.jpg")
    _, found = examine(photographs)
    assert told(found, "wrong-extension") == [("note", ["png.jpg"])]
    assert told(found, "rotated") == [("note", ["turned51.jpg", "turned52.jpg"])]
    assert told(found, "blank") == [("warning", ["one colour.jpg"])]
    assert told(found, "tiny") == [("warning", ["tiny.jpg"])]
    assert told(found, "extreme-aspect") == [("warning", ["long.jpg"])]
    assert told(found, "odd-format") == [("note", ["png.jpg"])]


def test_values_in_a_small_part_of_their_range(examine, photographs):
    """12 bits in 16 use 4,096 of 65,536 values, a sixteenth; 13 bits, an eighth."""
    grey = np.asarray(photograph("blobs", 50).convert("L")).astype(np.uint16)
    grey = (grey - grey.min()) * 255 // int(grey.max() - grey.min())
    for bits in (10, 12, 13):
        deep = (grey.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
        Image.fromarray(deep).save(photographs / f"blobs/{bits}.png")
    ramp = np.tile(np.arange(256), (200, 1))
    for name, levels in (("dim", 15), ("pale", 17)):
        dim = Image.fromarray((120 + ramp * levels // 255).astype(np.uint8))
        dim.save(photographs / f"stripes/{name}.png")
    inspection, found = examine(photographs)
    assert told(found, "narrow-range") == [
        ("warning", ["10.png"]), ("warning", ["12.png"]), ("warning", ["dim.png"]),
    ]  # fmt: skip
    assert "values from 0 to 4,095 of 65,535" in [one.detail for one in found]
    assert told(found, "blank") == []
    ours = {i for one in found if one.kind == "narrow-range" for i in one.images}
    assert not ours & dropped([one for one in found if one.kind == "narrow-range"])
    kept = inspection.facts[sorted(ours)[0]]
    assert Facts.decode(kept.encode()) == kept


def test_a_data_set_of_12_bits_is_one_warning(examine, tmp_path):
    for label in ("blobs", "stripes"):
        (tmp_path / label).mkdir()
        for i in range(8):
            grey = np.asarray(photograph(label, i).convert("L")).astype(np.uint16) * 16
            Image.fromarray(grey).save(tmp_path / label / f"{i}.png")
    _, found = examine(tmp_path)
    assert [severity for severity, _ in told(found, "narrow-range")] == ["warning"]


def test_turned_heics_are_listed(examine, photographs):
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    image = heif.from_pillow(photograph("blobs", 60))
    image.save(photographs / "blobs/turned.heic", quality=90, exif=exif.tobytes())
    _, found = examine(photographs)
    assert told(found, "rotated") == [("note", ["turned.heic"])]


def test_images_that_are_all_tiny_are_one_note(examine, tmp_path):
    for label in ("blobs", "stripes"):
        (tmp_path / label).mkdir()
        for i in range(10):
            photograph(label, i).resize((28, 28)).save(tmp_path / label / f"{i}.png")
    _, found = examine(tmp_path)
    assert [severity for severity, paths in told(found, "tiny")] == ["note"]
    assert dropped(found) == set()


def test_copies_within_a_class_keep_one(examine, photographs):
    shutil.copy(photographs / "blobs/03.jpg", photographs / "blobs/again.jpg")
    image = Image.open(photographs / "stripes/04.jpg")
    image.resize((64, 48)).save(photographs / "stripes/aa smaller.jpg")
    inspection, found = examine(photographs)
    assert told(found, "exact-duplicate") == [("warning", ["03.jpg", "again.jpg"])]
    assert told(found, "near-duplicate") == [("warning", ["04.jpg", "aa smaller.jpg"])]
    out = {inspection.photographs[i].path.name for i in dropped(found)}
    assert out == {"again.jpg", "aa smaller.jpg"}  # the first by name; the larger
    assert dropped(found, {"exact-duplicate", "near-duplicate"}) == set()


def test_copies_in_two_classes_are_serious_and_all_go(examine, photographs):
    shutil.copy(photographs / "blobs/03.jpg", photographs / "stripes/blob.jpg")
    inspection, found = examine(photographs)
    assert told(found, "duplicate-across-classes") == [("serious", ["03.jpg", "blob.jpg"])]
    assert {inspection.photographs[i].path.name for i in dropped(found)} == {"03.jpg", "blob.jpg"}


def test_copies_across_splits_leave_train_whole(examine, tmp_path):
    lay_out(tmp_path, 12, ("train", "test"))
    image = Image.open(tmp_path / "train/blobs/02.jpg")
    image.save(tmp_path / "test/blobs/leak.jpg", quality=60)
    inspection, found = examine(tmp_path)
    assert told(found, "duplicate-across-splits") == [("serious", ["02.jpg", "leak.jpg"])]
    assert told(found, "near-duplicate") == []
    assert [inspection.photographs[i].path.name for i in dropped(found)] == ["leak.jpg"]


def test_a_given_group_across_splits(examine, tmp_path):
    lay_out(tmp_path)
    rows = ["path,label,split,group"]
    for label in ("blobs", "stripes"):
        for i in range(12):
            split = "test" if i > 8 else "train"
            rows.append(f"{label}/{i:02}.jpg,{label},{split},{'cat 7' if i in (8, 9) else ''}")
    (tmp_path / "images.csv").write_text("\n".join(rows))
    inspection, found = examine(tmp_path / "images.csv")
    one = next(one for one in found if one.kind == "group-across-splits")
    assert one.detail == "group 'cat 7' in train and test"
    assert {str(inspection.photographs[i].path)[-12:] for i in one.drops} == {
        "/blobs/09.jpg"[-12:],
        "/stripes/09.jpg"[-12:],
    }


def test_classes_small_unbalanced_and_missing(examine, tmp_path):
    lay_out(tmp_path, 31, ("train",))
    lay_out(tmp_path, 3, ("other", "test"))
    shutil.rmtree(tmp_path / "other")
    shutil.rmtree(tmp_path / "test/stripes")
    (tmp_path / "train/none").mkdir()
    (tmp_path / "train/none/a.jpg").write_text("no image")
    (tmp_path / "train/few").mkdir()
    for i in range(3):
        photograph("blobs", 500 + i).save(tmp_path / f"train/few/{i}.jpg")
    _, found = examine(tmp_path)
    sizes = [(one.severity, one.detail) for one in found if one.kind == "class-size"]
    assert sizes == [
        ("serious", "class 'none' has no readable photographs"),
        ("warning", "class 'few' has 3 readable photographs"),
    ]
    assert [one.detail for one in found if one.kind == "unbalanced"] == [
        "34 of 'blobs', 3 of 'few': 11 times as many"
    ]
    assert [one.detail for one in found if one.kind == "missing-class"] == [
        "test has no 'few', 'stripes'"
    ]


def test_classes_that_differ_in_format(examine, photographs):
    for path in sorted((photographs / "stripes").iterdir()):
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    _, found = examine(photographs)
    assert [(one.kind, one.detail) for one in found] == [
        ("format-by-class", "'blobs' JPEG, 'stripes' PNG")
    ]


def test_stray_files_are_notes(examine, photographs):
    (photographs / "blobs/Thumbs.db").write_bytes(b"")
    (photographs / "blobs/.DS_Store").write_bytes(b"")
    _, found = examine(photographs)
    assert {one.severity for one in found} == {"note"}
    assert any("Thumbs.db" in one.detail for one in found)
    assert any(".DS_Store" in one.detail for one in found)


def test_what_a_check_groups_is_what_a_split_keeps_together(examine, photographs):
    shutil.copy(photographs / "blobs/03.jpg", photographs / "blobs/again.jpg")
    inspection, found = examine(photographs)
    (one,) = (one for one in found if one.kind == "exact-duplicate")
    names = {inspection.groups[inspection.rows.index(i)] for i in one.images}
    assert len(names) == 1
    assert names != {None}


def test_what_a_network_sees_as_one_joins_what_the_hash_found(examine, photographs):
    shutil.copy(photographs / "blobs/03.jpg", photographs / "blobs/again.jpg")
    inspection, _ = examine(photographs)
    names = [inspection.photographs[i].path.name for i in inspection.rows]
    three, again, five = names.index("03.jpg"), names.index("again.jpg"), names.index("05.jpg")
    joined = replace(inspection, feature_pairs=[(three, five)])
    assert joined.duplicates.groups == (tuple(sorted((three, five, again))),)
    (found,) = (one for one in file_findings(joined) if one.kind == "near-duplicate")
    assert sorted(path[-6:] for path in found.paths) == ["03.jpg", "05.jpg"]
    # A whole class alike is a texture: the hash's copies alone stay together, and none is counted.
    blobs = [i for i, label in enumerate(inspection.labels) if label == "blobs"]
    texture = replace(inspection, feature_pairs=list(pairwise(blobs)))
    assert texture.duplicates.groups == inspection.duplicates.groups
    assert texture.duplicates.pairs == inspection.duplicates.pairs
    assert texture.duplicates.look_alikes == tuple(blobs)
    assert not texture.weights.of(np.array(blobs)).any()
    assert "too many to be copies" in texture.duplicates.notes[0]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["Tigger", "tigger", "Tiger"], [(("Tigger", "tigger"), "writing"),
                                         (("Tiger", "Tigger"), "spelling")]),
        (["café", "cafe\u0301", "CAFE"], [(("CAFE", "cafe\u0301", "café"), "writing")]),
        (["golden retriever", "golden_retriever"],
         [(("golden retriever", "golden_retriever"), "writing")]),
        (["cat", "cats"], [(("cat", "cats"), "spelling")]),
        (["Misty", "Msity"], [(("Misty", "Msity"), "spelling")]),
        (["bat", "cat", "hat"], []),
        (["ants", "bees"], []),
        (["model1", "model2", "model12"], []),
        (["c", "c++", "-", "_"], []),
    ],
)  # fmt: skip
def test_class_names_alike(names, found):
    assert list(similar_names(names)) == found


def test_ranking_is_by_severity_then_kind_then_weight():
    findings = [
        Finding("rotated", "note", "a"),
        Finding("label-error", "warning", "b", weight=0.2),
        Finding("label-error", "warning", "c", weight=0.9),
        Finding("truncated", "serious", "d", paths=("x.jpg",)),
    ]
    assert [one.detail for one in ranked(findings)] == ["d", "c", "b", "a"]
    assert [(kind.name, len(own)) for kind, _, own in by_kind(findings)] == [
        ("truncated", 1), ("label-error", 2), ("rotated", 1),
    ]  # fmt: skip
    assert worst(findings) == [
        "cut short: 1, d ('x.jpg')",
        "photographs whose class may be wrong: 2, such as c",
    ]


def test_kinds_are_refused_with_what_is_meant():
    check_kinds([kind.name for kind in KINDS])
    with pytest.raises(UsageError, match="no kind of finding 'near-duplicates': expected near-du"):
        check_kinds(["near-duplicates"])


def test_of_copies_the_one_that_stays_is_one_with_nothing_else_against_it():
    copies = Finding("exact-duplicate", "warning", "", (0, 1, 2), (), (0, 1, 2), spares_one=True)
    doubt = Finding("label-error", "warning", "", (0,), (), (0,))
    assert dropped([copies]) == {1, 2}
    assert dropped([copies, doubt]) == {0, 2}
    assert dropped([copies, doubt], ["label-error"]) == {1, 2}


def test_a_manifest_reads_back_as_it_was(tmp_path):
    odd = tmp_path / "in, 'quotes' \"and\"\nlines.jpg"
    photographs = (
        Photograph(odd, "a", "train", "g"),
        Photograph(tmp_path / "b/ü.jpg", "b", "test"),
        Photograph(tmp_path.parent / "outside.jpg", "b", "train"),
    )
    write_manifest(tmp_path / "clean.csv", photographs)
    again = find(tmp_path / "clean.csv").photographs
    assert sorted(again, key=str) == sorted(photographs, key=str)
    write_manifest(tmp_path / "plain.csv", [Photograph(odd, "a"), Photograph(odd / "2.jpg", "b")])
    with open(tmp_path / "plain.csv", newline="") as file:
        assert next(csv.reader(file)) == ["path", "label"]
