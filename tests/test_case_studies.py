"""Every command of docs/case-studies.md, and every line of output that is shown there.

The oracle is the page: a line of it that the command does not print, in that order, fails.
"""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from tests.conftest import lay_out
from tortie.cli.main import main

PAGE = Path(__file__).parents[1] / "docs" / "case-studies.md"


class Example(NamedTuple):
    """A command of the page, and the lines that it shows."""

    command: str
    slow: bool
    lines: list[str]


def examples():
    for kind, text in re.findall(r"```console( slow)?\n\$ tortie (.*?)```", PAGE.read_text(), re.S):
        command, *lines = text.splitlines()
        yield Example(command, bool(kind), [line for line in lines if line != "..."])


def marked():
    for example in examples():
        marks = [pytest.mark.slow] if example.slow else []
        yield pytest.param(example, marks=marks, id=example.command)


def prepare(folder):
    """``photos``, and ``purple.png``: shades of (200, 20, 220) from black to white."""
    lay_out(folder / "photos", 12)
    level = np.linspace(0, 1, 256).reshape(16, 16).repeat(16, 0).repeat(16, 1)[..., None]
    Image.fromarray((level * (200, 20, 220)).round().astype(np.uint8)).save(folder / "purple.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("case-studies")
    prepare(folder)
    return folder


@pytest.mark.parametrize("example", list(marked()))
def test_the_page_shows_what_the_command_prints(example, folder, monkeypatch, capfdbinary):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(example.command))
    assert stopped.value.code == 0
    out, err = (stream.decode().splitlines() for stream in capfdbinary.readouterr())
    printed = iter([line.rstrip() for line in err + out])
    for line in example.lines:
        assert line in printed, f"not printed, or not there: {line}"
