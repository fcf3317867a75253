"""Where in an image the network saw what speaks for a class: class activation maps.

Zhou, Khosla, Lapedriza, Oliva and Torralba, "Learning Deep Features for Discriminative
Localization", CVPR 2016, section 2. Where a network ends in global average pooling and a linear
map, the pooling and the map may change places: the linear map of each position's channels is what
that position adds to the logit. No gradient is needed.

A number added to every logit changes no probability. So what is drawn is the logit's lead over the
mean of all logits, which has no such freedom. The paper leaves the bias out; here it counts at each
position, for a head on standardised features keeps their mean in it: what is as in the average
photograph then speaks for nothing.

The last maps are kept in the activation store: a report of the same photographs runs no network.
"""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tortie.activations.extract import Extraction, Extractor
from tortie.activations.prefix import Prefix
from tortie.images import Source, UnreadableImage, decode
from tortie.images.preprocess import Preprocessing

Floats = NDArray[np.float32]

_SIDE = 224  # pixels of the longer side, of the picture
_HEAT_SIDE = 56  # of the map over it: from 7×7 positions it is smooth, and the page enlarges it
_VEIL = 0.72  # opacity: the picture stays to be seen
_STOPS = (0.0, 0.3, 0.55, 0.8, 1.0)
_COLOURS = ((38, 22, 77), (110, 31, 110), (205, 66, 72), (251, 155, 6), (252, 252, 160))
"""From dark violet, where nothing speaks for the class, to light yellow: of rising lightness (after
matplotlib's inferno), so that it is read on dark and on light pictures, and without colour."""


@dataclass(frozen=True)
class ActivationMap:
    """What the network saw of an image, and where it saw what speaks for a class.

    Attributes:
        image: the pixels that the network saw, a JPEG as a data URI.
        heat: the map to lay over it, a PNG with transparency as a data URI.
    """

    image: str
    heat: str


def cut_before_pooling(stage: str) -> str:
    """What the place before the pooling that a stage ends in is called."""
    return f"before the pooling of {stage}"


@dataclass(frozen=True)
class LastMaps:
    """A network that ends in global average pooling, as :mod:`tortie.evaluation.last_maps` finds.

    Attributes:
        prefix: all that comes before the pooling; yields maps ``(N, D, h, w)``.
        weight: of the linear map from the means to the logits, ``(K, D)``; ``None`` where the maps
            are the classes' own.
        bias: of that map ``(K,)``; ``None`` where it has none.
    """

    prefix: Prefix
    weight: Floats | None = None
    bias: Floats | None = None

    def lead(self, maps: Floats, classes: Sequence[int]) -> Floats:
        """By how much each position speaks for a class, more than for the mean of all classes.

        Args:
            maps: what ``prefix`` yields, float32 ``(N, D, h, w)``.
            classes: the class index of each image.

        Returns:
            float32 ``(N, h, w)``; the mean over the positions is the logit of the class less the
            mean of all logits.
        """
        own = list(classes)
        if self.weight is None:
            found: Floats = maps[np.arange(len(maps)), own] - maps.mean(axis=1)
            return found
        weight = self.weight[own] - self.weight.mean(axis=0)  # (N, D)
        lead: Floats = np.einsum("nd,ndhw->nhw", weight, maps)
        if self.bias is None:
            return lead
        return lead + (self.bias[own] - self.bias.mean())[:, None, None]


def activation_maps(
    maps: LastMaps,
    extractor: Extractor,
    sources: Sequence[Source],
    sha256: Sequence[str | None],
    classes: Sequence[int],
) -> list[ActivationMap | None]:
    """A map for each image, of the class given with it.

    What the store has not is computed on one thread: for a few images, beside other work.

    Args:
        maps: the network.
        extractor: of the same network: what runs it, and where activations are kept.
        sources: the images.
        sha256: of each one's content; ``None`` where it could not be opened.
        classes: the class index of each.

    Returns:
        In the order of the sources; ``None`` where one cannot be read any more.
    """
    shown: list[ActivationMap | None] = [None] * len(sources)
    own = _of_maps(maps, extractor)
    with Extraction(own, sources, sha256) as extraction:
        last, rows = extraction.finish(lambda done, total: None)
    lead = maps.lead(last, [classes[i] for i in rows])
    pixels = list(_read([sources[i] for i in rows], extractor.preprocessing))
    for i, seen, one in zip(rows, pixels, lead, strict=True):
        if len(seen):
            shown[i] = ActivationMap(_jpeg(seen), heat(one))
    return shown


def live_activation_map(
    maps: LastMaps, extractor: Extractor, source: Source, label: int
) -> ActivationMap | None:
    """The map of one image, computed now; nothing of it is kept.

    Args:
        maps: the network.
        extractor: of the same network: what runs it.
        source: the image.
        label: the class index.

    Returns:
        ``None`` where it cannot be read.
    """
    (pixels,) = _read([source], extractor.preprocessing)
    if not len(pixels):
        return None
    last = _of_maps(maps, extractor).engine(np.stack([pixels]))
    return ActivationMap(_jpeg(pixels), heat(maps.lead(last, [label])[0]))


def _of_maps(maps: LastMaps, extractor: Extractor) -> Extractor:
    """What computes the last maps, on one thread: to fuse layers takes longer than a few images."""
    engine = "eager" if extractor.choice.engine == "onednn" else extractor.choice.engine
    return replace(
        extractor, prefix=maps.prefix, threads=1, choice=extractor.choice._replace(engine=engine)
    )


def heat(lead: NDArray[np.float32]) -> str:
    """A map as a PNG in a data URI: yellow where the lead is greatest, violet where there is none.

    Args:
        lead: float32 ``(h, w)``.
    """
    width, height = _fitted(lead.shape[1], lead.shape[0], _HEAT_SIDE)
    smooth = Image.fromarray(lead.astype(np.float32))
    levels = np.asarray(smooth.resize((width, height), Image.Resampling.BICUBIC))
    share = np.clip(levels / max(float(levels.max()), 1e-12), 0, 1)
    painted = np.zeros((height, width, 4), np.uint8)
    for channel in range(3):
        painted[..., channel] = np.interp(share, _STOPS, [one[channel] for one in _COLOURS]) + 0.5
    painted[..., 3] = round(255 * _VEIL)
    return _data_uri(Image.fromarray(painted), "PNG")


def _read(sources: Sequence[Source], preprocessing: Preprocessing) -> Iterator[NDArray[np.uint8]]:
    """The pixels that the network sees, ``(H, W, C)``; empty where an image cannot be read."""
    for source in sources:
        try:
            decoded = decode(source, at_least=preprocessing.at_least)
        except UnreadableImage:
            yield np.zeros((0, 0, 0), np.uint8)
        else:
            pixels = preprocessing.pixels(decoded.image, decoded.extent)
            del decoded  # full size, which must not lie beside the next one
            yield pixels


def _fitted(width: int, height: int, side: int) -> tuple[int, int]:
    """The size of the same shape whose longer side is ``side``."""
    scale = side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _jpeg(pixels: NDArray[np.uint8]) -> str:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    width, height = _fitted(*image.size, _SIDE)
    return _data_uri(image.resize((width, height), Image.Resampling.BICUBIC), "JPEG")


def _data_uri(image: Image.Image, format: str) -> str:
    content = io.BytesIO()
    image.save(content, format, quality=80)
    return f"data:image/{format.lower()};base64," + base64.b64encode(content.getvalue()).decode()
