"""Patterns of files: ``*`` and ``?`` as a shell has them, ``{000..127}`` and ``{a,b}``."""

import glob
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from tortie.errors import UsageError
from tortie.images.archives import member_of
from tortie.images.remote import RemotePath, is_remote, is_there, is_web, remote_matches
from tortie.text import quoted

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")
_MOST = 10**6  # names that braces may stand for


def expanded(source: Path) -> list[Path]:
    """What a pattern stands for, sorted: ``*`` and ``?`` as a shell, ``{000..127}``, ``{a,b}``.

    A path that is there is none, whatever its name, and stands for itself.

    Raises:
        UsageError: a pattern that nothing matches, or with files missing that braces name.
    """
    text = str(source)
    if not any(one in text for one in "*?[{") or os.path.lexists(source):
        return [source]
    if is_web(source):  # where ? begins a query
        return [RemotePath(name) for name in _braces(text)]
    if member_of(source):
        return [source]
    if is_remote(source):
        return _remote_expanded(source)
    found: list[Path] = []
    for name in _braces(text):
        here = sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else [name]
        if not here or not os.path.lexists(here[0]):
            raise UsageError(f"no file matches {quoted(name)}")
        found.extend(map(Path, here))
    return found


def _remote_expanded(source: Path) -> list[Path]:
    """What an address with a pattern stands for, by one listing for all that braces name."""
    if is_there(source):
        return [source]
    there = set(map(str, remote_matches(_BRACES.sub("*", str(source)))))
    found: list[Path] = []
    for name in _braces(str(source)):
        if glob.has_magic(name):
            here = remote_matches(name)
        else:
            here = [RemotePath(name)] if name in there else []
        if not here:
            raise UsageError(f"no file matches {quoted(name)}")
        found.extend(here)
    return found


def _braces(text: str) -> list[str]:
    """The names that braces stand for, in their order."""
    match = _BRACES.search(text)
    if match is None:
        return [text]
    if match[1]:
        first, last = int(match[1]), int(match[2])
        if not 0 <= last - first < _MOST:
            raise UsageError(
                f"{quoted(text)}: {{{match[1]}..{match[2]}}} stands for no sensible range"
            )
        inner: Iterator[str] = (f"{n:0{len(match[1])}}" for n in range(first, last + 1))
    else:
        inner = iter(match[3].split(","))
    rests = _braces(text[match.end() :])
    return [text[: match.start()] + one + rest for one, rest in itertools.product(inner, rests)]
