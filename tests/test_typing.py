"""The types that ``py.typed`` promises hold for a program of a user's, and are no ``Any``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tortie

PROGRAM = """
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

import tortie
from tortie.errors import TortieError, UsageError


def train(folder: Path, file: Path) -> float | None:
    classifier = tortie.ImageClassifier("resnet18", freeze="all", seed=1).fit(folder)
    classifier.save(file, force=True)
    accuracy = classifier.accuracy_
    return None if accuracy is None else accuracy.low


def named(file: Path, photographs: list[Path]) -> dict[str, str]:
    loaded = tortie.load(file)
    probabilities: NDArray[np.float32] = loaded.predict_proba(photographs)
    assert probabilities.shape == (len(photographs), len(loaded.classes_))
    predictions = loaded.classify(photographs, reject_below=0.9)
    return {str(one.source): one.label for one in predictions if one.label is not None}


def network() -> nn.Module:
    return tortie.networks.build("resnet18", classes=2)


try:
    train(Path("photos"), Path("pets.safetensors"))
except (UsageError, TortieError) as error:
    print(error)
"""
WRONG = """
number: int = tortie.load("a").accuracy_
tortie.ImageClassifier(fit=3)
tortie.no_such_name
"""


def checked(folder, text):
    (folder / "program.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={folder / 'cache'}", "program.py"],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(tortie.__file__).parents[1])},
    )  # fmt: skip
    return done.stdout


@pytest.mark.slow
def test_a_program_of_a_user_passes_mypy_strict_and_a_wrong_one_does_not(tmp_path):
    assert checked(tmp_path, PROGRAM) == "Success: no issues found in 1 source file\n"
    told = checked(tmp_path, PROGRAM + WRONG)
    for said in (
        'expression has type "Accuracy | None", variable has type "int"',
        'Unexpected keyword argument "fit" for "ImageClassifier"',
        'Module has no attribute "no_such_name"',
    ):
        assert said in told, told
