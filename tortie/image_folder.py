"""Labelled images as a data set of PyTorch, with tortie's decode and augmentation."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset

from tortie.activations.views import Drawn
from tortie.augment import Policy
from tortie.errors import UsageError, short_traceback
from tortie.images import SPLITS, decode
from tortie.images.inputs import Images, Labels, labelled
from tortie.images.read import digest_of
from tortie.images.transform import ImageTransform, rgb
from tortie.networks.arguments import parse_network, varied
from tortie.text import quoted

if TYPE_CHECKING:
    from pathlib import Path

Transform = Callable[[Any], Any]


class ImageFolder(Dataset[tuple[Any, int]]):
    """Labelled images, each with the index of its class.

    Args:
        images: a folder with one folder per class, a CSV, or a sequence with ``labels``, as
            :meth:`tortie.ImageClassifier.fit` takes them.
        labels: of the images, where these are a sequence.
        network: whose preprocessing makes a tensor of an image, float32 ``(C, H, W)``.
        transform: in place of that, called with the upright RGB image of PIL; or a
            :class:`~tortie.augment.Policy`, by which each access draws a view anew, from torch's
            generator, before the network's normalisation.
        split: of a folder with splits, the one that is wanted: ``"train"``, ``"validation"`` or
            ``"test"``; ``None`` for all images.

    Attributes:
        classes: names, in the order of their indices.
        class_to_idx: index of each name.
        samples: path and class index of each image.
        targets: class index of each image.

    Raises:
        UsageError: no such split or network; something that is no image.
    """

    def __init__(
        self,
        images: Images,
        labels: Labels | None = None,
        *,
        network: str = "efficientnet-lite0",
        transform: "Transform | Policy | None" = None,
        split: str | None = None,
    ) -> None:
        collection, sources = labelled(images, labels)
        if split is not None and split not in collection.splits:
            listed = ", ".join(collection.splits) or "none"
            raise UsageError(
                f"no split {quoted(split)} of {', '.join(SPLITS)}: the images have {listed}"
            )
        rows = [
            (source, photograph)
            for source, photograph in zip(sources, collection.photographs, strict=True)
            if split is None or photograph.split == split
        ]
        self.classes = list(collection.classes)
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self.targets = [self.class_to_idx[photograph.label] for _, photograph in rows]
        self.samples: list[tuple[Path, int]] = [
            (photograph.path, target)
            for (_, photograph), target in zip(rows, self.targets, strict=True)
        ]
        self.transform = transform
        self.preprocessing = varied(*parse_network(network)).preprocessing
        self._sources = [source for source, _ in rows]

    def __len__(self) -> int:
        return len(self._sources)

    @short_traceback
    def __getitem__(self, index: int) -> tuple[Any, int]:
        """The image as ``transform`` makes it, and the index of its class.

        Raises:
            UnreadableImage: it cannot be read.
            UsageError: no whole number.
        """
        if not hasattr(index, "__index__"):
            kind = type(index).__name__
            raise UsageError(f"expected the number of an image, not a {kind}: see data.Subset")
        source, transform = self._sources[index], self.transform
        if transform is None:
            return ImageTransform(self.preprocessing)(source), self.targets[index]
        if isinstance(transform, Policy):
            return self._drawn(index, transform), self.targets[index]
        return transform(rgb(source)), self.targets[index]

    def __repr__(self) -> str:
        """How many images of how many classes."""
        return f"ImageFolder({len(self):,} images in {len(self.classes)} classes)"

    def _drawn(self, index: int, policy: Policy) -> torch.Tensor:
        number = int(torch.randint(1, 2**31, ()))
        decoded = decode(self._sources[index], at_least=self.preprocessing.at_least)
        view = Drawn(self.preprocessing, policy, 0, number)
        pixels = view.pixels(decoded, digest_of(decoded.image))
        return ImageTransform(self.preprocessing).tensor(pixels)
