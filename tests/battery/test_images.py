"""A tenth of the battery of images; `make battery` runs all of it."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "battery" / "images.py"


@pytest.mark.slow
def test_a_tenth_of_the_battery_of_images(tmp_path):
    """No known picture is read wrongly, nothing dies, and no cut passes; the script says so."""
    pytest.importorskip("tifffile")
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("memory is measured by Linux's /proc")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--scale", "0.1", "--each", "8"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "| known pictures | 113 | 113 | 113 |" in done.stdout
