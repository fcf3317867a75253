"""How the steps of a training go: recipe, precision, and where the frozen part's outputs come from.

The plan counts: a frozen part is computed once and stored where its outputs fit memory and disk and
save multiplications; otherwise it runs live, beside the steps.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tortie.activations.engine import Precision
from tortie.activations.extract import Extractor
from tortie.activations.views import Drawn, Undistorted, View
from tortie.augment import Policy
from tortie.errors import UsageError
from tortie.files import open_regular
from tortie.learning.backbone import Backbone
from tortie.learning.chosen_policy import chosen_policy
from tortie.learning.colours import with_own_colours
from tortie.learning.dataset import Dataset
from tortie.learning.job import Job
from tortie.learning.options import FitOptions
from tortie.learning.unused_options import check_colour_basis
from tortie.training.decoded import DecodedPhotographs, free_memory
from tortie.training.feed import Live, Prepare, batches_of, ready
from tortie.training.recipe import Recipe
from tortie.training.recipes import in_small_batches, recipe_for, suited
from tortie.training.recipes import recipe as named_recipe
from tortie.training.step_cost import StepCost, check_smallest_batch, measure_step

_TIMED = 32  # photographs of the step that is timed, at most; memory and time grow with them


@dataclass(frozen=True)
class StepPlan:
    """How the steps go.

    Attributes:
        recipe: with the user's changes.
        undistorted: the view that is predicted.
        views: drawn views of the training photographs; empty for the undistorted one alone.
        step_cost: what a step of a whole batch takes.
        activations: where the frozen part's outputs come from.
        why: the reason, with its figures.
        kept_bytes: of the outputs that are kept for all epochs.
        steps: in all epochs.
        prefix_multiplications: of one photograph in the frozen part.
        multiplications: of one photograph up to the head.
        prefix_seconds: of one photograph on its way to the cut, on all cores.
        probed: photographs whose undistorted outputs the head begins with; 0 where it begins at
            random.
        in_store: views of photographs whose outputs are known already.
        to_compute: views whose outputs have to be computed before the first step.
        notes: what the user should know of recipe and views.
    """

    recipe: Recipe
    undistorted: View
    views: tuple[View, ...]
    step_cost: StepCost
    activations: Literal["store", "live", "none"]
    why: str
    kept_bytes: int
    steps: int
    prefix_multiplications: int
    multiplications: int
    prefix_seconds: float
    probed: int
    in_store: int
    to_compute: int
    notes: tuple[str, ...] = ()

    def epoch_seconds(self, data: Dataset, live: bool) -> float:
        """What an epoch will take, its validation included, with the frozen part live or stored.

        A validation photograph costs a third of one that is trained on: it has no backward pass.
        """
        validated = len(data.chosen_on)
        steps = self.step_cost.seconds * self.steps / self.recipe.epochs
        seconds = steps * (1 + validated / (3 * max(1, len(data.train))))
        return seconds + live * self.prefix_seconds * (len(data.train) + validated)

    @property
    def precision(self) -> Precision:
        """Of the steps."""
        return self.step_cost.precision


def recipe_of(job: Job, photographs: int) -> tuple[Recipe, str]:
    """The recipe that was asked for, or that suits network, depth and steps, with the changes.

    Args:
        job: the fit.
        photographs: that are trained on.

    Returns:
        the recipe, and why it is not the paper's; empty where it is, or where a recipe or a rate
        was asked for.

    Raises:
        UsageError: no such recipe, or an invalid value in it.
    """
    options, why = job.options, ""
    chosen = _changed(_named_recipe(job), options)
    if options.recipe is None and options.learning_rate is None:
        chosen, why = suited(chosen, photographs)
        chosen = _changed(chosen, options)
        if options.batch is None:
            chosen = in_small_batches(chosen, photographs)
    check_colour_basis(options, chosen.policy)
    return chosen, why


def _named_recipe(job: Job) -> Recipe:
    """The recipe as its table, its file or its text has it."""
    asked = job.options.recipe
    if asked is None:
        frozen_all = job.freeze is not None and job.freeze.is_complete
        return recipe_for(job.entry, job.options.weights is not None, frozen_all)
    if asked.startswith("{"):
        return Recipe.of_json(asked)
    if not asked.endswith(".json"):
        return named_recipe(asked)
    try:
        with open_regular(Path(asked)) as file:
            return Recipe.of_json(file.read())
    except OSError as error:
        raise UsageError(f"cannot read recipe {asked}: {error.strerror}") from None
    except UsageError as error:
        raise UsageError(f"{asked}: {error}") from None


def _changed(chosen: Recipe, options: FitOptions) -> Recipe:
    """The recipe with the user's options in place of its own."""
    changes: dict[str, Any] = {
        "epochs": options.epochs, "batch": options.batch, "learning_rate": options.learning_rate,
        "policy": options.augment,
    }  # fmt: skip
    changes = {name: value for name, value in changes.items() if value is not None}
    if options.side_heads is not None:
        changes["side_heads"] = True
    if options.class_weight != "auto":
        if chosen.loss == "rbf" and options.class_weight is not None:
            raise UsageError(
                f"recipe {chosen.name} has the loss rbf, which takes no class_weight: leave it out"
            )
        changes["balance"] = "none"  # in place of the recipe's
    return chosen.changed(**changes) if changes else chosen


def plan_steps(
    backbone: Backbone,
    data: Dataset,
    photographs: DecodedPhotographs,
    before: dict[str, Any] | None,
) -> StepPlan:
    """Time a step, and choose where the frozen part's outputs come from.

    A time is for the first of several processes to take; the others follow its choices.

    Args:
        backbone: the network, frozen.
        data: the photographs.
        photographs: the same, decoded.
        before: what the run was begun with, where it is resumed.
    """
    processes = backbone.job.processes
    if processes.count == 1:
        return _plan_steps(backbone, data, photographs, before)
    found = None

    def first() -> bytes:
        nonlocal found
        found = _plan_steps(backbone, data, photographs, before)
        return json.dumps({"precision": found.precision, "activations": found.activations}).encode()

    chosen = json.loads(processes.broadcast_bytes(first))
    return found or _plan_steps(backbone, data, photographs, chosen)


def _plan_steps(
    backbone: Backbone,
    data: Dataset,
    photographs: DecodedPhotographs,
    before: dict[str, Any] | None,
) -> StepPlan:
    job, trained = backbone.job, backbone.trained
    options, preprocessing = job.options, job.entry.preprocessing
    recipe, why_recipe = recipe_of(job, len(data.train))
    policy, notes = chosen_policy(job.entry, recipe.policy, options.mirror)
    policy, colours = with_own_colours(policy, job, data, photographs)
    extractor = backbone.extractor if backbone.freeze.stages else None
    drawn = _views(job, recipe, policy, extractor is not None)
    undistorted = Undistorted(preprocessing)
    multiplications, prefix = multiplications_of(backbone)
    live = Live(photographs, undistorted, drawn, extractor.engine if extractor else None)
    rows = data.train[: min(_TIMED, recipe.batch)]
    inputs = Prepare(preprocessing, job.device)(live.take(rows.tolist(), 0))
    precision = before["precision"] if before else job.precision
    labels = torch.from_numpy(data.labels[rows]).to(job.device)
    batches = batches_of(data.train, recipe.batch)
    parts = options.accumulate or 1
    check_smallest_batch(trained, inputs, max(1, min(map(len, batches)) // parts), recipe)
    timed = measure_step(trained, inputs, labels, recipe, precision)
    batch = -(-min(recipe.batch, len(data.train)) // job.processes.count)
    entries = len(data.train) * max(1, len(drawn)) + len(data.chosen_on)
    activations, why, kept = _where_from(extractor, data, entries, recipe.epochs, prefix, before)
    stored = 0
    if extractor and activations == "store":
        stored = _count_stored(extractor, data, drawn or [undistorted], undistorted)
    seconds = _prefix_seconds(live, rows, job.threads) if extractor else 0.0
    plan = StepPlan(
        recipe=recipe,
        undistorted=undistorted,
        views=tuple(drawn),
        step_cost=timed.of_batch(trained, recipe, len(rows), batch, parts),
        activations=activations,
        why=why,
        kept_bytes=kept,
        steps=len(batches) * recipe.epochs,
        prefix_multiplications=prefix,
        multiplications=multiplications,
        prefix_seconds=seconds / job.processes.count,
        probed=len(data.train) if _is_probed(recipe, options) else 0,
        in_store=stored,
        to_compute=entries - stored if activations == "store" else 0,
        notes=(*filter(None, [why_recipe]), *notes, *colours),
    )
    if extractor is None:
        return plan
    epochs = f"an epoch takes {plan.epoch_seconds(data, False):.1f} s from the store"
    epochs += f", {plan.epoch_seconds(data, True):.1f} s live"
    return replace(plan, why=f"{why}; {epochs}")


def _count_stored(
    extractor: Extractor, data: Dataset, views: Sequence[View], undistorted: View
) -> int:
    """Of how many views that will be trained on or validated the store has the activations."""
    sha256 = np.array(data.sha256)
    trained = extractor.stored(sha256[data.train].tolist(), views)
    return trained + extractor.stored(sha256[data.chosen_on].tolist(), [undistorted])


def _is_probed(recipe: Recipe, options: FitOptions) -> bool:
    return recipe.probe and options.weights is not None and options.head == "linear"


def _prefix_seconds(live: Live, rows: NDArray[np.int64], workers: int) -> float:
    """What one photograph takes from its decode to the cut, as it is drawn in an epoch.

    All workers are busy, as they are beside the steps; the engine is prepared already.
    """
    batches = [rows] * (2 * workers)
    begin = time.perf_counter()
    for _ in ready(live, batches, 1, workers):
        pass
    return (time.perf_counter() - begin) / (len(rows) * len(batches))


def _views(job: Job, recipe: Recipe, policy: Policy | None, frozen: bool) -> list[View]:
    """Drawn views: a few that come round again where a part is frozen, one an epoch elsewhere."""
    if policy is None:
        return []
    numbers = range(1, 1 + (job.options.views if frozen else recipe.epochs))
    return [Drawn(job.entry.preprocessing, policy, job.draw_seed, number) for number in numbers]


def _where_from(
    extractor: Extractor | None, data: Dataset, entries: int, epochs: int, prefix: int,
    before: dict[str, Any] | None,
) -> tuple[Literal["store", "live", "none"], str, int]:  # fmt: skip
    """Where the frozen part's outputs come from, why, and the bytes that are kept of them."""
    if extractor is None:
        return "none", "", 0
    each = int(np.prod(extractor.output)) * 4
    seen = (len(data.train) + len(data.chosen_on)) * epochs
    size = each * entries
    figures = (
        f"{each:,} bytes each for {entries:,} views of photographs are {_bytes(size)}, and save "
        f"{max(0, seen - entries) * prefix:.3g} multiplications in {epochs} epochs"
    )
    room = min(free_memory() // 2, extractor.store.limit or free_memory() // 2)
    if seen <= entries:
        found: Literal["store", "live"] = "live"
        figures = f"each of {entries:,} views is seen once, so storing saves nothing"
    elif size > room:
        found, figures = "live", f"{figures}, but there is room for {_bytes(room)}"
    else:
        found = "store"
    if before:  # the same numbers to the last bit, whatever room there is now
        found = before["activations"]
    return found, figures, size if found == "store" else 0


def multiplications_of(backbone: Backbone) -> tuple[int, int]:
    """Of one photograph: in all of the network, and in its frozen stages."""
    from tortie.cost.count import count

    network = backbone.network
    cost = count(network, backbone.entry.preprocessing.shape)
    frozen = network.stage_names[: backbone.freeze.stages]
    prefix = sum(part.multiplications for part in cost.stages if part.name in frozen)
    return cost.multiplications, prefix


def _bytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
