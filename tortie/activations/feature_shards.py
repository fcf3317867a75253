"""Files of features: what a frozen prefix made of many photographs, with what is known of them.

A folder of features holds a manifest, ``features.json``, and a ``.safetensors`` file for each shard
of photographs. A file holds its rows' activations, SHA-256, labels, splits, perceptual hashes and
facts, and is read a few rows at a time: it may be larger than memory.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from tortie.errors import TortieError, UsageError
from tortie.files import replacing
from tortie.images import Facts, Photograph
from tortie.images.labels import LabelType
from tortie.images.split import SPLITS, Split
from tortie.images.walk import FEATURES
from tortie.text import shown

MANIFEST = FEATURES
_FORMAT = "tortie features 1"
_LARGEST = 65504.0  # of float16
_ROWS = 1024  # of an array, that are read at once

FeatureType = Literal["float16", "float32"]
Integers = NDArray[np.int64]


class ShardHeader(BaseModel):
    """What a file of features says of itself.

    Attributes:
        context: digest of all that the activations depend on but the photograph.
        stamp: of the photographs that were read.
        dtype: of the activations.
        classes: names that the file's labels number.
        label_type: of the labels that the names stand for.
        skipped: path and label of each photograph that cannot be read, and why.
        notes: what was met as they were listed; a line each.
        sha256: of all arrays; empty in files of before it was kept.
    """

    model_config = ConfigDict(frozen=True)

    context: str
    stamp: str
    dtype: FeatureType
    classes: list[str]
    label_type: LabelType
    skipped: list[tuple[str, str, str]]
    notes: list[str]
    sha256: str = ""


@dataclass(frozen=True)
class ShardRows:
    """What is written of the photographs that could be read, in one order.

    Attributes:
        features: ``(n, ...)``, float16 or float32.
        sha256: of each, hexadecimal.
        facts: of each.
        photographs: path, label, split, group and weight of each.
    """

    features: NDArray[Any]
    sha256: Sequence[str]
    facts: Sequence[Facts]
    photographs: Sequence[Photograph]


class Manifest(BaseModel):
    """What a folder of features holds.

    Attributes:
        format: and its version.
        complete: whether all shards are there.
        network: as it was asked for.
        weights: as they were chosen.
        freeze: as it was asked for.
        frozen: whether all stages are.
        input: size that was asked for; ``None`` for the network's own.
        cut: last stage before the cut.
        shape: of one photograph's activations.
        dtype: that they are kept in.
        precision: that they were computed in.
        context: digest of all that they depend on but the photograph.
        tensors: digest of the frozen stages' tensors.
        classes: names of the classes, in the order of the logits.
        label_type: of the labels that the names stand for.
        photographs: rows of all files.
        skipped: photographs that cannot be read.
        files: names of the files, in their order.
    """

    model_config = ConfigDict(frozen=True)

    format: str = _FORMAT
    complete: bool
    network: str
    weights: str | None
    freeze: str
    frozen: bool
    input: str | None
    cut: str
    shape: list[int]
    dtype: FeatureType
    precision: str
    context: str
    tensors: str
    classes: list[str] = []
    label_type: LabelType = "str"
    photographs: int = 0
    skipped: int = 0
    files: list[str] = []

    def write(self, folder: Path) -> None:
        """Write it into its folder.

        Raises:
            TortieError: the folder cannot be written.
        """
        with replacing(folder / MANIFEST) as file:
            file.write(self.model_dump_json(indent=1).encode() + b"\n")


def is_feature_folder(path: object) -> bool:
    """Whether a path is a folder of features."""
    return isinstance(path, str | Path) and os.path.isfile(os.path.join(path, MANIFEST))


def read_manifest(folder: Path) -> Manifest:
    """What a folder of features says that it holds.

    Raises:
        TortieError: it cannot be read, or is none.
    """
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise TortieError(f"cannot read {folder / MANIFEST}: {error.strerror}") from None
    except ValidationError:
        raise TortieError(f"{folder / MANIFEST} is no manifest of features") from None
    if manifest.format != _FORMAT:
        raise TortieError(
            f"{folder / MANIFEST}: format {manifest.format[:40]!r}; this tortie reads {_FORMAT!r}"
        )
    return manifest


def write_shard(path: Path, header: ShardHeader, rows: ShardRows) -> None:
    """Write a file of features, whole or not at all.

    Raises:
        UsageError: an activation that float16 cannot hold.
        TortieError: an activation that is no number, or the file cannot be written.
    """
    from safetensors.numpy import save

    classes = {name: number for number, name in enumerate(header.classes)}
    photographs = rows.photographs
    facts = [one.encode() for one in rows.facts]
    names = json.dumps([[str(one.path), one.group] for one in photographs]).encode()
    arrays = {
        "features": checked_type(rows.features, header.dtype, path),
        "sha256": np.frombuffer(bytes.fromhex("".join(rows.sha256)), np.uint8).reshape(-1, 32),
        "labels": np.array([classes[one.label] for one in photographs], np.int32),
        "splits": np.array([_number(one.split) for one in photographs], np.uint8),
        "weights": np.array([one.weight for one in photographs], np.float32),
        "perceptual_hashes": np.array([one.perceptual_hash for one in rows.facts], np.uint64),
        "facts": np.frombuffer(b"".join(facts), np.uint8),
        "facts_ends": np.cumsum([len(one) for one in facts], dtype=np.int64),
        "names": np.frombuffer(names, np.uint8),
    }
    # JSON of UTF-8 holds no name that is none; the names of the rows are escaped, and come back.
    skipped = [(shown(name), shown(label), why) for name, label, why in header.skipped]
    notes, digest = [shown(note) for note in header.notes], hashlib.sha256()
    for _, array in sorted(arrays.items()):
        digest.update(np.ascontiguousarray(array).data)
    header = header.model_copy(
        update={"skipped": skipped, "notes": notes, "sha256": digest.hexdigest()}
    )
    with replacing(path) as file:
        file.write(save(arrays, {"tortie_features": header.model_dump_json()}))


def checked_type(features: NDArray[Any], dtype: FeatureType, path: Path) -> NDArray[Any]:
    """Activations in the type that they are kept in.

    Raises:
        UsageError: float16 cannot hold one.
        TortieError: one is no number.
    """
    largest = float(np.abs(features).max(initial=0))
    if not np.isfinite(largest):
        raise TortieError(f"{path}: an activation is NaN or Inf")
    if dtype == "float16" and largest > _LARGEST:
        raise UsageError(
            f"{path}: an activation of {largest:g} is beyond float16: take --dtype float32"
        )
    return np.ascontiguousarray(features, dtype)


def _number(split: Split | None) -> int:
    """0 for no split, else its place among the splits, from 1."""
    return 0 if split is None else 1 + SPLITS.index(split)


class FeatureShard:
    """A file of features, opened for each piece that is read of it.

    Args:
        path: of the file.

    Raises:
        TortieError: it cannot be read, or is no file of features.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            text = (file.metadata() or {}).get("tortie_features", "")
            try:
                self.header = ShardHeader.model_validate_json(text)
            except ValidationError:
                raise TortieError(f"{path} is no file of features") from None
            self.shape: tuple[int, ...] = tuple(file.get_slice("features").get_shape())

    def __len__(self) -> int:
        return self.shape[0]

    def column(self, name: str) -> NDArray[Any]:
        """One of ``sha256``, ``labels``, ``splits``, ``weights``, ``perceptual_hashes``."""
        with self._opened() as file:
            found: NDArray[Any] = file.get_tensor(name)
        return found

    def blocks(self, size: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """The activations in blocks of rows, each with the place of its first row.

        The file is mapped while it is read, and let go of in the end.
        """
        with self._opened() as file:
            rows = file.get_slice("features")
            for at in range(0, len(self), size):
                yield at, rows[at : min(at + size, len(self))]

    def features(
        self, rows: Integers, size: int = _ROWS, dtype: FeatureType = "float32"
    ) -> NDArray[Any]:
        """The activations of some rows.

        Args:
            rows: ascending.
            size: rows that are read together where one of them is wanted.
            dtype: of what is returned.
        """
        found = np.empty((len(rows), *self.shape[1:]), dtype)
        with self._opened() as file:
            block = file.get_slice("features")
            for at in (np.unique(rows // size) * size).tolist():
                first, end = np.searchsorted(rows, (at, at + size))
                found[first:end] = block[at : min(at + size, len(self))][rows[first:end] - at]
        return found

    def check(self, manifest: Manifest) -> None:
        """Whether it belongs to a manifest.

        Raises:
            TortieError: it is of another network, or has a class that the manifest does not have.
        """
        if self.header.context != manifest.context or list(self.shape[1:]) != manifest.shape:
            raise TortieError(
                f"{self.path} holds features of another network, other weights or another size "
                f"than {MANIFEST} says: extract again"
            )
        strange = [name for name in self.header.classes if name not in manifest.classes]
        if strange:
            raise TortieError(f"{self.path}: class {strange[0]!r} is not in the manifest")

    def check_content(self) -> None:
        """Whether the arrays are those that were written, and all activations are numbers.

        Raises:
            TortieError: they are not.
        """
        digest = hashlib.sha256()
        with self._opened() as file:
            for name in sorted(file.keys()):
                rows = file.get_slice(name)
                size = rows.get_shape()[0]
                for at in range(0, size, _ROWS):
                    block = rows[at : min(at + _ROWS, size)]
                    digest.update(np.ascontiguousarray(block).data)
                    if name == "features" and not np.isfinite(block).all():
                        raise TortieError(f"{self.path}: an activation is NaN or Inf")
        if self.header.sha256 not in ("", digest.hexdigest()):
            raise TortieError(
                f"{self.path} is damaged (its SHA-256 is another): delete it, and extract again"
            )

    def facts(self, rows: Iterable[int]) -> list[Facts]:
        """The facts of some rows."""
        content, ends = self.column("facts"), self.column("facts_ends")
        begins = np.concatenate([[0], ends[:-1]])
        return [Facts.decode(content[begins[row] : ends[row]].tobytes()) for row in rows]

    def photographs(self, rows: Iterable[int]) -> list[Photograph]:
        """Path, label, split, group and weight of some rows.

        Raises:
            TortieError: what the file says of them cannot be.
        """
        labels, splits = self.column("labels"), self.column("splits")
        weights, found = self.column("weights"), []
        try:
            names, classes = json.loads(self.column("names").tobytes()), self.header.classes
            for row in rows:
                split = SPLITS[splits[row] - 1] if splits[row] else None
                path, group = names[row]
                label = classes[labels[row]]
                found.append(Photograph(Path(path), label, split, group, float(weights[row])))
        except (ValueError, IndexError, TypeError):
            raise TortieError(f"{self.path} is damaged: extract again") from None
        return found

    def groups(self) -> list[str | None]:
        """Name of each row's group."""
        return [group for _, group in json.loads(self.column("names").tobytes())]

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "np") as file:
                yield file
        except (SafetensorError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise TortieError(f"{self.path} cannot be read: {reason}; extract again") from None


def notes_of(shards: Sequence[FeatureShard]) -> Iterator[str]:
    """What was met as the photographs were listed, each line once."""
    yield from dict.fromkeys(line for shard in shards for line in shard.header.notes)
