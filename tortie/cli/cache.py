"""``tortie cache``: the activation store's size, and clearing it."""

from typing import Annotated

import typer

from tortie.cli import options, show

NAME = "cache"


def command(
    clear: Annotated[bool, typer.Option("--clear", help="Remove every stored activation.")] = False,
    json: options.Json = False,
) -> None:
    """Show what the activation store holds, or clear it.

    It lies in TORTIE_CACHE, or the user's cache folder; TORTIE_CACHE_LIMIT bounds it (as 5GB).

    Example: tortie cache --clear
    """
    show.begin(json)
    from tortie.activations.store import ActivationStore

    store = ActivationStore.default(show.say)
    freed = store.clear() if clear else 0
    usage = store.usage()
    document = {
        "path": str(usage.path),
        "entries": usage.entries,
        "bytes": usage.bytes,
        "limit": usage.limit,
        "freed": freed,
    }
    lines = [f"freed {freed / 1e6:,.1f} MB"] if clear else []
    lines.append(
        f"{usage.path}: {usage.entries:,} entries, {usage.bytes / 1e6:,.1f} MB "
        f"of at most {usage.limit / 1e6:,.0f} MB"
    )
    show.result(document, lines)
