"""The store's file: a SQLite database, checked when it is opened, begun anew when damaged."""

import contextlib
import os
import sqlite3
import stat
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from tortie.errors import TortieError, TortieWarning

_T = TypeVar("_T")

NAME = "store-1.sqlite"  # the number is the layout's: another layout takes another file
# In pages of 32 kB, vectors of 1,280 float32 take 1.08 times their bytes, of 2,048 1.34 (in 8 kB
# 1.61 and 1.13; in 16 kB 1.08 and 2.01), and large payloads are read a quarter faster than in 4 kB.
PAGE = 32768
# An entry's id is its batch's number times 2**BATCH_SHIFT, plus its place within the batch.
BATCH_SHIFT = 20
_TABLES = [
    "CREATE TABLE batches (id INTEGER PRIMARY KEY, used INTEGER NOT NULL, bytes INTEGER NOT NULL)",
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, crc INTEGER NOT NULL,"
    " form BLOB NOT NULL, payload BLOB NOT NULL)",
]
# The log is flushed before the database is changed, at checkpoints alone: a power cut costs the
# last entries, where OFF would save no processor time and could cost the store. Checkpoints are
# ours, so that log and database stay within the limit. What is deleted is not zeroed. With a small
# cache, the parts of a large payload are checked and copied while the processor still has them.
_SETTINGS = (
    "synchronous = NORMAL", "wal_autocheckpoint = 0", "secure_delete = OFF", "cache_size = -256",
)  # fmt: skip
# What a disk, its locks, and SQLite on damaged bytes (even in its messages) may raise.
_TROUBLE = (
    OSError, sqlite3.Error, ValueError, OverflowError, MemoryError, NotImplementedError,
)  # fmt: skip
# SQLite's codes for a file that is no database or contradicts itself. A flipped byte of the header
# makes it read-only, which it is not where both file and folder can be written.
_DAMAGE = {
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_READONLY,
}  # fmt: skip
_SECONDS = 15  # that another process may keep us waiting
_SAID_AFTER = 5  # seconds of waiting: a process that was stopped keeps its locks


_WAITS = (
    "waiting for another process that holds the lock of {path}: if it was stopped (Ctrl-Z), let it "
    "go on with fg, or end it"
)


class Database:
    """The database in a folder, for any number of threads and processes.

    Args:
        root: the folder, made for its owner alone where it is missing.
        note: told in one line, once, that the store is not what it should be.

    Attributes:
        off: why the folder cannot be used; ``None`` where it can.
        read_only: whether folder or file cannot be written.
    """

    def __init__(self, root: Path, note: Callable[[str], None]) -> None:
        self.root, self.path = root, root / NAME
        self.off: str | None = None
        self.read_only = False
        self._tell = note
        self._told: set[str] = set()
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        _open.add(self)
        try:
            self.run("open", lambda connection: None)
        except TortieError as error:
            self.off = f"{error}; nothing is stored"
            self.note(self.off)

    def run(self, verb: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """What ``work`` returns; it runs again where the file was damaged and is begun anew.

        Raises:
            TortieError: the store cannot be used; in one line.
        """
        if self.off:
            raise TortieError(self.off)
        try:
            with self._lock:
                try:
                    return work(self._connected())
                except (sqlite3.DatabaseError, ValueError) as error:
                    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
                    damaged = code in _DAMAGE or isinstance(error, ValueError)
                    if self.read_only or not damaged:
                        raise
                    self._replace(error)
                return work(self._connected())
        except _TROUBLE as error:
            raise TortieError(f"cannot {verb} the activation store {self.root}: {error}") from error

    def note(self, reason: str) -> None:
        """Say a reason, once."""
        if reason not in self._told:
            self._told.add(reason)
            self._tell(reason)

    def size(self, suffix: str = "") -> int:
        """Bytes on the disk: all, or those of ``-wal`` and the like."""
        size = 0
        for path in self.root.glob(f"{NAME}{suffix or '*'}"):
            with contextlib.suppress(FileNotFoundError):  # the log goes with its last user
                size += path.stat().st_size
        return size

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and pickled as its folder, which is opened anew."""
        return type(self), (self.root,)

    def __del__(self) -> None:
        # The modules are gone once the interpreter ends; the lock was never there where making the
        # store failed.
        if contextlib is not None and sqlite3 is not None and hasattr(self, "_lock"):
            self.close()

    def _connected(self) -> sqlite3.Connection:
        """The connection to the file that lies in the folder now: another may have replaced it."""
        found = _identity(self.path)
        if self._connection is not None and found is not None and found == self._identity:
            return self._connection
        self.close()
        if self.root.parts[0].startswith("~"):
            raise OSError("there is no home folder: set TORTIE_CACHE")
        for folder in (self.root.parent, self.root):
            _refuse_link(folder)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_link(self.path, ours=False)
        written = [self.root] if found is None else [self.root, self.path]
        self.read_only = not all(os.access(path, os.W_OK) for path in written)
        if self.read_only:  # as it lies: locks and log would have to be written
            self._connection, self._identity = _connect(self.path, "mode=ro&immutable=1"), found
            return self._connection
        with self._alone():
            self._connection = _connect(self.path, "mode=rwc")
            self._identity = _identity(self.path)
            _prepare(self._connection)
        return self._connection

    def _replace(self, error: Exception | None) -> None:
        """Set the damaged file aside, or remove it, unless another process did so already."""
        self.close()
        with self._alone():
            if error is not None and _identity(self.path) != self._identity:
                return
            aside = Path(f"{self.path}.damaged")
            with contextlib.suppress(FileNotFoundError):
                os.replace(self.path, aside)
            for suffix in ("-wal", "-shm", *(() if error else (".damaged",))):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        if error is not None:
            self.note(f"{self.path} was damaged ({error}): set aside as {aside.name}, begun anew")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process opens or replaces the file meanwhile: SQLite would mix two logs."""
        lock = FileLock(self.root / f"{NAME}.lock", mode=0o600)
        try:
            lock.acquire(min(_SAID_AFTER, _SECONDS))
        except Timeout:
            if _SECONDS <= _SAID_AFTER:
                raise
            self.note(_WAITS.format(path=self.path))
            lock.acquire(_SECONDS - _SAID_AFTER)
        try:
            yield
        finally:
            lock.release()


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that is kept as a whole, or not at all."""
    _begin(connection)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _begin(connection: sqlite3.Connection) -> None:
    """Begin to write, where another process may have to end first."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
        if code != sqlite3.SQLITE_BUSY or _SECONDS <= _SAID_AFTER:
            raise
        path = os.fsdecode(connection.execute("PRAGMA database_list").fetchone()[2])
        warnings.warn(_WAITS.format(path=path), TortieWarning, stacklevel=2)
        connection.execute(f"PRAGMA busy_timeout = {1000 * (_SECONDS - _SAID_AFTER)}").fetchall()
        try:
            connection.execute("BEGIN IMMEDIATE")
        finally:
            connection.execute(f"PRAGMA busy_timeout = {1000 * _SAID_AFTER}").fetchall()


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """The number that a pragma of SQLite tells."""
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}", timeout=min(_SAID_AFTER, _SECONDS),
        isolation_level=None, check_same_thread=False, uri=True,
    )  # fmt: skip
    connection.text_factory = bytes  # what a flipped byte makes of a text need not be UTF-8
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    """Check the file's layout before anything is written, and lay out an empty file."""
    found = connection.execute("SELECT sql FROM sqlite_master WHERE sql > '' ORDER BY name")
    tables = [sql.decode() for (sql,) in found]
    if tables not in ([], _TABLES):
        raise ValueError("it has other tables")
    if not tables:
        connection.execute("PRAGMA synchronous = OFF")  # nothing to lose yet
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != b"wal":
        raise OSError("no write-ahead log here")
    with writing(connection):  # which shows, too, whether the header lets it be written
        for table in _TABLES if not tables else ():
            connection.execute(table)
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}").fetchall()
    if (pragma(connection, "auto_vacuum"), pragma(connection, "page_size")) != (2, PAGE):
        raise ValueError("its header is not the store's")


def _refuse_link(path: Path, ours: bool = True) -> None:
    """Refuse a link that somebody else laid; of a file any link, as the store lays none."""
    with contextlib.suppress(FileNotFoundError):
        status = path.lstat()
        user = getattr(os, "geteuid", lambda: status.st_uid)()
        if stat.S_ISLNK(status.st_mode) and not (ours and status.st_uid in (0, user)):
            raise OSError(f"{path} is a link, which is not followed: remove it")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


# A connection must not pass into a forked process, not even to be closed there; nor may another
# thread be within SQLite while the process forks.
_open: "weakref.WeakSet[Database]" = weakref.WeakSet()
_forking: list[Database] = []


def _before_fork() -> None:
    for database in list(_open):
        database._lock.acquire()
        database.close()
        _forking.append(database)


def _after_fork() -> None:
    while _forking:
        _forking.pop()._lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )
