"""The images of a source, one shard after another, so that no list needs to hold all of them.

Where each archive brings its labels along (shards of webdataset, Parquet), it is listed when its
turn comes. Any other source is listed as a whole, about a kilobyte an image, and cut into parts.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tortie.images.archives import copying
from tortie.images.find import Collection, Photograph, find
from tortie.images.inputs import Images, labelled
from tortie.images.patterns import expanded
from tortie.images.remote import is_remote, located, remote_stamp
from tortie.images.shards import all_shards, bring_labels, read_shards

PART = 4096
"""Images of a part, where a source does not come in shards."""


@dataclass(frozen=True)
class InputShard:
    """A part of a source of images.

    Attributes:
        name: that no other shard of the source has; letters, digits and ``.-_`` alone.
        listed: its images; an archive is read for it.
        stamp: tells that what it holds has changed: sizes and times of files.
        archive: that it is, alone; ``None`` for a part of a source.
    """

    name: str
    listed: Callable[[], Collection]
    stamp: str
    archive: Path | None = None

    @contextmanager
    def opened(self) -> Iterator[Collection]:
        """Its images, to be read within the block: an archive elsewhere is fetched once for it."""
        with nullcontext() if self.archive is None else copying(self.archive):
            yield self.listed()


def input_shards(images: Images, splits: str = "auto") -> list[InputShard]:
    """The shards of a source, in their order.

    Args:
        images: as :func:`tortie.images.inputs.labelled` takes them, in files.
        splits: which folders are splits, as :func:`tortie.images.find.find` takes it.

    Raises:
        UsageError: nothing there that can be meant.
        TortieError: a folder, an archive or a table that cannot be read.
    """
    if isinstance(images, str | Path):
        source = located(Path(images))
        shards = all_shards(source, expanded(source))
        if bring_labels(shards):
            return [_archive(shard, shards) for shard in shards]
        images = find(source, splits)
    collection, _ = labelled(images)
    photographs = collection.photographs
    starts = range(0, len(photographs), PART)
    return [
        _part(collection, number, photographs[at : at + PART]) for number, at in enumerate(starts)
    ]


def _archive(archive: Path, beside: Sequence[Path]) -> InputShard:
    def listed() -> Collection:
        found = read_shards([archive], "auto", (), beside)
        photographs = sorted((Photograph(*one) for one in found.places), key=lambda p: str(p.path))
        return Collection(archive, tuple(photographs), found.notes, found.label_type)

    stem = "".join(one if one.isalnum() and one.isascii() else "-" for one in archive.stem)
    digest = hashlib.sha256(str(archive).encode("utf-8", "surrogateescape")).hexdigest()
    return InputShard(f"{stem}-{digest[:8]}", listed, _stamp([archive]), archive)


def _part(collection: Collection, number: int, photographs: Sequence[Photograph]) -> InputShard:
    notes = collection.all_notes if number == 0 else ()
    own = Collection(collection.root, tuple(photographs), notes, collection.label_type)
    said = "\n".join(f"{one.label}\t{one.split}\t{one.group}\t{one.weight}" for one in photographs)
    stamp = _stamp([one.path for one in photographs], said)
    return InputShard(f"part-{number:06}", lambda: own, stamp)


def _stamp(paths: Sequence[Path], said: str = "") -> str:
    """SHA-256 of names, sizes and times of files; of a remote image, of its name alone."""
    digest = hashlib.sha256(said.encode("utf-8", "surrogateescape"))
    for path in paths:
        told = ""
        if is_remote(path):
            told = remote_stamp(path) if len(paths) == 1 else ""
        else:
            try:
                status = os.stat(path)
                told = f"{status.st_size} {status.st_mtime_ns}"
            except (OSError, ValueError):
                pass  # a member of an archive, or gone: reading it tells
        digest.update(f"\n{path}\t{told}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
