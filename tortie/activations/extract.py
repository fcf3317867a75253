"""From photographs to activations at the cut: take what the store has, compute and keep the rest."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tortie.activations.engine import BATCH, Engine, Precision, engine_name, native_precision
from tortie.activations.key import KeyContext, facts_key, hash_tensors
from tortie.activations.store import ActivationStore
from tortie.images import DECODER_VERSION, Facts, Reading, Source, read
from tortie.images.preprocess import Preprocessing
from tortie.networks.network import Network
from tortie.networks.table import Entry

Progress = Callable[[int, int], None]
"""Called with the number of images done and of all."""

UNDISTORTED = "0"
"""The view that is the photograph as it is."""


@dataclass(frozen=True)
class Extractor:
    """A frozen prefix, and where its activations are kept.

    Attributes:
        prefix: the stages before the cut.
        structure: the network's name and arguments, part of the key.
        code: revision of the network's code, part of the key.
        cut: the last stage of the prefix.
        output: shape of one image's activations.
        preprocessing: how an image becomes the prefix's input.
        store: where activations are kept.
        device: where the prefix runs.
        precision: ``None`` for what the device does natively.
        threads: that read and decode.
        max_pixels: an image with more is left out.
    """

    prefix: nn.Module
    structure: str
    code: int
    cut: str
    output: tuple[int, ...]
    preprocessing: Preprocessing
    store: ActivationStore
    device: torch.device
    precision: Precision | None
    threads: int
    max_pixels: int

    @classmethod
    def of(
        cls,
        network: Network,
        entry: Entry,
        *,
        store: ActivationStore,
        device: torch.device,
        precision: Precision | None,
        threads: int,
        max_pixels: int,
    ) -> "Extractor":
        """The extractor of all stages of a network of the table."""
        last = network.stage_names[-1]
        return cls(
            prefix=network.cut(last)[0],
            structure=entry.name,
            code=entry.code,
            cut=last,
            output=(network.feature_count,),
            preprocessing=entry.preprocessing,
            store=store,
            device=device,
            precision=precision,
            threads=threads,
            max_pixels=max_pixels,
        )

    @cached_property
    def context(self) -> KeyContext:
        """What the keys of all images have in common."""
        return KeyContext(
            decoder=DECODER_VERSION,
            preprocessing=self.preprocessing.key(),
            network_code=self.code,
            structure=self.structure,
            tensors=hash_tensors(self.prefix.state_dict().items()),
            cut=self.cut,
            precision=self.precision or native_precision(self.device),
            engine=engine_name(self.device),
            device=self.device.type,
        )

    @cached_property
    def engine(self) -> Engine:
        """The prefix made ready to run; warm runs never ask for it."""
        return Engine(self.prefix, self.preprocessing, self.device, self.precision)


class Extraction(AbstractContextManager["Extraction"]):
    """Activations of a sequence of images: those in the store at once, the others on demand.

    Attributes:
        facts: of each source, ``None`` where it is not read yet or cannot be read.
        reasons: why a source cannot be read, by its position.
        missing: how many sources the store had nothing for.
        computed: how many went through the network here.
        read_seconds: an image, reading and decoding, on one thread (0 before the first batch).
        forward_seconds: an image, in the network (0 before the first batch).
    """

    def __init__(
        self,
        extractor: Extractor,
        sources: Sequence[Source],
        sha256: Sequence[str | None],
        reads: Reading | None = None,
    ) -> None:
        """Load what the store has and begin to read what it has not.

        Args:
            extractor: computes what is missing.
            sources: the images.
            sha256: of each source's content; ``None`` where it could not be opened.
            reads: of all the sources, where reading began before the network was there.
        """
        self._extractor = extractor
        self._sha256 = sha256
        context = extractor.context
        self._keys = [context.key(one, UNDISTORTED) if one else b"" for one in sha256]
        self._fact_keys = [facts_key(one, DECODER_VERSION) if one else b"" for one in sha256]
        self.facts: list[Facts | None] = [None] * len(sources)
        self.reasons: dict[int, str] = {}
        self.computed = 0
        self.read_seconds = self.forward_seconds = 0.0
        self._activations = np.empty((len(sources), *extractor.output), np.float32)
        self._done = self._load()
        wanted = np.flatnonzero(~self._done)
        self.missing = len(wanted)
        self._first_of: dict[bytes, int] = {}
        self._copies: list[tuple[int, int]] = []
        if reads is not None:
            self._reads = reads
            self._positions: Sequence[int] = range(len(sources))
        else:
            self._positions = [int(position) for position in wanted]
            self._reads = read(
                [sources[position] for position in self._positions],
                preprocessing=extractor.preprocessing,
                threads=extractor.threads,
                max_pixels=extractor.max_pixels,
            )
        self._writer = extractor.store.writer()
        self._writer.__enter__()

    def _load(self) -> NDArray[np.bool_]:
        """Which sources the store had both facts and activations of."""
        store = self._extractor.store
        found = store.get_many(self._fact_keys)
        done = store.get_into(self._keys, self._activations)
        for position in np.flatnonzero(done):
            key = self._fact_keys[position]
            try:
                self.facts[position] = Facts.decode(found[key].tobytes())
            except (KeyError, ValueError):  # facts that are gone, or of another version
                done[position] = False
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *stopped: object) -> None:
        """Stop reading, and make what was computed lasting."""
        self.close()

    def close(self) -> None:
        """Stop reading, and make what was computed lasting; twice is harmless."""
        self._reads.close()
        self._writer.__exit__(None, None, None)

    def sample(self) -> None:
        """Compute one batch, and a second one for its time: the first includes the preparation."""
        self._batch()
        self._batch(timed=True)

    def finish(self, progress: Progress) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Compute all that is missing.

        Returns:
            activations float32 ``(n, ...)`` of the images that can be read, and their positions.
        """
        total = len(self._sha256)
        progress(int(self._done.sum()), total)
        while self._batch():
            progress(int(self._done.sum()) + len(self.reasons), total)
        for position, original in self._copies:
            self._activations[position] = self._activations[original]
            self.facts[position] = self.facts[original]
            self._done[position] = True
        progress(total, total)
        self.close()
        rows = np.flatnonzero(self._done)
        whole = self._activations
        return (whole if len(rows) == len(whole) else whole[rows]), rows

    def _batch(self, timed: bool = False) -> bool:
        """Read one batch and compute it; whether there was anything left to read."""
        positions: list[int] = []
        images: list[NDArray[np.uint8]] = []
        seconds = 0.0
        any_left = False
        for item in self._reads:
            any_left = True
            position = self._positions[item.index]
            if item.pixels is None or item.facts is None:
                self.reasons[position] = item.reason or "unreadable"
                continue
            if item.sha256 != self._sha256[position]:
                self.reasons[position] = "it changed while it was being read"
                continue
            original = self._first_of.setdefault(self._keys[position], position)
            if original != position:
                self._copies.append((position, original))
                continue
            self.facts[position] = item.facts
            seconds += item.seconds
            positions.append(position)
            images.append(item.pixels)
            if len(images) == BATCH:
                break
        if images:
            start = time.perf_counter()
            self._compute(positions, images)
            if timed or not self.forward_seconds:
                self.forward_seconds = (time.perf_counter() - start) / len(images)
                self.read_seconds = seconds / len(images)
        return any_left

    def _compute(self, positions: list[int], images: list[NDArray[np.uint8]]) -> None:
        batch = torch.from_numpy(np.stack(images))
        results = self._extractor.engine(batch).numpy()
        self.computed += len(images)
        for position, result in zip(positions, results, strict=True):
            self._activations[position] = result
            self._done[position] = True
            facts = self.facts[position]
            assert facts is not None
            self._writer.put(self._keys[position], result)
            encoded = np.frombuffer(facts.encode(), np.uint8)
            self._writer.put(self._fact_keys[position], encoded)
