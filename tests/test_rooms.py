"""Imports point downwards, and the bottom never needs torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tortie

HOME = Path(tortie.__file__).parent
RANKS = {
    "errors": 0, "files": 0, "text": 0, "processor": 0, "processes": 0, "forks": 0, "images": 1,
    "weights": 2, "networks": 3, "graphs": 3, "augment": 3, "activations": 4, "cost": 5,
    "evaluation": 5, "training": 5, "runs": 6, "learning": 7, "classifier": 8, "loading": 8,
    "cli": 9,
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
