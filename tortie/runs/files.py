"""The files of a run: all that resuming after a kill needs, and all that a reader wants to know.

``run.json`` (what the run is: recipe, choices, versions), ``photographs.csv``, ``plan.json``,
``last.safetensors`` (weights, optimiser, averages and state), ``best.safetensors`` (weights of the
best epoch), ``metrics.jsonl`` and ``metrics.csv``, ``environment.json`` (when and where it was at
work) and ``README.txt``; a ``.lock`` while a process is at work, ``track/`` of a tracker, a folder
for each member of an ensemble (``member-2/``) and each depth that ``--freeze auto`` compares.
Each file is old or new after a kill at any moment.
``last.safetensors`` alone says how far the run is: what else is there is written before it
and made again by going on.
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from tortie.activations.key import hash_tensors
from tortie.errors import TortieError
from tortie.files import replacing
from tortie.runs.folder import (
    BEST,
    ENVIRONMENT,
    LAST,
    README,
    RUN,
    check_beginning,
    clear,
    damaged,
    document_of,
    leave,
    locked,
    resume_hint,
    sweep,
)
from tortie.runs.readme import TEXT, environment
from tortie.runs.resume import Listed, check_choices, check_photographs, photographs_csv
from tortie.training.state import TrainState


class RunFiles:
    """A run's folder on the disk, held by one process at a time.

    Args:
        folder: of the run; made if it is not there.
        resume: whether to go on with the run that is there; otherwise there must be none.
        lasting: whether the folder stays when the process ends.
        replaces: folder of a run that is cleared when this one begins, and not before: the same
            one, or that of all members; ``None`` where a run that is there may not be replaced.

    Raises:
        UsageError: a run is there and is not to be resumed, none is there that could be, or another
            process works in it.
        TortieError: the folder cannot be made.
    """

    def __init__(
        self, folder: Path, resume: bool = False, lasting: bool = True,
        replaces: Path | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder
        self._lasting = lasting
        self._replaces = replaces
        self._begun = False
        check_beginning(folder, resume, replaces)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = locked(folder)
            sweep(folder)
        except OSError as error:
            raise TortieError(f"cannot write {folder}: {error.strerror}") from error

    def close(self) -> None:
        """Let other processes work in the folder, which is taken away if nothing was begun."""
        with self._lock:
            if self._lasting:
                leave(self.folder)

    @property
    def last(self) -> Path | None:
        """The last checkpoint's file; ``None`` where there is none, or none that will last."""
        path = self.folder / LAST
        return path if self._lasting and path.exists() else None

    def begin(self, document: Mapping[str, Any], photographs: Sequence[Listed]) -> None:
        """Write down what the run is; where it goes on, check that it is still that.

        Args:
            document: JSON of all that decides the weights but the photographs.
            photographs: all of them.

        Raises:
            UsageError: the run was begun with something else, which is named, or the one that it
                replaces cannot be cleared.
        """
        self.clear_replaced()
        begun = self.document()
        if begun is not None:
            check_choices(self.folder, begun, json.loads(json.dumps(document)))
            check_photographs(self.folder, photographs)
        else:
            self.write("photographs.csv", photographs_csv(photographs))
            self.write(RUN, json.dumps(document, indent=2))
        self._begun = True
        times = self.folder / ENVIRONMENT
        before = times.read_text("utf-8", "replace") if times.exists() else None
        self.write(ENVIRONMENT, environment(before))
        self.write(README, TEXT)

    def clear_replaced(self) -> None:
        """Take away the run that gives way to this one.

        Raises:
            UsageError: it holds what no run wrote, or another process works in it.
        """
        if self._replaces is not None:
            clear(self._replaces, held=self.folder)
            self._replaces = None

    def document(self) -> dict[str, Any] | None:
        """What the run was begun with; ``None`` for a new one."""
        return None if self._replaces is not None else document_of(self.folder)

    def write(self, name: str, text: str) -> None:
        """Write a text file of the folder: old or new after a kill."""
        self._put(name, text.encode("utf-8", "surrogateescape"))

    def save(self, state: TrainState, tensors: Mapping[str, Tensor]) -> None:
        """Write the checkpoint: the next kill costs what comes after it."""
        self._save(LAST, tensors, {"state": json.dumps(asdict(state))})

    def restore(self) -> tuple[TrainState, dict[str, Tensor]] | None:
        """The last checkpoint; ``None`` where there is none yet.

        Raises:
            TortieError: it is damaged.
        """
        path = self.folder / LAST
        if not path.exists():
            return None
        tensors, metadata = _load(path)
        try:
            return TrainState.of(json.loads(metadata["state"])), tensors
        except (KeyError, ValueError, TypeError) as error:
            raise damaged(path, "it is no checkpoint of a run") from error

    def save_best(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep the weights of the best epoch so far."""
        self._save(BEST, tensors, {})

    def best(self) -> dict[str, Tensor]:
        """The weights of the best epoch.

        Raises:
            TortieError: they are damaged or gone.
        """
        return _load(self.folder / BEST)[0]

    def write_metrics(self, history: Sequence[Mapping[str, float | None]]) -> None:
        """Write the figures of each epoch as JSON lines and as CSV."""
        self.write("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in history))
        rows = io.StringIO(newline="")
        writer = csv.DictWriter(rows, list(history[0]) if history else [])
        writer.writeheader()
        writer.writerows(history)
        self.write("metrics.csv", rows.getvalue())

    def _save(self, name: str, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
        from safetensors.torch import save

        own = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        self._put(name, save(own, {**metadata, "sha256": _digest(own, metadata)}))

    def _put(self, name: str, content: bytes) -> None:
        try:
            with replacing(self.folder / name) as file:
                file.write(content)
        except TortieError as error:
            if not self._begun:
                raise
            raise TortieError(
                f"{error}; make room: {resume_hint(self.folder, self._lasting)}"
            ) from error


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 over all that a file of tensors holds."""
    described = json.dumps(dict(metadata), sort_keys=True) + hash_tensors(tensors.items())
    return hashlib.sha256(described.encode()).hexdigest()


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise damaged(path, error) from error
    if metadata.pop("sha256", None) != _digest(tensors, metadata):
        raise damaged(path, "its SHA-256 is not the one it was saved with")
    return tensors, metadata
