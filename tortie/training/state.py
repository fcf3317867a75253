"""How far a training by steps is, and what keeps its checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor


@dataclass
class TrainState:
    """How far a run is.

    Attributes:
        epoch: the one in hand, counted from 1.
        step: steps of it that are done.
        losses: sum of the loss over the photographs of these steps.
        seen: how many photographs that is.
        best_epoch: the best by validation so far; ``None`` before the first is over.
        best: its share of right answers and its log loss.
        waited: epochs since then.
        history: the figures of each finished epoch.
        finished: why the run is over: all epochs are done, or there was no better one for as long
            as the recipe waits; ``None`` while it is not.
    """

    epoch: int = 1
    step: int = 0
    losses: float = 0.0
    seen: int = 0
    best_epoch: int | None = None
    best: tuple[float, float] | None = None
    waited: int = 0
    history: list[dict[str, float | None]] = field(default_factory=list)
    finished: Literal["epochs", "patience"] | None = None

    @classmethod
    def of(cls, content: dict[str, Any]) -> "TrainState":
        """The state that JSON carried, in which a pair is a list."""
        state = cls(**content)
        state.best = None if state.best is None else (state.best[0], state.best[1])
        return state

    def better(self, accuracy: float, log_loss: float) -> bool:
        """Whether an epoch beats the best so far: more right, or as many at a lower log loss."""
        return self.best is None or (-accuracy, log_loss) < (-self.best[0], self.best[1])


class Checkpoints(Protocol):
    """Where a training keeps its checkpoints; :class:`tortie.runs.run.Run` is one.

    Attributes:
        folder: where they are.
        last: the last checkpoint's file; ``None`` where there is none, or none that will last.
        resume_hint: how a training that was stopped goes on, in words.
    """

    folder: Path

    @property
    def last(self) -> Path | None: ...  # noqa: D102

    @property
    def resume_hint(self) -> str: ...  # noqa: D102

    def restore(self) -> tuple[TrainState, dict[str, Tensor]] | None:
        """The last checkpoint; ``None`` where there is none yet."""
        ...

    def save(self, state: TrainState, tensors: Mapping[str, Tensor]) -> None:
        """Write the checkpoint."""
        ...

    def save_best(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep the weights of the best epoch so far."""
        ...

    def best(self) -> dict[str, Tensor]:
        """The weights of the best epoch."""
        ...

    def write_metrics(self, history: Sequence[Mapping[str, float | None]]) -> None:
        """Write the metrics of each epoch."""
        ...
