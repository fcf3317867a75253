"""``tortie augment``: what each distortion does to an image, as a picture."""

from pathlib import Path
from typing import Annotated

import typer

from tortie.cli import options, show

NAME = "augment"


def command(
    image: Annotated[Path, typer.Argument(help="The photograph.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File of the picture: .png, .jpg or .webp.")
    ],
    shift: Annotated[
        tuple[float, float, float],
        typer.Option(
            metavar="R G B", help="First colour shift to show, in grey levels per channel."
        ),
    ] = (20, -20, 20),
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    json: options.Json = False,
) -> None:
    """Draw one picture that shows what each augmentation does.

    It shows every distortion at several strengths, and complete random views
    of the policies standard and full.

    Example: tortie augment tigger.jpg -o grid.png
    """
    show.begin(json)
    from tortie.augment.grid import save_grid

    width, height = save_grid(image, output, shift=shift, seed=seed)
    document = {"file": str(output), "width": width, "height": height}
    show.result(document, [f"{output}: {width}×{height}"])
