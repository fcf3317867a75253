"""The command line as a user meets it: results, errors, exit codes, JSON."""

import json
import re
import shutil
import subprocess
import sys
import tempfile

import pytest
from PIL import Image

from tests.conftest import lay_out, photograph
from tortie import __version__
from tortie.cli.main import main


@pytest.fixture
def run(capfdbinary):
    """Runs a command in this process; returns exit code, stdout and stderr."""

    def run(*words):
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        out, err = capfdbinary.readouterr()
        strict = "strict" if "--json" in words else "surrogateescape"  # JSON is UTF-8
        return stopped.value.code, out.decode(errors=strict), err.decode()

    return run


@pytest.mark.parametrize(("words", "said"), [("--help", "predict"), ("--version", __version__)])
def test_help_and_version_import_nothing_heavy(words, said):
    code = (
        "import sys, tortie, tortie.cli.main as m\n"
        f"try: m.main(['{words}'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'scipy', 'sklearn', 'cv2', 'PIL', 'pydantic'}\n"
        "early = heavy & set(sys.modules)\n"
        "assert not early, f'imported too early: {early}'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


@pytest.mark.parametrize("package", ["skimage", "sklearn"])
def test_the_demo_names_what_it_lacks(run, monkeypatch, tmp_path, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code, out, err = run("demo")
    assert code == 2 and not out
    assert f"the demo needs {package}" in err and "pip install 'tortie[demo]'" in err
    assert not list(tmp_path.iterdir())  # where the demo's new folder would be


def test_version(run):
    assert run("--version") == (0, f"tortie {__version__}\n", "")


@pytest.mark.parametrize("verb", ["fit", "predict", "evaluate", "networks", "cache", "demo"])
def test_every_verb_shows_an_example(run, verb):
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert "Example: tortie " + verb in " ".join(out.split())


def test_fit_predict_evaluate(run, photographs, tmp_path):
    model = tmp_path / "pets.safetensors"
    code, out, err = run("fit", photographs, "-o", model, "--json")
    assert code == 0
    document = json.loads(out)
    assert document["classes"] == ["blobs", "stripes"]
    assert document["images"] == 24
    assert document["skipped"] == []
    assert document["network"] == "efficientnet-lite0"
    assert document["members"] == ["efficientnet-lite0"]
    assert document["freeze"] == {"stages": 10, "of": 10, "last_frozen": "avgpool", "later": []}
    assert document["plan"]["multiplications_per_image"] == 385_187_552 - 1280 * 1000  # no head
    accuracy = document["accuracy"]
    assert accuracy["on"] == "cross-validation"
    assert accuracy["n"] == 24
    assert accuracy["low"] < accuracy["value"] <= accuracy["high"]
    assert accuracy["value"] > 0.9
    assert document["seconds"] > 0
    assert "multiplications" in err  # the plan
    assert model.with_suffix(".report.html").exists()
    assert model.with_suffix(".split.csv").exists()

    new = tmp_path / "new photo.png"
    photograph("stripes", 99).save(new)
    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    code, out, _ = run("predict", model, new, bad, tmp_path / "none.jpg", "--json")
    assert code == 1
    good, *others = json.loads(out)
    assert good["path"] == str(new)
    assert good["label"] == "stripes"
    assert good["probability"] == good["probabilities"]["stripes"] > 0.5
    assert sum(good["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert others == [
        {"path": str(bad), "reason": "not an image"},
        {
            "path": str(tmp_path / "none.jpg"),
            "reason": "cannot be opened: No such file or directory",
        },
    ]

    test = lay_out(tmp_path / "new", 5, ("other", "test"))  # "test" has photographs not yet seen
    (test / "other").rename(tmp_path / "unused")
    code, out, _ = run("evaluate", model, test, "--json")
    assert code == 0
    document = json.loads(out)
    assert document["accuracy"]["n"] == 10
    assert document["accuracy"]["on"] == "test"
    assert sum(map(sum, document["confusion"])) == 10
    assert set(document["per_class"]) == {"blobs", "stripes"}
    assert document["log_loss"] > 0
    assert document["skipped_training_images"] == 0


def test_evaluating_what_was_trained_on_counts_nothing(run, fitted_file):
    report = fitted_file.parent / "nothing.html"
    code, out, _ = run(
        "evaluate", fitted_file, fitted_file.parent / "photographs", "--json", "-o", report
    )
    assert code == 1 and not report.exists()
    document = json.loads(out)
    assert document["accuracy"] is None
    assert document["skipped_training_images"] == 24
    reason = "the classifier was trained on all 24 of the photographs: give some that it was not"
    assert document["accuracy_reason"].startswith(reason)


def test_plan_stops_before_anything_is_written(run, photographs, tmp_path):
    code, out, err = run("fit", photographs, "-o", tmp_path / "a.safetensors", "--plan", "--json")
    assert code == 0
    assert json.loads(out)["images"] == 24
    assert "photographs  24 in 2 classes" in err
    assert {path.name for path in tmp_path.iterdir()} == {"photographs"}
    shutil.copytree(photographs, tmp_path / "above" / "set")
    err = run("fit", tmp_path / "above", "-o", tmp_path / "a.safetensors", "--plan")[2]
    assert "note  entered 'set'" in err  # how the folders are read, while one can still stop


def test_quiet_says_nothing_on_stderr(run, photographs, tmp_path):
    code, out, err = run("fit", photographs, "-o", tmp_path / "a.safetensors", "--quiet")
    assert (code, err) == (0, "")
    assert "95% interval" in out


@pytest.mark.parametrize(
    "words, message",
    [
        (("fit", "nowhere", "-o", "a.safetensors"), "no such folder or CSV: 'nowhere'"),
        (("fit", "PHOTOS", "-o", "a.pt"), "does not end in .safetensors"),
        (("fit", "PHOTOS", "-o", "no/where/a.safetensors"), "no folder no/where"),
        (("fit", "PHOTOS", "-o", "a.safetensors", "--network", "lenet"), "did you mean lenet5"),
        (("fit", "PHOTOS", "-o", "a.safetensors", "--network", "lenet5"), "no trained weights"),
        (("fit", "PHOTOS", "-o", "a.safetensors", "--freeze", "conv9"), "no stage 'conv9'"),
        (("fit", "PHOTOS", "-o", "a.safetensors", "--device", "tpu9"), "no device 'tpu9'"),
        (("fit", "PHOTOS", "-o", "a.safetensors", "--precision", "int4"), "precision is 'int4'"),
        (("fit", "PHOTOS", "-o", "a.safetensors", "--test", "1.5"), "test is '1.5'"),
        (("fit", "PHOTOS", "-o", "a.safetensors", "--augment", "much"), "augment is 'much'"),
        (("fit", "PHOTOS", "-o", "a.safetensors", "--views", "0"), "views is 0"),
        (("fit", "PHOTOS", "-o", "a.safetensors", "--weights", "jft"), "has no weights 'jft'"),
        (("predict", "nonet", "PHOTOS"), "no file 'nonet', and no network 'nonet'"),
        (("predict", "efficientnet-lite0", "PHOTOS", "--json", "--csv"), "not both"),
        (("networks", "resnet5000"), "no network 'resnet5000': did you mean"),
        (("fit",), "Missing argument"),
        (("frobnicate",), "No such command"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(run, photographs, monkeypatch, words, message):
    monkeypatch.chdir(photographs.parent)
    code, _, err = run(*(photographs if word == "PHOTOS" else word for word in words))
    assert code == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert not list(photographs.parent.glob("*.safetensors"))


def test_an_existing_file_needs_force(run, photographs, tmp_path):
    model = tmp_path / "a.safetensors"
    model.write_text("precious")
    code, _, err = run("fit", photographs, "-o", model)
    assert code == 2 and "--force" in err
    assert model.read_text() == "precious"


def test_an_error_with_json_is_one_document(run, tmp_path):
    code, out, err = run("fit", tmp_path, "-o", tmp_path / "a.safetensors", "--json")
    assert code == 2
    assert json.loads(out)["error"] in err


@pytest.mark.parametrize(
    "words, error",
    [
        # The words before "See" are typer's, and differ a little from version to version.
        (("frobnicate", "--json"), r"No such command 'frobnicate'\. See: tortie --help"),
        (("predict", "--json"), r"Missing argument '(model|MODEL)'\. See: tortie predict --help"),
        (
            ("predict", "a", "b", "--top", "0", "--json"),
            r"Invalid value for '--top': .*\b1\b.*\. See: tortie predict --help",
        ),
    ],
)
def test_what_cannot_be_parsed_is_one_document_too(run, words, error):
    code, out, err = run(*words)
    assert code == 2
    (found,) = json.loads(out).items()
    assert found[0] == "error" and re.fullmatch(error, found[1])
    assert err == f"tortie: {found[1]}\n"


def test_no_word_at_all_shows_the_help(run):
    code, out, err = run()
    assert code == 2
    assert "Usage:" in out + err
    assert "tortie:" not in err.replace("Begin with: tortie", "")


def test_one_class_and_one_photograph_are_refused(run, photographs, tmp_path):
    for path in (photographs / "blobs").iterdir():
        path.unlink()
    code, _, err = run("fit", photographs, "-o", tmp_path / "a.safetensors")
    assert code == 2 and "only one class" in err
    photograph("blobs", 0).save(photographs / "blobs" / "0.jpg")
    code, _, err = run("fit", photographs, "-o", tmp_path / "a.safetensors")
    assert code == 2 and "only one photograph of 'blobs'" in err


def test_broken_photographs_are_named_and_left_out(run, photographs, tmp_path):
    whole = (photographs / "blobs" / "00.jpg").read_bytes()
    (photographs / "blobs" / "00.jpg").write_bytes(whole[: len(whole) // 2])
    (photographs / "stripes" / "01.jpg").write_text("no image")
    code, out, err = run("fit", photographs, "-o", tmp_path / "a.safetensors", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["images"] == 22
    assert {(one["path"].rsplit("/", 1)[1], one["reason"]) for one in document["skipped"]} == {
        ("00.jpg", "truncated"),
        ("01.jpg", "not an image"),
    }
    assert "left out" in err


def test_names_with_anything_in_them(run, photographs, tmp_path):
    folder = photographs / "stripes"
    names = [
        "a b.jpg",
        "quote'\".jpg",
        "new\nline.jpg",
        "猫.jpg",
        b"\xff\xfe.jpg".decode("utf-8", "surrogateescape"),
    ]
    for old, new in zip(sorted(folder.iterdir()), names, strict=False):
        old.rename(folder / new)
    model = tmp_path / "a model.safetensors"
    code, out, _ = run("fit", photographs, "-o", model, "--json")
    assert code == 0
    assert json.loads(out)["images"] == 24
    code, out, _ = run("predict", model, folder, "--json")
    assert code == 0
    assert {one["path"].rsplit("/", 1)[1] for one in json.loads(out)} >= set(names)
    # The split that was written gives the same classifier's data back.
    code, out, _ = run(
        "fit", model.with_suffix(".split.csv"), "-o", tmp_path / "b.safetensors", "--json"
    )
    assert code == 0
    assert json.loads(out)["images"] == 24


def test_predict_prints_a_line_a_photograph(run, fitted_file):
    folder = fitted_file.parent / "photographs"
    code, out, _ = run("predict", fitted_file, folder / "stripes", "--top", "1")
    assert code == 0
    lines = out.splitlines()
    assert len(lines) == 12
    assert all("stripes" in line.split("  ")[1] for line in lines)
    code, out, _ = run("predict", fitted_file, folder / "stripes" / "00.jpg", "--csv")
    assert out.splitlines()[0] == (
        "path,label,probability,reason,rejected,novelty_percentile,set,probability_blobs,"
        "probability_stripes"
    )
    assert out.splitlines()[1].split(",")[1] == "stripes"


def test_networks_as_json(run):
    code, out, _ = run("networks", "--json")
    assert code == 0
    table = {one["name"]: one for one in json.loads(out)}
    assert table["efficientnet-lite0"]["parameters"] == 4_652_008
    assert table["lenet5"]["parameters"] == 61_706
    assert table["lenet5"]["stages"] == ["c1", "s2", "c3", "s4", "c5", "f6"]
    assert set(table["lenet5"]) >= {"name", "paper", "input", "parameters", "stages"}


def test_cache_shows_and_clears(run, photographs, tmp_path, monkeypatch):
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "cache"))
    run("fit", photographs, "-o", tmp_path / "a.safetensors", "-q")
    code, out, _ = run("cache", "--json")
    before = json.loads(out)
    # Activations and facts of 24 photographs, and the last maps of those that the report explains.
    assert code == 0 and 48 < before["entries"] <= 54
    assert before["networks"] > 13e6  # efficientnet-lite0's tensors
    code, out, _ = run("cache", "--clear", "--json")
    after = json.loads(out)
    assert after["entries"] == after["networks"] == 0
    assert after["freed"] > before["networks"]


@pytest.mark.parametrize("content", [b"", b"<!doctype html>", b"\x80\x04pickle" * 99])
def test_a_model_that_is_none_is_refused(run, tmp_path, photographs, content):
    model = tmp_path / "model.safetensors"
    model.write_bytes(content)
    code, _, err = run("predict", model, photographs)
    assert code == 1
    assert str(model) in err and "Traceback" not in err


def test_ctrl_c_is_one_line(run, photographs, tmp_path, monkeypatch):
    from tortie.activations.extract import Extraction

    def stopped(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Extraction, "sample", stopped)
    code, _, err = run("fit", photographs, "-o", tmp_path / "a.safetensors")
    assert code == 1
    assert "the same command goes on" in err.splitlines()[-1]
    assert not list(tmp_path.glob("a.*"))


def test_the_same_photograph_in_both_splits_is_said_and_not_counted(run, tmp_path):
    folder = lay_out(tmp_path / "photographs", 8, ("train", "test"))
    copy = folder / "test" / "blobs" / "copy.jpg"
    copy.write_bytes((folder / "train" / "blobs" / "00.jpg").read_bytes())
    code, out, _ = run("fit", folder, "-o", tmp_path / "a.safetensors", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["accuracy"]["n"] == 16
    assert any("not counted" in note and "copy.jpg" in note for note in document["notes"])


def test_two_photographs_a_class_work(run, tmp_path):
    folder = lay_out(tmp_path / "photographs", 2)
    code, out, _ = run("fit", folder, "-o", tmp_path / "a.safetensors", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["accuracy"] is None
    assert document["accuracy_reason"]


def test_a_heic_is_named_with_the_way_out_where_the_extra_is_missing(
    run, fitted_file, tmp_path, monkeypatch
):
    import tortie.images.pixels  # noqa: F401

    file = tmp_path / "IMG_0001.HEIC"
    file.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(sys.modules["tortie.images.pixels"], "_PLUGINS", {})
    code, _, err = run("predict", fitted_file, file)
    assert code == 1
    assert "tortie[heic]" in err


def test_an_unreadable_folder_of_models_is_one_line(run, photographs):
    code, _, err = run("predict", photographs, photographs)
    assert code == 1
    assert "is a folder" in err


def test_a_grey_icon_and_a_strip_are_predicted(run, fitted_file, tmp_path):
    Image.new("1", (3, 3)).save(tmp_path / "icon.png")
    Image.new("L", (3000, 2)).save(tmp_path / "strip.png")
    code, out, _ = run(
        "predict", fitted_file, tmp_path / "icon.png", tmp_path / "strip.png", "--json"
    )
    assert code == 0
    assert len(json.loads(out)) == 2
