"""Names of any bytes on the command line: nothing raw reaches the terminal, and every verb ends."""

import csv
import io
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

import tortie
from tests.conftest import lay_out, photograph
from tortie.cli.main import main

LATIN1 = os.fsdecode(b"caf\xe9")
ESCAPES = "\x1b]0;title\x07\x1b[2J\u202egpj.\nFAKE"


@pytest.fixture
def run(capfdbinary):
    """Runs a command; its exit code, stdout and stderr as bytes."""

    def run_it(*words):
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        return ended.value.code, *capfdbinary.readouterr()

    return run_it


def assert_clean(said):
    text = said.decode("utf-8")
    unseen = {one for one in text if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert unseen <= {"\n"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs whose class folders, files and broken files have names of any bytes."""
    root = tmp_path_factory.mktemp("any")
    try:
        (root / "photos" / LATIN1).mkdir(parents=True)
    except OSError:
        pytest.skip("a file system of names in UTF-8 alone")
    lay_out(root / "photos", 12)
    (root / "photos" / "blobs").rename(root / "photos" / LATIN1 / "deeper")
    escaping = root / "photos" / "stripes" / f"{ESCAPES}.jpg"
    photograph("stripes", 77).save(escaping, format="JPEG")
    (root / "photos" / "stripes" / f"{LATIN1}.jpg").write_bytes(b"not an image")
    (root / "photos" / "stripes" / f"{ESCAPES}2.jpg").write_bytes(b"not an image")
    return root


@pytest.fixture(scope="module")
def model(folder):
    path = folder / f"{LATIN1}.safetensors"
    command = [sys.executable, "-m", "tortie", "fit", str(folder / "photos"), "-o", str(path)]
    done = subprocess.run(command, capture_output=True, timeout=300, check=True)
    assert_clean(done.stdout)
    assert_clean(done.stderr)
    return path


def test_a_fit_of_such_names_is_whole(run, folder, model):
    assert tortie.load(model).metadata.classes == [r"caf\xe9", "stripes"]
    assert model.with_suffix(".report.html").read_text("utf-8")
    code, out, _ = run("fit", folder / "photos", "-o", folder / "b.safetensors", "--json")
    document = json.loads(out)
    assert code == 0
    assert_clean(out)
    assert {Path(one["path"]).name for one in document["skipped"]} == {
        f"{LATIN1}.jpg",
        f"{ESCAPES}2.jpg",
    }


def test_the_split_of_such_names_is_an_input(run, folder, model):
    split = model.with_suffix(".split.csv")
    code, out, err = run("fit", split, "-o", folder / "c.safetensors", "--json", "-q")
    assert code == 0, err
    assert json.loads(out)["images"] == 25
    assert json.loads(out)["skipped"] == []


@pytest.mark.parametrize("verb", ["predict", "evaluate", "check"])
def test_other_verbs_show_such_names_escaped(run, folder, model, verb):
    words = {
        "predict": ("predict", model, folder / "photos"),
        "evaluate": ("evaluate", model, folder / "photos"),
        "check": ("check", folder / "photos", "--network", "none"),
    }[verb]
    code, out, err = run(*words)
    assert code in (0, 1)
    assert_clean(out)
    assert_clean(err)
    code, out, err = run(*words, "--json")
    assert_clean(out)
    json.loads(out)


def test_predicted_csv_has_a_row_a_photograph(run, folder, model):
    out = run("predict", model, folder / "photos" / "stripes", "--csv")[1]
    text = out.decode("utf-8", "surrogateescape")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {Path(row["path"]).name for row in rows} >= {f"{ESCAPES}.jpg", f"{LATIN1}.jpg"}
    assert len(rows) == 15


def test_what_check_writes_is_an_input(run, folder, tmp_path):
    write = folder / "clean.csv"
    run("check", folder / "photos", "--network", "none", "--write", write, "--force")
    code, _, err = run("fit", write, "-o", tmp_path / "a.safetensors", "-q")
    assert code == 0, err


@pytest.mark.skipif(os.name == "nt", reason="closes streams as a shell does")
def test_closed_streams_lose_no_work(folder, tmp_path):
    path = tmp_path / "a.safetensors"
    shell = ["sh", "-c", 'exec "$@" 0>&- 1>&- 2>&-', "sh", sys.executable, "-m", "tortie"]
    subprocess.run([*shell, "fit", folder / "photos", "-o", path], timeout=300, check=True)
    assert tortie.load(path).metadata.classes == [r"caf\xe9", "stripes"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux's full disk")
def test_a_log_on_a_full_disk_costs_no_work_and_a_result_there_is_said(folder, tmp_path):
    path = tmp_path / "a.safetensors"
    command = [sys.executable, "-m", "tortie", "fit", folder / "photos", "-o", path]
    with open("/dev/full", "wb") as full:
        subprocess.run(command, timeout=300, check=True, stderr=full, stdout=subprocess.DEVNULL)
        assert path.exists()
        done = subprocess.run(
            [*command, "--force"], timeout=300, check=False, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1
    said = done.stderr.decode().strip().splitlines()[-1]
    assert said == "tortie: cannot write to standard output: No space left on device"
