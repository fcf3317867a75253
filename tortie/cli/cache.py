"""``tortie cache``: the activation store's size, and clearing it."""

from typing import Annotated

import typer

from tortie.cli import options, show

NAME = "cache"


def command(
    clear: Annotated[bool, typer.Option("--clear", help="Delete everything that is kept.")] = False,
    json: options.Json = False,
) -> None:
    """Show the size of the activation store, or clear it.

    With the store, the networks that are kept beside it are deleted. The store is in the user's cache folder, or in the folder that the
    environment variable TORTIE_CACHE names. TORTIE_CACHE_LIMIT sets its
    maximum size, such as 5GB.

    Example: tortie cache --clear
    """
    show.begin(json)
    from tortie.activations.graph_folder import clear_graphs, graph_bytes
    from tortie.activations.store import ActivationStore

    store = ActivationStore.default(show.say)
    freed = store.clear() + clear_graphs() if clear else 0
    usage = store.usage()
    document = {
        "path": str(usage.path),
        "entries": usage.entries,
        "bytes": usage.bytes,
        "limit": usage.limit,
        "networks": graph_bytes(),
        "freed": freed,
    }
    lines = [f"freed {freed / 1e6:,.1f} MB"] if clear else []
    lines.append(
        f"{usage.path}: {usage.entries:,} entries, {usage.bytes / 1e6:,.1f} MB "
        f"of at most {usage.limit / 1e6:,.0f} MB; networks {document['networks'] / 1e6:,.1f} MB"
    )
    show.result(document, lines)
