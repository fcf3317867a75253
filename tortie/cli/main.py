"""The command line: ``tortie VERB``, one file a verb."""

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from tortie import __version__
from tortie.cli import show
from tortie.errors import TortieError

# Typer carries its own copy of click, whose class of wrong uses has no public name.
_WrongUse: type[Exception] = typer.BadParameter.__mro__[1]
_INTERRUPTED = 130  # what typer makes of Ctrl-C

_VERBS = (
    "fit", "predict", "evaluate", "extract", "export", "push", "serve", "studio", "check",
    "augment", "networks", "cost", "study", "bench", "cache", "demo",
)  # fmt: skip


def application(verbs: Sequence[str] = _VERBS) -> typer.Typer:
    """The command line with these verbs, each of them a file."""
    app = typer.Typer(
        name="tortie",
        help="Turn a folder of photographs into a classifier you can trust.",
        epilog="Start with: tortie fit PHOTOS -o pets.safetensors (PHOTOS has one folder per "
        "class).",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(tortie)
    for verb in verbs:
        module = importlib.import_module(f"tortie.cli.{verb}")
        app.command(module.NAME)(module.command)
    return app


def _print_version(asked: bool) -> None:
    if asked:
        print(f"tortie {__version__}")
        raise typer.Exit


def tortie(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Turn a folder of photographs into a classifier you can trust."""


_interrupts: list[int] = []


def interrupt(number: int, frame: object) -> None:
    """Ctrl-C: as Python does it, and remembered.

    In the midst of an import it leaves half a module, at which the next import fails in its own
    words: whatever fails after Ctrl-C was stopped by it.
    """
    _interrupts.append(number)
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> None:
    """Run one command; errors are one line, and the exit code is 1 or 2."""
    try:
        show.begin("--json" in (sys.argv[1:] if arguments is None else arguments))
        first = (sys.argv[1:] if arguments is None else arguments)[:1]
        app = application(first if first and first[0] in _VERBS else _VERBS)
        with show.warnings():
            code = app(args=arguments, prog_name="tortie", standalone_mode=False)
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
    except _WrongUse as error:
        code = show.failure(_with_help(error), 2) if str(error) else 2  # the help was shown
    except TortieError as error:
        code = show.failure(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = _stopped(arguments)
    except BrokenPipeError:  # the reader of our output has gone: head, less
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except MemoryError:
        code = show.failure("out of memory: take smaller photographs or fewer at once", 1)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        code = show.failure(f"{error.strerror or error}{where}", 1)
    except Exception:
        if not _interrupts:
            raise
        code = _stopped(arguments)
    sys.exit(code if isinstance(code, int) else 0)


def _stopped(arguments: list[str] | None) -> int:
    """Say that the command was stopped."""
    if arguments is None:  # the process ends with us: a second one has nothing to stop
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    words = sys.argv[1:] if arguments is None else arguments
    keeps = bool(words) and words[0] in ("fit", "predict", "evaluate", "extract", "check", "study")
    kept = "; what was computed is kept, the same command goes on" if keeps else ""
    return show.failure(f"stopped{kept}", 1)


def _with_help(error: Exception) -> str:
    """The wrong use in one line, with the command whose help tells the right one."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "tortie"
    message = getattr(error, "format_message", error.__str__)().replace("Value error, ", "")
    return f"{message.rstrip('.')}. See: {command} --help"
