"""Activations of photographs that come and go, by content: each is computed once."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tortie.activations.extract import Extraction, Extractor
from tortie.images import hash_all

Floats = NDArray[np.float32]
_AT_ONCE = 32  # photographs between two words of progress


class FeatureMemory:
    """Features of files, from the activation store or computed and kept there.

    Args:
        extractor: computes what the store has not.
    """

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self._digests: dict[tuple[Path, tuple[int, int]], str | None] = {}
        self._features: dict[str, Floats] = {}
        self._preparing = threading.Lock()
        self.reasons: dict[str, str] = {}

    def prepare(self) -> None:
        """Make the engine ready, which takes longer than a photograph, and run it once."""
        with self._preparing:
            wanted = self._extractor.preprocessing
            shape = (1, wanted.height, wanted.width, wanted.channels)
            self._extractor.engine(np.zeros(shape, np.uint8))

    def wait(self) -> None:
        """Wait for the engine while it is made ready: two threads would make it twice."""
        with self._preparing:
            pass

    def digest(self, path: Path, changed: tuple[int, int]) -> str | None:
        """SHA-256 of a file that :meth:`take` saw; ``None`` where it could not be opened."""
        return self._digests.get((path, changed))

    def of(self, digest: str | None) -> Floats | None:
        """The features of a content; ``None`` where it cannot be read as an image."""
        return None if digest is None else self._features.get(digest)

    def take(
        self,
        files: Sequence[tuple[Path, tuple[int, int]]],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Learn the content and the features of files.

        Args:
            files: each with what changes when it does.
            progress: told files done and in all.
        """
        new = [one for one in files if one not in self._digests]
        found = hash_all([path for path, _ in new], self._extractor.threads)
        self._digests.update(zip(new, found, strict=True))
        missing: dict[str, Path] = {}
        for (path, _), digest in zip(new, found, strict=True):
            if digest and digest not in self._features and digest not in self.reasons:
                missing.setdefault(digest, path)
        wanted = list(missing.items())
        for begin in range(0, len(wanted), _AT_ONCE):
            self._compute(wanted[begin : begin + _AT_ONCE])
            progress(min(begin + _AT_ONCE, len(wanted)), len(wanted))

    def _compute(self, some: Sequence[tuple[str, Path]]) -> None:
        self.wait()
        digests = [digest for digest, _ in some]
        with Extraction(self._extractor, [path for _, path in some], digests) as extraction:
            rows, found = extraction.finish(lambda done, total: None)
        for row, position in zip(rows, found, strict=True):
            self._features[digests[position]] = np.array(row, np.float32).reshape(-1)
        for position, reason in extraction.reasons.items():
            self.reasons[digests[position]] = reason
