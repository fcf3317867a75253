"""What a fit tells while it runs, and what it has made and measured when it ends."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tortie.evaluation.novelty import Novelty
from tortie.images import Photograph, Source
from tortie.images.inputs import Skipped
from tortie.images.split import Row
from tortie.images.split_rules import SplitRules
from tortie.learning.calibration import Calibration
from tortie.learning.plan import Plan
from tortie.networks.table import Entry

if TYPE_CHECKING:
    from tortie.networks.network import Network


@dataclass
class Events:
    """Whom to tell what happens: each is called in the fit's own thread.

    Attributes:
        plan: the plan, before the work begins; ``False`` stops there.
        progress: images done, images in all.
        steps: steps of training done, steps in all.
        note: one line that the user should know.
    """

    plan: Callable[[Plan], bool] = lambda plan: True
    progress: Callable[[int, int], None] = lambda done, total: None
    steps: Callable[[int, int], None] = lambda done, total: None
    note: Callable[[str], None] = lambda line: None


@dataclass(frozen=True)
class FitResult:
    """What a fit made and measured.

    Attributes:
        network: the network, its head trained.
        entry: its row in the table.
        plan: what was planned.
        seed: of every draw.
        classes: names in the order of the logits.
        photographs: those that took part.
        sources: what was read for each of them.
        sha256: content of each of them.
        labels: class index of each of them.
        protocol: the split of each of them, and what the accuracy is counted on.
        groups: those of one number are copies, or were given as one group.
        skipped: photographs that took no part.
        held: positions ``(n,)`` among ``photographs`` of those the accuracy is counted on.
        probabilities: theirs, ``(n, K)``, each at a temperature that was fitted without it.
        uncalibrated: theirs, as the network gives them.
        too_few: why there is no accuracy, where there is none.
        penalty: λ of the softmax layer; ``None`` where it was trained by steps.
        calibration: the temperatures, and what they were fitted on.
        novelty: how far a photograph is from the training photographs; ``None`` where it cannot be
            told.
        notes: what the user should know.
        seconds: spent, by phase.
        history: what each epoch of the training came to; empty where there was none.
        best_epoch: the one whose weights were kept.
        members: what each network of an ensemble made by itself; empty for one network.
    """

    network: "Network"
    entry: Entry
    plan: Plan
    seed: int
    classes: tuple[str, ...]
    photographs: list[Photograph]
    sources: list[Source]
    sha256: list[str]
    labels: NDArray[np.int64]
    protocol: SplitRules
    groups: list[int | None]
    skipped: list[Skipped]
    held: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    uncalibrated: NDArray[np.float32]
    too_few: str | None
    penalty: float | None
    calibration: Calibration
    novelty: Novelty | None
    notes: list[str]
    seconds: dict[str, float]
    history: list[dict[str, float | None]] = field(default_factory=list)
    best_epoch: int | None = None
    members: "tuple[FitResult, ...]" = ()

    @property
    def each(self) -> "tuple[FitResult, ...]":
        """The members, or the one network that this is."""
        return self.members or (self,)

    @property
    def head(self) -> str:
        """What the file says of the head: the paper's own, or the one that was asked for."""
        own = self.plan.weights is None and self.plan.head == "linear"
        return "published" if own else self.plan.head

    def split_rows(self) -> Iterator[Row]:
        """The split of every photograph, to be written and given back."""
        for photograph, split, group in zip(
            self.photographs, self.protocol.splits, self.groups, strict=True
        ):
            name = None if group is None else str(group)
            yield Row(photograph.path, photograph.label, split, name)
