"""The command line's reference as Markdown: ``python -m tortie.cli.reference > docs/cli.md``."""

import inspect
from typing import Any

import typer

from tortie.cli.main import app


def reference() -> str:
    """Every verb with its arguments and options, as the help says them."""
    group: Any = typer.main.get_command(app)
    lines = ["# Command line", "", "Written by `python -m tortie.cli.reference > docs/cli.md`.", ""]
    for name, command in group.commands.items():
        lines += [f"## tortie {name}", "", *_paragraphs(command.help), "", "| | | default |"]
        lines += ["|---|---|---|", *(_row(parameter) for parameter in command.params), ""]
    return "\n".join(lines)


def _paragraphs(text: str) -> list[str]:
    cleaned = inspect.cleandoc(text)
    words, _, example = cleaned.partition("Example: ")
    return [words.strip(), "", f"    {example.strip()}"] if example else [words.strip()]


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = parameter.name.upper()
    else:
        name = ", ".join(f"`{option}`" for option in parameter.opts)
    shown = parameter.default
    if parameter.required or shown is None or shown is False or callable(shown):
        shown = parameter.show_default if isinstance(parameter.show_default, str) else ""
    help_text = (parameter.help or "").replace("|", "\\|")
    return f"| {name} | {help_text} | {shown} |"


if __name__ == "__main__":
    print(reference())
