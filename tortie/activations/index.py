"""Which entry lies where: an index in SQLite that can be lost, since the segments tell it again."""

import contextlib
import fcntl
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tortie.activations import segments
from tortie.activations.segments import Place

_T = TypeVar("_T")

# PRAGMA user_version of the tables below; another one's tables are built anew from the segments.
_SCHEMA = 1
_TABLES = """
    CREATE TABLE segments (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, bytes INTEGER);
    CREATE TABLE entries (
        key BLOB PRIMARY KEY, segment INTEGER, offset INTEGER, length INTEGER) WITHOUT ROWID;
"""
# What SQLite says of a file that is no database, a damaged one, or one without our tables.
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
# Seconds to wait for another process that writes.
_PATIENCE = 30.0
# Keys looked up in one statement; older SQLites allow 999 variables.
_KEYS = 900

_open_indices: "weakref.WeakSet[Index]" = weakref.WeakSet()
_forking: "list[Index]" = []


class Index:
    """The index of a store, for any number of threads and processes.

    It holds, for each segment, how many of its bytes are indexed (so that what a killed process
    wrote and did not index is found), and for each key the place of its entry.

    Args:
        folder: where the segments lie and ``index.sqlite`` is kept.

    Raises:
        OSError: the folder cannot be written.
        sqlite3.Error: the disk is full or fails.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "index.sqlite"
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        _open_indices.add(self)
        self._run(lambda connection: None)

    def locate(self, keys: Sequence[bytes]) -> dict[str, list[Place]]:
        """Places of the entries of those ``keys`` that have one, by segment, sorted by offset."""

        def work(connection: sqlite3.Connection) -> dict[str, list[Place]]:
            by_id: dict[int, list[Place]] = {}
            for start in range(0, len(keys), _KEYS):
                some = keys[start : start + _KEYS]
                rows = connection.execute(
                    "SELECT segment, offset, length, key FROM entries"
                    f" WHERE key IN ({','.join('?' * len(some))})",
                    some,
                )
                for segment, offset, length, key in rows:
                    by_id.setdefault(segment, []).append((offset, length, key))
            names = dict(connection.execute("SELECT id, name FROM segments"))
            return {names[number]: sorted(by_id[number]) for number in by_id if number in names}

        return self._run(work)

    def add(self, segment: str, end: int, places: Iterable[Place]) -> None:
        """Indexes entries of a segment that is now indexed up to ``end``."""

        def work(connection: sqlite3.Connection) -> None:
            with _writing(connection):
                _add(connection, segment, end, places)

        self._run(work)

    def drop(self, segment: str, places: Iterable[Place]) -> None:
        """Forgets entries that turned out to be broken, unless they were stored again since."""

        def work(connection: sqlite3.Connection) -> None:
            with _writing(connection):
                connection.executemany(
                    "DELETE FROM entries WHERE key = ? AND offset = ? AND"
                    " segment = (SELECT id FROM segments WHERE name = ?)",
                    [(key, offset, segment) for offset, _, key in places],
                )

        self._run(work)

    def forget(self, names: Iterable[str]) -> None:
        """Forgets segments that are gone, and their entries."""
        self._run(lambda connection: _forget(connection, list(names)))

    def indexed(self) -> dict[str, int]:
        """How many bytes of each segment are indexed, by name."""
        return self._run(
            lambda connection: dict(connection.execute("SELECT name, bytes FROM segments"))
        )

    def count(self) -> int:
        """Number of entries."""
        return int(
            self._run(
                lambda connection: connection.execute("SELECT COUNT(*) FROM entries").fetchone()[0]
            )
        )

    def clear(self) -> None:
        """Forgets everything and gives its space back."""

        def work(connection: sqlite3.Connection) -> None:
            with _writing(connection):
                connection.execute("DELETE FROM entries")
                connection.execute("DELETE FROM segments")
            _shrink(connection)

        self._run(work)

    def size(self) -> int:
        """Size of the index in bytes, without SQLite's write-ahead log of a few megabytes."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Closes the connection; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # refused in the constructor
            self.close()

    def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Runs ``work``; where the index turns out to be broken, on an index built anew."""
        with self._lock:
            try:
                return work(self._connected())
            except sqlite3.DatabaseError as error:
                code = getattr(error, "sqlite_errorcode", 0)
                if code & 0xFF not in _BROKEN and code != sqlite3.SQLITE_READONLY_DBMOVED:
                    raise
            self.close()
            self._discard()
            return work(self._connected())

    def _connected(self) -> sqlite3.Connection:
        """The connection to the index that lies in the folder now: another may have replaced it."""
        if self._connection is not None and _identity(self._path) == self._identity:
            return self._connection
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._alone():
                connection = sqlite3.connect(
                    self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
                )
                self._connection, self._identity = connection, _identity(self._path)
                _prepare(connection)
            _reconcile(connection, self._folder)
        except BaseException:
            self.close()
            raise
        return connection

    def _discard(self) -> None:
        """Removes a broken index, unless another process did so already."""
        with self._alone():
            if _identity(self._path) == self._identity:
                for suffix in ("-wal", "-shm", ""):
                    Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process creates or removes the index during the block."""
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    # SQLite's connections must not pass into a forked process, not even to be closed there.
    def _before_fork(self) -> None:
        self._lock.acquire()
        self.close()

    def _after_fork_in_parent(self) -> None:
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.RLock()


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    # Entries have checksums, so an index a little behind after a power cut does no harm.
    connection.execute("PRAGMA synchronous = NORMAL")
    if connection.execute("PRAGMA user_version").fetchone()[0] == _SCHEMA:
        return
    with _writing(connection):
        for table in ("segments", "entries"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_SCHEMA}")


def _add(connection: sqlite3.Connection, name: str, end: int, places: Iterable[Place]) -> None:
    connection.execute(
        "INSERT INTO segments (name, bytes) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET bytes = excluded.bytes",
        (name, end),
    )
    (number,) = connection.execute("SELECT id FROM segments WHERE name = ?", (name,)).fetchone()
    connection.executemany(
        "INSERT OR REPLACE INTO entries (key, segment, offset, length) VALUES (?, ?, ?, ?)",
        [(key, number, offset, length) for offset, length, key in places],
    )


def _forget(connection: sqlite3.Connection, names: list[str]) -> None:
    if not names:
        return
    with _writing(connection):
        connection.executemany("DELETE FROM segments WHERE name = ?", [(name,) for name in names])
        connection.execute("DELETE FROM entries WHERE segment NOT IN (SELECT id FROM segments)")
    (unused,) = connection.execute("PRAGMA freelist_count").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if unused > pages // 2:
        _shrink(connection)


def _shrink(connection: sqlite3.Connection) -> None:
    """Gives unused pages back; where another process is in the way, they stay for later use."""
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _reconcile(connection: sqlite3.Connection, folder: Path) -> None:
    """Makes the index agree with the segments: all of them after a loss, else what a kill left."""
    indexed = dict(connection.execute("SELECT name, bytes FROM segments"))
    present = segments.sizes(folder)
    _forget(connection, [name for name in indexed if name not in present])
    for name, (size, _) in present.items():
        if indexed.get(name) != size:
            _reconcile_segment(connection, folder / name)


def _reconcile_segment(connection: sqlite3.Connection, path: Path) -> None:
    with segments.locked(path) as descriptor:
        if descriptor is None:  # its writer lives, and indexes it
            return
        row = connection.execute(
            "SELECT bytes FROM segments WHERE name = ?", (path.name,)
        ).fetchone()
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read()
        start = min(row[0] if row else 0, len(data))
        places, end = segments.scan(data, start)
        with contextlib.suppress(OSError):  # the torn tail, so that the segment can grow again
            os.ftruncate(descriptor, end)
        if end == 0:
            path.unlink(missing_ok=True)
            _forget(connection, [path.name])
            return
        with _writing(connection):
            _add(connection, path.name, os.fstat(descriptor).st_size, places)


@contextlib.contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that is kept as a whole, or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _before_fork() -> None:
    _forking.extend(_open_indices)
    for index in _forking:
        index._before_fork()


def _after_fork_in_parent() -> None:
    while _forking:
        _forking.pop()._after_fork_in_parent()


def _after_fork_in_child() -> None:
    while _forking:
        _forking.pop()._after_fork_in_child()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
