"""The activation store: what flows across the cut, kept on disk and never computed again.

One table in SQLite (:mod:`~tortie.activations.database`): a key, a checksum, type and shape, the
bytes. Entries come in batches, each wholly there or not at all, and go by batches, the one used
longest ago first (:mod:`~tortie.activations.limit`). A kill at any moment, a full disk, a flipped
byte or a second process cost at most the entries that they touch, which count as missing.
"""

import contextlib
import logging
import math
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tortie.activations import limit
from tortie.activations.database import BATCH_SHIFT, PAGE, Database, writing
from tortie.errors import TortieError

_log = logging.getLogger(__name__).warning
# A kill loses what was not committed: at most so much, or so long.
_COMMIT_BYTES, _COMMIT_SECONDS = 8 << 20, 2.0
_KEYS = 900  # looked up in one statement: older SQLites allow 999 variables
_PART = 64 << 10  # bytes of a large payload that are read, checked and copied while still cached
_USE_SECONDS = 60  # after which a use is written down again
# numpy has no bfloat16: uint16 carries its bits.
_TYPES = {name: np.dtype(name) for name in ("|u1", "<f4", "<u2", "<f2")}


class Usage(NamedTuple):
    """What a store holds: entries, bytes on the disk, its folder, bytes that it may take."""

    entries: int
    bytes: int
    path: Path
    limit: int


class ActivationStore(Database):
    """A folder of activations and image facts, shared by threads and processes.

    The store never ends a run: what it cannot read counts as missing, and where the folder cannot
    be used at all (``off`` says why), nothing is found and nothing stored.

    Args:
        root: the folder, made for its owner alone where it is missing.
        limit_bytes: what the database and its log may take together; by default as
            :func:`~tortie.activations.limit.default_limit` says. 0 stores nothing.
        note: told, once for each reason, in one line, that the store is not what it should be.
    """

    def __init__(
        self, root: Path, limit_bytes: int | None = None, note: Callable[[str], None] = _log
    ) -> None:
        self.limit = limit.default_limit(root) if limit_bytes is None else limit_bytes
        self.used: set[int] = set()
        """Batches that this run found or wrote, and does not evict."""
        super().__init__(root, note)

    @classmethod
    def default(cls, note: Callable[[str], None] = _log) -> "ActivationStore":
        """The user's store: see :mod:`tortie.activations.limit` for where, and how large.

        Raises:
            UsageError: ``TORTIE_CACHE_LIMIT`` is no size.
        """
        return cls(limit.default_root(), note=note)

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be found in it."""
        query = "SELECT 1 FROM entries LIMIT 1"
        return not self._try(lambda connection: connection.execute(query).fetchall(), [])

    def contains_many(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of ``keys`` that have an entry; whether it is intact shows when it is read."""
        return {key for _, key in self._try(lambda it: self._locate(it, keys, "id, key"), [])}

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[Any]]:
        """The arrays of those ``keys`` that have an intact entry; uint16 carries bfloat16."""
        found: dict[bytes, NDArray[Any]] = {}

        def place(key: bytes, form: bytes, length: int) -> memoryview | None:
            name, *sizes = form.decode("ascii", "replace").split()
            shape = [int(size) for size in sizes if size.isdecimal()]
            if name not in _TYPES or math.prod(shape) * _TYPES[name].itemsize != length:
                return None
            found[key] = np.empty(shape, _TYPES[name])
            return _bytes(found[key])

        intact = self._read(keys, place)
        return {key: array for key, array in found.items() if key in intact}

    def get_into(self, keys: Sequence[bytes], out: NDArray[Any]) -> NDArray[np.bool_]:
        """Fills row ``i`` of ``out`` with the entry of ``keys[i]``, wherever it is intact.

        Args:
            keys: N keys; one may occur several times.
            out: ``(N, ...)``, C-contiguous; uint16 for bfloat16. Other rows are left as they are,
                but for those of damaged entries, which hold anything.

        Returns:
            ``(N,)``: which rows were filled. An entry whose type or shape is not that of a row
            counts as missing.
        """
        assert out.flags.c_contiguous and len(out) == len(keys)
        row_of = {key: row for row, key in reversed([*enumerate(keys)])}
        target, width = _bytes(out), out.nbytes // max(len(out), 1)
        expected = (_form(out.dtype, out.shape[1:]), width)

        def place(key: bytes, form: bytes, length: int) -> memoryview | None:
            start = row_of[key] * width
            return target[start : start + width] if (form, length) == expected else None

        intact = self._read(keys, place)
        for row, key in enumerate(keys):
            if row_of[key] != row and key in intact:
                out[row] = out[row_of[key]]
        return np.array([key in intact for key in keys], np.bool_)

    def writer(self) -> "Writer":
        """A writer for a ``with`` block; what was put is kept at its end at the latest."""
        return Writer(self)

    def has_room(self, size: int) -> bool:
        """Whether so many bytes are within the limit of a store that can be written to."""
        return self.off is None and size <= self.limit

    def usage(self) -> Usage:
        """What the store holds now.

        Raises:
            TortieError: the store cannot be read.
        """
        query = "SELECT COUNT(*) FROM entries"
        ((count,),) = self.run("read", lambda connection: connection.execute(query).fetchall())
        return Usage(count, self.size(), self.root, self.limit)

    def clear(self) -> int:
        """Removes all entries, also under the hands of other runs, which then compute anew.

        Returns:
            The bytes that were freed.

        Raises:
            TortieError: the store cannot be cleared.
        """
        before = self.size()
        self.run("clear", lambda connection: self._replace(None))
        self.run("open", lambda connection: None)
        return before - self.size()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _locate(
        self, connection: sqlite3.Connection, keys: Iterable[bytes], what: str
    ) -> list[Any]:
        """The id, or the id and more, of the entries of ``keys``; their batches are used now."""
        found: list[Any] = []
        for some in _chunks(sorted(set(keys))):
            found += connection.execute(f"SELECT {what} FROM entries WHERE key {_in(some)}", some)
        batches = {row[0] >> BATCH_SHIFT for row in found}
        self.used |= batches
        before = int(time.time()) - _USE_SECONDS
        old = connection.execute("SELECT id FROM batches WHERE used < ?", (before,)).fetchall()
        if (stale := {batch for (batch,) in old} & batches) and not self.read_only:
            with contextlib.suppress(sqlite3.OperationalError):  # busy, or the disk is full
                set_used(connection, stale)
        return sorted(found)

    def _read(
        self, keys: Sequence[bytes], place: Callable[[bytes, bytes, int], memoryview | None]
    ) -> set[bytes]:
        """Fill the bytes that ``place`` gives for a key, form and length; for which keys.

        Entries whose checksum does not match are removed, so that they are stored anew.
        """

        def work(connection: sqlite3.Connection) -> set[bytes]:
            intact, broken = set(), []
            wanted = set(keys)
            ids = [number for (number,) in self._locate(connection, wanted, "id")]
            for some in _chunks(ids):  # as they lie, which is as a run asks for them
                rows = connection.execute(
                    "SELECT id, key, crc, form, length(payload), CASE WHEN length(payload) <="
                    f" {_PART} THEN payload END FROM entries WHERE id {_in(some)}", some,
                )  # fmt: skip
                for number, key, crc, form, length, payload in rows:
                    if key not in wanted or type(form) is not bytes:
                        continue  # evicted, and its place taken; or damaged
                    if (into := place(key, form, length)) is None:
                        continue
                    checksum = zlib.crc32(key + form)
                    if payload is not None:
                        into[:], checksum = payload, zlib.crc32(payload, checksum)
                    else:
                        with connection.blobopen("entries", "payload", number) as blob:
                            for start in range(0, length, _PART):
                                into[start : start + _PART] = part = blob.read(_PART)
                                checksum = zlib.crc32(part, checksum)
                    if checksum == crc:
                        intact.add(key)
                    else:
                        broken.append((number, crc))
            if broken and not self.read_only:
                with writing(connection):
                    connection.executemany("DELETE FROM entries WHERE id = ? AND crc = ?", broken)
            return intact

        return self._try(work, set())

    def _try(self, work: Callable[[sqlite3.Connection], Any], nothing: Any) -> Any:
        """What ``work`` reads; ``nothing`` where it cannot, which is said once."""
        try:
            return self.run("read", work)
        except TortieError as error:
            self.note(str(error))
            return nothing


class Writer:
    """Adds entries to a store, from any number of threads of the process that made it.

    What is put becomes visible to others, and safe from a kill, when it is committed: every 8 MB,
    every 2 seconds while entries come, and at the end of the block. A writer never raises for the
    sake of the store: when it can store no more, it says so once, sets ``full`` and takes no more.

    What this writer wrote, and what the run has found in the store, is not evicted to make room
    for more: a run larger than the limit stores what fits, and computes the rest each time.
    """

    def __init__(self, store: ActivationStore) -> None:
        self.full = store.off is not None or store.limit <= 0
        self._store = store
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._written: list[int] = []
        self._pending: dict[bytes, tuple[bytes, bytes]] = {}
        self._size = 0
        self._committed = time.monotonic()

    def put(self, key: bytes, array: NDArray[Any]) -> bool:
        """Adds an entry; whether it will be stored.

        Args:
            key: 32 bytes, from :mod:`tortie.activations.key`.
            array: any shape; uint8, float32, float16, or uint16, which carries bfloat16.

        Raises:
            TypeError: an array of another type.
        """
        if array.dtype not in _TYPES.values():
            raise TypeError(
                f"the store keeps {', '.join(_TYPES)} (bfloat16: <u2), not {array.dtype}"
            )
        with self._lock:
            if self.full or os.getpid() != self._process:  # a forked process makes its own writer
                return False
            if key not in self._pending:
                payload = array.tobytes()
                self._pending[key] = (_form(array.dtype, array.shape), payload)
                self._size += len(payload) + min(len(payload), PAGE) + 200  # at most, in pages
            late = time.monotonic() - self._committed > _COMMIT_SECONDS
            if late or self._size >= min(_COMMIT_BYTES, self._store.limit // 64):
                self._commit()
            return not self.full

    def commit(self) -> None:
        """Makes all that was put visible to others now."""
        if os.getpid() == self._process:
            with self._lock:
                self._commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.commit()
        self.full = True
        if self._written and os.getpid() == self._process:
            with contextlib.suppress(TortieError):
                self._store.run("write to", lambda it: set_used(it, self._written))

    def _commit(self) -> None:
        pending, self._pending = self._pending, {}
        size, self._size = self._size, 0
        self._committed = time.monotonic()
        if self.full or not pending:
            return
        store = self._store
        try:
            if store.run("write to", lambda it: self._write(it, pending, size)):
                return
            reason = (
                f"the activation store {store.root} is full (limit {store.limit / 1e6:,.0f} MB): "
                "what does not fit is computed in each run; TORTIE_CACHE_LIMIT raises the limit"
            )
        except TortieError as error:
            reason = str(error)
        self.full = True
        store.note(reason)

    def _write(
        self, connection: sqlite3.Connection, pending: dict[bytes, tuple[bytes, bytes]], size: int
    ) -> bool:
        store, room = self._store, False
        while not room:
            with writing(connection):
                over = limit.excess(store, connection, size, len(pending), store.limit)
                room = over <= 0
                if room:
                    batch = _insert(connection, pending, size)
                elif not limit.evict(store, connection, over, store.limit, store.used):
                    return False
            limit.give_back(store, connection, store.limit)
        self._written.append(batch)
        store.used.add(batch)
        return True


def _insert(
    connection: sqlite3.Connection, pending: dict[bytes, tuple[bytes, bytes]], size: int
) -> int:
    """The number of the new batch, which others do not evict while its writer lives."""
    (last,) = connection.execute("SELECT MAX(id) FROM batches").fetchone()
    batch = (last or 0) + 1
    used = int(time.time()) + limit.LEASE
    connection.execute("INSERT INTO batches VALUES (?, ?, ?)", (batch, used, size))
    connection.executemany(
        f"INSERT OR REPLACE INTO entries VALUES ({batch << BATCH_SHIFT} + ?, ?, ?, ?, ?)",
        (
            (number, key, zlib.crc32(payload, zlib.crc32(key + form)), form, payload)
            for number, (key, (form, payload)) in enumerate(pending.items())
        ),
    )
    return batch


def set_used(connection: sqlite3.Connection, batches: Iterable[int]) -> None:
    """Writes down that batches were used just now."""
    now = int(time.time())
    with writing(connection):
        connection.executemany(
            "UPDATE batches SET used = ? WHERE id = ?", [(now, batch) for batch in batches]
        )


def _chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[start : start + _KEYS] for start in range(0, len(items), _KEYS))


def _in(items: Sequence[Any]) -> str:
    return f"IN ({','.join('?' * len(items))})"


def _form(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Type and shape of an entry, as ``<f4 1280``."""
    return " ".join([dtype.str, *map(str, shape)]).encode()


def _bytes(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
