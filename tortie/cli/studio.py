"""``tortie studio``: teach a classifier in the browser."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tortie.cli import options, show
from tortie.cli.serve import check_installed
from tortie.errors import UsageError
from tortie.text import quoted

NAME = "studio"


def command(
    folder: Annotated[
        Path, typer.Argument(help="Folder with a folder of photographs for each class; it is made.")
    ] = Path("photographs"),
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            help="Folder of photographs to label: those worth most are offered first, and copied "
            "into the classes."
        ),
    ] = None,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8000,
    allow_host: options.AllowHost = None,
    network: Annotated[
        str, typer.Option(help="Network with trained weights.")
    ] = "efficientnet-lite0",
    max_mb: Annotated[
        float, typer.Option(help="Largest request, in MiB.", min=0.01, max=2048)
    ] = 64,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Teach a classifier in the browser: photograph, correct, try, take it home.

    Classes are made on the page, and photographs dropped or taken with the
    camera. The classifier learns after each, and its accuracy follows. All
    is kept as FOLDER/class/*.jpg at every moment, as tortie fit takes it;
    what is removed goes to FOLDER/.removed.

    Example: tortie studio pets --port 8000
    """
    show.begin(json, quiet)
    check_installed()
    from tortie.learning.options import FitOptions
    from tortie.serving import server
    from tortie.serving.limits import Limits
    from tortie.studio.app import make_studio_app
    from tortie.studio.photograph_folder import PhotographFolder
    from tortie.studio.studio import Studio
    from tortie.studio.teacher import Teacher

    if unlabelled is not None and not unlabelled.is_dir():
        raise UsageError(f"--unlabelled: no such folder: {quoted(unlabelled)}")
    access = server.check_access(host, os.environ.get("TORTIE_TOKEN") or None, allow_host or [])
    chosen = FitOptions.of(
        network=network, device=device, precision=precision, engine=engine, threads=threads
    )
    with server.listen(host, port) as listening:
        photographs = PhotographFolder(folder)
        studio = Studio(photographs, Teacher(photographs, chosen, unlabelled))
        address = server.address_of(listening)
        limits = Limits(body_bytes=int(max_mb * 2**20), total_bytes=int(8 * max_mb * 2**20))
        server.serve_app(
            make_studio_app(studio, limits, access), listening, limits,
            lambda: show.result(
                {"address": address, "folder": str(folder)}, [f"{folder} at {address}"]
            ),
        )  # fmt: skip
