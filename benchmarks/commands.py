"""tortie's commands as whole processes, with what they took."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple


class Ran(NamedTuple):
    """A command that ended.

    Attributes:
        seconds: by the clock.
        processor: seconds of the processor, in user mode.
        megabytes: of memory at the peak.
        document: the JSON that it printed.
    """

    seconds: float
    processor: float
    megabytes: float
    document: dict[str, Any]


def tortie(*arguments: object, cache: Path, first: str = "") -> Ran:
    """A command with ``--json``, and a cache of its own; ``first`` runs before it in Python."""
    home = str(Path(__file__).parent.parent)
    environment = {**os.environ, "TORTIE_CACHE": str(cache), "PYTHONPATH": home}
    words = [*map(str, arguments), "--json", "-q"]
    command = [sys.executable, "-m", "tortie", *words]
    if first:
        command[1:3] = ["-c", f"{first}; from tortie.__main__ import run; run()"]
    begin = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    document = json.loads(process.stdout.read())
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    return Ran(seconds, used.ru_utime, used.ru_maxrss / 1024, document)
