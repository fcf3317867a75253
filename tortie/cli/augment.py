"""``tortie augment``: what each distortion does to an image, as a picture."""

from pathlib import Path
from typing import Annotated

import typer

from tortie.cli import options, show

NAME = "augment"
_DRAW = 0.1  # the papers' standard deviation


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
    import numpy as np

    from tortie.augment.colour import IMAGENET_COLOURS, ColourBasis
    from tortie.augment.grid import save_grid
    from tortie.images import decode

    width, height = save_grid(image, output, shift=shift, seed=seed)
    own = ColourBasis.of([np.asarray(decode(image, at_least=256).image)])
    added = {
        name: basis.added((_DRAW, 0, 0))
        for name, basis in (("photograph", own), ("imagenet", IMAGENET_COLOURS))
    }
    document = {"file": str(output), "width": width, "height": height, "pca_colour": added}
    lines = [f"{output}: {width}×{height}"]
    for name, levels in (("its own", added["photograph"]), ("ImageNet's", added["imagenet"])):
        listed = ", ".join(f"{c} {by:+.1f}" for c, by in zip("RGB", levels, strict=True))
        lines.append(f"PCA colour, a draw of {_DRAW} along {name} first principal colour: {listed}")
    show.result(document, lines)
