"""The limit of megapixels is a finite number above 0, as a limit of memory has to be."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "arguments, value", [("check a", "nan"), ("predict a b", "inf"), ("serve a", "inf")]
)
def test_no_limit_of_megapixels_is_refused(arguments, value):
    given = [sys.executable, "-m", "tortie", *arguments.split(), "--max-megapixels", value]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"'--max-megapixels': {value}: expected a finite number above 0" in done.stderr
