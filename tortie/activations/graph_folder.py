"""Where graphs of networks, and what else is known of them, are kept: beside the store."""

import contextlib
from pathlib import Path

from tortie.activations.limit import default_root


def graph_folder() -> Path:
    """``graphs`` in the folder of the cache."""
    return default_root().parent / "graphs"


def clear_graphs() -> int:
    """Delete all that is kept there; whoever needs it makes it again.

    Returns:
        the bytes that were freed.
    """
    freed = 0
    for path in graph_folder().glob("*"):
        with contextlib.suppress(OSError):  # gone already, or another's
            size = path.stat().st_size
            path.unlink()
            freed += size
    return freed


def graph_bytes() -> int:
    """Bytes that it takes."""
    try:
        return sum(path.stat().st_size for path in graph_folder().glob("*") if path.is_file())
    except OSError:  # gone meanwhile, or a folder that may not be looked into
        return 0
