"""A photograph on its way through a network: first filters, and feature maps stage by stage."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tortie.cost.pictures import INK, PALE, STYLE, check_format, save
from tortie.errors import UsageError

if TYPE_CHECKING:
    from tortie.networks.entry import Entry
    from tortie.networks.network import Network

Floats = NDArray[np.float32]

_WIDTH = 390  # of the drawing, CSS pixels: a telephone shows it as it is
_SIDE, _GAP, _LEFT = 58, 4, 10
_COLUMNS = 6
_HEADING, _STRIP = 22, 14


def draw_feature_maps(entry: "Entry", weights: str | None, photograph: Path, path: Path) -> None:
    """Draw what each stage makes of a photograph.

    Of a stage that yields maps, those that vary most over the photograph are drawn, black at their
    least and white at their largest value; of one that yields a vector, all values, in order.

    Args:
        entry: the network.
        weights: as ``fit`` takes them; ``None`` for fresh ones, drawn from seed 0.
        photograph: any image that tortie reads.
        path: a ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        UsageError: another format, no such weights, or an input without channels to draw.
        TortieError: the photograph cannot be read, or weights cannot be fetched.
    """
    import torch

    from tortie.images import decode
    from tortie.networks import build

    check_format(path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(entry.name, weights=weights, **dict(entry.arguments)).eval()
    wanted = entry.preprocessing
    if network.fixed_size and network.input_shape[:2] != wanted.shape[:2]:
        height, width = network.input_shape[:2]
        wanted = wanted.model_copy(update={"height": height, "width": width})
    decoded = decode(photograph, at_least=wanted.at_least)
    pixels = wanted.pixels(decoded.image, decoded.extent)
    values = ((pixels.astype(np.float32) - wanted.mean) / wanted.std).astype(np.float32)
    rows = [("input", pixels.shape, [pixels]), _filters(network), *_stages(network, values)]
    with rc_context(STYLE):
        save(_drawn(entry.title, weights, [row for row in rows if row[2]]), path)


_Row = tuple[str, tuple[int, ...], Sequence[NDArray[np.generic]]]
"""A heading, the shape of the whole, and what is drawn of it: pictures, or one vector."""


def _filters(network: "Network") -> _Row:
    """The first convolution's filters, in colour where they see colour."""
    kernels = [one for one in network.stages.parameters() if one.dim() == 4]
    if not kernels:
        raise UsageError("the network has no convolution whose filters could be drawn")
    weight = kernels[0].detach().float().numpy().transpose(0, 2, 3, 1)  # filters, height, width, C
    spread = np.argsort(-weight.std(axis=(1, 2, 3)))[:_COLUMNS]
    shown = [_scaled(weight[i] if weight.shape[3] == 3 else weight[i].mean(-1)) for i in spread]
    return "filters of the first convolution", weight.shape, shown


def _stages(network: "Network", values: Floats) -> list[_Row]:
    """Every stage's strongest maps, or its vector."""
    import torch

    flowing = torch.from_numpy(values.transpose(2, 0, 1)[None].copy())
    rows: list[_Row] = []
    with torch.inference_mode():
        for name, stage in network.stages.named_children():
            flowing = stage(flowing)
            found = flowing[0].float().numpy()
            if found.ndim == 3 and found.shape[1:] != (1, 1):
                if network.channels_last:
                    found = found.transpose(2, 0, 1)
                order = np.argsort(-found.std(axis=(1, 2)))[:_COLUMNS]
                shape = (*found.shape[1:], found.shape[0])
                rows.append((name, shape, [_scaled(found[i]) for i in order]))
            else:
                rows.append((name, found.reshape(-1).shape, [_scaled(found.reshape(-1))]))
    return rows


def _scaled(values: Floats) -> Floats:
    """From 0 at the least to 1 at the largest value."""
    low, high = float(values.min()), float(values.max())
    return ((values - low) / max(high - low, 1e-12)).astype(np.float32)


def _drawn(title: str, weights: str | None, rows: Sequence[_Row]) -> Figure:
    heights = [_HEADING + (_SIDE if shown[0].ndim > 1 else _STRIP) + _GAP for _, _, shown in rows]
    tall = 46 + sum(heights)
    figure = Figure(figsize=(_WIDTH / 96, tall / 96), dpi=96, facecolor="white")

    def text(y: float, words: str, size: float, colour: str = INK, weight: str = "normal") -> None:
        figure.text(
            _LEFT / _WIDTH, 1 - y / tall, words, size=size, color=colour, weight=weight, va="top"
        )

    text(8, title, min(12.0, 12.0 * 44 / len(title)), weight="bold")
    text(28, f"weights: {weights or 'fresh, from seed 0'}", 7.6, PALE)
    y = 46
    for (name, shape, shown), height in zip(rows, heights, strict=True):
        text(y + 6, f"{name}  {'×'.join(map(str, shape))}", 7.6)
        for column, picture in enumerate(shown):
            wide = _SIDE if picture.ndim > 1 else _WIDTH - 2 * _LEFT
            high = _SIDE if picture.ndim > 1 else _STRIP
            left, bottom = _LEFT + column * (_SIDE + _GAP), tall - y - _HEADING - high
            axes = figure.add_axes((left / _WIDTH, bottom / tall, wide / _WIDTH, high / tall))
            axes.set_axis_off()
            image = picture if picture.ndim > 1 else picture[None]
            image = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
            most = 255 if image.dtype == np.uint8 else 1
            axes.imshow(image, cmap="gray", vmin=0, vmax=most, aspect="auto")
        y += height
    return figure
