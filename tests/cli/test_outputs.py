"""What a command writes: nothing of the user's is lost, and of two commands one says so."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tortie
from tests.children import ended
from tests.cli.test_cli import run  # noqa: F401
from tests.conftest import lay_out

OUTPUTS = ("pets.safetensors", "pets.split.csv", "pets.report.html")


@pytest.mark.parametrize("name", OUTPUTS)
def test_none_of_the_three_outputs_is_replaced_unasked(run, photographs, tmp_path, name):  # noqa: F811
    (tmp_path / name).write_text("mine")
    code, _, err = run("fit", photographs, "-o", tmp_path / "pets.safetensors")
    assert code == 2
    assert err == f"tortie: {tmp_path / name} exists: --force replaces it, or choose another name\n"
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("address", ["s3://bucket/a", "memory://a", "gs://b/c/a"])
@pytest.mark.parametrize("verb", ["predict", "fit", "extract", "export"])
def test_an_output_is_no_address(run, photographs, fitted_file, address, verb):  # noqa: F811
    """One line for each verb, before any work, with the address as it was given."""
    words, suffix = {
        "predict": ((fitted_file, photographs), ".parquet"),
        "fit": ((photographs,), ".safetensors"),
        "extract": ((photographs,), ""),
        "export": ((fitted_file,), ".onnx"),
    }[verb]
    code, _, err = run(verb, *words, "-o", address + suffix)
    assert code == 2
    assert err == (
        f"tortie: {address}{suffix}: what tortie writes goes to this disk: name a file or folder "
        "here, and copy it there when it is whole\n"
    )


def test_an_output_never_replaces_an_input(run, photographs, tmp_path):  # noqa: F811
    assert run("fit", photographs, "-o", tmp_path / "pets.safetensors", "-q")[0] == 0
    before = {name: (tmp_path / name).read_bytes() for name in OUTPUTS}
    split, model = tmp_path / "pets.split.csv", tmp_path / "pets.safetensors"
    (tmp_path / "same.html").hardlink_to(split)
    for words in (
        ("fit", split, "-o", model, "--force"),
        ("fit", photographs, "--weights", model, "-o", model, "--force"),
        ("check", split, "--write", split, "--force"),
        ("evaluate", model, split, "--report", tmp_path / "same.html", "--force"),
    ):
        code, _, err = run(*words)
        assert code == 2
        assert "is an input of this command: choose another output" in err
    assert {name: (tmp_path / name).read_bytes() for name in OUTPUTS} == before


def test_a_report_is_not_replaced_unasked(run, fitted_file, tmp_path):  # noqa: F811
    (tmp_path / "a.html").write_text("mine")
    unseen = lay_out(tmp_path / "unseen", 3, ("train", "test"))
    words = ("evaluate", fitted_file, unseen, "--report", tmp_path / "a.html")
    assert run(*words)[0] == 2
    assert (tmp_path / "a.html").read_text() == "mine"
    assert run(*words, "--force")[0] == 0
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")


def test_of_two_fits_with_one_output_one_is_refused(photographs, tmp_path, start):
    """Both begin while nothing is there; one creates the three files, and the other says so."""
    command = [sys.executable, "-m", "tortie", "fit", str(photographs), "-o", "pets.safetensors"]
    both = [
        start(
            [*command, "--seed", str(seed)], cwd=tmp_path, stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        for seed in range(2)
    ]  # fmt: skip
    said = [ended(one)[1] for one in both]
    assert sorted(one.returncode for one in both) in ([0, 1], [0, 2])
    loser = next(n for n, one in enumerate(both) if one.returncode)
    assert "was written meanwhile" in said[loser] or "exists: --force" in said[loser]
    assert tortie.load(tmp_path / "pets.safetensors").metadata.training["seed"] == 1 - loser


@pytest.mark.parametrize("device", ["mps:99", "hpu", "meta", "vulkan", "nonsense", ""])
def test_a_device_that_is_not_there_is_one_short_line(run, fitted_file, device):  # noqa: F811
    code, _, err = run("predict", fitted_file, "x.jpg", "--device", device)
    assert code == 2
    assert err.startswith(f"tortie: no device {device!r} here: ")
    assert len(err) < 150


@pytest.mark.skipif(os.name == "nt", reason="a working folder cannot be taken away")
def test_a_working_folder_that_is_gone_is_said(tmp_path):
    (tmp_path / "gone").mkdir()
    shell = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", sys.executable, "-m", "tortie"]
    done = subprocess.run(
        [*shell, "cache"], cwd=tmp_path / "gone", capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(tortie.__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "tortie: the working folder is gone: change into another one\n"


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name == "nt", reason="signals")
@pytest.mark.parametrize("verb", ["fit", "extract"])
def test_what_fails_after_ctrl_c_was_stopped_by_it(verb):
    """An import that is interrupted leaves half a module, and the next one fails in its words."""
    code = (
        "import signal, sys, tortie.cli.main as m\n"
        "def broken(**_):\n"
        "    try: m.interrupt(2, None)\n"
        "    except KeyboardInterrupt: raise AttributeError('half a module') from None\n"
        "m.application = lambda verbs: broken\n"
        f"sys.argv[1:] = [{verb!r}]\n"
        "m.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    said = "tortie: stopped; what was computed is kept, the same command goes on\n"
    assert done.stderr == said


def test_ctrl_c_in_a_fit_on_features_promises_nothing_that_is_not_so(
    run,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    """The solver keeps nothing: the line says what is there, and what begins anew."""

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(tortie.ImageClassifier, "fit", stopped)
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "features.json").write_text("{}")
    code, _, err = run("fit", tmp_path / "features", "-o", tmp_path / "a.safetensors")
    assert code == 1
    assert err == (
        f"tortie: stopped; the features in {tmp_path / 'features'} are kept, and nothing that was "
        "solved for from them: the same command solves for it anew\n"
    )
    code, _, err = run("fit", tmp_path, "-o", tmp_path / "a.safetensors")
    assert err == "tortie: stopped; what was computed is kept, the same command goes on\n"
