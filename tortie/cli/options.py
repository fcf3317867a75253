"""Options that several verbs share, and the panels of the help."""

from pathlib import Path
from typing import Annotated

import typer

from tortie.errors import UsageError

TRAINING = "Training options"
DATA = "Data and evaluation options"
RUN = "Run options"
MACHINE = "Machine options"
OUTPUT = "Output options"

LABELLED = (
    "A folder with one folder per class, with or without splits above them; such folders in a "
    ".zip, .tar or .tar.gz; shards of webdataset, as 'shards/{000..127}.tar'; Parquet; a CSV with "
    "the columns path and label; or the address of any of these, as s3://bucket/photos."
)
LabelledImages = Annotated[Path, typer.Argument(help=LABELLED, show_default=False)]
ImagesOrFeatures = Annotated[
    Path,
    typer.Argument(
        help=f"{LABELLED} Or the folder of features that tortie extract wrote.", show_default=False
    ),
]
Splits = Annotated[
    str,
    typer.Option(
        help="Which folders are splits: auto tells by their names and contents; "
        "train=Training,test=Testing names them (* and ? stand for any letters).",
        rich_help_panel=DATA,
    ),
]
NoSplits = Annotated[
    bool,
    typer.Option(
        "--no-splits",
        help="The folders are classes, whatever their names.",
        rich_help_panel=DATA,
    ),
]
Model = Annotated[
    Path,
    typer.Argument(
        help="A classifier's file, hf://OWNER/NAME, or the name of a network with published "
        "weights.",
        show_default=False,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="Weights of a network that is given by name: imagenet, cifar10, a file, or "
        "hf://OWNER/NAME.",
        show_default="those that it has",
    ),
]
Crops = Annotated[
    int,
    typer.Option(
        help="Average the probabilities over 1, 10 or 144 crops of each photograph. The cost "
        "grows with the number of crops."
    ),
]
RejectBelow = Annotated[
    float,
    typer.Option(
        help="Reject a photograph (give it no label) if its highest probability is below this.",
        min=0,
        max=1,
    ),
]
Seed = Annotated[int, typer.Option(help="Random seed.", rich_help_panel=TRAINING)]
Device = Annotated[str, typer.Option(help="Device: auto, cpu or cuda.", rich_help_panel=MACHINE)]
Precision = Annotated[
    str,
    typer.Option(
        help="Precision of the network: auto, float32 or bfloat16.", rich_help_panel=MACHINE
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        help="What runs the frozen stages: auto, onnxruntime, onednn or eager.",
        rich_help_panel=MACHINE,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(help="Number of threads.", show_default="one per core", rich_help_panel=MACHINE),
]


def finite_and_positive(value: float) -> float:
    """The value of an option.

    Raises:
        typer.BadParameter: it is infinite, no number, 0 or less.
    """
    if not 0 < value < float("inf"):
        raise typer.BadParameter(f"{value:g}: expected a finite number above 0")
    return value


Megapixels = Annotated[
    float,
    typer.Option(
        help="Skip photographs with more megapixels than this.",
        callback=finite_and_positive,
        rich_help_panel=MACHINE,
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel=OUTPUT),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print only errors on stderr.", rich_help_panel=OUTPUT),
]
Host = Annotated[
    str, typer.Option(help="Address to listen on. Others than this machine's need TORTIE_TOKEN.")
]
Port = Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(help="Name by which the server may be called. May be repeated."),
]


def chosen_splits(splits: str, no_splits: bool) -> str:
    """What ``--splits`` and ``--no-splits`` say together.

    Raises:
        UsageError: both are given.
    """
    if no_splits and splits != "auto":
        raise UsageError(f"--splits {splits} and --no-splits: give one of them")
    return "none" if no_splits else splits
