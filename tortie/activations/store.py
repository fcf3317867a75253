"""The activation store: what flows across the cut, kept on disk and never computed again.

Entries lie in append-only segment files, one writer each, with a checksum an entry
(:mod:`~tortie.activations.segments`); an index in SQLite says where
(:mod:`~tortie.activations.index`) and is rebuilt from the segments when it is lost. A kill at any
moment, a full disk, a flipped byte or a second process cost at most the entries that they touch,
which count as missing.
"""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tortie.activations import limit, segments
from tortie.activations.index import Index
from tortie.activations.segments import Entry, Place
from tortie.activations.writer import Writer
from tortie.errors import TortieError
from tortie.files import replacing

_LAYOUT = 1
_log = logging.getLogger(__name__).warning


@dataclass(frozen=True, slots=True)
class Usage:
    """What a store holds.

    Attributes:
        entries: number of entries.
        bytes: size of segments and index on the disk.
        segments: number of segment files.
        path: the store's folder.
        limit: bytes that it may take.
    """

    entries: int
    bytes: int
    segments: int
    path: Path
    limit: int


class ActivationStore:
    """A folder of activations and image facts, shared by threads and processes.

    The store never ends a run: what it cannot read counts as missing, and where the folder cannot
    be used at all, nothing is found and nothing stored. The reason is said once.

    Args:
        root: the folder, created where it is missing.
        limit_bytes: what segments and index may take together; by default as
            :func:`~tortie.activations.limit.default_limit` says. Several processes that write at
            once may pass it by what they hold between two commits, 8 MB each. 0 stores nothing.
        note: told, once for each reason, in one line, that the store is not what it should be.
    """

    def __init__(
        self,
        root: Path,
        limit_bytes: int | None = None,
        note: Callable[[str], None] = _log,
    ) -> None:
        self.root = root
        self.limit = limit.default_limit(root) if limit_bytes is None else limit_bytes
        self._told: set[str] = set()
        self._tell = note
        self._used: set[str] = set()
        self._index: Index | None = None
        try:
            self._off = self._check_layout()
            if self._off is None:
                self._index = Index(root)
        except (OSError, sqlite3.Error, TortieError) as error:
            self._off = f"cannot use the activation store {root}, so nothing is stored: {error}"
        if self._off is not None:
            self._note(self._off)

    @classmethod
    def default(cls, note: Callable[[str], None] = _log) -> "ActivationStore":
        """The user's store: see :mod:`tortie.activations.limit` for where, and how large.

        Raises:
            UsageError: ``TORTIE_CACHE_LIMIT`` is no size.
        """
        try:
            root = limit.default_root()
        except RuntimeError:  # a container's user without a home or an entry in the password file
            note("no home folder, so nothing is stored: set TORTIE_CACHE to a folder for it")
            return cls(Path(os.devnull, "tortie"), 0, note=lambda line: None)
        return cls(root, note=note)

    @property
    def off(self) -> str | None:
        """Why nothing is found and nothing stored; ``None`` where the store works."""
        return self._off

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be found in it."""
        try:
            return self._index is None or self._index.count() == 0
        except (OSError, sqlite3.Error):
            return True

    def contains_many(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of ``keys`` that have an entry; whether it is intact shows when it is read."""
        return {key for places in self._locate(keys).values() for _, _, key in places}

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[Any]]:
        """The arrays of those ``keys`` that have an intact entry; uint16 carries bfloat16."""
        return {key: entry.array() for key, entry in self._read(keys)}

    def get_into(self, keys: Sequence[bytes], out: NDArray[Any]) -> NDArray[np.bool_]:
        """Fills row ``i`` of ``out`` with the entry of ``keys[i]``, wherever it is intact.

        Args:
            keys: N keys; one may occur several times.
            out: ``(N, ...)``, C-contiguous; uint16 for bfloat16. Other rows are left as they are.

        Returns:
            ``(N,)``: which rows were filled. An entry whose type or shape is not that of a row
            counts as missing.
        """
        assert out.flags.c_contiguous and len(out) == len(keys)
        filled = np.zeros(len(keys), np.bool_)
        row_of: dict[bytes, int] = {}
        repeated = [
            (row, first)
            for row, key in enumerate(keys)
            if (first := row_of.setdefault(key, row)) != row
        ]
        target = out.reshape(-1).view(np.uint8).data
        width = target.nbytes // max(len(out), 1)
        for key, entry in self._read(list(row_of)):
            if entry.dtype == out.dtype and entry.shape == out.shape[1:]:
                row = row_of[key]
                target[row * width : (row + 1) * width] = entry.payload
                filled[row] = True
        for row, first in repeated:
            if filled[first]:
                out[row] = out[first]
                filled[row] = True
        return filled

    def writer(self) -> Writer:
        """A writer for a ``with`` block; what was put is kept at its end at the latest."""
        index = self._index if self.limit > 0 else None
        return Writer(self.root, index, self.limit, self._used, self._note)

    def usage(self) -> Usage:
        """What the store holds now.

        Raises:
            TortieError: the store cannot be read.
        """
        with self._failing("read") as index:
            sizes = segments.sizes(self.root)
            held = index.size() + sum(size for size, _ in sizes.values())
            return Usage(index.count(), held, len(sizes), self.root, self.limit)

    def clear(self) -> int:
        """Removes all entries, also under the hands of other runs, which then compute anew.

        Returns:
            The bytes that were freed.

        Raises:
            TortieError: the store cannot be cleared.
        """
        with self._failing("clear") as index:
            before = limit.held_bytes(self.root, index)
            for name in segments.sizes(self.root):
                (self.root / name).unlink(missing_ok=True)
            index.clear()
            return before - limit.held_bytes(self.root, index)

    def close(self) -> None:
        """Closes the index; a later use opens it again."""
        if self._index is not None:
            self._index.close()

    def __enter__(self) -> "ActivationStore":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check_layout(self) -> str | None:
        """Why the folder's layout is not to be touched, if so; marks a new folder."""
        self.root.mkdir(parents=True, exist_ok=True)
        mark = self.root / "LAYOUT"
        try:
            found = mark.read_text(errors="replace").strip()
        except FileNotFoundError:
            with replacing(mark) as file:
                file.write(f"{_LAYOUT}\n".encode())
            return None
        if found == str(_LAYOUT):
            return None
        return (
            f"the activation store {self.root} has layout {found!r} and this tortie knows"
            f" {_LAYOUT}: nothing is stored; set TORTIE_CACHE to another folder, or remove this one"
        )

    def _locate(self, keys: Sequence[bytes]) -> dict[str, list[Place]]:
        """Places by segment, of segments that are there; these count as used now."""
        if self._index is None or not keys:
            return {}
        try:
            places = self._index.locate(keys)
            gone = [name for name in places if not segments.touch(self.root / name)]
            for name in gone:
                del places[name]
            if gone:
                self._index.forget(gone)
        except (OSError, sqlite3.Error) as error:
            self._note(f"cannot read the activation store {self.root}: {error}")
            return {}
        self._used.update(places)
        return places

    def _read(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, Entry]]:
        """Intact entries; the broken ones are forgotten, so that they are stored anew."""
        for name, places in self._locate(keys).items():
            broken = []
            try:
                for place, block in segments.read(self.root / name, places):
                    entry = segments.decode(block, place[2])
                    if entry is None:
                        broken.append(place)
                    else:
                        yield place[2], entry
                if broken and self._index is not None:
                    self._index.drop(name, broken)
            except FileNotFoundError:
                continue  # evicted since
            except (OSError, sqlite3.Error) as error:
                self._note(f"cannot read the activation store {self.root}: {error}")

    @contextlib.contextmanager
    def _failing(self, verb: str) -> Iterator[Index]:
        """The index; errors within the block become one line."""
        if self._index is None:
            raise TortieError(self._off or "")
        try:
            yield self._index
        except (OSError, sqlite3.Error) as error:
            raise TortieError(f"cannot {verb} the activation store {self.root}: {error}") from error

    def _note(self, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            self._tell(reason)
