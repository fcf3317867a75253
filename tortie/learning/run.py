"""The folder of a run: all that going on after a kill needs, and all that a reader wants to know.

``run.json`` (what the run is: recipe, choices, versions), ``photographs.csv``, ``plan.json``,
``last.safetensors`` (weights, optimiser, averages and place), ``best.safetensors`` (weights of the
best epoch), ``metrics.jsonl`` and ``metrics.csv``. Each file is old or new after a kill at any
moment. ``last.safetensors`` alone says how far the run is: what else is there is written before it
and made again by going on.
"""

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from tortie.errors import TortieError, UsageError
from tortie.files import replacing

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder are not noticed there
    fcntl = None  # type: ignore[assignment]

_LAST, _BEST = "last.safetensors", "best.safetensors"


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
    history: list[dict[str, float]] = field(default_factory=list)
    finished: str | None = None

    @classmethod
    def of(cls, content: dict[str, Any]) -> "Place":
        """The place that JSON carried, in which a pair is a list."""
        place = cls(**content)
        place.best = place.best and (place.best[0], place.best[1])
        return place

    def better(self, accuracy: float, log_loss: float) -> bool:
        """Whether an epoch beats the best so far: more right, or as many at a lower log loss."""
        return self.best is None or (-accuracy, log_loss) < (-self.best[0], self.best[1])


class Run:
    """A run's folder, held by one process at a time.

    Args:
        folder: of the run; made if it is not there.
        resume: whether to go on with the run that is there; otherwise there must be none.

    Raises:
        UsageError: a run is there and is not to be resumed, none is there that could be, or another
            process works in it.
        TortieError: the folder cannot be made.
    """

    def __init__(self, folder: Path, resume: bool = False) -> None:
        self.folder = folder
        if resume and not (folder / "run.json").exists():
            raise UsageError(f"{folder} has no run to resume: leave --resume out to begin one")
        if not resume and (folder / "run.json").exists():
            raise UsageError(f"{folder} has a run: --resume goes on with it, --force begins again")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
        except OSError as error:
            raise TortieError(f"cannot write {folder}: {error.strerror}") from error

    def _locked(self) -> IO[str]:
        lock = (self.folder / ".lock").open("w")
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                raise UsageError(f"another fit is at work in {self.folder}: wait for it") from None
        return lock

    def close(self) -> None:
        """Let other processes work in the folder."""
        self._lock.close()

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
        described, listed = self.folder / "run.json", self.folder / "photographs.csv"
        if (self.folder / _LAST).exists() or described.exists():
            before = json.loads(described.read_text(encoding="utf-8"))
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
        path = self.folder / "run.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def write(self, name: str, text: str) -> None:
        """Write a text file of the folder: old or new after a kill."""
        with replacing(self.folder / name) as file:
            file.write(text.encode("utf-8", "surrogateescape"))

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
        return Place.of(json.loads(metadata["place"])), tensors

    def save_best(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep the weights of the best epoch so far."""
        self._save(_BEST, tensors, {})

    def best(self) -> dict[str, Tensor]:
        """The weights of the best epoch.

        Raises:
            TortieError: they are damaged or gone.
        """
        return _load(self.folder / _BEST)[0]

    def write_metrics(self, history: Sequence[Mapping[str, float]]) -> None:
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
        with replacing(self.folder / name) as file:
            file.write(save(own, metadata))


def clear(folder: Path) -> None:
    """Take a run's folder away, to begin again.

    Raises:
        UsageError: the folder holds what no run wrote.
    """
    if not folder.exists():
        return
    if any(folder.iterdir()) and not any(folder.rglob("run.json")):
        raise UsageError(f"{folder} is no run's folder, so it is not replaced: move it away")
    shutil.rmtree(folder)


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise TortieError(f"{path} is damaged or gone ({error}): --force begins again") from error


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
    with listed.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        before = {row[0]: tuple(row[1:]) for row in list(csv.reader(file))[1:]}
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
    if found:
        raise UsageError(
            f"{folder} cannot go on with other photographs: {', '.join(found)}; put them back, or "
            "--force to begin again"
        )


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as named tensors: ``optimiser.PARAMETER.NAME``."""
    tensors = {}
    for number, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            if value is not None:
                tensors[f"optimiser.{number}.{name}"] = torch.as_tensor(value)
    return tensors


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state that :func:`optimiser_tensors` named."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, number, key = name.split(".", 2)
            state.setdefault(int(number), {})[key] = tensor
    whole = optimiser.state_dict()
    optimiser.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
