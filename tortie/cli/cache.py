"""``tortie cache``: the activation store's size, and clearing it."""

from typing import Annotated

import typer

from tortie.cli import options, show

NAME = "cache"


def command(
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete all stored activations and networks.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Show the size of the activation store, or clear it.

    Networks that are kept beside the store are deleted with it. Both are in
    the user's cache folder, or in the folder that the environment variable
    TORTIE_CACHE names. TORTIE_CACHE_LIMIT sets the store's maximum size,
    such as 5GB.

    Example: tortie cache --clear
    """
    show.begin(json)
    from tortie.activations.graph_folder import clear_graphs, graph_bytes
    from tortie.activations.store import ActivationStore

    store = ActivationStore.default(show.say)
    freed = store.clear() + clear_graphs() if clear else 0
    usage, networks = store.usage(), graph_bytes()
    document = {
        "path": str(usage.path),
        "entries": usage.entries,
        "bytes": usage.bytes,
        "limit": usage.limit,
        "networks": networks,
        "freed": freed,
    }
    lines = [f"freed {freed / 1e6:,.1f} MB"] if clear else []
    lines.append(
        f"{usage.path}: {usage.entries:,} entries, {usage.bytes / 1e6:,.1f} MB "
        f"of at most {usage.limit / 1e6:,.0f} MB; networks {networks / 1e6:,.1f} MB"
    )
    show.result(document, lines)
