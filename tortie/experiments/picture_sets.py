"""The pictures of a study: those that installed packages carry, or a folder of one's own.

Nothing is downloaded. ``digits``: scikit-learn's 1,797 handwritten digits. ``patches``: squares
cut out of ten of scikit-image's photographs, grey and of equal contrast; the class is the
photograph. ``photographs``: larger ones in colour, for networks trained on ImageNet. Patches of
one place of a photograph stay on one side of a split. They say how well networks learn, and
nothing of new photographs.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tortie.errors import UsageError
from tortie.images import Preprocessing, UnreadableImage, decode, find
from tortie.processes import core_count

if TYPE_CHECKING:
    from torch import Tensor

_PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel",
    "immunohistochemistry", "retina", "stereo_motorcycle",
)  # fmt: skip
_TILES = 3  # patches along a side of a tile, which stays on one side of a split
_SQUARES = {"patches": 32, "photographs": 64}  # pixels of a patch before it is brought to its size
_MOST = {"patches": 250, "photographs": 60}  # patches a photograph
_FLAT = 8.0  # grey levels: standard deviation below which there is nothing to see in a patch


@dataclass(frozen=True)
class Split:
    """Pictures to train on and others to test on, as networks take them.

    Attributes:
        train: float32 ``(n, C, H, W)``, mean 0 and standard deviation 1 over the training pictures.
        train_labels: int64 ``(n,)``.
        test: as ``train``.
        test_labels: int64 ``(m,)``.
        classes: number of classes.
    """

    train: "Tensor"
    train_labels: "Tensor"
    test: "Tensor"
    test_labels: "Tensor"
    classes: int


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures of one size.

    Attributes:
        name: of the set.
        about: what they are, in a sentence.
        pixels: uint8 ``(N, H, W, C)``.
        labels: int64 ``(N,)``.
        groups: int64 ``(N,)``; pictures of a group stay on one side of a split.
        classes: names.
        tested: bool ``(N,)``, where the data says which are for the test; else ``None``.
    """

    name: str
    about: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    classes: tuple[str, ...]
    tested: NDArray[np.bool_] | None = None

    @property
    def sha256(self) -> str:
        """Of the pixels, the labels and the classes."""
        digest = hashlib.sha256("\n".join(self.classes).encode("utf-8", "surrogateescape"))
        digest.update(str(self.pixels.shape).encode())
        digest.update(np.ascontiguousarray(self.pixels).tobytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()

    def document(self) -> dict[str, Any]:
        """What a result says of them."""
        return {
            "name": self.name,
            "about": self.about,
            "sha256": self.sha256,
            "pictures": len(self.pixels),
            "classes": len(self.classes),
            "shape": list(self.pixels.shape[1:]),
        }

    def rows(
        self, seed: int, train: int | None = None, test: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which pictures to train on and which to test on, drawn by the seed.

        A quarter of the groups is for the test, unless the data says which pictures are. Both are
        thinned to the numbers asked for, as equally many of each class as there are.
        """
        generator = np.random.default_rng([seed, 17])
        if self.tested is None:
            groups = generator.permutation(np.unique(self.groups))
            tested = np.isin(self.groups, groups[: max(1, len(groups) // 4)])
        else:
            tested = self.tested
        parts = []
        for wanted, chosen in ((train, ~tested), (test, tested)):
            rows = generator.permutation(np.flatnonzero(chosen))
            parts.append(_evenly(rows, self.labels[rows], wanted))
        return parts[0], parts[1]

    def split(self, seed: int, train: int | None = None, test: int | None = None) -> Split:
        """As :meth:`rows` draws, normalised by the training pictures."""
        import torch

        first, second = self.rows(seed, train, test)
        level = self.pixels[first].astype(np.float32)
        mean, std = level.mean((0, 1, 2)), level.std((0, 1, 2)) + 1e-3

        def tensor(rows: NDArray[np.int64]) -> "Tensor":
            normal = (self.pixels[rows].astype(np.float32) - mean) / std
            return torch.from_numpy(np.ascontiguousarray(normal.transpose(0, 3, 1, 2)))

        labels = torch.from_numpy(self.labels)
        return Split(
            train=tensor(first), train_labels=labels[first],
            test=tensor(second), test_labels=labels[second], classes=len(self.classes),
        )  # fmt: skip


def _evenly(
    rows: NDArray[np.int64], labels: NDArray[np.int64], wanted: int | None
) -> NDArray[np.int64]:
    """The first ``wanted`` rows where the classes take turns."""
    if wanted is None or wanted >= len(rows):
        return rows
    turn = np.empty(len(rows), np.int64)
    for label in np.unique(labels):
        turn[labels == label] = np.arange((labels == label).sum())
    return rows[np.argsort(turn, kind="stable")[:wanted]]


def pictures(data: str, side: int, channels: int, folder: Path | None) -> Pictures:
    """The pictures of a study, brought to ``side``×``side``.

    Args:
        data: a name of this module, or ``none``.
        side: in pixels.
        channels: 1 for grey, 3 for colour.
        folder: of one folder a class, which takes the place of ``data``.

    Raises:
        UsageError: no picture in the folder, or packages that are not installed.
    """
    if data == "none":
        empty = np.zeros(0, np.int64)
        pixels = np.zeros((0, side, side, channels), np.uint8)
        return Pictures("none", "no pictures", pixels, empty, empty, classes=())
    if folder is not None:
        return _from_folder(folder, side, channels)
    made: dict[str, Callable[[int, int], Pictures]] = {
        "digits": _digits,
        "patches": partial(_patches, "patches"),
        "photographs": partial(_patches, "photographs"),
    }  # fmt: skip
    try:
        return made[data](side, channels)
    except ImportError as error:
        raise UsageError(
            f"studies need {error.name}: pip install 'tortie[studies]', or give --data"
        ) from None


def _resized(grey: NDArray[Any], side: int, channels: int) -> NDArray[np.uint8]:
    from PIL import Image

    image = Image.fromarray(grey)
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (side, side):
        method = Image.Resampling.BOX if side < image.width else Image.Resampling.BILINEAR
        image = image.resize((side, side), method)
    return np.asarray(image).reshape(side, side, channels)


def _digits(side: int, channels: int) -> Pictures:
    from sklearn.datasets import load_digits

    loaded = load_digits()
    grey = (loaded.images * (255 / 16)).round().astype(np.uint8)
    return Pictures(
        name="digits",
        about="scikit-learn's 1,797 handwritten digits of 8×8 pixels"
        + (f", enlarged to {side}×{side}" if side != 8 else ""),
        pixels=np.stack([_resized(one, side, channels) for one in grey]),
        labels=loaded.target.astype(np.int64),
        groups=np.arange(len(grey)),
        classes=tuple(str(digit) for digit in range(10)),
    )


def _patches(kind: str, side: int, channels: int) -> Pictures:
    from skimage import data

    size = _SQUARES[kind]
    pixels, labels, groups = [], [], []
    for label, name in enumerate(_PHOTOGRAPHS):
        loaded = getattr(data, name)()
        whole = np.asarray(loaded[0] if isinstance(loaded, tuple) else loaded)
        squares = _squares(whole, channels, size)
        keep = np.random.default_rng(label).permutation(len(squares))[: _MOST[kind]]
        for number in sorted(keep):
            square, tile = squares[number]
            pixels.append(_resized(square, side, channels))
            labels.append(label)
            groups.append(label * 10_000 + tile)
    return Pictures(
        name=kind,
        about=f"patches of {size}×{size} pixels of ten of scikit-image's photographs"
        + (f", brought to {side}×{side}" if side != size else "")
        + (", grey and of equal contrast" if channels == 1 else "")
        + "; the class is the photograph, the test is on other places of it",
        pixels=np.stack(pixels),
        labels=np.array(labels),
        groups=np.array(groups),
        classes=_PHOTOGRAPHS,
    )


def _squares(whole: NDArray[Any], channels: int, size: int) -> list[tuple[NDArray[Any], int]]:
    """Squares of a photograph, each with the number of its tile; flat ones are left out."""
    from PIL import Image

    grey = np.asarray(Image.fromarray(whole).convert("L"), np.float32)
    found = []
    for top in range(0, grey.shape[0] - size + 1, size):
        for left in range(0, grey.shape[1] - size + 1, size):
            place = np.s_[top : top + size, left : left + size]
            square = grey[place]
            if square.std() < _FLAT:
                continue
            equal = (square - square.mean()) / square.std() * 50 + 128
            shown = equal.clip(0, 255).astype(np.uint8) if channels == 1 else whole[place]
            found.append((shown, top // (_TILES * size) * 100 + left // (_TILES * size)))
    return found


def _from_folder(folder: Path, side: int, channels: int) -> Pictures:
    from concurrent.futures import ThreadPoolExecutor

    collection = find(folder)
    grey = (127.5,) * channels
    whole = Preprocessing(
        resize=side, height=side, width=side, channels=3 if channels == 3 else 1,
        mean=grey, std=grey,
    )  # fmt: skip

    def pixels(path: Path) -> NDArray[np.uint8] | None:
        try:
            decoded = decode(path, at_least=side)
        except UnreadableImage:
            return None
        return whole.pixels(decoded.image, decoded.extent)

    photographs = collection.photographs
    with ThreadPoolExecutor(core_count()) as executor:
        read = list(executor.map(pixels, [one.path for one in photographs]))
    kept = [(one, array) for one, array in zip(photographs, read, strict=True) if array is not None]
    classes = collection.classes
    if len(classes) < 2 or len(kept) < 8:
        raise UsageError(
            f"{folder}: {len(kept)} readable photographs of {len(classes)} classes; a study takes "
            "8 or more of at least two classes"
        )
    number = {name: index for index, name in enumerate(classes)}
    tested = np.array([one.split == "test" for one, _ in kept])
    return Pictures(
        name=folder.name or "data",
        about=f"{len(kept):,} photographs of {len(classes)} classes, brought to {side}×{side}",
        pixels=np.stack([array for _, array in kept]),
        labels=np.array([number[one.label] for one, _ in kept]),
        groups=np.arange(len(kept)),
        classes=classes,
        tested=tested if tested.any() else None,
    )
