"""``tortie check`` as a user meets it."""

import json
import shutil
import sys

import numpy as np
import pytest

import tortie
from tests.conftest import lay_out, photograph
from tortie.cli.main import main
from tortie.images import find
from tortie.learning.check import check_images, findings_of


@pytest.fixture
def run(capfdbinary):
    def run(*words):
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        out, err = capfdbinary.readouterr()
        return stopped.value.code, out.decode(errors="surrogateescape"), err.decode()

    return run


@pytest.fixture
def messy(photographs):
    """A copy in two classes, one cut short, a wrong label, and a screenshot of one colour."""
    shutil.copy(photographs / "blobs/00.jpg", photographs / "stripes/blob.jpg")
    whole = (photographs / "blobs/01.jpg").read_bytes()
    (photographs / "blobs/cut <b>.jpg").write_bytes(whole[: len(whole) // 2])
    photograph("stripes", 90).save(photographs / "blobs/wrong.jpg", quality=95)
    return photographs


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_found(run, photographs):
    assert run("check", photographs, "--network", "none", "--json")[:2] == (0, "[]\n")


def test_json_names_every_finding_and_changes_nothing(run, messy):
    before = contents(messy)
    code, out, _ = run("check", messy, "--json")
    assert code == 1
    findings = json.loads(out)
    assert all(set(one) == {"kind", "severity", "paths", "detail"} for one in findings)
    kinds = {one["kind"]: one for one in findings}
    assert kinds["duplicate-across-classes"]["paths"] == [
        str(messy / "blobs/00.jpg"), str(messy / "stripes/blob.jpg"),
    ]  # fmt: skip
    assert kinds["truncated"]["severity"] == "serious"
    doubts = {path for one in findings if one["kind"] == "label-error" for path in one["paths"]}
    assert str(messy / "blobs/wrong.jpg") in doubts
    assert contents(messy) == before


def test_copies_of_a_wrong_label_are_one_finding(run, messy):
    shutil.copy(messy / "blobs/wrong.jpg", messy / "blobs/wrong again.jpg")
    _, out, _ = run("check", messy, "--json")
    doubts = [one["paths"] for one in json.loads(out) if one["kind"] == "label-error"]
    both = {str(messy / "blobs/wrong.jpg"), str(messy / "blobs/wrong again.jpg")}
    assert both in map(set, doubts)


def test_warnings_alone_are_no_failure(run, photographs):
    shutil.copy(photographs / "blobs/00.jpg", photographs / "blobs/again.jpg")
    code, out, _ = run("check", photographs, "--no-labels", "--json")
    assert code == 0
    assert [one["kind"] for one in json.loads(out)] == ["exact-duplicate"]


def test_a_check_after_a_check_decodes_nothing(run, photographs, monkeypatch):
    run("check", photographs, "--json", "-q")
    first = run("check", photographs, "--json", "-q")

    def refuse(*_, **__):
        raise AssertionError("decoded again")

    for module in ("tortie.images.read", "tortie.activations.stored_facts"):
        monkeypatch.setattr(sys.modules[module], "decode", refuse)
    assert run("check", photographs, "--json", "-q") == first
    assert run("check", photographs, "--json", "-q", "--network", "none")[0] == 0


def test_a_clean_manifest_is_what_fit_takes(run, messy, tmp_path):
    clean = tmp_path / "clean.csv"
    code, _, err = run("check", messy, "--write", clean, "--accept", "label-error")
    assert code == 1
    names = {one.path.name for one in find(clean).photographs}
    assert "wrong.jpg" in names
    assert names.isdisjoint({"cut <b>.jpg", "blob.jpg"})
    assert "24 images, without 3 found wanting" in err  # 24 + 3, less the cut one and both copies
    code, out, _ = run("fit", clean, "-o", tmp_path / "a.safetensors", "--json")
    assert code == 0
    assert json.loads(out)["images"] == 24
    assert json.loads(out)["skipped"] == []


def test_the_labels_that_a_fit_doubts_are_taken_out_by_check_write(run, photographs, tmp_path):
    # Invariant: what fit names, --write leaves out, and a fit of the rest doubts no label.
    photograph("stripes", 90).save(photographs / "blobs/wrong.jpg", quality=95)
    run("fit", photographs, "-o", tmp_path / "a.safetensors", "-q")
    notes = tortie.load(tmp_path / "a.safetensors").metadata.training["notes"]
    (doubt,) = [note for note in notes if "class may be wrong: 1" in note]
    assert "blobs/wrong.jpg" in doubt
    assert run("check", photographs, "--write", tmp_path / "clean.csv", "-q")[0] == 0
    kept = {one.path for one in find(tmp_path / "clean.csv").photographs}
    every = {one.path for one in find(photographs).photographs}
    assert every - kept == {photographs / "blobs/wrong.jpg"}
    run("fit", tmp_path / "clean.csv", "-o", tmp_path / "b.safetensors", "-q")
    notes = tortie.load(tmp_path / "b.safetensors").metadata.training["notes"]
    assert not [note for note in notes if "may be wrong" in note]


def test_fit_says_the_worst_that_it_found(run, messy, tmp_path):
    code, out, _ = run("fit", messy, "-o", tmp_path / "a.safetensors", "--json")
    assert code == 0
    notes = [note for note in json.loads(out)["notes"] if "tortie check" in note]
    assert notes[0].startswith("copies in two classes: 1, the same file in 'blobs', 'stripes'")
    assert 1 <= len(notes) <= 3


def test_the_page_shows_what_was_found(run, messy, tmp_path):
    page = tmp_path / "page.html"
    run("check", messy, "--network", "none", "-o", page)
    text = page.read_text().replace("<wbr>", "")
    assert "Copies in two classes" in text
    assert "cut &lt;b&gt;.jpg" in text
    assert "<b>" not in text.split("</style>")[1]
    assert text.count("data:image/jpeg;base64,") == 2


def test_a_page_of_five_hundred_findings_stays_small(run, tmp_path):
    generator = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(250):
            name = tmp_path / "images" / label / f"{i:03}.jpg"
            name.write_bytes(generator.bytes(50))
        for i in range(2):
            photograph("blobs", i + 10 * (label == "b")).save(name.with_name(f"ok{i}.jpg"))
    page = tmp_path / "page.html"
    code, out, _ = run("check", tmp_path / "images", "--network", "none", "-o", page)
    assert code == 1
    assert "and 495 more" in out
    assert len(out.splitlines()) < 40
    text = page.read_text().replace("<wbr>", "")
    assert "460 more, without pictures" in text
    assert "images/a/000.jpg" not in text  # shown from the folder on
    assert "a/000.jpg" in text and "b/249.jpg" in text
    assert len(text) < 200_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--accept", "blank"], "--accept keeps images in the CSV of --write"),
        (["--write", "a.csv", "--accept", "blnk"], "no kind of finding 'blnk': expected blank"),
        (["--write", "a.txt"], "a.txt does not end in .csv"),
        (["--write", "no/a.csv"], "no folder no to write a.csv into"),
        (["--network", "lenet"], "lenet"),
    ],
)
def test_wrong_use(run, photographs, words, message):
    code, out, err = run("check", photographs, *words)
    assert code == 2
    assert message in err
    assert out == ""


def test_an_existing_file_is_replaced_only_by_force(run, photographs, tmp_path):
    (tmp_path / "a.csv").write_text("mine")
    words = ["check", photographs, "--network", "none", "--write", tmp_path / "a.csv"]
    code, _, err = run(*words)
    assert code == 2
    assert "a.csv exists: --force replaces it" in err
    assert (tmp_path / "a.csv").read_text() == "mine"
    assert run(*words, "--force")[0] == 0
    assert len(find(tmp_path / "a.csv").photographs) == 24


def test_help_shows_an_example(run):
    code, out, _ = run("check", "--help")
    assert code == 0
    assert "Example: tortie check photos" in " ".join(out.split())


def test_fit_and_check_name_the_same_doubtful_labels(run, tmp_path):
    """One rule: what the fit counts and names first is what the check lists."""
    folder = lay_out(tmp_path / "photographs", 20)
    for number in (3, 7):
        (folder / "stripes" / f"{number:02}.jpg").rename(folder / "blobs" / f"wrong-{number}.jpg")
    found = json.loads(run("check", folder, "--json")[1])
    doubts = [one for one in found if one["kind"] == "label-error"]
    out = run("fit", folder, "-o", tmp_path / "a.safetensors", "--json")[1]
    (note,) = [one for one in json.loads(out)["notes"] if "class may be wrong" in one]
    assert doubts and f"class may be wrong: {len(doubts)}, " in note
    assert doubts[0]["paths"][0] in note and doubts[0]["detail"] in note


def test_a_fit_knows_all_that_a_check_finds(tmp_path):
    # Oracle: the check of the same folder, which chooses its penalty itself.
    folder = lay_out(tmp_path / "photographs", 20)
    for number in (3, 7):
        (folder / "stripes" / f"{number:02}.jpg").rename(folder / "blobs" / f"wrong-{number}.jpg")
    shutil.copy(folder / "blobs" / "00.jpg", folder / "blobs" / "copy.jpg")
    (folder / "blobs" / "01.jpg").write_bytes((folder / "blobs" / "02.jpg").read_bytes()[:900])
    findings = check_images(folder).findings
    assert {"label-error", "exact-duplicate", "truncated"} <= {one.kind for one in findings}
    for weight in ("auto", "balanced"):  # the fit's own choice of the penalty; the check's
        fitted = tortie.ImageClassifier(threads=2, class_weight=weight).fit(folder).fitted_
        assert findings_of(fitted) == findings


def test_a_file_that_cannot_be_read_is_not_to_compute_for_ever(run, tmp_path):
    folder = lay_out(tmp_path / "photographs", 6)
    (folder / "blobs" / "00.jpg").write_bytes(b"\xff\xd8\xff broken")
    assert run("fit", folder, "-o", tmp_path / "a.safetensors", "-q")[0] == 0
    plan = json.loads(run("fit", folder, "-o", tmp_path / "b.safetensors", "--plan", "--json")[1])
    assert (plan["images_in_store"], plan["images_to_compute"]) == (11, 0)
    assert plan["multiplications"] == 0
