"""Names of photographs as they come: of files, of folders' images, and from standard input."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import Empty, Full, Queue
from typing import NamedTuple

from tortie.errors import TortieError, UsageError
from tortie.images.find import each_source
from tortie.images.remote import located
from tortie.images.walk import Strays

STANDARD_INPUT = Path("-")
_BLOCK = 2**16  # bytes read at once
_PATIENCE = 0.05  # seconds that a part waits for its next name
_BETWEEN = 0.2  # seconds between two looks whether names are still wanted

Item = Path | BaseException | None


class Survey(NamedTuple):
    """What the folders hold that are to be predicted.

    Attributes:
        total: number of photographs; ``None`` where standard input tells.
        empty: folders without an image.
        notes: what was met and passed over; a line each.
    """

    total: int | None
    empty: list[Path]
    notes: list[str]


def survey(sources: Sequence[Path]) -> Survey:
    """Count the photographs, without keeping their names.

    Raises:
        TortieError: a folder that is given cannot be listed.
    """
    strays = Strays()
    total, empty = 0, []
    for source in sources:
        count = sum(1 for _ in each_source(source, strays)) if source != STANDARD_INPUT else 0
        total += count
        if not count and source != STANDARD_INPUT:
            empty.append(located(source))
    told = None if STANDARD_INPUT in sources else total
    return Survey(told, empty, list(strays.notes()))


def each_name(
    sources: Sequence[Path], standard_input: Callable[[], int], ends: bytes = b"\n"
) -> Iterator[Path]:
    """The photographs one after the other, in the order in which they are given.

    A file with an unusual suffix, or that is missing, is one: reading it tells.

    Args:
        sources: files, folders, and ``-`` for the names on standard input.
        standard_input: says its file descriptor.
        ends: what ends a name there.

    Raises:
        TortieError: a folder that is given cannot be listed.
    """
    strays = Strays()
    for source in sources:
        if source == STANDARD_INPUT:
            for name in _read_names(standard_input(), ends):
                yield from each_source(name, strays)
        else:
            yield from each_source(source, strays)
        strays = Strays()


def in_parts(names: Iterator[Path], most: Callable[[], int]) -> Iterator[list[Path]]:
    """Names in parts; one that does not come at once is not waited for, if there are others.

    Args:
        names: taken in a thread, a part ahead.
        most: names of the next part.
    """
    ahead: Queue[Item] = Queue(512)
    wanted = threading.Event()
    wanted.set()
    threading.Thread(target=_take, args=(names, ahead, wanted), daemon=True).start()
    try:
        last = False
        while not last:
            part: list[Path] = []
            item = ahead.get()
            limit = most()
            while isinstance(item, Path):
                part.append(item)
                if len(part) >= limit:
                    break
                try:
                    item = ahead.get(timeout=_PATIENCE)
                except Empty:
                    break
            last = not isinstance(item, Path)
            if part:
                yield part
            if isinstance(item, BaseException):
                raise item
    finally:
        wanted.clear()


def _take(names: Iterator[Path], ahead: "Queue[Item]", wanted: threading.Event) -> None:
    """Put the names into the queue, then what ended them, while they are wanted."""

    def put(item: Item) -> bool:
        while wanted.is_set():
            with contextlib.suppress(Full):
                ahead.put(item, timeout=_BETWEEN)
                return True
        return False

    try:
        if all(map(put, names)):
            put(None)
    except BaseException as error:
        put(error)


def _read_names(descriptor: int, ends: bytes) -> Iterator[Path]:
    """Names that a file descriptor yields; one that is empty is none.

    The descriptor is read as it is: a thread that waits in a buffered reader holds its lock, at
    which Python's end would stumble.
    """
    rest = b""
    while block := _read(descriptor):
        if ends == b"\n" and b"\0" in block:
            raise UsageError("names on standard input end with null bytes: say --null")
        *whole, rest = (rest + block).split(ends)
        yield from (_name(one, ends) for one in whole if one.strip(b"\r"))
    if rest.strip(b"\r"):
        yield _name(rest, ends)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _BLOCK)
    except OSError as error:
        raise TortieError(f"cannot read names from standard input: {error.strerror}") from None


def _name(raw: bytes, ends: bytes) -> Path:
    return Path(os.fsdecode(raw.removesuffix(b"\r") if ends == b"\n" else raw))
