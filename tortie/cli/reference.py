"""The command line's reference as Markdown: ``python -m tortie.cli.reference > docs/cli.md``."""

import inspect
from typing import Any

import typer

from tortie.cli.main import application


def reference() -> str:
    """Every verb with its arguments and options, panel by panel, as the help says them."""
    group: Any = typer.main.get_command(application())
    lines = ["# Command line", "", "Written by `python -m tortie.cli.reference > docs/cli.md`.", ""]
    for name, command in group.commands.items():
        lines += [f"## tortie {name}", "", *_paragraphs(command.help)]
        panels: dict[str, list[str]] = {}
        for parameter in command.params:
            panel = getattr(parameter, "rich_help_panel", None) or "Arguments and options"
            panels.setdefault(panel, []).append(_row(parameter))
        for panel, rows in panels.items():
            lines += [f"| {panel} | | default |", "|---|---|---|", *rows, ""]
    return "\n".join(lines[:-1])


def _paragraphs(text: str) -> list[str]:
    """The help's paragraphs, its examples as code."""
    lines = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        words, _, example = paragraph.strip().partition("Example: ")
        lines += [f"    {example}" if example else words, ""]
    return lines


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
