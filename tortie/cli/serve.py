"""``tortie serve``: a classifier over HTTP, and a page to try it in."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tortie.cli import options, show
from tortie.errors import UsageError

NAME = "serve"
_PANEL = "Limits of a request"


def command(
    model: options.Model,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8000,
    allow_host: options.AllowHost = None,
    weights: options.Weights = None,
    crops: options.Crops = 1,
    reject_below: options.RejectBelow = 0.0,
    max_mb: Annotated[
        float,
        typer.Option(help="Largest request, in MiB.", min=0.01, max=2048, rich_help_panel=_PANEL),
    ] = 32,
    max_megapixels: Annotated[
        float,
        typer.Option(
            help="Largest photograph, in megapixels.",
            min=0.01,
            callback=options.finite_and_positive,
            rich_help_panel=_PANEL,
        ),
    ] = 50,
    max_files: Annotated[
        int,
        typer.Option(
            help="Largest number of photographs in a request.", min=1, rich_help_panel=_PANEL
        ),
    ] = 32,
    timeout: Annotated[
        float,
        typer.Option(
            help="Seconds that a client may take to send a request.",
            min=0.1,
            rich_help_panel=_PANEL,
        ),
    ] = 30,
    queue: Annotated[
        int,
        typer.Option(
            help="Number of photographs that may wait before requests are refused.",
            min=1,
            rich_help_panel=_PANEL,
        ),
    ] = 128,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Serve a classifier over HTTP, with a page to try it in.

    POST photographs to /predict; /docs describes the rest. With the
    environment variable TORTIE_TOKEN, requests must carry that token.
    SIGINT or SIGTERM ends the server after what it has accepted.

    Example: tortie serve pets.safetensors --port 8000
    """  # fmt: skip
    show.begin(json, quiet)
    check_installed()
    from tortie.serving import server
    from tortie.serving.limits import Limits
    from tortie.serving.service import Service

    limits = Limits(
        body_bytes=int(max_mb * 2**20), pixels=int(max_megapixels * 1e6), files=max_files,
        seconds=timeout, queue=max(queue, max_files), total_bytes=int(8 * max_mb * 2**20),
    )  # fmt: skip
    access = server.check_access(host, os.environ.get("TORTIE_TOKEN") or None, allow_host or [])
    from tortie.loading import load_or_pretrained

    with server.listen(host, port) as listening:
        classifier = load_or_pretrained(model, weights).set_params(
            crops=crops, device=device, precision=precision, engine=engine, threads=threads,
            max_megapixels=max_megapixels,
        )  # fmt: skip
        classifier.check_arguments()
        address = server.address_of(listening)
        told = {"address": address, "model": str(model)}
        server.serve(
            lambda failed: Service(Path(model).stem, lambda: classifier, limits, threads, failed),
            listening, limits, access, reject_below,
            lambda: show.result(told, [f"{model} at {address}"]),
        )  # fmt: skip


def check_installed() -> None:
    """Check that what a server needs is there.

    Raises:
        UsageError: a package is missing.
    """
    from importlib.util import find_spec

    wanted = {"fastapi", "uvicorn", "httptools", "python_multipart", "prometheus_client"}
    if missing := sorted(name for name in wanted if find_spec(name) is None):
        raise UsageError(f"a server needs {', '.join(missing)}: pip install 'tortie[serve]'")
