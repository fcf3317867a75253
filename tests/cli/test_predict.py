"""``tortie predict`` in a pipeline: names that come, results that go, and being stopped."""

import csv
import io
import json
import subprocess
import sys

import fsspec
import pyarrow.parquet as pq
import pytest

import tortie
from tests.children import ended
from tests.cli.test_cli import run  # noqa: F401
from tortie.classifier import ImageClassifier


@pytest.fixture
def new(fitted_file, tmp_path):
    """Forty names of a few photographs, one of which is broken."""
    source = fitted_file.parent / "photographs" / "stripes"
    folder = tmp_path / "new"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}.jpg").symlink_to(source / f"{number % 6:02}.jpg")
    (folder / "20.jpg").unlink()
    (folder / "20.jpg").write_text("no image")
    return folder


def test_a_csv_has_one_column_a_class(run, fitted_file, new):  # noqa: F811
    code, out, err = run("predict", fitted_file, new, "--csv")
    assert code == 1
    assert err == f"{new}/20.jpg: not an image\n"
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["path"] for row in rows] == [f"{new}/{number:02}.jpg" for number in range(40)]
    both = [
        [float(row[f"probability_{name}"]) for name in ("blobs", "stripes")] for row in rows[:20]
    ]
    expected = tortie.load(fitted_file).predict_proba([row["path"] for row in rows[:20]])
    assert both == expected.tolist()
    assert rows[20]["reason"] == "not an image" and rows[20]["probability_blobs"] == ""


def test_top_counts_in_every_format_or_is_refused(run, fitted_file, new, tmp_path):  # noqa: F811
    one = new / "00.jpg"
    for words in (["--json"], ["--jsonl"]):
        _, out, _ = run("predict", fitted_file, one, "--top", "1", *words)
        found = json.loads(out)
        (found,) = found if isinstance(found, list) else [found]
        assert list(found["probabilities"]) == ["stripes"]
    _, out, _ = run("predict", fitted_file, one, "--json")
    assert len(json.loads(out)[0]["probabilities"]) == 2
    for words in (["--csv"], ["-o", tmp_path / "a.csv"], ["-o", tmp_path / "a.parquet"]):
        code, _, err = run("predict", fitted_file, one, "--top", "1", *words)
        assert code == 2 and "leave --top out" in err


@pytest.mark.parametrize(
    "words, said",
    [
        (["--csv", "--jsonl"], "--jsonl or --csv, not both"),
        (["--json", "--csv"], "--json or --csv, not both"),
        (
            ["-o", "a.csv", "--jsonl"],
            "--jsonl prints on stdout, and -o FILE writes what its suffix",
        ),
        (["-0"], "--null is for names on standard input"),
        (["--resume"], "--resume is for -o FILE"),
        (["--force"], "--force is for -o FILE"),
    ],
)
def test_what_does_not_go_together_is_refused(run, fitted_file, words, said):  # noqa: F811
    code, out, err = run("predict", fitted_file, "a.jpg", *words)
    assert (code, out) == (2, "") or "--json" in words
    assert said in err


def test_the_file_says_what_stdout_says(run, fitted_file, new, tmp_path):  # noqa: F811
    for form in ("csv", "jsonl"):
        target = tmp_path / f"all.{form}"
        code, out, _ = run("predict", fitted_file, new, "-o", target)
        assert code == 1
        assert out == f"{target}: 40 photographs, 1 of them cannot be read\n"
        assert target.read_text() == run("predict", fitted_file, new, f"--{form}")[1]
    code, out, _ = run("predict", fitted_file, new, "-o", tmp_path / "all.json", "--json")
    told = {"file": f"{tmp_path}/all.json", "photographs": 40, "unreadable": 1}
    assert json.loads(out) == told
    assert json.loads((tmp_path / "all.json").read_text()) == json.loads(
        run("predict", fitted_file, new, "--json")[1]
    )


def test_ctrl_c_and_resume_end_as_if_nothing_had_been(run, fitted_file, new, tmp_path, monkeypatch):  # noqa: F811
    whole, target = tmp_path / "whole.csv", tmp_path / "part.csv"
    run("predict", fitted_file, new, "-o", whole)
    usual, parts = ImageClassifier.classify, []

    def stopped(self, part, *rest, **more):
        parts.append(len(part))
        if len(parts) == 2:
            raise KeyboardInterrupt
        return usual(self, part, *rest, **more)

    monkeypatch.setattr(ImageClassifier, "classify", stopped)
    code, _, err = run("predict", fitted_file, new, "-o", target)
    kept = parts[0]
    assert code == 1 and not target.exists()
    assert err == (
        f"tortie: stopped; {kept} predictions are kept in {target}.partial: the same command with "
        "--resume goes on\n"
    )
    parts[:] = [0, 0]
    code, out, _ = run("predict", fitted_file, new, "-o", target, "--resume")
    assert code == 1
    assert sum(parts) == 40 - kept
    assert target.read_bytes() == whole.read_bytes()
    assert out == f"{target}: 40 photographs, 1 of them cannot be read\n"


def test_a_server_that_dies_and_resume_end_as_if_nothing_had_been(
    run,  # noqa: F811
    fitted_file,
    tmp_path,
    monkeypatch,
):
    """Nothing is predicted of a photograph that was never seen; the oracle is the uncut run."""
    memory = fsspec.filesystem("memory")
    for path in sorted((fitted_file.parent / "photographs").rglob("*.jpg")):
        memory.pipe_file(f"/dies/{path.parent.name}-{path.name}", path.read_bytes())
    whole, fetched = type(memory).cat_file, []

    def gone(system, path, *rest, **options):
        fetched.append(path)
        if "stripes" in path:
            raise ConnectionError("no route to the server")
        return whole(system, path, *rest, **options)

    target = tmp_path / "all.parquet"
    asked = ("predict", fitted_file, "memory://dies", "-o")
    monkeypatch.setattr("tortie.cli.prediction_output._FIRST", 8)
    monkeypatch.setattr("tortie.cli.prediction_output._LARGEST", 8)
    with monkeypatch.context() as patched:
        patched.setattr(type(memory), "cat_file", gone)
        code, _, err = run(*asked, target)
    last = err.splitlines()[-1]
    assert code == 1 and "stripes-00.jpg cannot be read: no route to the server; 8 pred" in last
    assert "are kept in" in last and last.endswith("with --resume goes on")
    assert run(*asked, target, "--resume")[0] == run(*asked, tmp_path / "once.parquet")[0] == 0
    assert target.read_bytes() == (tmp_path / "once.parquet").read_bytes()
    (paths,) = pq.read_table(target, columns=["path"]).to_pydict().values()
    assert paths == sorted(paths) and len(paths) == 24
    memory.rm("/dies", recursive=True)


def test_names_are_predicted_as_they_come(fitted_file, new, start):
    """The second name is written only when the first prediction was read."""
    process = start(
        [sys.executable, "-m", "tortie", "predict", fitted_file, "-", "--jsonl"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    for name in ("03.jpg", "20.jpg", "01.jpg"):
        process.stdin.write(f"{new / name}\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["path"] == str(new / name)
    assert ended(process) == ("", f"{new}/20.jpg: not an image\n")
    assert process.returncode == 1


def test_without_names_on_standard_input_there_is_a_word(run, fitted_file, monkeypatch):  # noqa: F811
    with open("/dev/null") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        code, out, err = run("predict", fitted_file, "-")
    assert (code, out) == (0, "")
    assert err == "note: no names on standard input\n"
    monkeypatch.setattr(sys, "stdin", None)
    code, _, err = run("predict", fitted_file, "-")
    assert (code, err) == (2, "tortie: there is no standard input to read names from\n")
