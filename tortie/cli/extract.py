"""``tortie extract``: features of photographs into a folder, however many they are."""

from pathlib import Path
from typing import Annotated

import typer

from tortie.cli import options, show

NAME = "extract"


def command(
    images: options.LabelledImages,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the features.", show_default=False)
    ],
    network: Annotated[
        str, typer.Option(help="Name of the network; tortie networks lists them.")
    ] = "efficientnet-lite0",
    freeze: Annotated[
        str,
        typer.Option(
            help="Stages that are computed: all, their number, or the name of the last. tortie fit "
            "takes features of all stages."
        ),
    ] = "all",
    weights: Annotated[
        str,
        typer.Option(
            help="Weights: auto (the network's published weights), a file, or hf://OWNER/NAME."
        ),
    ] = "auto",
    dtype: Annotated[
        str, typer.Option(help="Type that features are kept in: float16 or float32.")
    ] = "float16",
    runner: Annotated[
        str,
        typer.Option(
            help="What shares out the shards: local (this process, and torchrun's) or ray "
            "(with the extra ray: the workers of a Ray cluster, or of this machine)."
        ),
    ] = "local",
    input: Annotated[
        str | None,
        typer.Option(
            metavar="HxWxC", help="Input size of the network.", show_default="the paper's"
        ),
    ] = None,
    splits: options.Splits = "auto",
    no_splits: options.NoSplits = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    max_megapixels: options.Megapixels = 200,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compute what the frozen stages make of photographs, into a folder.

    Photographs go through decoding and the network a shard at a time, and
    each shard's features are a file: memory does not grow with their number.
    A file that is there is not computed again. tortie fit takes the folder
    in place of photographs. Under torchrun, processes share out the shards.

    Example: tortie extract 'shards/{000..127}.tar' -o features
    """
    show.begin(json, quiet)
    from tortie.errors import UsageError
    from tortie.learning.extract_shards import extract_shards
    from tortie.learning.job import Events
    from tortie.learning.options import FitOptions
    from tortie.processes import rank

    if dtype not in ("float16", "float32"):
        raise UsageError(f"dtype {dtype!r}: expected float16 or float32")
    if runner not in ("local", "ray"):
        raise UsageError(f"runner {runner!r}: expected local or ray")
    chosen = FitOptions.of(
        network=network, freeze=freeze, weights=weights, input=input, device=device,
        splits=options.chosen_splits(splits, no_splits), precision=precision, engine=engine,
        threads=threads, max_megapixels=max_megapixels,
    )  # fmt: skip
    with show.progress("shards") as progress:
        events = Events(progress=progress, note=show.say)
        found = extract_shards(images, output, chosen, dtype, events, runner)  # type: ignore[arg-type]
    if rank():
        return
    manifest = found.manifest
    document = {
        "folder": str(output), "shards": found.shards, "computed": found.computed,
        **manifest.model_dump(exclude={"files", "complete"}),
    }  # fmt: skip
    shape = "×".join(map(str, manifest.shape))
    left_out = f", {manifest.skipped:,} left out" if manifest.skipped else ""
    others = ", the others were there" if found.computed < found.shards else ""
    lines = [
        f"{output}: {manifest.photographs:,} photographs{left_out}, {shape} {manifest.dtype} each; "
        f"{found.computed:,} of {found.shards:,} shards computed{others}"
    ]
    show.result(document, lines)
