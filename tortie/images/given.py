"""Images as Python people have them: sequences, arrays, tensors, tables, data sets of the hub.

No library is imported for what it makes: who gives a DataFrame has imported pandas.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from tortie.errors import UsageError
from tortie.images.decode import Source
from tortie.images.labels import is_missing

_CHANNELS = (1, 3)
_EXPECTED = (
    "expected a path, the bytes of a file, an open binary file, a PIL image, or a uint8 array or "
    "tensor (H, W, 3)"
)
_COLUMNS = ("path", "image", "img", "file", "filename")
_LABELS = ("label", "labels")


class Given(NamedTuple):
    """Images, and what a table says of them; ``None`` where it says nothing.

    Attributes:
        sources: the images.
        labels: of each image.
        splits: name of the split of each image.
        groups: name of the group of each image.
    """

    sources: list[Source]
    labels: list[Any] | None = None
    splits: list[Any] | None = None
    groups: list[Any] | None = None


def given_images(images: object) -> Given:
    """What is given as images, each as it is read later.

    Args:
        images: one image or an iterable of them (paths, bytes of files, open files, PIL images,
            uint8 arrays and tensors), an array or a tensor of several, a DataFrame with a column
            ``path``, or a :class:`datasets.Dataset` with a column of images.

    Raises:
        UsageError: something that is no image, with its position and type.
    """
    if _is_of(images, "datasets") and hasattr(images, "column_names"):
        if not hasattr(images, "num_rows"):
            raise UsageError("a data set that is streamed: give its rows, as images and labels")
        return _of_data_set(images)
    if hasattr(images, "columns") and hasattr(images, "to_dict"):  # pandas, polars
        return _of_table(images)
    return Given([_source(one, position) for position, one in enumerate(_several(images))])


def _is_of(given: object, package: str) -> bool:
    if package == "torch" and not hasattr(given, "dtype"):
        return False  # a data set, a loader: no tensor
    return any(kind.__module__.partition(".")[0] == package for kind in type(given).__mro__)


def _several(images: object) -> Iterable[object]:
    """The images one by one; a single one in memory is one, not the rows that it is made of."""
    if isinstance(images, bytes | bytearray | memoryview | Image.Image) or hasattr(images, "read"):
        return [images]
    if _is_of(images, "torch"):
        return _of_tensor(images)
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OUS":
        _check_type(images.dtype, images.shape)
        if images.ndim == 2 or images.shape[2:] in ((3,), (4,)):
            return [images]
    if isinstance(images, Mapping) or not isinstance(images, Iterable):
        raise UsageError(
            f"expected a folder, a file, or a sequence of images, not {type(images).__name__}"
        )
    return images


def _source(image: object, position: int) -> Source:
    if isinstance(image, str | Path):
        return Path(image)
    if isinstance(image, bytes | Image.Image):
        return image
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    if hasattr(image, "read"):
        return _content(image, position)
    what = f"image {position} is"
    if _is_of(image, "torch"):
        tensors = _of_tensor(image, what)
        if len(tensors) == 1:
            return tensors[0]
        raise UsageError(f"{what} a tensor of {len(tensors)} images: expected one")
    if isinstance(image, np.ndarray):
        _check_type(image.dtype, image.shape, what)
        return image
    raise UsageError(f"{what} a {type(image).__name__}: {_EXPECTED}")


def _content(file: Any, position: int) -> bytes:
    """All of an open file, from its beginning where it was read or written to its end."""
    if isinstance(file, io.TextIOBase):
        raise UsageError(f"image {position} is a file opened as text: open it with 'rb'")
    if getattr(file, "closed", False):
        raise UsageError(f"image {position} is a file that is closed")
    try:
        content = file.read()
        if not content and file.seekable():
            file.seek(0)
            content = file.read()
    except (TypeError, AttributeError):
        content = None
    except OSError as error:
        raise UsageError(f"image {position} cannot be read: {error}") from None
    if not isinstance(content, bytes):
        raise UsageError(f"image {position} is a {type(file).__name__}: {_EXPECTED}")
    return content


def _check_type(kind: object, shape: tuple[int, ...], what: str = "the images are") -> None:
    if str(kind).removeprefix("torch.") != "uint8":
        raise UsageError(
            f"{what} {str(kind).removeprefix('torch.')} of shape {tuple(shape)}: expected uint8, "
            "0 to 255, which is what a file decodes to"
        )


def _of_tensor(tensor: Any, what: str = "the images are") -> list[np.ndarray[Any, Any]]:
    """The images of a tensor, each ``(H, W, C)`` or ``(H, W)``; both layouts are taken."""
    _check_type(tensor.dtype, tuple(tensor.shape), what)
    pixels = tensor.detach().cpu().numpy()
    shape = pixels.shape
    if pixels.ndim == 2:
        return [pixels]
    if pixels.ndim not in (3, 4):
        raise UsageError(
            f"{what} a tensor of shape {shape}: expected (3, H, W), (H, W, 3), or several of these"
        )
    first, last = shape[-3] in _CHANNELS, shape[-1] in _CHANNELS
    if first == last:
        raise UsageError(
            f"{what} a tensor of shape {shape}: "
            + ("its channels can be first or last" if first else "no axis can be its channels")
            + "; give arrays (H, W, 3)"
        )
    if first:
        pixels = np.moveaxis(pixels, -3, -1)
    several = pixels if pixels.ndim == 4 else pixels[None]
    return [np.ascontiguousarray(one) for one in several]


def _of_table(table: Any) -> Given:
    """The rows of a DataFrame whose columns are those of a CSV of images."""
    columns = {str(name).strip().lower(): name for name in table.columns}
    chosen = next((columns[name] for name in _COLUMNS if name in columns), None)
    if chosen is None:
        listed = ", ".join(map(str, table.columns))[:200]
        raise UsageError(
            f"a table with the columns {listed}: expected path, with label, split and group where "
            "there are any"
        )
    images = list(table[chosen])
    for position, image in enumerate(images):
        if is_missing(image):
            raise UsageError(f"row {position} has no {chosen}: it is {image}")
    found = {
        name: list(table[columns[name]])
        for name in ("label", "labels", "split", "group")
        if name in columns
    }
    return Given(
        [_source(image, position) for position, image in enumerate(images)],
        found.get("label", found.get("labels")), found.get("split"), found.get("group"),
    )  # fmt: skip


def _of_data_set(data: Any) -> Given:
    """The rows of a ``datasets.Dataset``; of several, by split, those of all."""
    if isinstance(data, Mapping):  # a DatasetDict
        parts = {name: _of_data_set(part) for name, part in data.items()}
        labelled = all(part.labels is not None for part in parts.values())
        return Given(
            [source for part in parts.values() for source in part.sources],
            [one for part in parts.values() for one in part.labels or ()] if labelled else None,
            [name for name, part in parts.items() for _ in part.sources],
        )
    if data.features is None:
        raise UsageError("a streamed data set that does not say its columns: give a Dataset")
    kinds = {name: type(feature).__name__ for name, feature in data.features.items()}
    column = next((name for name, kind in kinds.items() if kind == "Image"), None)
    if column is None:
        raise UsageError(f"a data set of the columns {', '.join(kinds)}: none is of images")
    named = next((name for name, kind in kinds.items() if kind == "ClassLabel"), None)
    label = named or next((name for name in _LABELS if name in kinds), None)
    table = data.with_format("arrow")[:]  # which decodes nothing
    labels = None if label is None else table.column(label).to_pylist()
    if named is not None and labels is not None:
        names = data.features[named].names
        labels = [None if one is None or one < 0 else names[one] for one in labels]
    return Given(list(_files(table.column(column).to_pylist())), labels)


def _files(images: Iterable[Any]) -> Iterator[Source]:
    """The bytes of each row's image, or its path: tortie decodes it, as any other."""
    for position, image in enumerate(images):
        if image is None or not (image["bytes"] or image["path"]):
            raise UsageError(f"row {position} has no image")
        yield image["bytes"] or Path(image["path"])
