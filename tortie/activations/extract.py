"""From images to activations at the cut: take what the store has, compute and keep the rest."""

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tortie.activations.engine import BATCH, Engine, EngineChoice, revision
from tortie.activations.key import KeyContext, facts_key
from tortie.activations.onnxruntime_engine import OnnxRuntimeEngine
from tortie.activations.prefix import Prefix
from tortie.activations.ready import ready
from tortie.activations.store import ActivationStore
from tortie.activations.views import Undistorted, View
from tortie.forks import computed_once
from tortie.images import DECODER_VERSION, Facts, Read, Reading, Source, read
from tortie.images.preprocess import Preprocessing
from tortie.processes import give_back_memory

Progress = Callable[[int, int], None]
"""Called with the number of images done and of all."""

Reader = Callable[[Sequence[int], Sequence[View]], Reading]
"""Reads the given views of the images at the given positions."""

_PIXELS_AHEAD = 512  # views made before their turn, 77 MB at 224×224×3, whatever their number


@dataclass(frozen=True)
class Extractor:
    """A frozen prefix, and where its activations are kept.

    Attributes:
        prefix: the stages before the cut, and how an image becomes their input.
        structure: the network's name and arguments, part of the key.
        code: revision of the network's code, part of the key.
        store: where activations are kept.
        device: where the prefix runs, by torch's name.
        choice: what runs it, in which precision.
        threads: that read and decode.
        max_pixels: an image with more is left out.
    """

    prefix: Prefix
    structure: str
    code: int
    store: ActivationStore
    device: str
    choice: EngineChoice
    threads: int
    max_pixels: int

    @property
    def cut(self) -> str:
        """The last stage of the prefix."""
        return self.prefix.cut

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of one image's activations."""
        return self.prefix.output

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes the prefix's input."""
        return self.prefix.preprocessing

    @computed_once
    def context(self) -> KeyContext:
        """What the keys of all images have in common."""
        return KeyContext(
            decoder=DECODER_VERSION,
            preprocessing=self.preprocessing.key(),
            network_code=self.code,
            structure=self.structure,
            tensors=self.prefix.sha256,
            cut=self.cut,
            precision=self.choice.precision,
            engine=revision(self.choice.engine),
            device=self.device.partition(":")[0],
        )

    def stored(self, sha256: Sequence[str | None], views: Sequence[View]) -> int:
        """Of how many views of images, of this content, the store has the activations."""
        keys = [self.context.key(one, view.name) for one in sha256 if one for view in views]
        return len(self.store.contains_many(keys))

    @computed_once
    def engine(self) -> Engine:
        """The prefix made ready to run; warm runs never ask for it."""
        return ready(self.prefix, self.device, self.choice, self.store.root.parent / "graphs")

    def release(self) -> None:
        """Let go of the engine and its memory; who asks for it again waits for it again."""
        engine = self.__dict__.pop("engine", None)
        if isinstance(engine, OnnxRuntimeEngine):
            engine.shrink()
        del engine
        give_back_memory()


class Extraction(AbstractContextManager["Extraction"]):
    """Activations of a sequence of images: those in the store at once, the others on demand.

    Attributes:
        facts: of each source, ``None`` where it is not read yet or cannot be read.
        reasons: why a source cannot be read, by its position.
        missing: how many sources the store had nothing for.
        computed: how many went through the network here.
        stored: whether the store took all that it was given.
        read_seconds: an image, reading and decoding, on one thread (0 before the first batch).
        forward_seconds: an image, in the network, on one thread (0 before the first batch).
    """

    def __init__(
        self,
        extractor: Extractor,
        sources: Sequence[Source],
        sha256: Sequence[str | None],
        reads: Reading | None = None,
        views: Sequence[View] = (),
        reader: "Reader | None" = None,
    ) -> None:
        """Load what the store has and begin to read what it has not.

        Args:
            extractor: computes what is missing.
            sources: the images.
            sha256: of each source's content; ``None`` where it could not be opened.
            reads: of all the sources, where reading began before the network was there.
            views: of each image, in order; by default the undistorted one alone.
            reader: reads images in place of their sources, as where they are decoded already.
        """
        self._extractor = extractor
        self._single = not views
        views = views or (Undistorted(extractor.preprocessing),)
        self._sha256 = sha256
        context = extractor.context
        self._keys = [
            [context.key(one, view.name) if one else b"" for view in views] for one in sha256
        ]
        self._fact_keys = [facts_key(one, DECODER_VERSION) if one else b"" for one in sha256]
        self.facts: list[Facts | None] = [None] * len(sources)
        self.reasons: dict[int, str] = {}
        self.computed = 0
        self.stored = True
        self.read_seconds = self.forward_seconds = 0.0
        self._activations = np.empty((len(sources), len(views), *extractor.output), np.float32)
        self._done = self._load()
        wanted = np.flatnonzero(~self._done)
        self.missing = len(wanted)
        self._first_of: dict[str, int] = {}
        self._copies: list[tuple[int, int]] = []
        if reads is not None:
            self._reads = reads
            self._positions: Sequence[int] = range(len(sources))
        elif reader is not None:
            self._positions = [int(position) for position in wanted]
            self._reads = reader(self._positions, views)
        else:
            self._positions = [int(position) for position in wanted]
            self._reads = read(
                [sources[position] for position in self._positions],
                preprocessing=extractor.preprocessing,
                threads=extractor.threads,
                max_pixels=extractor.max_pixels,
                ahead=max(extractor.threads, _PIXELS_AHEAD // len(views)),
                renders=[view.pixels for view in views],
            )
        self._workers: ThreadPoolExecutor | None = None
        self._writer = extractor.store.writer()
        self._writer.__enter__()

    def _load(self) -> NDArray[np.bool_]:
        """Which sources the store had both facts and activations of."""
        store = self._extractor.store
        found = store.get_many(self._fact_keys)
        flat = self._activations.reshape(-1, *self._extractor.output)
        filled = store.get_into([key for keys in self._keys for key in keys], flat)
        done: NDArray[np.bool_] = np.all(filled.reshape(self._activations.shape[:2]), axis=1)
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
        if self._workers is not None:
            self._workers.shutdown(cancel_futures=True)
            self._workers = None
        self._writer.__exit__(None, None, None)

    def abandon(self) -> None:
        """Close, and let go of the activations: another extraction goes on."""
        self.close()
        self._activations = self._activations[:0].copy()

    def sample(self) -> None:
        """Compute one batch, and a second one for its time: the first one prepares the engine."""
        for _ in range(2):
            if batch := self._next_batch():
                self._keep(batch, self._submit(batch).result())

    def finish(self, progress: Progress) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Compute all that is missing.

        Returns:
            activations float32 of the images that can be read, ``(n, ...)``, or where views were
            given ``(n, views, ...)``; and their positions.
        """
        total = len(self._sha256)
        running: deque[tuple[_Batch, Future[_Result]]] = deque()
        while batch := self._next_batch():
            running.append((batch, self._submit(batch)))
            if len(running) > self._extractor.threads:
                self._keep(running[0][0], running[0][1].result())
                running.popleft()
            progress(int(self._done.sum()) + len(self.reasons), total)
        for batch, future in running:
            self._keep(batch, future.result())
        for position, original in self._copies:
            self._activations[position] = self._activations[original]
            self.facts[position] = self.facts[original]
            self._done[position] = True
        progress(total, total)
        self.close()
        rows = np.flatnonzero(self._done)
        whole = self._activations[:, 0] if self._single else self._activations
        return (whole if len(rows) == len(whole) else whole[rows]), rows

    def _next_batch(self) -> "_Batch":
        """The next images that are missing; empty where there are none."""
        batch: _Batch = []
        for item in self._reads:
            position = self._positions[item.index]
            if item.pixels is None:
                self.reasons[position] = item.reason or "unreadable"
                continue
            if item.sha256 != self._sha256[position]:
                self.reasons[position] = "it changed while it was being read"
                continue
            original = self._first_of.setdefault(item.sha256 or "", position)
            if original != position:
                self._copies.append((position, original))
                continue
            batch.append((position, item))
            if len(batch) * len(item.pixels) >= BATCH:
                break
        return batch

    def _submit(self, batch: "_Batch") -> "Future[_Result]":
        """Send a batch through the network, each batch on one thread.

        Threads that share nothing wait for nobody: where the machine is busy, threads that share
        each convolution spend most of their time waiting for the last of them.
        """
        if self._workers is None:
            self._workers = ThreadPoolExecutor(
                self._extractor.threads, "tortie-forward", initializer=multiply_alone
            )
        engine = self._extractor.engine
        pixels = np.concatenate([item.pixels for _, item in batch if item.pixels is not None])
        return self._workers.submit(_timed, engine, pixels)

    def _keep(self, batch: "_Batch", result: "_Result") -> None:
        activations, seconds = result
        self.forward_seconds = seconds / len(batch)
        self.read_seconds = sum(item.seconds for _, item in batch) / len(batch)
        self.computed += len(batch)
        views = self._activations.shape[1]
        by_image = activations.reshape(len(batch), views, *activations.shape[1:])
        for (position, item), rows in zip(batch, by_image, strict=True):
            assert item.facts is not None
            self.facts[position] = item.facts
            self._activations[position] = rows
            self._done[position] = True
            for key, row in zip(self._keys[position], rows, strict=True):
                self.stored &= self._writer.put(key, row)
            encoded = np.frombuffer(item.facts.encode(), np.uint8)
            self._writer.put(self._fact_keys[position], encoded)


_Batch = list[tuple[int, Read]]
_Result = tuple[NDArray[np.float32], float]


def multiply_alone() -> bool:
    """One thread for each operator of the calling thread, and of no other.

    Returns:
        Whether torch was loaded. Where it was not, the calling thread is as before, and is to be
        set up once torch is there.
    """
    if "torch" not in sys.modules:
        return False
    sys.modules["torch"].get_num_threads()  # torch sets a thread up at its first use, never again
    threadpool_limits(1, user_api="openmp")
    return True


def _timed(engine: Engine, pixels: NDArray[np.uint8]) -> _Result:
    """The batch's activations, and the seconds; a photograph of many views goes in parts."""
    begin = time.perf_counter()
    parts = np.array_split(pixels, max(1, round(len(pixels) / BATCH)))
    return np.concatenate([engine(part) for part in parts]), time.perf_counter() - begin
