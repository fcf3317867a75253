"""A fit as it was asked for: photographs, options, network, depth, and what it may use.

Never imports torch before it is needed: photographs are decoded while torch is being loaded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tortie.activations.device import device_name
from tortie.activations.engine import Precision, choose, chosen_precision
from tortie.activations.store import ActivationStore
from tortie.errors import TortieError, UsageError
from tortie.images import Collection, Source
from tortie.learning.freeze import Freeze, check_weights_trained, chosen_weights, resolve
from tortie.learning.input_size import resized
from tortie.learning.options import FitOptions
from tortie.learning.plan import Plan
from tortie.learning.unused_options import check_for_depth
from tortie.networks.arguments import parse_network, varied
from tortie.networks.entry import Entry
from tortie.networks.stage_names import stage_names
from tortie.processes import Processes, core_count

if TYPE_CHECKING:
    import torch


@dataclass
class Events:
    """Callbacks of a fit, called in its own thread.

    Attributes:
        plan: called once with the plan, before the work begins.
        progress: called with the number of images done, and of all.
        steps: called with the number of training steps done, and of all.
        note: called with a line that the user should know.
    """

    plan: Callable[[Plan], None] = lambda plan: None
    progress: Callable[[int, int], None] = lambda done, total: None
    steps: Callable[[int, int], None] = lambda done, total: None
    note: Callable[[str], None] = lambda line: None


class PlanOnly(TortieError):
    """The plan was asked for and nothing else; raised where the work would begin.

    Attributes:
        plan: of the fit.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__("only the plan was asked for")
        self.plan = plan


@dataclass(frozen=True)
class Job:
    """One network to be fitted.

    Attributes:
        collection: the photographs' paths, labels, splits and groups.
        sources: what to read for each of them.
        options: the user's options, of one network.
        entry: the network's row in the table, its input of the size that was asked for.
        freeze: the frozen stages; ``None`` where depths are compared.
        store: where activations are kept.
        processes: that compute this fit together.
        events: callbacks.
        plan_only: whether to stop at the plan.
        member: number of this network in an ensemble, from 0; each draws its own views and first
            weights.
        prediction: what all networks and crops cost a prediction, in words; ``None`` for one of
            each.
        replaces: folder of a run that is cleared when this one begins; ``None`` for none.
        kept_penalty: λ that an earlier fit of nearly the same photographs chose. Then none is
            chosen, the cross-validation is not nested, and the distance to the training
            photographs is not measured; ``None`` for a whole fit.
    """

    collection: Collection
    sources: Sequence[Source]
    options: FitOptions
    entry: Entry
    freeze: Freeze | None
    store: ActivationStore
    processes: Processes
    events: Events
    plan_only: bool = False
    member: int = 0
    prediction: str | None = None
    replaces: Path | None = None
    kept_penalty: float | None = None

    @property
    def by_steps(self) -> bool:
        """Whether training goes by steps; otherwise the softmax layer alone is solved for."""
        complete = self.freeze is not None and self.freeze.is_complete
        return not complete or self.options.head != "linear"

    @property
    def draw_seed(self) -> int:
        """Seed of this member's views and first weights; the split is the same for all members."""
        return self.options.seed + 1_000_003 * self.member

    @property
    def threads(self) -> int:
        """Threads that read and multiply, in this process."""
        return self.options.threads or core_count()

    @property
    def max_pixels(self) -> int:
        """A photograph with more is left out."""
        return int(self.options.max_megapixels * 1e6)

    @property
    def device(self) -> "torch.device":
        """Where the network runs."""
        from tortie.learning.backbone import chosen_device

        return chosen_device(self.options.device)

    @property
    def precision(self) -> Precision | None:
        """Of the frozen part and of the steps; ``None`` where neither is asked for."""
        return chosen_precision(self.options.precision, device_name(self.options.device))

    def with_freeze(self, asked: str) -> "Job":
        """The same job at another depth."""
        return replace(
            self,
            options=self.options.changed(freeze=asked),
            freeze=resolve(asked, stage_names(self.entry)),
        )

    def announce(self, plan: Plan) -> None:
        """Tell the plan.

        Raises:
            PlanOnly: nothing else was asked for.
        """
        notes = self.collection.all_notes if self.plan_only else ()  # otherwise told in the end
        plan = plan.model_copy(
            update={"prediction": self.prediction, "notes": (*notes, *plan.notes)}
        )
        self.events.plan(plan)
        if self.plan_only:
            raise PlanOnly(plan)


def make_job(
    collection: Collection, sources: Sequence[Source], options: FitOptions,
    store: ActivationStore, processes: Processes, events: Events, plan_only: bool = False,
) -> Job:  # fmt: skip
    """The job of one network, refused before a photograph is read if it cannot be done.

    Raises:
        UsageError: no such network, stage or weights, options without effect at this depth, a
            precision or an engine that the device does not have.
    """
    entry = resized(varied(*parse_network(options.network)), options.input)
    options = options.changed(weights=chosen_weights(entry, options.weights))
    freeze = resolve(options.freeze, stage_names(entry))
    check_weights_trained(entry, options.weights, freeze)
    if options.side_heads is not None:
        from tortie.learning.side_heads import check_side_heads

        check_side_heads(entry)
    job = Job(
        collection=collection, sources=sources, options=options, entry=entry, freeze=freeze,
        store=store, processes=processes, events=events, plan_only=plan_only,
    )  # fmt: skip
    check_for_depth(options, job.by_steps, freeze is None or freeze.stages > 0)
    if freeze is None:
        _check_auto(options, processes)
    if options.precision == "bfloat16" or options.engine != "auto":
        choose(options.engine, device_name(options.device), job.precision)
    return job


def _check_auto(options: FitOptions, processes: Processes) -> None:
    if options.head != "linear":
        raise UsageError(
            f"--freeze auto compares softmax layers, not a head {options.head}: take --head "
            "linear, or name the depth"
        )
    if processes.count > 1:
        raise UsageError(
            "--freeze auto times depths on one process: run it without torchrun first, then "
            "--freeze the stage it chose"
        )
