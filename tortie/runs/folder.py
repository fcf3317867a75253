"""The folder of a run on the disk: whose it is, who works in it, and how it gives way to another.

A run of several members has a folder ``member-N`` for each, and one that compares depths a folder
for each depth; these are runs of their own.
"""

import json
import os
import re
import shutil
import warnings
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

from tortie.errors import TortieError, TortieWarning, UsageError
from tortie.files import open_lock, try_lock

RUN, ENVIRONMENT, README = "run.json", "environment.json", "README.txt"
LAST, BEST = "last.safetensors", "best.safetensors"
TRACK = "track"
"""Folder in a run's folder: what a tracker writes on the disk."""
_LOCK = ".lock"
_WRITTEN = (
    RUN, "photographs.csv", "plan.json", "metrics.jsonl", "metrics.csv", LAST, BEST, ENVIRONMENT,
    README,
)  # fmt: skip
_MEMBER = "member-"


def member_folder(folder: Path, number: int) -> Path:
    """The folder of a member's run, counted from 1, in that of all."""
    return folder / f"{_MEMBER}{number}"


def resume_hint(folder: Path, lasting: bool = True) -> str:
    """How a run that was stopped is resumed, in words.

    Args:
        folder: of the run.
        lasting: whether it stays when the process ends.
    """
    if not lasting:
        return "nothing is kept, as the fit was given no folder for its run"
    return f"{folder} keeps the last checkpoint, and the same command with --resume goes on"


def check_beginning(folder: Path, resume: bool, replaces: Path | None = None) -> None:
    """Refuse to begin where a run is, and to go on where none is.

    Args:
        folder: of the run.
        resume: whether to go on with what is there.
        replaces: folder of the run that gives way to this one; ``None`` where none may.

    Raises:
        UsageError: with the way out.
    """
    if replaces is not None:
        _check_ours(replaces)
        return
    there = (folder / RUN).exists()
    members = any(folder.glob(f"{_MEMBER}*/{RUN}"))
    if folder.name.startswith(_MEMBER) and (folder.parent / RUN).exists():
        raise UsageError(
            f"{folder.parent} has a run of one network, not of several: take what it began with, "
            "or --force without --resume to begin again"
        )
    if resume and members and not there:
        raise UsageError(
            f"{folder} has a run of several members: take the --members and --network it began "
            "with, or --force without --resume to begin again"
        )
    if resume and not there:
        raise UsageError(f"{folder} has no run to resume: leave --resume out to begin one")
    if not resume and (there or members):
        raise UsageError(f"{folder} has a run: --resume goes on with it, --force begins again")
    if not resume and folder.is_dir():
        _check_ours(folder)


def document_of(folder: Path) -> dict[str, Any] | None:
    """What the run in a folder was begun with; ``None`` where there is none.

    Raises:
        TortieError: it is damaged.
    """
    path = folder / RUN
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    one, several = {"precision", "activations"}, {"compared"}  # a training, or depths compared
    if not isinstance(document, dict) or not any(k <= document.keys() for k in (one, several)):
        raise damaged(path, "it describes no run")
    return document


def clear(folder: Path, held: Path | None = None) -> None:
    """Take away what a run wrote into its folder, and the folder if nothing is left in it.

    Nothing is taken away before it is known that all of it can be.

    Args:
        folder: of the run.
        held: the folder, or one within it, whose lock is this process's own: it stays.

    Raises:
        UsageError: the folder holds what no run wrote, or another process works in it.
        TortieError: the folder cannot be written.
    """
    if not folder.exists():
        return
    try:
        with ExitStack() as outer:
            if folder != held:
                outer.enter_context(locked(folder))
            inner = [one for one in _runs(folder) if one != folder]
            with ExitStack() as locks:
                for one in inner:
                    if one != held:
                        locks.enter_context(locked(one))
                _check_ours(folder)
                for one in inner:
                    _empty(one)
            for one in inner:
                if one != held:
                    shutil.rmtree(one)
            _empty(folder)
            if held is None and os.name != "nt":
                leave(folder)
            elif held != folder:  # whoever waits for this lock has a member's to wait for
                (folder / _LOCK).unlink()
    except OSError as error:
        raise TortieError(f"cannot write {folder}: {error.strerror}") from error


def locked(folder: Path) -> BinaryIO:
    """The folder's lock, which a process that ends gives back however it ends.

    Raises:
        UsageError: another process has it.
        OSError: it cannot be made, or is a link.
    """
    lock = open_lock(folder / _LOCK)
    held = try_lock(lock.fileno())
    if held is False:
        lock.close()
        raise UsageError(
            f"another fit is at work in {folder}: wait for it; if it was stopped (Ctrl-Z), let it "
            "go on with fg, or end it"
        )
    if held is None and os.name != "nt":
        warnings.warn(
            f"{folder} is on a drive without locks: let no second fit work in it",
            TortieWarning,
            stacklevel=2,
        )
    if not os.fstat(lock.fileno()).st_nlink:  # the other one took its folder away meanwhile
        lock.close()
        raise UsageError(f"another fit was at work in {folder}: try again")
    return lock


def sweep(folder: Path) -> None:
    """Take away what a killed process left half written; the lock says that no other writes."""
    for name in _WRITTEN:
        for part in folder.glob(f".{name}.*.part"):
            part.unlink(missing_ok=True)


def leave(folder: Path) -> None:
    """Take a folder away in which no run was begun; its lock is this process's own."""
    with suppress(OSError):  # Windows keeps what is open
        if {path.name for path in folder.iterdir()} == {_LOCK}:
            (folder / _LOCK).unlink()
            folder.rmdir()
            if folder.name.startswith(_MEMBER) and not any(folder.parent.iterdir()):
                folder.parent.rmdir()


def damaged(path: Path, why: object) -> TortieError:
    """What to say of a file of a run that cannot be read."""
    return TortieError(f"{path} is damaged or gone ({why}): --force without --resume begins again")


def _runs(folder: Path) -> list[Path]:
    """The folders of the runs within a run, innermost first, and its own."""
    try:
        compared = (document_of(folder) or {}).get("compared", [])
    except TortieError:
        compared = []
    inner = [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() and (path.name in compared or re.fullmatch(rf"{_MEMBER}\d+", path.name))
    ]
    return [*(one for path in inner for one in _runs(path)), folder]


def _check_ours(folder: Path) -> None:
    """Refuse to take away a folder that holds what no run wrote."""
    runs = _runs(folder) if folder.exists() else []
    for one in runs:
        swept = {path.name for name in _WRITTEN for path in one.glob(f".{name}.*.part")}
        known = {*_WRITTEN, *swept, *(run.name for run in runs), _LOCK, TRACK}
        others = {path.name for path in one.iterdir()} - known
        if others:
            raise UsageError(
                f"{one} holds what no run wrote ({min(others)}), so it is left as it is: move it "
                "away"
            )


def _empty(folder: Path) -> None:
    """Take away all but the lock."""
    sweep(folder)
    for name in _WRITTEN:  # run.json first: without it, what is left is no run
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / TRACK, ignore_errors=True)
