"""How the steps of a training go: recipe, precision, and where the frozen part's outputs come from.

The plan counts: a frozen part is computed once and stored where its outputs fit memory and disk and
save multiplications; otherwise it runs live, beside the steps.
"""

import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tortie.activations.engine import Precision
from tortie.activations.extract import Extractor
from tortie.activations.views import Drawn, Undistorted, View
from tortie.augment import Policy
from tortie.errors import UsageError
from tortie.images import Collection
from tortie.learning.backbone import chosen_precision
from tortie.learning.dataset import Dataset
from tortie.learning.options import FitOptions, hidden_units
from tortie.learning.plan import Plan, Training
from tortie.networks.network import Network, TrainedPart
from tortie.networks.table import Entry
from tortie.processes import core_count, current
from tortie.training.feed import Live, Prepare, batches_of, ready
from tortie.training.photographs import free_memory
from tortie.training.recipe import Recipe
from tortie.training.recipes import recipe as named_recipe
from tortie.training.recipes import recipe_for
from tortie.training.step_cost import StepCost, check_smallest_batch, measure_step

if TYPE_CHECKING:
    from tortie.learning.stepwise_fit import Candidate

_TRIED = 32  # photographs of the step that is timed, at most; memory and time grow with them


@dataclass(frozen=True)
class StepPlan:
    """How the steps go.

    Attributes:
        recipe: with the user's changes.
        undistorted: the view that is judged.
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

    def epoch_seconds(self, data: Dataset, live: bool) -> float:
        """What an epoch will take, its judgement included, with the frozen part live or stored.

        A judged photograph costs a third of one that is trained on: it has no backward pass.
        """
        judged = len(data.chosen_on)
        steps = self.step_cost.seconds * self.steps / self.recipe.epochs
        seconds = steps * (1 + judged / (3 * max(1, len(data.train))))
        return seconds + live * self.prefix_seconds * (len(data.train) + judged)

    @property
    def precision(self) -> Precision:
        """Of the steps."""
        return self.step_cost.precision


def recipe_of(entry: Entry, options: FitOptions) -> Recipe:
    """The recipe that was asked for, or that suits network and depth, with the user's changes.

    Raises:
        UsageError: no such recipe, or values that cannot be meant.
    """
    asked = options.recipe
    if asked is None:
        frozen_all = str(options.freeze) == "all"
        chosen = recipe_for(entry, options.weights is not None, frozen_all)
    elif asked.endswith(".json"):
        try:
            chosen = Recipe.of_json(Path(asked).read_bytes())
        except OSError as error:
            raise UsageError(f"cannot read recipe {asked}: {error.strerror}") from None
        except UsageError as error:
            raise UsageError(f"{asked}: {error}") from None
    else:
        chosen = named_recipe(asked)
    changes = {
        "epochs": options.epochs, "batch": options.batch, "learning_rate": options.learning_rate,
        "policy": options.augment,
    }  # fmt: skip
    changes = {name: value for name, value in changes.items() if value is not None}
    return chosen.changed(**changes) if changes else chosen


def plan_training(
    trained: TrainedPart, network: Network, entry: Entry, extractor: Extractor | None,
    data: Dataset, recipe: Recipe, policy: Policy | None, options: FitOptions,
    before: dict[str, Any] | None,
) -> StepPlan:  # fmt: skip
    """Time a step, and choose where the frozen part's outputs come from.

    Args:
        trained: what is trained, on its device.
        network: all of it.
        entry: its row in the table.
        extractor: of the frozen part, where there is one.
        data: the photographs.
        recipe: of the training.
        policy: of the drawn views; ``None`` for none.
        options: the user's choices.
        before: what the run was begun with, where it goes on.
    """
    drawn = _views(entry, recipe, policy, options, extractor is not None)
    undistorted = Undistorted(entry.preprocessing)
    whole, prefix = _multiplications(network, entry, extractor)
    live = Live(data.pixels, undistorted, drawn, extractor.engine if extractor else None)
    rows = data.train[: min(_TRIED, recipe.batch)]
    device = next(trained.parameters()).device
    inputs = Prepare(entry.preprocessing, device)(live.take(rows.tolist(), 0))
    asked = before["precision"] if before else chosen_precision(options.precision, device)
    labels = torch.from_numpy(data.labels[rows]).to(device)
    batches = batches_of(data.train, recipe.batch)
    smallest = max(1, min(map(len, batches)) // (options.accumulate or 1))
    check_smallest_batch(trained, inputs, smallest, recipe)
    step_cost = _of_whole_batch(
        measure_step(trained, inputs, labels, recipe, asked), trained, recipe, len(rows), data,
        options.accumulate or 1,
    )  # fmt: skip
    steps = len(batches)
    entries = len(data.train) * max(1, len(drawn)) + len(data.chosen_on)
    activations, why, kept = _where_from(extractor, data, entries, recipe.epochs, prefix, before)
    in_store = 0
    if extractor and activations == "store":
        keys = np.array(data.examined.keys)
        in_store = extractor.stored(keys[data.train].tolist(), drawn or [undistorted])
        in_store += extractor.stored(keys[data.chosen_on].tolist(), [undistorted])
    seconds = _seconds(live, rows, options.threads or core_count()) if extractor else 0.0
    step_plan = StepPlan(
        recipe, undistorted, tuple(drawn), step_cost, activations, why, kept, steps * recipe.epochs,
        prefix, whole, seconds / current().count,
        len(data.train) if _is_probed(recipe, options) else 0,
        in_store, entries - in_store if activations == "store" else 0,
    )  # fmt: skip
    if extractor is None:
        return step_plan
    told = f"an epoch takes {step_plan.epoch_seconds(data, False):.1f} s from the store"
    told += f", {step_plan.epoch_seconds(data, True):.1f} s live"
    return replace(step_plan, why=f"{why}; {told}")


def _is_probed(recipe: Recipe, options: FitOptions) -> bool:
    return recipe.probe and options.weights is not None and not hidden_units(options.head)


def _seconds(live: Live, rows: NDArray[np.int64], workers: int) -> float:
    """What one photograph takes from its decode to the cut, as it is drawn in an epoch.

    All workers are busy, as they are beside the steps; the engine is prepared already.
    """
    batches = [rows] * (2 * workers)
    begin = time.perf_counter()
    for _ in ready(live, batches, 1, workers):
        pass
    return (time.perf_counter() - begin) / (len(rows) * len(batches))


def _views(
    entry: Entry, recipe: Recipe, policy: Policy | None, options: FitOptions, frozen: bool
) -> list[View]:
    """Drawn views: a few that come round again where a part is frozen, one an epoch elsewhere."""
    if policy is None:
        return []
    count = options.views if frozen else recipe.epochs
    return [
        Drawn(entry.preprocessing, policy, options.draws, number) for number in range(1, count + 1)
    ]


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


def _of_whole_batch(
    step_cost: StepCost, trained: TrainedPart, recipe: Recipe, tried: int, data: Dataset, parts: int
) -> StepCost:  # fmt: skip
    """What this process's share of the recipe's batch takes, in parts, from what fewer do."""
    batch = -(-min(recipe.batch, len(data.train)) // current().count)
    parameters = sum(one.numel() for one in trained.parameters() if one.requires_grad) * 4
    copies = {"sgd": 2 + (recipe.momentum > 0), "rmsprop": 4}.get(recipe.optimiser, 4)
    fixed = min(parameters * copies, step_cost.bytes)
    share = batch / tried
    alive = share / min(parts, batch)
    grown = round(fixed + (step_cost.bytes - fixed) * alive) + (recipe.ema is not None) * parameters
    return StepCost(step_cost.precision, step_cost.seconds * share, grown)


def _multiplications(
    network: Network, entry: Entry, extractor: Extractor | None
) -> tuple[int, int]:
    """Of one photograph: in all of the network, and in the frozen part."""
    from tortie.cost.count import count

    cost = count(network, entry.preprocessing.shape)
    names = network.stage_names
    frozen = names[: names.index(extractor.cut) + 1] if extractor else ()
    prefix = sum(part.multiplications for part in cost.stages if part.name in frozen)
    return cost.multiplications, prefix


def plan_of(collection: Collection, data: Dataset, depth: "Candidate") -> Plan:
    """The plan of a training by steps."""
    options, step_plan, network = depth.options, depth.step_plan, depth.network
    recipe, drawn = step_plan.recipe, depth.entry.preprocessing
    splits: Counter[str] = Counter(one.split or "to split" for one in collection.photographs)
    trained = sum(one.numel() for one in network.parameters() if one.requires_grad)
    frozen = sum(one.numel() for one in network.parameters() if not one.requires_grad)
    live = step_plan.activations == "live"
    seen = len(data.train) * recipe.epochs
    judged = len(data.chosen_on) * recipe.epochs + len(data.protocol.scored)
    after = step_plan.multiplications - step_plan.prefix_multiplications
    prefixed = (seen + judged if live else step_plan.to_compute) * step_plan.prefix_multiplications
    return Plan(
        network=depth.entry.name,
        weights=options.weights,
        freeze=depth.freeze,
        head=options.head,
        augment=recipe.policy,
        views=1 + len(step_plan.views) if depth.extractor and step_plan.views else 1,
        classes=len(data.classes),
        images=len(collection.photographs),
        splits=dict(splits),
        on=data.protocol.on,
        rule=data.rule,
        images_in_store=step_plan.in_store,
        images_to_compute=step_plan.to_compute,
        trained_parameters=trained,
        frozen_parameters=frozen,
        multiplications_per_image=step_plan.multiplications,
        # A backward pass costs twice a forward pass: by the activations, and by the weights.
        multiplications=prefixed
        + (3 * seen + judged) * after
        + step_plan.probed * step_plan.multiplications,
        seconds=recipe.epochs * step_plan.epoch_seconds(data, live)
        + (step_plan.to_compute + step_plan.probed) * step_plan.prefix_seconds
        + step_plan.probed * step_plan.step_cost.seconds / (3 * min(recipe.batch, len(data.train))),
        memory_bytes=step_plan.step_cost.bytes + step_plan.kept_bytes + data.pixels.bytes,
        disk_bytes=step_plan.kept_bytes
        * step_plan.to_compute
        // max(1, step_plan.in_store + step_plan.to_compute),
        device=str(next(network.parameters()).device),
        precision=step_plan.precision,
        threads=options.threads or core_count(),
        processes=current().count,
        training=Training(
            recipe=recipe.name,
            epochs=recipe.epochs,
            batch=recipe.batch,
            steps=step_plan.steps,
            images=len(data.train),
            input=f"{drawn.height}x{drawn.width}x{drawn.channels}",
            chosen_on=len(data.chosen_on),
            probed=step_plan.probed,
            activations=step_plan.activations,
            why=step_plan.why,
            precision=step_plan.precision,
            seconds_per_step=step_plan.step_cost.seconds,
            step_bytes=step_plan.step_cost.bytes,
            epoch_seconds=step_plan.epoch_seconds(data, live),
            epoch_seconds_live=step_plan.epoch_seconds(data, True),
        ),
        notes=tuple(depth.notes),
    )


def _bytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
