"""Where in an image the network saw what speaks for a class: class activation maps.

Zhou, Khosla, Lapedriza, Oliva and Torralba, "Learning Deep Features for Discriminative
Localization", CVPR 2016, section 2. Where a network ends in global average pooling and a linear
map, the pooling and the map may change places: the linear map of each position's channels is what
that position adds to the logit. No gradient is needed.

A number added to every logit changes no probability. So what is drawn is the logit's lead over the
mean of all logits, which has no such freedom. The paper leaves the bias out; here it counts at each
position, for a head on standardised features keeps their mean in it: what is as in the average
photograph then speaks for nothing.
"""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from tortie.activations.engine import native_precision
from tortie.images import Source, UnreadableImage, decode
from tortie.images.preprocess import Preprocessing
from tortie.networks.network import Network

_SIDE = 224  # pixels of the longer side, of the picture
_HEAT_SIDE = 56  # of the map over it: from 7×7 positions it is smooth, and the page enlarges it
_SHAPED = (nn.Flatten, nn.Dropout, nn.Identity)  # may follow the pooling: they change no value
_SHADE = 0.78  # opacity of the dark that lies where nothing speaks for the class


@dataclass(frozen=True)
class ActivationMap:
    """What the network saw of an image, and where it saw what speaks for a class.

    Attributes:
        image: the pixels that the network saw, a JPEG as a data URI.
        heat: the map to lay over it, a PNG with transparency as a data URI.
    """

    image: str
    heat: str


@dataclass(frozen=True)
class Pooled:
    """A network that ends in global average pooling.

    Attributes:
        before: all that comes before the pooling; yields maps ``(N, D, h, w)``.
        linear: from the means to the logits; ``None`` where the maps are the classes' own.
    """

    before: nn.Sequential
    linear: nn.Linear | None

    @classmethod
    def of(cls, network: Network) -> "Pooled | None":
        """The parts of the network; ``None`` where no linear map alone follows the pooling."""
        *stages, last = network.stages
        steps = [*_steps(last), *_steps(network.head)]
        places = [i for i, step in enumerate(steps) if _pools_globally(step)]
        if not places:
            return None
        before, after = steps[: places[-1]], steps[places[-1] + 1 :]
        linear = after[-1] if after and isinstance(after[-1], nn.Linear) else None
        if not all(isinstance(s, _SHAPED) for s in after if s is not linear):
            return None
        return cls(nn.Sequential(*stages, *before), linear)

    def lead(self, maps: Tensor, classes: Tensor) -> Tensor:
        """By how much each position speaks for a class, more than for the mean of all classes.

        Args:
            maps: what ``before`` yields, float32 ``(N, D, h, w)``.
            classes: the class index of each image, ``(N,)``.

        Returns:
            float32 ``(N, h, w)``; the mean over the positions is the logit of the class less the
            mean of all logits.
        """
        if self.linear is not None:
            weight = self.linear.weight.float()  # (K, D)
            own = weight[classes] - weight.mean(dim=0)  # (N, D)
            lead = torch.einsum("nd,ndhw->nhw", own, maps)
            bias = self.linear.bias
            if bias is None:
                return lead
            return lead + (bias.float()[classes] - bias.float().mean())[:, None, None]
        own_map = maps[torch.arange(len(maps)), classes]
        return own_map - maps.mean(dim=1)


def activation_maps(
    pooled: Pooled,
    preprocessing: Preprocessing,
    sources: Sequence[Source],
    classes: Sequence[int],
) -> list[ActivationMap | None]:
    """A map for each image, of the class given with it.

    The network runs eagerly, once, on all images together and on one thread: for a few images,
    beside other work.

    Args:
        pooled: the network.
        preprocessing: how an image becomes its input.
        sources: the images.
        classes: the class index of each.

    Returns:
        In the order of the sources; ``None`` where one cannot be read any more.
    """
    shown: list[ActivationMap | None] = [None] * len(sources)
    seen = {i: pixels for i, pixels in enumerate(_read(sources, preprocessing)) if len(pixels)}
    if not seen:
        return shown
    wanted = torch.tensor([classes[i] for i in seen])
    lead = _run(pooled, preprocessing, np.stack(list(seen.values())), wanted)
    for (i, pixels), one in zip(seen.items(), lead, strict=True):
        shown[i] = ActivationMap(_jpeg(pixels), heat(one))
    return shown


def heat(lead: NDArray[np.float32]) -> str:
    """A map as a PNG in a data URI: clear where the lead is greatest, dark where there is none.

    Args:
        lead: float32 ``(h, w)``.
    """
    width, height = _fitted(lead.shape[1], lead.shape[0], _HEAT_SIDE)
    smooth = Image.fromarray(lead.astype(np.float32))
    levels = np.asarray(smooth.resize((width, height), Image.Resampling.BICUBIC))
    share = np.clip(levels / max(float(levels.max()), 1e-12), 0, 1)
    painted = np.zeros((height, width, 4), np.uint8)
    painted[..., 3] = (255 * _SHADE * (1 - share) + 0.5).astype(np.uint8)
    return _data_uri(Image.fromarray(painted), "PNG")


@torch.inference_mode()
def _run(
    pooled: Pooled, preprocessing: Preprocessing, pixels: NDArray[np.uint8], classes: Tensor
) -> NDArray[np.float32]:
    """The lead ``(N, h, w)`` of uint8 images ``(N, H, W, C)``."""
    device = next((pooled.linear or pooled.before).parameters()).device
    images = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float()  # channels-last
    images -= torch.tensor(preprocessing.mean, device=device).view(1, -1, 1, 1)
    images /= torch.tensor(preprocessing.std, device=device).view(1, -1, 1, 1)
    enabled = native_precision(device) == "bfloat16"
    torch.get_num_threads()  # torch sets a thread up at its first use, and never again
    with (
        threadpool_limits(1, user_api="openmp"),
        torch.autocast(device.type, torch.bfloat16, enabled=enabled),
    ):
        maps = pooled.before(images)
    lead: NDArray[np.float32] = pooled.lead(maps.float(), classes.to(device)).cpu().numpy()
    return lead


def _read(sources: Sequence[Source], preprocessing: Preprocessing) -> Iterator[NDArray[np.uint8]]:
    """The pixels that the network sees, ``(H, W, C)``; empty where an image cannot be read."""
    for source in sources:
        try:
            decoded = decode(source, at_least=preprocessing.at_least)
        except UnreadableImage:
            yield np.zeros((0, 0, 0), np.uint8)
        else:
            yield preprocessing.pixels(decoded.image, decoded.extent)


def _steps(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that a sequence calls one after the other."""
    if type(module) is nn.Sequential:
        for child in module:
            yield from _steps(child)
    else:
        yield module


def _pools_globally(module: nn.Module) -> bool:
    return isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1))


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
