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
from tortie.learning.feed import Live, Prepare, batches_of, ready
from tortie.learning.frozen import chosen_precision
from tortie.learning.gathered import Gathered
from tortie.learning.options import FitOptions, hidden_units
from tortie.learning.photographs import free_memory
from tortie.learning.plan import Plan, Training
from tortie.learning.processes import core_count, current
from tortie.learning.recipe import Recipe
from tortie.learning.recipes import recipe as named_recipe
from tortie.learning.recipes import recipe_for
from tortie.learning.trial import Trial, check_smallest, try_step
from tortie.networks.network import Network, Rest
from tortie.networks.table import Entry

if TYPE_CHECKING:
    from tortie.learning.deep import Depth

_TRIED = 32  # photographs of the step that is timed, at most; memory and time grow with them


@dataclass(frozen=True)
class Course:
    """How the steps go.

    Attributes:
        recipe: with the user's changes.
        undistorted: the view that is judged.
        views: drawn views of the training photographs; empty for the undistorted one alone.
        trial: what a step of a whole batch takes.
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
    trial: Trial
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

    def epoch_seconds(self, data: Gathered, live: bool) -> float:
        """What an epoch will take, its judgement included, with the frozen part live or stored.

        A judged photograph costs a third of one that is trained on: it has no backward pass.
        """
        judged = len(data.chosen_on)
        steps = self.trial.seconds * self.steps / self.recipe.epochs
        seconds = steps * (1 + judged / (3 * max(1, len(data.train))))
        return seconds + live * self.prefix_seconds * (len(data.train) + judged)

    @property
    def precision(self) -> Precision:
        """Of the steps."""
        return self.trial.precision


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
    rest: Rest, network: Network, entry: Entry, extractor: Extractor | None, data: Gathered,
    recipe: Recipe, policy: Policy | None, options: FitOptions, before: dict[str, Any] | None,
) -> Course:  # fmt: skip
    """Time a step, and choose where the frozen part's outputs come from.

    Args:
        rest: what is trained, on its device.
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
    device = next(rest.parameters()).device
    inputs = Prepare(entry.preprocessing, device)(live.take(rows.tolist(), 0))
    asked = before["precision"] if before else chosen_precision(options.precision, device)
    labels = torch.from_numpy(data.labels[rows]).to(device)
    batches = batches_of(data.train, recipe.batch)
    smallest = max(1, min(map(len, batches)) // (options.accumulate or 1))
    check_smallest(rest, inputs, smallest, recipe)
    trial = _of_whole_batch(
        try_step(rest, inputs, labels, recipe, asked), rest, recipe, len(rows), data,
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
    course = Course(
        recipe, undistorted, tuple(drawn), trial, activations, why, kept, steps * recipe.epochs,
        prefix, whole, seconds / current().count,
        len(data.train) if _is_probed(recipe, options) else 0,
        in_store, entries - in_store if activations == "store" else 0,
    )  # fmt: skip
    if extractor is None:
        return course
    told = f"an epoch takes {course.epoch_seconds(data, False):.1f} s from the store"
    told += f", {course.epoch_seconds(data, True):.1f} s live"
    return replace(course, why=f"{why}; {told}")


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
    extractor: Extractor | None, data: Gathered, entries: int, epochs: int, prefix: int,
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
    trial: Trial, rest: Rest, recipe: Recipe, tried: int, data: Gathered, parts: int
) -> Trial:  # fmt: skip
    """What this process's share of the recipe's batch takes, in parts, from what fewer do."""
    batch = -(-min(recipe.batch, len(data.train)) // current().count)
    parameters = sum(one.numel() for one in rest.parameters() if one.requires_grad) * 4
    copies = {"sgd": 2 + (recipe.momentum > 0), "rmsprop": 4}.get(recipe.optimiser, 4)
    fixed = min(parameters * copies, trial.bytes)
    share = batch / tried
    alive = share / min(parts, batch)
    grown = round(fixed + (trial.bytes - fixed) * alive) + (recipe.ema is not None) * parameters
    return Trial(trial.precision, trial.seconds * share, grown)


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


def plan_of(collection: Collection, data: Gathered, depth: "Depth") -> Plan:
    """The plan of a training by steps."""
    options, course, network = depth.options, depth.course, depth.network
    recipe, drawn = course.recipe, depth.entry.preprocessing
    splits: Counter[str] = Counter(one.split or "to split" for one in collection.photographs)
    trained = sum(one.numel() for one in network.parameters() if one.requires_grad)
    frozen = sum(one.numel() for one in network.parameters() if not one.requires_grad)
    live = course.activations == "live"
    seen = len(data.train) * recipe.epochs
    judged = len(data.chosen_on) * recipe.epochs + len(data.protocol.scored)
    after = course.multiplications - course.prefix_multiplications
    prefixed = (seen + judged if live else course.to_compute) * course.prefix_multiplications
    return Plan(
        network=depth.entry.name,
        weights=options.weights,
        freeze=depth.freeze,
        head=options.head,
        augment=recipe.policy,
        views=1 + len(course.views) if depth.extractor and course.views else 1,
        classes=len(data.classes),
        images=len(collection.photographs),
        splits=dict(splits),
        on=data.protocol.on,
        rule=data.rule,
        images_in_store=course.in_store,
        images_to_compute=course.to_compute,
        trained_parameters=trained,
        frozen_parameters=frozen,
        multiplications_per_image=course.multiplications,
        # A backward pass costs twice a forward pass: by the activations, and by the weights.
        multiplications=prefixed
        + (3 * seen + judged) * after
        + course.probed * course.multiplications,
        seconds=recipe.epochs * course.epoch_seconds(data, live)
        + (course.to_compute + course.probed) * course.prefix_seconds
        + course.probed * course.trial.seconds / (3 * min(recipe.batch, len(data.train))),
        memory_bytes=course.trial.bytes + course.kept_bytes + data.pixels.bytes,
        disk_bytes=course.kept_bytes
        * course.to_compute
        // max(1, course.in_store + course.to_compute),
        device=str(next(network.parameters()).device),
        precision=course.precision,
        threads=options.threads or core_count(),
        processes=current().count,
        training=Training(
            recipe=recipe.name,
            epochs=recipe.epochs,
            batch=recipe.batch,
            steps=course.steps,
            images=len(data.train),
            input=f"{drawn.height}x{drawn.width}x{drawn.channels}",
            chosen_on=len(data.chosen_on),
            probed=course.probed,
            activations=course.activations,
            why=course.why,
            precision=course.precision,
            seconds_per_step=course.trial.seconds,
            step_bytes=course.trial.bytes,
            epoch_seconds=course.epoch_seconds(data, live),
            epoch_seconds_live=course.epoch_seconds(data, True),
        ),
        notes=tuple(depth.notes),
    )


def _bytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
