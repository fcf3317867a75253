"""``tortie study``: the list, the plan, a run that is killed and goes on, one page of all."""

import json
import os
import re
import signal
import sys
import time

import pytest

import tortie.studies
from tests.experiments.toy import toy
from tortie.cli.main import main


def call(capsys, *words):
    with pytest.raises(SystemExit) as stopped:
        main(["study", *map(str, words)])
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


@pytest.fixture
def only_the_toy(monkeypatch):
    """The toy in place of all studies."""
    monkeypatch.setattr(tortie.studies, "names", lambda: ("toy",))
    monkeypatch.setattr(tortie.studies, "find", lambda name: toy(above=0.05))


def test_the_list_names_every_claim_its_source_and_minutes(capsys):
    code, out, _ = call(capsys)
    assert code == 0
    for name in tortie.studies.names():
        assert re.search(rf"^{name} +[A-Z].*\.$", out, re.MULTILINE), name
    assert len(re.findall(r"; [\d.]+ min$", out, re.MULTILINE)) == len(tortie.studies.names())


def test_an_unknown_name_is_refused_with_close_matches(capsys):
    code, _, err = call(capsys, "gradient")
    assert code == 2
    assert "no study 'gradient': did you mean gradients?" in err


def test_the_plan_says_rule_and_cost_and_runs_nothing(capsys, tmp_path, only_the_toy):
    code, out, err = call(capsys, "toy", "--plan", "-o", tmp_path / "new")
    assert (code, out) == (0, "")
    assert "difference, points: above 5" in err
    assert "does not hold" in err.replace("did not hold", "does not hold")
    assert "about 1 min" in err
    assert not (tmp_path / "new").exists()


def test_a_run_prints_table_and_verdict(capsys, tmp_path, only_the_toy):
    code, out, _ = call(capsys, "toy", "-o", tmp_path / "toy.study")
    assert code == 0
    assert "verdict on toy: held" in out
    assert re.search(r"better +91\.0 \(88\.5 to 93\.5\)", out)
    code, out, _ = call(capsys, "toy", "-o", tmp_path / "toy.study", "--json")
    assert json.loads(out)["verdict"] == "held"


def test_all_make_one_page_that_asks_nothing_of_the_network(capsys, tmp_path, only_the_toy):
    code, out, _ = call(capsys, "--all", "-o", tmp_path)
    assert code == 0
    page = (tmp_path / "studies.html").read_text()
    assert str(tmp_path / "studies.html") in out
    assert "The first is better." in page
    assert "Verdict: held" in page
    assert page.count("data:image/svg+xml;base64,") == 2
    assert not re.search(r"(src|href|srcset)=.https?:", page)


SLOW = """
import sys, time
import tortie.studies
from tests.experiments import toy as made
usual = made.measure
def measure(task):
    time.sleep(0.0 if task.cell == "better" and task.seed == 101 else {pause})
    return usual(task)
measure.__module__ = usual.__module__
made.measure = measure
tortie.studies.find = lambda name: made.toy()
tortie.studies.names = lambda: ("toy",)
from tortie.cli.main import main
main(["study", "toy", "-o", sys.argv[1]])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_after_a_kill_the_same_command_goes_on(start, tmp_path):
    folder = tmp_path / "toy.study"
    command = [sys.executable, "-c", SLOW.format(pause=60), str(folder)]
    running = start(command)
    first = folder / "cells" / "quick-better-101.json"
    deadline = time.monotonic() + 120
    while not first.exists():
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    written = first.stat().st_mtime_ns
    assert not (folder / "result.json").exists()
    again = start([sys.executable, "-c", SLOW.format(pause=0), str(folder)])
    assert again.wait() == 0
    assert first.stat().st_mtime_ns == written
    assert json.loads((folder / "result.json").read_text())["verdict"] == "held"
