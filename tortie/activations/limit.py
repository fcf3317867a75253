"""Where the store lies and how much of the disk it may take."""

import os
import re
import shutil
from pathlib import Path

from tortie.activations import segments
from tortie.activations.index import Index
from tortie.errors import UsageError

_MOST = 10_000_000_000
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def default_root() -> Path:
    """``activations`` in ``TORTIE_CACHE``, else in the user's cache folder for tortie.

    Raises:
        RuntimeError: it is said from the home folder, and there is none.
    """
    chosen = os.environ.get("TORTIE_CACHE")
    if chosen:
        return Path(chosen).expanduser() / "activations"
    import platformdirs

    return Path(platformdirs.user_cache_dir("tortie")) / "activations"


def default_limit(root: Path) -> int:
    """Bytes that the store may take: ``TORTIE_CACHE_LIMIT``, else what leaves the disk at ease.

    Without the variable, 10 GB or a quarter of what the disk has free (what the store itself holds
    counts as free), whichever is less.

    Raises:
        UsageError: ``TORTIE_CACHE_LIMIT`` is no size.
    """
    chosen = os.environ.get("TORTIE_CACHE_LIMIT")
    if chosen:
        return parse_size(chosen)
    try:
        held = sum(size for size, _ in segments.sizes(root).values())
    except OSError:
        held = 0
    existing = next(path for path in (root, *root.absolute().parents) if path.exists())
    return min(_MOST, (shutil.disk_usage(existing).free + held) // 4)


def parse_size(text: str) -> int:
    """Bytes of a size such as ``500MB``, ``1.5 GiB`` or ``0``.

    Raises:
        UsageError: no such size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", text.strip().lower())
    if match is None or (match[3] and not match[2]):
        raise UsageError(f"TORTIE_CACHE_LIMIT is {text!r}: give a size such as 5GB, or 0 for none")
    return int(float(match[1]) * (_BINARY_UNITS if match[3] else _UNITS)[match[2]])


def segment_bytes(limit: int) -> int:
    """Size at which a segment is closed: what is evicted at once, and some 250 files at most."""
    return max(min(64 << 20, limit // 16), limit // 256)


def held_bytes(folder: Path, index: Index) -> int:
    """Bytes that count against the limit: segments and index."""
    return index.size() + sum(size for size, _ in segments.sizes(folder).values())


def evict(folder: Path, index: Index, excess: int, more: int, spared: set[str]) -> None:
    """Removes the segments used longest ago, until enough is freed; none where it cannot be.

    A segment with a live writer stays, in this process or another. A concurrent reader keeps what
    it has opened, and takes the rest for missing.

    Args:
        folder: where the segments lie.
        index: forgets what is removed.
        excess: bytes that must be freed.
        more: bytes to free beyond that, so that it need not be done again soon.
        spared: names of segments to leave.
    """
    found = segments.sizes(folder)
    oldest_first = sorted(
        (used, name, size) for name, (size, used) in found.items() if name not in spared
    )
    evictable = sum(size for _, _, size in oldest_first)
    held = sum(size for size, _ in found.values())
    if evictable + index.size() * evictable // max(held, 1) < excess:  # the index shrinks with it
        return
    wanted = excess + more
    removed = []
    for _, name, size in oldest_first:
        if wanted <= 0:
            break
        with segments.locked(folder / name) as descriptor:
            if descriptor is not None:
                (folder / name).unlink(missing_ok=True)
                removed.append(name)
                wanted -= size
    index.forget(removed)
