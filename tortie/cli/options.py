"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Precision = Annotated[
    str, typer.Option(help="auto, float32 or bfloat16: of the frozen part's multiplications.")
]
Engine = Annotated[
    str, typer.Option(help="auto, onnxruntime, onednn or eager: what runs the frozen part.")
]
Threads = Annotated[
    int | None, typer.Option(help="That read and multiply.", show_default="one a core")
]
Megapixels = Annotated[float, typer.Option(help="Leave out photographs with more megapixels.")]
Crops = Annotated[
    int,
    typer.Option(
        help="Crops of each photograph to average: 1, 10 or 144, at that many times the cost."
    ),
]
Model = Annotated[
    Path,
    typer.Argument(help="A classifier's file, or a network with published weights by its name."),
]
