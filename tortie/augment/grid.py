"""One picture of what every distortion does to an image, at several strengths."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tortie.augment.colour import IMAGENET_COLOURS, ColourBasis, Triple
from tortie.augment.crop import AreaCrop
from tortie.augment.distortion import Distortion
from tortie.augment.drawing import draw
from tortie.augment.geometry import Warp
from tortie.augment.named import policy
from tortie.errors import UsageError
from tortie.files import check_output, replacing

_TILE, _GAP, _MARGIN = 128, 8, 28
_HEADING, _CAPTION = 22, 20  # pixels above and below a row of tiles
_ROW = _HEADING + _TILE + _CAPTION + 10
_COLUMNS = 6
_BLOCK = _COLUMNS * _TILE + (_COLUMNS - 1) * _GAP
_INK, _SOFT, _PAPER = (32, 33, 36), (110, 113, 118), (255, 255, 255)
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@dataclass(frozen=True, slots=True)
class GridRow:
    """One operation: its name, its unit, and what is drawn of it, each with a caption."""

    name: str
    unit: str
    tiles: Sequence[tuple[str, Distortion]]


def save_grid(
    image: Path, output: Path, *, shift: Triple = (20, -20, 20), seed: int = 0
) -> tuple[int, int]:
    """Write the grid of an image's file to ``output``, in the format of its suffix.

    Args:
        image: any image that tortie reads.
        output: a ``.png``, ``.jpg`` or ``.webp``; replaced where it exists.
        shift: the first channel shift that is shown, grey levels (R, G, B).
        seed: of the policies' draws.

    Returns:
        Width and height of the grid.

    Raises:
        UsageError: another suffix, the image itself as output, or a shift beyond ±255.
        TortieError: the image cannot be read, or the output not be written.
    """
    from tortie.images.decode import decode

    if output.suffix.lower() not in _FORMATS:
        raise UsageError(f"cannot write {output}: expected .png, .jpg or .webp")
    if output.exists() and image.exists() and output.samefile(image):
        raise UsageError(f"{output} is the photograph itself: choose another name for the grid")
    if not all(abs(value) <= 255 for value in shift):  # nan is in no range
        raise UsageError(f"shift: expected grey levels within ±255, not {shift}")
    check_output(output)
    decoded = decode(image, at_least=2 * _TILE)
    size = (decoded.width, decoded.height)  # not that of a JPEG decoded at a reduced scale
    pixels = np.asarray(decoded.image)
    grid = draw_grid(pixels, shift=shift, seed=seed, title=image.name, size=size)
    with replacing(output) as file:
        grid.save(file, _FORMATS[output.suffix.lower()], quality=88, optimize=True)
    return grid.size


def draw_grid(
    image: NDArray[np.uint8],
    *,
    shift: Triple = (20, -20, 20),
    seed: int = 0,
    title: str = "",
    size: tuple[int, int] | None = None,
) -> Image.Image:
    """Every operation at six strengths, geometry left, colour right, and draws of two policies.

    Args:
        image: uint8 ``(H, W, 3)``; its largest central square is shown.
        shift: the first channel shift that is shown, grey levels (R, G, B).
        seed: of the policies' draws.
        title: printed above, before the image's size.
        size: that size, width and height, where ``image`` is a reduced copy.
    """
    blocks = [_geometry(), _colour(shift, seed, ColourBasis.of([image]))]
    height = 2 * _MARGIN + 34 + max(len(rows) for rows in blocks) * _ROW - 10
    grid = Image.new("RGB", (2 * _BLOCK + 3 * _MARGIN, height), _PAPER)
    pen = ImageDraw.Draw(grid)
    # A name may hold bytes that are no text.
    name = title.encode("utf-8", "replace").decode()
    pen.text((_MARGIN, _MARGIN - 6), name, _INK, _font(18))
    after = pen.textlength(name, _font(18)) + 10 if name else 0
    width, tall = size or (image.shape[1], image.shape[0])
    pen.text((_MARGIN + after, _MARGIN - 2), f"{width}×{tall}", _SOFT, _font(14))
    source = _at_most(image, 8 * _TILE)
    for block, rows in enumerate(blocks):
        left = _MARGIN + block * (_BLOCK + _MARGIN)
        for index, row in enumerate(rows):
            _draw_row(grid, pen, source, row, left, _MARGIN + 34 + index * _ROW)
    return grid


def _draw_row(
    grid: Image.Image,
    pen: ImageDraw.ImageDraw,
    image: NDArray[np.uint8],
    row: GridRow,
    left: int,
    top: int,
) -> None:
    pen.text((left, top), row.name, _INK, _font(14))
    start = left + pen.textlength(row.name, _font(14)) + 8
    pen.text((start, top + 2), row.unit, _SOFT, _font(11))
    for index, (caption, distortion) in enumerate(row.tiles):
        x, y = left + index * (_TILE + _GAP), top + _HEADING
        # Twice as large and halved: the strength shows, not the screen's few pixels.
        picture = distortion.apply(image, 2 * _TILE, 2 * _TILE)
        grid.paste(Image.fromarray(picture).reduce(2), (x, y))
        middle = x + (_TILE - pen.textlength(caption, _font(11))) / 2
        pen.text((middle, y + _TILE + 4), caption, _SOFT, _font(11))


def _geometry() -> list[GridRow]:
    """Rows of geometry, each operation alone."""
    place = [
        ("as it is", Distortion()),
        ("mirrored", Distortion(mirror=True)),
        ("shift 20% right", Distortion(shift=(0.2, 0))),
        ("shift 20% down", Distortion(shift=(0, 0.2))),
        ("squeeze 0.75", Distortion(squeeze=0.75)),
        ("squeeze 1.33", Distortion(squeeze=1.33)),
    ]
    return [
        GridRow("mirror, shift, squeeze", "what crosses the frame is mirrored, never black", place),
        GridRow(
            "crop",
            "fraction of the image's area",
            [
                (f"{area:.0%}", Distortion(crop=AreaCrop(area, (3 / 4, 4 / 3), 0.5, 0.5, 0.45)))
                for area in (0.8, 0.6, 0.4, 0.25, 0.15, 0.08)
            ],
        ),
        GridRow(
            "scale",
            "factor",
            [
                (f"×{factor:g}", Distortion(scale=factor))
                for factor in (0.5, 0.7, 0.85, 1.2, 1.5, 2)
            ],
        ),
        GridRow(
            "rotate",
            "degrees anticlockwise",
            [
                (_signed(angle, "°"), Distortion(rotate=angle))
                for angle in (-45, -20, -8, 8, 20, 45)
            ],
        ),
        GridRow(
            "shear",
            "degrees to the right",
            [(_signed(angle, "°"), Distortion(shear=angle)) for angle in (-30, -15, -8, 8, 15, 30)],
        ),
        GridRow(
            "warp",
            "root mean square displacement, fraction of the side",
            [
                (f"{rms:.1%}", Distortion(warp=Warp(rms, 0.1, b"grid")))
                for rms in (0.005, 0.01, 0.015, 0.02, 0.03, 0.04)
            ],
        ),
        GridRow(
            "erase",
            "fraction of the picture",
            [
                (f"{area:.0%}", Distortion(erase=AreaCrop(area, (aspect, aspect), 0, x, y)))
                for area, aspect, x, y in (
                    (0.02, 1.0, 0.4, 0.3),
                    (0.05, 0.5, 0.8, 0.6),
                    (0.1, 2.0, 0.3, 0.8),
                    (0.15, 0.7, 0.1, 0.2),
                    (0.2, 1.4, 0.7, 0.9),
                    (0.33, 0.9, 0.9, 0.1),
                )
            ],
        ),
    ]


def _colour(shift: Triple, seed: int, basis: ColourBasis) -> list[GridRow]:
    """Rows of colour, each operation alone, and of whole draws."""
    shifts = [shift, (-30, 15, 15), (40, 0, 0), (0, 40, 0), (0, 0, 40), (-25, -25, 25)]
    principal = [("first", 0, -0.6), ("first", 0, -0.3), ("first", 0, 0.3), ("first", 0, 0.6)]
    principal += [("second", 1, -2), ("second", 1, 2)]
    return [
        GridRow(
            "brightness",
            "factor",
            [(f"×{by:g}", Distortion(brightness=by)) for by in (0.4, 0.6, 0.8, 1.2, 1.5, 2)],
        ),
        GridRow(
            "contrast",
            "factor, about mid-grey",
            [(f"×{by:g}", Distortion(contrast=by)) for by in (0.3, 0.6, 0.8, 1.25, 1.6, 2.2)],
        ),
        GridRow(
            "saturation",
            "factor, about luma",
            [(f"×{by:g}", Distortion(saturation=by)) for by in (0, 0.4, 0.7, 1.4, 2, 3)],
        ),
        GridRow(
            "channel shift",
            "grey levels on R, G, B",
            [
                (", ".join(_signed(value) for value in added), Distortion(channel_shift=added))
                for added in shifts
            ],
        ),
        GridRow(
            "PCA colour",
            "draw × spread along ImageNet's principal colours; draws are about ±0.1",
            [
                (f"{name} {_signed(by)}", Distortion(pca_shift=_along(IMAGENET_COLOURS, axis, by)))
                for name, axis, by in principal
            ],
        ),
        GridRow(
            "PCA colour",
            "the same along this image's own principal colours, as fit has its training set's",
            [
                (f"{name} {_signed(by)}", Distortion(pca_shift=_along(basis, axis, by)))
                for name, axis, by in principal
            ],
        ),
        *(
            GridRow(
                f"--augment {name}",
                "six draws",
                [(f"view {view}", draw(policy(name), seed, "grid", view)) for view in range(1, 7)],
            )
            for name in ("standard", "full")
        ),
    ]


def _along(basis: ColourBasis, axis: int, drawn: float) -> Triple:
    draws = [0.0, 0.0, 0.0]
    draws[axis] = drawn
    return basis.added((draws[0], draws[1], draws[2]))


def _signed(value: float, unit: str = "") -> str:
    sign = "+" if value > 0 else "−" if value < 0 else ""
    return f"{sign}{abs(value):g}{unit}"


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # Pillow's own font has neither × nor −.
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(path), size)


def _at_most(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The image with a shorter side of at most ``side``: a large one is reduced once for all."""
    factor = min(image.shape[:2]) // side
    if factor < 2:
        return image
    size = (image.shape[1] // factor, image.shape[0] // factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
