from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tortie.augment import Distortion, Policy
from tortie.augment.colour import IMAGENET_COLOURS
from tortie.augment.grid import _colour, _geometry, draw_grid, save_grid
from tortie.errors import TortieError, UsageError

# What the grid leaves to its neighbours: how a range is drawn, not what is done.
MANNERS = {
    "channel_shift_draw",
    "channel_shift_common",
    "crop_aspect",
    "scale_jitter",
    "crop_central",
    "whole_pixels",
    "warp_smoothness",
    "pca_basis",
    "erase_area",
    "erase_aspect",
    "erase_grey",
}


def test_every_operation_has_its_tiles() -> None:
    # Invariant: each operation of a policy is shown alone at two strengths or more.
    tiles = [
        tile
        for row in [*_geometry(), *_colour((20, -20, 20), 0, IMAGENET_COLOURS)[:-2]]
        for _, tile in row.tiles
    ]
    for name in set(Policy.model_fields) - MANNERS:
        field = {"crop_area": "crop", "pca_colour": "pca_shift"}.get(name, name)
        rest = getattr(Distortion(), field)
        shown = {getattr(tile, field) for tile in tiles} - {rest}
        assert len(shown) >= (1 if name == "mirror" else 2), name


def test_tiles_show_what_they_say(smooth: np.ndarray) -> None:
    # Oracle: tiles lie where the layout puts them; the second is the first, mirrored.
    grid = np.asarray(draw_grid(smooth))
    first = grid[28 + 34 + 22 :, 28:][:128, :128].astype(int)
    second = grid[28 + 34 + 22 :, 28 + 136 :][:128, :128].astype(int)
    assert np.abs(first - second[:, ::-1]).max() <= 1
    expected = Image.fromarray(smooth[:, 40:280]).resize((128, 128), Image.Resampling.BOX)
    assert np.abs(first - np.asarray(expected)).mean() < 1


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (40, 3000), (2500, 1900)])
def test_any_size_of_image(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), (90, 120, 40), np.uint8)
    assert draw_grid(image, title="caf\udce9").size == draw_grid(image[:1, :1]).size


def test_grid_is_written_by_its_suffix(tmp_path: Path, rough: np.ndarray) -> None:
    pytest.importorskip("tortie.images.decode")
    Image.fromarray(rough).save(tmp_path / "a b.png")
    for name, kind in (("grid.png", "PNG"), ("grid.JPG", "JPEG"), ("grid.webp", "WEBP")):
        size = save_grid(tmp_path / "a b.png", tmp_path / name)
        with Image.open(tmp_path / name) as written:
            assert (written.format, written.size) == (kind, size)
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(TortieError, match=r"text\.jpg.*not an image"):
        save_grid(tmp_path / "text.jpg", tmp_path / "grid.png")


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("tortie.images.decode")
    with pytest.raises(UsageError, match=r"grid\.txt: expected \.png, \.jpg or \.webp"):
        save_grid(tmp_path / "a.png", tmp_path / "grid.txt")
    with pytest.raises(UsageError, match="within ±255"):
        save_grid(tmp_path / "a.png", tmp_path / "grid.png", shift=(300, 0, 0))
    with pytest.raises(UsageError, match="within ±255"):
        save_grid(tmp_path / "a.png", tmp_path / "grid.png", shift=(float("nan"), 0, 0))


def test_the_photograph_is_never_written_over(tmp_path: Path, rough: np.ndarray) -> None:
    # Invariant: the user's only copy keeps its bytes, by whatever name it is given.
    Image.fromarray(rough).save(tmp_path / "a.png")
    (tmp_path / "same.png").symlink_to(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    for output in ("a.png", "same.png"):
        with pytest.raises(UsageError, match="is the photograph itself"):
            save_grid(tmp_path / "a.png", tmp_path / output)
    assert (tmp_path / "a.png").read_bytes() == before
