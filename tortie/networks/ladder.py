"""Trained networks by what their frozen features are worth: a short ladder, cheapest first.

The accuracies are their publishers': of a softmax layer on frozen features of ImageNet, or, where
tortie comes with a network, of the network itself. What they are worth on other photographs, a fit
says.
"""

from dataclasses import dataclass
from typing import Any, Literal

from tortie.networks.arguments import split_networks
from tortie.networks.table import find

Quality = Literal["embedded", "high", "small", "base", "best"]

_DINOV2 = "Oquab et al. 2023, arXiv:2304.07193, table 4"
_CLIP = "Radford et al. 2021, arXiv:2103.00020, table 10"
_LITE = "TensorFlow's repository of EfficientNet-Lite"
_PROBE = "softmax layer on frozen features"


@dataclass(frozen=True)
class Rung:
    """A network, or several that are averaged, and what is known of it.

    Attributes:
        quality: what ``--quality`` calls it; ``None`` for one that ``--network`` alone takes.
        network: as ``--network`` takes it.
        accuracy: percent of ImageNet's validation photographs, top-1; of several networks, that of
            the best.
        protocol: what was measured.
        source: where that is published.
        licence: of the weights.
        side: of the images, in pixels.
        multiplications: for one image, up to the head.
        fetched: bytes of the weights that are fetched when they are first needed; 0 where a
            package brings them.
        extra: tortie's extra that it needs; ``None`` for none.
    """

    quality: Quality | None
    network: str
    accuracy: float
    protocol: str
    source: str
    licence: str
    side: int
    multiplications: int
    fetched: int = 0
    extra: str | None = None

    def document(self) -> dict[str, Any]:
        """JSON's types only."""
        return dict(vars(self))


def _embedded(quality: Quality, network: str, extra: str | None = None) -> Rung:
    """A rung of networks of the table, of which the table knows most."""
    entries = [find(name) for name in split_networks(network)]
    best = entries[-1].published[0]
    return Rung(
        quality=quality,
        network=network,
        accuracy=round(100 - (best.top1 or 0), 1),
        protocol="the network itself",
        source=_LITE,
        licence="Apache-2.0",
        side=entries[-1].preprocessing.height,
        multiplications=sum(one.multiplications or 0 for one in entries),
        extra=extra,
    )


def _timm(
    quality: Quality | None, name: str, accuracy: float, source: str, multiplications: int,
    parameters: int,
) -> Rung:  # fmt: skip
    """A vision transformer of timm, 224×224; its file has four bytes a parameter."""
    return Rung(
        quality=quality,
        network=f"timm:{name}",
        accuracy=accuracy,
        protocol=_PROBE,
        source=source,
        licence="Apache-2.0",
        side=224,
        multiplications=multiplications,
        fetched=4 * parameters,
        extra="timm",
    )


LADDER = (
    _embedded("embedded", "efficientnet-lite0"),
    _embedded("high", "efficientnet-lite0,efficientnet-lite2", "lite"),
    _timm(None, "vit_base_patch32_clip_224.openai", 76.1, _CLIP, 4_408_418_304, 87_849_728),
    _timm("small", "vit_small_patch14_dinov2.lvd142m(img_size=224)", 81.1, _DINOV2,
          6_123_561_984, 22_056_192),
    _timm(None, "vit_base_patch16_clip_224.openai", 80.2, _CLIP, 17_563_060_224, 86_193_152),
    _timm("base", "vit_base_patch14_dinov2.lvd142m(img_size=224)", 84.5, _DINOV2,
          23_161_227_264, 86_579_712),
    _timm("best", "vit_large_patch14_dinov2.lvd142m(img_size=224)", 86.3, _DINOV2,
          81_011_982_336, 304_367_616),
)  # fmt: skip


def rung(quality: str) -> Rung:
    """The rung that ``--quality`` names, one of :data:`Quality`."""
    return next(one for one in LADDER if one.quality == quality)
