"""Facts of images without a network: from the store, else from one decode, which is kept."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tortie.activations.key import facts_key
from tortie.activations.store import ActivationStore
from tortie.images import (
    DECODER_VERSION,
    Facts,
    Read,
    Reading,
    Source,
    UnreadableImage,
    decode,
    facts_of,
    file_bytes,
)
from tortie.images.unreadable import reason_of

AT_LEAST = 256
"""Pixels of the shorter side that a reduced decode must do justice to: as most networks ask, so
that the facts are the same whoever came first."""

_AHEAD = 64  # images read before their turn: facts are small, but so is what waiting costs


@dataclass(frozen=True)
class StoredFacts:
    """What is known of a sequence of images.

    Attributes:
        facts: of each; ``None`` where it cannot be read.
        reasons: why an image cannot be read, by its position.
        decoded: how many were decoded here; the store knew the others.
    """

    facts: list[Facts | None]
    reasons: dict[int, str]
    decoded: int


def stored_facts(
    sources: Sequence[Source],
    sha256: Sequence[str | None],
    store: ActivationStore,
    *,
    threads: int,
    max_pixels: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> StoredFacts:
    """The facts of every image, each content decoded once at the most.

    Args:
        sources: the images.
        sha256: of each one's content; ``None`` where it could not be opened.
        store: where facts are kept.
        threads: that read and decode.
        max_pixels: an image with more is not decoded.
        progress: called with the number of images done and of all.
    """
    keys = [facts_key(one, DECODER_VERSION) if one else b"" for one in sha256]
    facts = _stored(keys, store)
    first: dict[bytes, int] = {}
    for i, key in enumerate(keys):
        if facts[i] is None and key:
            first.setdefault(key, i)
    wanted = [i for i, fact in enumerate(facts) if fact is None and first.get(keys[i], i) == i]
    reasons: dict[int, str] = {}
    done = len(sources) - len(wanted)

    def work(place: int) -> Read:
        return _read(wanted[place], sources[wanted[place]], sha256[wanted[place]], max_pixels)

    with Reading(work, len(wanted), threads, _AHEAD) as reading, store.writer() as writer:
        for item in reading:
            facts[item.index] = item.facts
            if item.facts is None:
                reasons[item.index] = item.reason or "unreadable"
            else:
                encoded = np.frombuffer(item.facts.encode(), np.uint8)
                writer.put(keys[item.index], encoded)
            done += 1
            progress(done, len(sources))
    for i, key in enumerate(keys):
        original = first.get(key, i)
        facts[i] = facts[original]
        if original in reasons:
            reasons[i] = reasons[original]
    return StoredFacts(facts, reasons, len(wanted))


def _stored(keys: Sequence[bytes], store: ActivationStore) -> list[Facts | None]:
    found = store.get_many([key for key in dict.fromkeys(keys) if key])
    facts: list[Facts | None] = [None] * len(keys)
    for i, key in enumerate(keys):
        if key in found:
            with contextlib.suppress(ValueError):  # facts of another version
                facts[i] = Facts.decode(found[key].tobytes())
    return facts


def _read(index: int, source: Source, sha256: str | None, max_pixels: int) -> Read:
    """One decode, no pixels kept."""
    begin, reason = time.perf_counter(), None
    try:
        content = file_bytes(source, max_pixels) if isinstance(source, Path) else source
        if isinstance(content, bytes) and hashlib.sha256(content).hexdigest() != sha256:
            raise UnreadableImage("it changed while it was being read")
        facts = facts_of(decode(content, at_least=AT_LEAST, max_pixels=max_pixels))
    except (UnreadableImage, MemoryError) as error:
        facts, reason = None, reason_of(error)
    seconds = time.perf_counter() - begin
    return Read(index, sha256, facts, None, reason=reason, seconds=seconds)
