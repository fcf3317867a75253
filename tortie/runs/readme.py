"""What a run's folder says to somebody who was not there: what each file is, and where it ran."""

import importlib.metadata
import json
import os
import platform
import shlex
import sys
from datetime import UTC, datetime

from tortie import __version__

TEXT = """\
The run of a training by tortie: how a classifier's weights came about. Beside it, when it is over,
lie the classifier (NAME.safetensors), its report (NAME.report.html) and its split.

environment.json   when, where, with which command and which versions the run was begun, and each
                   time that it went on
run.json           all that decides the weights but the photographs: network, recipe, seed
photographs.csv    the photographs: class, split, group of copies, SHA-256; paths as they were given
plan.json          what the run was expected to do and to cost
metrics.csv        the figures of each epoch; metrics.jsonl is the same as JSON lines
last.safetensors   the checkpoint from which the run goes on: weights, optimiser and place
best.safetensors   the weights of the best epoch by validation, or of the last one where photographs
                   are too few to choose by
track/             what a tracker wrote, if one was asked for
member-2/          of an ensemble: the run of each further network
.lock              keeps a second process out while one is at work
STAGE/, none/      where depths were compared (--freeze auto): the run of each

The command in environment.json, with --resume, goes on with the run; with --force it begins again.
The folder can be taken away when the classifier is there: nothing else needs it.
"""

_VERSIONS = ("torch", "numpy", "pillow", "opencv-python-headless", "safetensors")


def environment(before: str | None) -> str:
    """JSON of every time that a run was at work: when, where, how and with what.

    Args:
        before: what was written the last times; ``None`` for a new run.
    """
    try:
        times = json.loads(before or "[]")
    except ValueError:
        times = []
    own = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([_program(), *sys.argv[1:]]),
        "folder": os.getcwd(),
        "machine": platform.node(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {"tortie": __version__, **{name: _version(name) for name in _VERSIONS}},
    }
    return json.dumps([*(times if isinstance(times, list) else []), own], indent=2)


def _program() -> str:
    """What was called: tortie, or a script of the user's."""
    name = os.path.basename(sys.argv[0])
    return "tortie" if name == "__main__.py" else name


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # built into another, as OpenCV may be
        return None
