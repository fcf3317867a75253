"""The folder of a run: all that going on after a kill needs, and all that a reader wants to know.

``run.json`` (what the run is: recipe, choices, versions), ``photographs.csv``, ``plan.json``,
``last.safetensors`` (weights, optimiser, averages and place), ``best.safetensors`` (weights of the
best epoch), ``metrics.jsonl`` and ``metrics.csv``. Each file is old or new after a kill at any
moment. ``last.safetensors`` alone says how far the run is: what else is there is written before it
and made again by going on.
"""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from tortie.activations.key import hash_tensors
from tortie.errors import TortieError, UsageError
from tortie.files import replacing
from tortie.learning.tracking import TRACK

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder are not noticed there
    fcntl = None  # type: ignore[assignment]

_LAST, _BEST = "last.safetensors", "best.safetensors"
_LOCK = ".lock"
_WRITTEN = (
    "run.json", "photographs.csv", "plan.json", "metrics.jsonl", "metrics.csv", _LAST, _BEST,
)  # fmt: skip


@dataclass
class Place:
    """How far a run is.

    Attributes:
        epoch: the one in hand, counted from 1.
        step: steps of it that are done.
        losses: sum of the loss over the photographs of these steps.
        seen: how many photographs that is.
        best_epoch: the best by validation so far; ``None`` before the first is over.
        best: its share of right answers and its log loss.
        waited: epochs since then.
        history: what each finished epoch came to.
        finished: why the run is over; ``None`` while it is not.
    """

    epoch: int = 1
    step: int = 0
    losses: float = 0.0
    seen: int = 0
    best_epoch: int | None = None
    best: tuple[float, float] | None = None
    waited: int = 0
    history: list[dict[str, float | None]] = field(default_factory=list)
    finished: str | None = None

    @classmethod
    def of(cls, content: dict[str, Any]) -> "Place":
        """The place that JSON carried, in which a pair is a list."""
        place = cls(**content)
        place.best = None if place.best is None else (place.best[0], place.best[1])
        return place

    def better(self, accuracy: float, log_loss: float) -> bool:
        """Whether an epoch beats the best so far: more right, or as many at a lower log loss."""
        return self.best is None or (-accuracy, log_loss) < (-self.best[0], self.best[1])


class Run:
    """A run's folder, held by one process at a time.

    Args:
        folder: of the run; made if it is not there.
        resume: whether to go on with the run that is there; otherwise there must be none.
        lasting: whether the folder stays when the process ends.

    Raises:
        UsageError: a run is there and is not to be resumed, none is there that could be, or another
            process works in it.
        TortieError: the folder cannot be made.
    """

    def __init__(self, folder: Path, resume: bool = False, lasting: bool = True) -> None:
        self.folder = folder
        self._lasting = lasting
        check_beginning(folder, resume)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder)
            _sweep(folder)
        except OSError as error:
            raise TortieError(f"cannot write {folder}: {error.strerror}") from error

    def close(self) -> None:
        """Let other processes work in the folder."""
        self._lock.close()

    @property
    def way_on(self) -> str:
        """How a run that was stopped goes on, in words."""
        if not self._lasting:
            return "nothing is kept, as the fit was given no folder for its run"
        return (
            f"{self.folder} keeps the last checkpoint, and the same command with --resume goes on"
        )

    @contextmanager
    def told(self) -> Iterator[None]:
        """Work whose interruption, at any moment, says how the run goes on.

        Raises:
            TortieError: it was interrupted.
        """
        try:
            yield
        except KeyboardInterrupt:
            raise TortieError(f"stopped; {self.way_on}") from None

    @property
    def last(self) -> Path | None:
        """The last checkpoint's file; ``None`` where there is none, or none that will last."""
        path = self.folder / _LAST
        return path if self._lasting and path.exists() else None

    def begin(
        self, document: Mapping[str, Any], photographs: Sequence[tuple[str, str, str, str]]
    ) -> None:
        """Write down what the run is; where it goes on, check that it is still that.

        Args:
            document: JSON of all that decides the weights but the photographs.
            photographs: path, label, split and SHA-256 of each.

        Raises:
            UsageError: the run was begun with something else, which is named.
        """
        listed = self.folder / "photographs.csv"
        before = self.document()
        if before is not None:
            if differing := _differences(before, json.loads(json.dumps(document))):
                raise UsageError(
                    f"{self.folder} cannot go on with other choices: {'; '.join(differing)}; take "
                    "those it began with, or --force to begin again"
                )
            _check_photographs(self.folder, listed, photographs)
            return
        rows = io.StringIO(newline="")
        csv.writer(rows).writerows([("path", "label", "split", "sha256"), *photographs])
        self.write("photographs.csv", rows.getvalue())
        self.write("run.json", json.dumps(document, indent=2))

    def document(self) -> dict[str, Any] | None:
        """What the run was begun with; ``None`` for a new one."""
        return document_of(self.folder)

    def write(self, name: str, text: str) -> None:
        """Write a text file of the folder: old or new after a kill."""
        self._put(name, text.encode("utf-8", "surrogateescape"))

    def save(self, place: Place, tensors: Mapping[str, Tensor]) -> None:
        """Write the checkpoint: the next kill costs what comes after it."""
        self._save(_LAST, tensors, {"place": json.dumps(asdict(place))})

    def restore(self) -> tuple[Place, dict[str, Tensor]] | None:
        """The last checkpoint; ``None`` where there is none yet.

        Raises:
            TortieError: it is damaged.
        """
        path = self.folder / _LAST
        if not path.exists():
            return None
        tensors, metadata = _load(path)
        try:
            return Place.of(json.loads(metadata["place"])), tensors
        except (KeyError, ValueError, TypeError) as error:
            raise _damaged(path, "it is no checkpoint of a run") from error

    def save_best(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep the weights of the best epoch so far."""
        self._save(_BEST, tensors, {})

    def best(self) -> dict[str, Tensor]:
        """The weights of the best epoch.

        Raises:
            TortieError: they are damaged or gone.
        """
        return _load(self.folder / _BEST)[0]

    def write_metrics(self, history: Sequence[Mapping[str, float | None]]) -> None:
        """Write what each epoch came to as JSON lines and as CSV."""
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
            if not (self.folder / "run.json").exists():
                raise
            raise TortieError(f"{error}; make room: {self.way_on}") from error


def check_beginning(folder: Path, resume: bool) -> None:
    """Refuse to begin where a run is, and to go on where none is.

    Raises:
        UsageError: with the way out.
    """
    there = (folder / "run.json").exists()
    if resume and not there:
        raise UsageError(f"{folder} has no run to resume: leave --resume out to begin one")
    if not resume and there:
        raise UsageError(f"{folder} has a run: --resume goes on with it, --force begins again")


def document_of(folder: Path) -> dict[str, Any] | None:
    """What the run in a folder was begun with; ``None`` where there is none.

    Raises:
        TortieError: it is damaged.
    """
    path = folder / "run.json"
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    one, several = {"precision", "activations"}, {"compared"}  # a training, or depths compared
    if not isinstance(document, dict) or not any(k <= document.keys() for k in (one, several)):
        raise _damaged(path, "it describes no run")
    return document


def clear(folder: Path) -> None:
    """Take away what a run wrote into its folder, to begin again.

    Raises:
        UsageError: the folder holds what no run wrote, or another process works in it.
        TortieError: the folder cannot be written.
    """
    if not folder.exists():
        return
    try:
        lock = _locked(folder)
        with lock:
            _sweep(folder)
            for part in folder.glob("*/run.json"):  # members, and depths that were compared
                clear(part.parent)
                shutil.rmtree(part.parent)
            others = {path.name for path in folder.iterdir()} - {*_WRITTEN, _LOCK, TRACK}
            if others:
                raise UsageError(
                    f"{folder} holds what no run wrote ({min(others)}), so it is not replaced: "
                    "move it away"
                )
            for name in _WRITTEN:  # run.json first: without it, what is left is no run
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(folder / TRACK, ignore_errors=True)
    except OSError as error:
        raise TortieError(f"cannot write {folder}: {error.strerror}") from error


def _locked(folder: Path) -> IO[str]:
    """The folder's lock, which a process that ends gives back however it ends."""
    lock = (folder / _LOCK).open("w")
    if fcntl is not None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise UsageError(f"another fit is at work in {folder}: wait for it") from None
    return lock


def _sweep(folder: Path) -> None:
    """Take away what a killed process left half written; the lock says that no other writes."""
    for name in _WRITTEN:
        for part in folder.glob(f".{name}.*.part"):
            part.unlink(missing_ok=True)


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
        raise _damaged(path, error) from error
    if metadata.pop("sha256", None) != _digest(tensors, metadata):
        raise _damaged(path, "its SHA-256 is not the one it was saved with")
    return tensors, metadata


def _damaged(path: Path, why: object) -> TortieError:
    return TortieError(f"{path} is damaged or gone ({why}): --force begins again")


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """What differs, by its dotted name, in both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted(before.keys() | now.keys())
            for line in _differences(before.get(key), now.get(key), f"{name}.{key}".strip("."))
        ]
    return [] if before == now else [f"{name} is {now}, was {before}"]


def _check_photographs(
    folder: Path, listed: Path, photographs: Sequence[tuple[str, str, str, str]]
) -> None:
    try:
        with listed.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = [(path, (label, split, sha)) for path, label, split, sha in csv.reader(file)][1:]
    except (OSError, ValueError) as error:
        raise _damaged(listed, error) from error
    before = dict(rows)
    now = {path: (label, split, sha256) for path, label, split, sha256 in photographs}
    found = []
    for what, names in (
        ("gone", before.keys() - now.keys()),
        ("new", now.keys() - before.keys()),
        ("of other content", {n for n in before.keys() & now.keys() if before[n][2] != now[n][2]}),
        ("of another class", {n for n in before.keys() & now.keys() if before[n][0] != now[n][0]}),
        ("in another split", {n for n in before.keys() & now.keys() if before[n][1] != now[n][1]}),
    ):
        if names:
            found.append(f"{len(names)} {what} ({min(names)})")
    if not found and [path for path, _ in rows] != [path for path, *_ in photographs]:
        found.append("the same ones in another order")
    if found:
        raise UsageError(
            f"{folder} cannot go on with other photographs: {', '.join(found)}; put them back, or "
            "--force to begin again"
        )
