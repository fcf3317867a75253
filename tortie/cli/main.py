"""The command line: ``tortie VERB``, one file a verb."""

import os
import sys
from typing import Annotated

import click
import typer

from tortie import __version__
from tortie.cli import cache, demo, evaluate, fit, networks, predict, show
from tortie.errors import TortieError

app = typer.Typer(
    name="tortie",
    help="Turn a folder of photographs into a classifier you can trust.",
    epilog="Begin with: tortie fit PHOTOS -o pets.safetensors, where PHOTOS has a folder a class.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (fit, predict, evaluate, networks, cache, demo):
    app.command(verb.NAME)(verb.command)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"tortie {__version__}")
        raise typer.Exit


@app.callback()
def tortie(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Its number.")
    ] = False,
) -> None:
    """Turn a folder of photographs into a classifier you can trust."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command; errors are one line, and the exit code is 1 or 2."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except TortieError as error:
        code = show.failure(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        code = show.failure("stopped; what was computed is kept, the same command goes on", 1)
    except BrokenPipeError:  # the reader of our output has gone: head, less
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except MemoryError:
        code = show.failure("out of memory: take fewer --threads or smaller photographs", 1)
    sys.exit(code if isinstance(code, int) else 0)
