"""The documentation of the command line is what the commands say; documented commands exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from rich.text import Text

from tortie.cli.main import application
from tortie.cli.reference import reference

HOME = Path(__file__).parents[2]
PAGES = [HOME / "README.md", *sorted((HOME / "docs").glob("*.md"))]


@pytest.mark.skipif(
    tuple(map(int, typer.__version__.split(".")[:2])) < (0, 26),
    reason="the reference is written with a typer that names the types of options",
)
def test_the_reference_is_current():
    written = (HOME / "docs" / "cli.md").read_text()
    assert written == reference() + "\n", "python -m tortie.cli.reference > docs/cli.md"


def commands():
    for page in PAGES:
        for line in re.findall(r"^(?:\$ |    )(tortie [a-z].*)$", page.read_text(), re.MULTILINE):
            yield pytest.param(line.split("#")[0].strip(), id=f"{page.name}: {line[:60]}")


@pytest.mark.parametrize("line", list(commands()))
def test_every_documented_command_is_one(line):
    group = typer.main.get_command(application())
    verb, *words = shlex.split(line)[1:]
    assert verb in group.commands, verb
    if not {"...", "…"} & set(words):
        group.commands[verb].make_context(verb, words)  # raises where an option is wrong


def test_every_option_is_explained_in_a_sentence():
    for name, command in typer.main.get_command(application()).commands.items():
        for parameter in command.params:
            text = parameter.help or ""
            assert text[:1].isupper() and text.endswith("."), f"tortie {name}: {parameter.name}"


def test_no_help_text_has_what_the_help_takes_for_markup():
    """Rich leaves out letters in square brackets: its own reading of each text is the oracle."""
    for name, command in typer.main.get_command(application()).commands.items():
        for text in (command.help or "", *(one.help or "" for one in command.params)):
            assert Text.from_markup(text).plain == text, f"tortie {name}"


def test_the_first_panel_of_fit_has_the_options_that_matter_first():
    command = typer.main.get_command(application()).commands["fit"]
    first = [one.name for one in command.params if one.rich_help_panel is None]
    assert first == ["images", "output", "network", "freeze", "augment", "test"]
