"""A study goes on where it was stopped, and its folder holds what a reader wants."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.experiments.toy import toy
from tortie.errors import UsageError
from tortie.experiments import run_study
from tortie.experiments.estimate import estimate
from tortie.experiments.run_study import order, run
from tortie.experiments.study import percent
from tortie.experiments.study_result import Finished, Result, load_result


def measured(path):
    return path.read_text().splitlines() if path.exists() else []


def test_a_finished_study_has_its_files_and_its_verdict(tmp_path):
    study = toy(above=0.05)
    found = run(order(study, folder=tmp_path / "toy.study"))
    assert found.verdict == "held"
    names = {path.name for path in (tmp_path / "toy.study").iterdir()}
    assert {
        "result.json", "table.md", "README.md", "figure.svg", "figure.png", "figure-dark.svg",
        "figure-dark.png",
    } <= names  # fmt: skip
    document = json.loads((tmp_path / "toy.study" / "result.json").read_text())
    assert document["verdict"] == "held"
    assert document["seeds"] == [101, 102, 103]
    assert document["criteria"][0]["mean"] == pytest.approx(10.0)  # 10, 9 and 11 points
    text = (tmp_path / "toy.study" / "README.md").read_text()
    for said in ("held", "SHA-256", "torch", "seeds: 101 to 103", "95% interval"):
        assert said in text
    assert load_result(tmp_path / "toy.study" / "result.json", study).document() == document


def test_a_plan_tells_minutes_that_were_measured_and_hours_that_follow():
    """By hand: one minute for three seeds, so of four seeds at 900 times 1,200 minutes."""
    quick = toy()
    assert estimate(order(quick, seeds=9)) == "about 3 min on two cores with AVX2"
    full = replace(quick.scales["full"], times=900.0, needs="")
    larger = replace(quick, scales={**quick.scales, "full": full})
    assert estimate(order(larger, "full")).startswith("about 20 hours on two cores with AVX2")


def test_an_interval_stays_where_a_measure_can_be():
    """Student's t around 90, 95 and 100% goes beyond 100%; one seed has no interval to speak of."""
    study = replace(toy(), columns=(percent("right", "right, %"),))
    cells = tuple(
        Finished("better", seed, 0.0, {"better": {"right": right}})
        for seed, right in ((101, 0.9), (102, 0.95), (103, 1.0))
    )
    found = Result(study, "quick", (101, 102, 103), cells, {}, {})
    assert found.table()[1] == [["better", "95.0 (82.6 to 100.0)"]]


def test_what_was_stopped_goes_on_and_measures_no_cell_twice(tmp_path):
    count, folder = tmp_path / "count", tmp_path / "toy.study"
    stopped = toy(count=str(count), stop=("better", 102))
    with pytest.raises(KeyboardInterrupt):
        run(order(stopped, folder=folder))
    assert measured(count) == ["better 101", "worse 101", "better 102"]
    assert not (folder / "result.json").exists()
    # a kill in the midst of a file: what is not whole is measured again
    (folder / "cells" / "quick-worse-101.json").write_bytes(b'{"key": "')
    count.unlink()
    with pytest.raises(KeyboardInterrupt):
        run(order(stopped, folder=folder))
    assert measured(count) == ["worse 101", "better 102"]


def test_a_run_that_measures_nothing_keeps_the_machine_of_the_cells(tmp_path, monkeypatch):
    folder = tmp_path / "toy.study"
    first = run(order(toy(), folder=folder))
    monkeypatch.setattr(run_study, "machine", lambda: {**first.machine, "processor": "another"})
    assert run(order(toy(), folder=folder)).machine == first.machine
    assert run(order(toy(), seeds=4, folder=folder)).machine["processor"] == "another"


def test_more_seeds_measure_the_new_ones_alone(tmp_path):
    count, folder = tmp_path / "count", tmp_path / "toy.study"
    study = toy(count=str(count))
    run(order(study, seeds=2, folder=folder))
    count.unlink()
    found = run(order(study, seeds=3, folder=folder))
    assert measured(count) == ["better 103", "worse 103"]
    assert found.seeds == (101, 102, 103)


def test_other_settings_are_measured_anew(tmp_path):
    folder = tmp_path / "toy.study"
    run(order(toy(), folder=folder))
    count = tmp_path / "count"
    run(order(toy(count=str(count)), folder=folder))
    assert len(measured(count)) == 6


def test_the_figure_is_not_empty_in_light_and_dark(tmp_path):
    run(order(toy(), folder=tmp_path / "toy.study"))
    papers = []
    for name in ("figure", "figure-dark"):
        pixels = np.asarray(Image.open(tmp_path / "toy.study" / f"{name}.png").convert("RGB"))
        paper = pixels[2, 2].astype(int)
        papers.append(paper.mean())
        drawn = np.abs(pixels.astype(int) - paper).sum(2) > 60
        assert 0.01 < drawn.mean() < 0.5  # a share of the surface, and not all of it
        middle = drawn[pixels.shape[0] // 4 : -pixels.shape[0] // 4]
        assert middle[:, pixels.shape[1] // 2 :].any()
        assert "<path" in (tmp_path / "toy.study" / f"{name}.svg").read_text()
    assert papers[0] > 200
    assert papers[1] < 60


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"scale": "huge"}, "no scale 'huge': there are quick, full"),
        ({"seeds": 0}, "0 seeds: a study takes 1 or more"),
        ({"scale": "full"}, "toy at scale full needs luck: give --data DIR"),
    ],
)
def test_a_wrong_order_is_refused(arguments, said):
    with pytest.raises(UsageError, match=said):
        order(toy(), **arguments)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds something else"):
        order(toy(), folder=tmp_path)


def test_a_folder_of_another_study_is_left_alone(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "result.json").write_text('{"study": "depth"}')
    with pytest.raises(UsageError, match="holds the study depth"):
        order(toy(), folder=tmp_path)


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    folder = tmp_path / "toy.study"
    begun = order(toy(), folder=folder)

    def again(line):
        with pytest.raises(UsageError, match="another study is at work"):
            run(begun)

    run(begun, again)
