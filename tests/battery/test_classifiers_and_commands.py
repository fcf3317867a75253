"""A tenth of the battery of classifiers and of commands; `make battery` runs all of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("part", ["classifiers", "commands"])
def test_a_tenth_of_the_battery(part):
    """Exit code 0: nothing wrong, no death, no traceback, nothing that hangs."""
    words = [sys.executable, HOME / "benchmarks" / "battery" / f"{part}.py", "--scale", "0.1"]
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
