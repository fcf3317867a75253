"""``tortie augment``: what each distortion does to an image, as a picture."""

from pathlib import Path
from typing import Annotated

import typer

from tortie.cli import options, show

NAME = "augment"


def command(
    image: Annotated[Path, typer.Argument(help="A photograph.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .png, .jpg or .webp.")],
    shift: Annotated[
        tuple[float, float, float],
        typer.Option(metavar="R G B", help="The first channel shift shown, grey levels."),
    ] = (20, -20, 20),
    seed: Annotated[int, typer.Option(help="Of the draws of --augment standard and full.")] = 0,
    json: options.Json = False,
) -> None:
    """Draw every distortion at several strengths, and whole draws, into one picture.

    Example: tortie augment tigger.jpg -o grid.png
    """
    show.begin(json)
    from tortie.augment.grid import save_grid

    width, height = save_grid(image, output, shift=shift, seed=seed)
    document = {"file": str(output), "width": width, "height": height}
    show.result(document, [f"{output}: {width}×{height}"])
