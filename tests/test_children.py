"""What a test starts is gone after it; the oracle is the system's table of processes."""

import os
import sys
from pathlib import Path

import pytest

from tests.children import children, ended


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed by Linux")
def test_nothing_outlives_a_test_that_fails():
    code = (
        "import subprocess, time\n"
        "print(subprocess.Popen(['sleep', '1000']).pid, flush=True)\n"
        "time.sleep(1000)"
    )
    with pytest.raises(ZeroDivisionError), children() as start:
        process = start([sys.executable, "-c", code], stdout=-1)
        grandchild = int(process.stdout.readline())
        os.kill(grandchild, 0)
        raise ZeroDivisionError
    assert process.returncode < 0 and process.stdout.closed
    while True:  # killed, and then buried by whoever adopted it
        try:
            state = Path(f"/proc/{grandchild}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            break
        if state == "Z":
            break


def test_what_it_said_is_there():
    with children() as start:
        process = start([sys.executable, "-c", "print('yes')"], stdout=-1, stderr=-1)
        assert ended(process) == ("yes\n", "") and process.returncode == 0
