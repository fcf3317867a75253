"""Every study is a file on the public API alone, of at most 150 lines; docs tell its verdict."""

import ast
import json
from pathlib import Path

import pytest

import tortie.studies
from tortie.experiments.documentation import contents, document
from tortie.experiments.intervals import RULE
from tortie.experiments.picture_sets import pictures
from tortie.experiments.study import Task
from tortie.experiments.study_result import load_result

HOME = Path(tortie.studies.__file__).parent
DOCS = HOME.parents[1] / "docs" / "studies"
NAMES = tortie.studies.names()
RUN = [name for name in NAMES if (DOCS / f"{name}.json").exists()]
# What a study may build on: the frame, the networks and their costs, distortions, calibration.
ROOMS = {
    "augment", "cost", "evaluation", "experiments", "images", "networks", "weights",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_study_is_short_and_builds_on_public_names(name):
    text = (HOME / f"{name.replace('-', '_')}.py").read_text()
    assert len(text.splitlines()) <= 150
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tortie"):
            room = (node.module or "").split(".")[1:2]
            assert set(room) <= ROOMS, node.module
            assert not any(one.name.startswith("_") for one in node.names)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            assert node.attr.startswith("__"), node.attr


@pytest.mark.parametrize("name", NAMES)
def test_a_study_says_all_that_the_list_and_the_page_show(name):
    study = tortie.studies.find(name)
    assert study.name == name
    for text in (study.claim, study.method, study.caption):
        assert text.endswith(".")
    assert study.source
    assert list(study.scales) == ["quick", "full"]
    quick = study.scales["quick"]
    assert quick.minutes is not None
    assert quick.minutes <= 10
    assert quick.seeds >= 3 or all(one.exact for one in study.criteria)
    assert not quick.needs
    full = study.scales["full"]
    assert full.times or full.passes, "the plan says what it would take"
    assert study.criteria


TINY = {
    "train": 40, "test": 40, "epochs": 1, "on": 1, "depth": 8, "shallow": 8, "deep": 14,
    "depths": (8, 14), "counts": (20, 40), "passes": 40, "members": (2, 3, 5),
    "steps": 1,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_cell_runs_at_toy_scale_and_gives_what_table_and_criteria_ask_for(name, tmp_path):
    study = tortie.studies.find(name)
    quick = study.scales["quick"]
    known = {key: value for key, value in TINY.items() if key in quick.settings}
    if quick.settings.get("counts"):
        known["counts"] = quick.settings["counts"][:2]
    if quick.settings.get("depths"):
        known["depths"] = quick.settings["depths"]
    data = pictures(study.data, study.side, study.channels, None)
    measured = {}
    for cell in quick.cells:
        task = Task(
            cell=cell, seed=7, settings={**quick.settings, **known}, pictures=data,
            folder=tmp_path, lasting=False,
        )  # fmt: skip
        for arm, values in study.measure(task).items():
            measured.setdefault(arm, {}).update(values)
    for criterion in study.criteria:
        for arm in (criterion.arm, criterion.minus):
            assert arm is None or criterion.key in measured[arm]
    for column in study.columns:
        assert any(column.key in values for values in measured.values()), column.key
    json.dumps(measured)


@pytest.mark.parametrize("name", RUN)
def test_the_page_is_that_of_the_result_and_the_result_that_of_the_rule(name):
    """The oracle is the committed result: claim, rule and verdict follow from its cells."""
    study = tortie.studies.find(name)
    path = DOCS / f"{name}.json"
    kept = json.loads(path.read_text())
    result = load_result(path, study)
    found = result.document()
    for one, other in zip(found["criteria"], kept["criteria"], strict=True):
        for end in ("mean", "low", "high"):  # libraries round otherwise
            assert one.pop(end) == pytest.approx(other.pop(end), rel=1e-9), "make studies"
    assert found == kept, "make studies"
    assert kept["rule"] == RULE
    assert (DOCS / f"{name}.md").read_text() == document(result), "make studies"
    for ending in (".svg", "-dark.svg"):
        assert "<path" in (DOCS / f"{name}{ending}").read_text()


def test_the_contents_are_those_of_all_results():
    results = [load_result(DOCS / f"{name}.json", tortie.studies.find(name)) for name in RUN]
    assert (DOCS / "README.md").read_text() == contents(results), "make studies"
