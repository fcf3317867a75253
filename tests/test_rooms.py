"""Imports point downwards and in no circle, the bottom never needs torch, functions stay small."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import tortie

HOME = Path(tortie.__file__).parent
RANKS = {
    "errors": 0, "files": 0, "invalid_values": 0, "text": 0, "processor": 0, "processes": 0,
    "forks": 0, "images": 1, "browser": 1, "weights": 2, "networks": 3, "graphs": 3,
    "augment": 3, "activations": 4, "cost": 5, "evaluation": 5, "training": 5, "runs": 6,
    "learning": 7,
    "watched": 7, "estimator": 8, "feature_extraction": 8, "classifier_description": 8,
    "trained": 8, "image_folder": 8, "classifier": 8, "loading": 8,
    "serving": 9, "export": 9, "experiments": 9, "studies": 10, "studio": 10, "cli": 11,
}  # fmt: skip


def imported(path: Path) -> set[str]:
    """Rooms that a module needs when it is loaded: imports at its top, outside TYPE_CHECKING."""
    rooms = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tortie."):
            rooms.add((node.module or "").split(".")[1])
    return rooms


@pytest.mark.parametrize(
    "path", sorted(HOME.rglob("*.py")), ids=lambda path: str(path.relative_to(HOME))
)
def test_imports_point_downwards(path):
    room = path.relative_to(HOME).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    for other in imported(path):
        assert RANKS[other] <= RANKS[room], f"{room} imports {other}"


FILES = sorted(HOME.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in FILES}
MODULES = {
    ".".join(path.relative_to(HOME.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FILES
}
CLASSES = {
    node.name
    for tree in TREES.values()
    for node in ast.walk(tree)
    if isinstance(node, ast.ClassDef)
}


def files_imported(path: Path) -> set[str]:
    """Modules of ours that a file needs when it is loaded."""
    found = set()
    for node in TREES[path].body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tortie":
            for name in node.names:
                inside = f"{node.module}.{name.name}"
                found.add(inside if inside in MODULES else node.module or "")
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name in MODULES}
    return found


def test_no_class_has_the_name_of_another():
    """A paper's blocks apart, whose file says whose they are."""
    places: dict[str, list[str]] = {}
    for path, tree in TREES.items():
        if path.relative_to(HOME).parts[0] == "networks":
            continue
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(HOME)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_no_files_import_one_another_in_a_circle():
    imports = {module: files_imported(path) for module, path in MODULES.items()}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOME)))
def test_functions_are_short_and_narrow(path):
    """65 lines without the docstring; 8 parameters, but for commands and the classifier."""
    for function in functions(path):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        lines = (function.end_lineno or 0) - body[0].lineno + 1 if body else 0
        assert lines <= 65, f"{function.name}: {lines} lines"
        given = function.args
        names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        parameters = len(names) - (names[:1] in (["self"], ["cls"]))
        is_command = path.parent.name == "cli" and function.name == "command"
        if not is_command and path.name != "classifier.py":
            assert parameters <= 8, f"{function.name}: {parameters} parameters"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOME)))
def test_objects_of_many_attributes_are_made_by_keyword(path):
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in CLASSES or name == "cls":
                assert len(node.args) <= 5, f"line {node.lineno}: {name}, {len(node.args)} values"


@pytest.mark.parametrize(
    "modules",
    [
        "tortie.images, tortie.images.inputs, tortie.images.split_rules",
        "tortie.classifier",
        "tortie.processor",
    ],
    ids=["images", "classifier", "processor"],
)
def test_decoding_can_begin_before_torch_is_there(modules):
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_guide_to_the_tree_names_what_is_there():
    """Each ``room/file.py`` of ARCHITECTURE, with the name behind it; the oracle is the tree."""
    guide = (HOME.parent / "ARCHITECTURE.md").read_text()
    named = re.findall(r"`(?:tortie/)?([\w/]+/\w+\.py)(?:: ([\w.]+))?`", guide)
    assert len(named) > 30
    for file, name in named:
        path = (HOME.parent if file.startswith("tests/") else HOME) / file
        assert path.exists(), file
        last = name.rpartition(".")[2]
        assert not name or re.search(rf"(def|class) {last}\b|^{last}\b", path.read_text(), re.M), (
            name
        )
