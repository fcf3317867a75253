"""Where the store lies, how much of the disk it may take, and what goes when that is full.

What was set aside as damaged goes first, then the batches used longest ago; never those that this
run found or wrote, or that a live writer wrote. Where that makes no room the writer says so once
and stores no more: what does not fit is computed in each run.
"""

import os
import re
import shutil
import sqlite3
import time
from pathlib import Path

from tortie.activations.database import BATCH_SHIFT, NAME, PAGE, Database, pragma
from tortie.errors import UsageError

LEASE = 3600  # seconds for which others leave what a writer wrote, unless it ends before
_MOST = 10_000_000_000
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def default_root() -> Path:
    """``activations`` in ``TORTIE_CACHE``, else in the user's cache folder for tortie."""
    import platformdirs

    try:
        chosen = os.environ.get("TORTIE_CACHE") or platformdirs.user_cache_dir("tortie")
    except RuntimeError:  # a container's user without a home, of which the store then says so
        return Path("~", "activations")
    return Path(os.path.expanduser(chosen)) / "activations"


def default_limit(root: Path) -> int:
    """Bytes that the store may take: ``TORTIE_CACHE_LIMIT``, else what leaves the disk at ease.

    Without the variable, 10 GB or a quarter of what the disk has free (what the store itself holds
    counts as free), whichever is less.

    Raises:
        UsageError: ``TORTIE_CACHE_LIMIT`` is no size.
    """
    if chosen := os.environ.get("TORTIE_CACHE_LIMIT"):
        return parse_size(chosen)
    try:
        held = sum(path.stat().st_size for path in root.glob(NAME))
        existing = next(path for path in (root, *root.absolute().parents) if path.exists())
        return min(_MOST, (shutil.disk_usage(existing).free + held) // 4)
    except OSError:  # a folder that may not be looked into: opening the store says so
        return _MOST


def parse_size(text: str) -> int:
    """Bytes of a size such as ``500MB``, ``1.5 GiB`` or ``0``.

    Raises:
        UsageError: no such size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", text.strip().lower())
    if match is None or (match[3] and not match[2]):
        raise UsageError(f"TORTIE_CACHE_LIMIT is {text!r}: give a size such as 5GB, or 0 for none")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2]])


def excess(
    database: Database, connection: sqlite3.Connection, needed: int, count: int, limit: int
) -> int:
    """Bytes by which the limit would be passed; zero or less where there is room.

    Args:
        database: its file, its log and what was set aside count.
        connection: to it.
        needed: bytes that are to be written, to the log and then to the database.
        count: entries that is; each changes a page of the index, wherever its key belongs.
        limit: bytes.
    """
    pages = pragma(connection, "page_count") - pragma(connection, "freelist_count")
    index = min(count, pages * 100 * count // needed)  # pages, at 100 bytes an entry
    log = max(database.size("-*"), log_bytes(limit) + PAGE) + database.size(".damaged")
    return (pages + index) * PAGE + log + 2 * needed - limit


def evict(
    database: Database, connection: sqlite3.Connection, over: int, limit: int, spared: set[int]
) -> bool:
    """Remove, in a transaction, some of what was used longest ago; whether that leads anywhere.

    Args:
        database: whose damaged file goes first.
        connection: to it.
        over: bytes that are wanted; only a part goes at once, as pages changed go to the log.
        limit: bytes.
        spared: batches that stay, as do those of a live writer.
    """
    if database.size(".damaged"):
        database.path.with_name(f"{NAME}.damaged").unlink(missing_ok=True)
        return True
    now = int(time.time())  # a time beyond any lease is that of a clock that was wrong
    oldest = connection.execute(
        "SELECT id, bytes FROM batches WHERE used <= ? OR used > ? ORDER BY used, id",
        (now, now + LEASE),
    ).fetchall()
    evictable = [(batch, size) for batch, size in oldest if batch not in spared]
    if sum(size for _, size in evictable) < over:
        return False
    part = min(over, log_bytes(limit) // 4)
    for batch, size in evictable:
        first = batch << BATCH_SHIFT
        last = first + (1 << BATCH_SHIFT) - 1
        connection.execute("DELETE FROM entries WHERE id BETWEEN ? AND ?", (first, last))
        connection.execute("DELETE FROM batches WHERE id = ?", (batch,))
        if (part := part - size) <= 0:
            break
    return True


def give_back(database: Database, connection: sqlite3.Connection, limit: int) -> None:
    """Bring log and database on the disk under the limit, as far as pages are free."""
    step = log_bytes(limit)
    if database.size("-wal") > step:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    if database.size("-wal") > 2 * step:
        raise TimeoutError("another process holds its log")
    while (free := pragma(connection, "freelist_count")) > 0:
        over = (pragma(connection, "page_count") * PAGE + step - limit) // PAGE
        if over <= 0:
            break
        pages = max(1, min(free, over, step // PAGE))  # those on the move pass through the log
        connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def log_bytes(limit: int) -> int:
    """Size at which the write-ahead log is moved into the database."""
    return min(32 << 20, limit // 16)
