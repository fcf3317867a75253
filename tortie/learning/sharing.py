"""What the processes of a fit have in common on the disk: the store, and the folder of a run."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from tortie.activations.extract import Extraction, Extractor, Progress
from tortie.activations.views import Undistorted, View
from tortie.errors import UsageError
from tortie.images import Source
from tortie.learning.options import FitOptions
from tortie.learning.step_plan import StepPlan
from tortie.processes import Processes
from tortie.runs.folder import check_beginning
from tortie.runs.resume import Listed
from tortie.runs.run import Run
from tortie.training.state import TrainState

_AT_ONCE = 256 << 20  # bytes of activations that are computed before they are let go of


def share_out(
    processes: Processes, extractor: Extractor, sources: Sequence[Source],
    sha256: Sequence[str | None], views: Sequence[View], progress: Progress,
) -> None:  # fmt: skip
    """Compute what the store has not, each process its share; all of it is there in the end.

    Where machines do not share a store, or its limit is reached, each computes what it misses when
    it loads.

    Args:
        processes: all of them call this.
        extractor: computes what is missing.
        sources: the photographs.
        sha256: of each source's content; ``None`` where it could not be opened.
        views: of each photograph; empty for the undistorted one alone.
        progress: told of this process's share.
    """
    if processes.count == 1:
        return
    processes.barrier()  # until all have written what they had
    context = extractor.context
    names = [view.name for view in views or (Undistorted(extractor.preprocessing),)]
    first: dict[str, int] = {}
    for position, digest in enumerate(sha256):
        if digest is not None:
            first.setdefault(digest, position)
    keys = {digest: [context.key(digest, name) for name in names] for digest in first}
    there = extractor.store.contains_many([key for each in keys.values() for key in each])
    missing = [i for digest, i in first.items() if not there.issuperset(keys[digest])]
    processes.barrier()  # all have looked before one writes, so that all share out the same
    own = missing[processes.rank :: processes.count]
    at_once = max(1, _AT_ONCE // (4 * len(names) * int(np.prod(extractor.output))))
    for begin in range(0, len(own), at_once):
        part = own[begin : begin + at_once]

        def told(done: int, total: int, begin: int = begin) -> None:
            progress(begin + done, len(own))

        with Extraction(
            extractor, [sources[i] for i in part], [sha256[i] for i in part], views=views
        ) as extraction:
            extraction.finish(told)
    processes.barrier()


def check_run(options: FitOptions, processes: Processes) -> None:
    """Refuse early to begin where a run is, and to go on where none is.

    Raises:
        UsageError: with the way out.
    """

    def check() -> bytes:
        if options.run is not None:
            check_beginning(options.run, options.resume, options.replaces)
        return b""

    processes.broadcast_bytes(check)


def open_run(folder: Path, options: FitOptions, processes: Processes) -> Run:
    """The folder of a run, which the first of several processes alone works in.

    Raises:
        UsageError: as :class:`~tortie.runs.run.Run` does.
        TortieError: the folder cannot be made.
    """
    lasting = options.run is not None
    if processes.count == 1:
        return Run(folder, options.resume, lasting, options.replaces)
    return SharedRun(folder, options.resume, lasting, options.replaces, processes)


class SharedRun(Run):
    """A run of several processes: the first one reads and writes, the others hear what it found.

    All of them call every method. They wait for the first one, and end with it where it fails.

    Args:
        folder: of the run; the others never look at it.
        resume: whether to go on with the run that is there.
        lasting: whether the folder stays when the process ends.
        replaces: folder of a run that is cleared when this one begins, or ``None``.
        processes: of the run.
    """

    def __init__(
        self, folder: Path, resume: bool, lasting: bool, replaces: Path | None,
        processes: Processes,
    ) -> None:  # fmt: skip
        self.folder = folder
        self._lasting = lasting
        self._begun = False
        self._processes = processes
        self._own: Run

        def make() -> None:
            self._own = Run(folder, resume, lasting, replaces)

        self._first_does(make)

    def _first_does(self, work: Callable[[], None]) -> None:
        def done() -> bytes:
            work()
            return b""

        self._processes.broadcast_bytes(done)

    def close(self) -> None:
        """Let other fits work in the folder."""
        if self._processes.first:
            self._own.close()

    def begin(self, document: Mapping[str, Any], photographs: Sequence[Listed]) -> None:
        """As a run of one process; the first one's choices count."""
        self._first_does(lambda: self._own.begin(document, photographs))
        self._begun = True

    def clear_replaced(self) -> None:
        """Take away the run that gives way to this one."""
        self._first_does(lambda: self._own.clear_replaced())

    def document(self) -> dict[str, Any] | None:
        """What the run was begun with; ``None`` for a new one."""
        text = self._processes.broadcast_bytes(lambda: json.dumps(self._own.document()).encode())
        found: dict[str, Any] | None = json.loads(text)
        return found

    def write(self, name: str, text: str) -> None:
        """Write a text file of the folder."""
        self._first_does(lambda: self._own.write(name, text))

    def save(self, state: TrainState, tensors: Mapping[str, Tensor]) -> None:
        """Write the checkpoint."""
        self._first_does(lambda: self._own.save(state, tensors))

    def restore(self) -> tuple[TrainState, dict[str, Tensor]] | None:
        """The last checkpoint; ``None`` where there is none yet."""
        found: tuple[TrainState, dict[str, Tensor]] | None = None

        def read() -> bytes:
            nonlocal found
            found = self._own.restore()
            return b"" if found is None else json.dumps(asdict(found[0])).encode()

        state = self._processes.broadcast_bytes(read)
        if not state:
            return None
        tensors = self._tensors(lambda: found[1] if found else {})
        return found or (TrainState.of(json.loads(state)), tensors)

    def save_best(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep the weights of the best epoch so far."""
        self._first_does(lambda: self._own.save_best(tensors))

    def best(self) -> dict[str, Tensor]:
        """The weights of the best epoch."""
        return self._tensors(lambda: self._own.best())

    def _tensors(self, read: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        from safetensors.torch import load, save

        return load(self._processes.broadcast_bytes(lambda: save(read())))


def first_decides(
    processes: Processes, decide: Callable[[dict[str, Any] | None], StepPlan],
    before: dict[str, Any] | None,
) -> StepPlan:  # fmt: skip
    """How the steps go, which is timed and so is for the first process to say; all do alike.

    Args:
        processes: all of them call this.
        decide: told what was decided before, or ``None``.
        before: what the run was begun with, where it goes on.
    """
    if processes.count == 1:
        return decide(before)
    found = None

    def first() -> bytes:
        nonlocal found
        found = decide(before)
        return json.dumps({"precision": found.precision, "activations": found.activations}).encode()

    told = json.loads(processes.broadcast_bytes(first))
    return found or decide(told)


def refuse_auto(freeze: str | int, processes: Processes) -> None:
    """Refuse to compare depths by their time on several processes.

    Raises:
        UsageError: with what to do instead.
    """
    if str(freeze) == "auto" and processes.count > 1:
        raise UsageError(
            "--freeze auto times depths on one process: run it without torchrun first, then "
            "--freeze the stage it chose"
        )
