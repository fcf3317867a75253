"""A training run of one process or of several: its folder, and what to say when it is stopped."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from tortie.errors import TortieError
from tortie.processes import ALONE, Processes
from tortie.runs.files import RunFiles
from tortie.runs.folder import resume_hint
from tortie.runs.resume import Listed
from tortie.training.state import TrainState


class Run:
    """A run. The first process reads and writes the folder; the others hear what it found.

    All processes call every method. They wait for the first one, and end with it where it fails.

    Args:
        folder: of the run; made if it is not there. The other processes never look at it.
        resume: whether to go on with the run that is there; otherwise there must be none.
        lasting: whether the folder stays when the process ends.
        replaces: folder of a run that is cleared when this one begins, and not before: the same
            one, or that of all members; ``None`` where a run that is there may not be replaced.
        processes: of the run.

    Raises:
        UsageError: a run is there and is not to be resumed, none is there that could be, or another
            process works in it.
        TortieError: the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        resume: bool = False,
        lasting: bool = True,
        replaces: Path | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.folder = folder
        self._lasting = lasting
        self._processes = processes
        self._begun = False
        self._opened: RunFiles | None = None

        def open_files() -> None:
            self._opened = RunFiles(folder, resume, lasting, replaces)

        self._first_does(open_files)

    @property
    def _files(self) -> RunFiles:
        """The folder, in the first process alone."""
        assert self._opened is not None
        return self._opened

    def _first_does(self, work: Callable[[], object]) -> None:
        def done() -> bytes:
            work()
            return b""

        self._processes.broadcast_bytes(done)

    def close(self) -> None:
        """Let other processes work in the folder, which is taken away if nothing was begun."""
        if self._processes.first:
            self._files.close()

    @property
    def resume_hint(self) -> str:
        """How a run that was stopped is resumed, in words."""
        return resume_hint(self.folder, self._lasting)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Work whose interruption, at any moment after the beginning, says how it is resumed.

        Raises:
            TortieError: it was interrupted.
        """
        try:
            yield
        except KeyboardInterrupt:
            if not self._begun:
                raise
            raise TortieError(f"stopped; {self.resume_hint}") from None

    @property
    def last(self) -> Path | None:
        """The last checkpoint's file; ``None`` where there is none, or none that will last."""
        return self._files.last if self._processes.first else None

    def begin(self, document: Mapping[str, Any], photographs: Sequence[Listed]) -> None:
        """Write down what the run is; where it is resumed, check that it is still that.

        Args:
            document: JSON of all that decides the weights but the photographs.
            photographs: all of them.

        Raises:
            UsageError: the run was begun with something else, which is named, or the one that it
                replaces cannot be cleared.
        """
        self._first_does(lambda: self._files.begin(document, photographs))
        self._begun = True

    def clear_replaced(self) -> None:
        """Take away the run that gives way to this one.

        Raises:
            UsageError: it holds what no run wrote, or another process works in it.
        """
        self._first_does(lambda: self._files.clear_replaced())

    def document(self) -> dict[str, Any] | None:
        """What the run was begun with; ``None`` for a new one."""
        text = self._processes.broadcast_bytes(lambda: json.dumps(self._files.document()).encode())
        found: dict[str, Any] | None = json.loads(text)
        return found

    def write(self, name: str, text: str) -> None:
        """Write a text file of the folder: old or new after a kill."""
        self._first_does(lambda: self._files.write(name, text))

    def save(self, state: TrainState, tensors: Mapping[str, Tensor]) -> None:
        """Write the checkpoint: the next kill costs what comes after it."""
        self._first_does(lambda: self._files.save(state, tensors))

    def restore(self) -> tuple[TrainState, dict[str, Tensor]] | None:
        """The last checkpoint; ``None`` where there is none yet.

        Raises:
            TortieError: it is damaged.
        """
        if self._processes.count == 1:
            return self._files.restore()
        found: tuple[TrainState, dict[str, Tensor]] | None = None

        def read() -> bytes:
            nonlocal found
            found = self._files.restore()
            return b"" if found is None else json.dumps(asdict(found[0])).encode()

        state = self._processes.broadcast_bytes(read)
        if not state:
            return None
        tensors = self._tensors(lambda: found[1] if found else {})
        return found or (TrainState.of(json.loads(state)), tensors)

    def save_best(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep the weights of the best epoch so far."""
        self._first_does(lambda: self._files.save_best(tensors))

    def best(self) -> dict[str, Tensor]:
        """The weights of the best epoch.

        Raises:
            TortieError: they are damaged or gone.
        """
        if self._processes.count == 1:
            return self._files.best()
        return self._tensors(lambda: self._files.best())

    def write_metrics(self, history: Sequence[Mapping[str, float | None]]) -> None:
        """Write the metrics of each epoch as JSON lines and as CSV."""
        self._first_does(lambda: self._files.write_metrics(history))

    def _tensors(self, read: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        from safetensors.torch import load, save

        return load(self._processes.broadcast_bytes(lambda: save(read())))
