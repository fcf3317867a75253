"""Adding entries to the store: in batches, each wholly there or not at all."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from tortie.activations import limit, segments
from tortie.activations.index import Index
from tortie.activations.segments import OpenSegment, Place

# A kill loses what was not committed: at most so much, or so long.
_COMMIT_BYTES = 8 << 20
_COMMIT_SECONDS = 2.0


class Writer:
    """Adds entries to a store, from any number of threads of the process that made it.

    What is put becomes visible to others, and safe from a kill, when it is committed: every 8 MB,
    every 2 seconds while entries come, and at the end of the block. A writer never raises for the
    sake of the store: when it can store no more, it says so once, sets :attr:`full` and takes no
    more.

    What this writer wrote, and what the run has found in the store, is not evicted to make room
    for more: a run larger than the limit stores what fits, and computes the rest each time.

    Args:
        folder: the store's folder.
        index: the store's index; ``None`` where the store is off.
        limit_bytes: what segments and index may take together.
        spared: names of segments that the run has read; may grow.
        note: told once, in one line, why storing ended.
    """

    def __init__(
        self,
        folder: Path,
        index: Index | None,
        limit_bytes: int,
        spared: set[str],
        note: Callable[[str], None],
    ) -> None:
        self._folder, self._limit, self._spared, self._note = folder, limit_bytes, spared, note
        self._index = index
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._full = index is None
        self._closed = False
        self._segments: list[OpenSegment] = []
        self._buffer = bytearray()
        self._pending: dict[bytes, Place] = {}  # offsets within the buffer
        self._committed = time.monotonic()

    @property
    def full(self) -> bool:
        """Whether nothing more is stored, for want of room, of rights or of a working disk."""
        return self._full

    def put(self, key: bytes, array: NDArray[Any]) -> bool:
        """Adds an entry; whether it will be stored.

        Args:
            key: 32 bytes, from :mod:`tortie.activations.key`.
            array: any shape; uint8, float32, float16, or uint16, which carries bfloat16.

        Raises:
            TypeError: an array of another type.
        """
        head, payload = segments.encode(key, array)
        with self._lock:
            # A forked process shares the file and would write over its parent's entries.
            if self._full or self._closed or os.getpid() != self._process:
                return False
            if key not in self._pending:
                length = len(head) + payload.nbytes
                self._pending[key] = (len(self._buffer), length, key)
                self._buffer += head
                self._buffer += payload
            late = time.monotonic() - self._committed > _COMMIT_SECONDS
            if late or len(self._buffer) >= min(_COMMIT_BYTES, limit.segment_bytes(self._limit)):
                self._commit()
            return not self._full

    def commit(self) -> None:
        """Makes all that was put visible to others now."""
        with self._lock:
            if os.getpid() == self._process:
                self._commit()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.commit()
        finally:
            with self._lock:
                self._closed = True
                for segment in self._segments:
                    segment.close()
                self._segments.clear()

    def _commit(self) -> None:
        index, self._committed = self._index, time.monotonic()
        if index is None or not self._pending:
            return
        try:
            if self._make_room(index, len(self._buffer)):
                segment = self._writable(index)
                start = segment.end
                segment.append(memoryview(self._buffer))
                places = self._pending.values()
                index.add(
                    segment.name,
                    segment.end,
                    [(start + offset, length, key) for offset, length, key in places],
                )
        except (OSError, sqlite3.Error) as error:
            # Entries that were written and not indexed are found when the store is opened again.
            self._stop(f"cannot write to the activation store {self._folder}: {_reason(error)}")
        self._buffer = bytearray()
        self._pending = {}

    def _make_room(self, index: Index, needed: int) -> bool:
        """Whether the limit leaves room, after eviction where it must be."""
        held = limit.held_bytes(self._folder, index)
        if held + needed <= self._limit:
            return True
        # A tenth more than must be: taking entries out of the index reads the whole of it.
        excess = held + needed - self._limit
        spared = self._spared | {segment.name for segment in self._segments}
        limit.evict(self._folder, index, excess, self._limit // 10, spared)
        if limit.held_bytes(self._folder, index) + needed <= self._limit:
            return True
        self._stop(
            f"the activation store {self._folder} is full (limit {self._limit / 1e6:,.0f} MB): "
            "what does not fit is computed again in each run; TORTIE_CACHE_LIMIT raises the limit"
        )
        return False

    def _writable(self, index: Index) -> OpenSegment:
        """The segment to append to.

        Those before stay open, and so locked, until the end: nobody evicts what this run needs.
        """
        if self._segments and not self._segments[-1].gone:
            if self._segments[-1].end < limit.segment_bytes(self._limit):
                return self._segments[-1]
        elif not self._segments and (segment := self._adopted(index)) is not None:
            self._segments.append(segment)
            return segment
        self._segments.append(OpenSegment.create(self._folder))
        return self._segments[-1]

    def _adopted(self, index: Index) -> OpenSegment | None:
        """A small segment that nobody writes: else a thousand small runs left a thousand files."""
        indexed = index.indexed()
        small = [
            (used, name)
            for name, (size, used) in segments.sizes(self._folder).items()
            if size == indexed.get(name) and size < limit.segment_bytes(self._limit) // 2
        ]
        for _, name in sorted(small, reverse=True):
            segment = OpenSegment.adopt(self._folder, name)
            if segment is None:
                continue
            if index.indexed().get(name) == segment.end:  # still, now that it is locked
                return segment
            segment.close()
        return None

    def _stop(self, reason: str) -> None:
        self._full = True
        self._note(reason)


def _reason(error: OSError | sqlite3.Error) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
