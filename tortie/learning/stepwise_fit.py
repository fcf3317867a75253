"""The main job where stages learn too: freeze some or none, train the rest by steps.

:func:`fit_deep` reads from top to bottom: read the photographs, split, build and freeze the
network, choose how the steps go, plan, train, measure what was held out.
"""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tortie import __version__
from tortie.activations.extract import Extractor
from tortie.activations.key import hash_tensors
from tortie.activations.store import ActivationStore
from tortie.evaluation.calibration import tempered
from tortie.evaluation.crops import crop_views
from tortie.evaluation.member import MemberNetwork
from tortie.evaluation.predict import Member, predict
from tortie.images import Collection, Source, hash_all
from tortie.images.split_rules import enough_to_score
from tortie.learning.backbone import chosen_device, chosen_policy, fill_head
from tortie.learning.calibration import Calibration, calibrated
from tortie.learning.clock import Clock
from tortie.learning.cross_fitting import HeldOut
from tortie.learning.dataset import Dataset, gather
from tortie.learning.fit import enough_classes, fit, named, worst_found
from tortie.learning.freeze import build_trainable, check_depth
from tortie.learning.input_size import resized
from tortie.learning.options import FitOptions
from tortie.learning.plan import Freeze, Plan
from tortie.learning.probe import computed, extractor_of, probe, sources_of
from tortie.learning.result import Events, FitResult
from tortie.learning.sharing import check_run, first_decides, open_run, refuse_auto, share_out
from tortie.learning.step_plan import StepPlan, plan_of, plan_training, recipe_of
from tortie.learning.tracking import tracked
from tortie.networks.network import Network, TrainedPart
from tortie.networks.table import Entry, find
from tortie.processes import contents, core_count, current
from tortie.runs.resume import Listed, check_freeze
from tortie.runs.run import Run
from tortie.text import json_text
from tortie.training.feed import Feed, Integers, Live, Prepare, Stored
from tortie.training.loop import TrainConfig, TrainData, train
from tortie.training.photographs import Photographs, free_memory
from tortie.training.state import TrainState


@dataclass(frozen=True)
class Candidate:
    """A network frozen to one depth, and how its other stages are trained.

    Attributes:
        entry: the network's row in the table.
        options: the user's choices, ``freeze`` among them.
        network: frozen.
        freeze: how deep.
        trained: what is trained.
        extractor: of the frozen part, where there is one.
        store: where activations are kept.
        step_plan: how the steps go.
        notes: what the user should know.
    """

    entry: Entry
    options: FitOptions
    network: Network
    freeze: Freeze
    trained: TrainedPart
    extractor: Extractor | None
    store: ActivationStore
    step_plan: StepPlan
    notes: list[str]


def fit_deep(
    collection: Collection,
    sources: Sequence[Source],
    options: FitOptions,
    store: ActivationStore,
    events: Events,
) -> FitResult | Plan:
    """Turn labelled photographs into a trained and measured classifier, stages and all.

    Args:
        collection: the photographs' paths, labels, splits and groups.
        sources: what to read for each of them.
        options: the user's choices.
        store: where activations of a frozen part are kept.
        events: whom to tell.

    Returns:
        the classifier; or the plan alone, where ``events.plan`` said to stop there.

    Raises:
        UsageError: a choice that cannot be met, or a run that cannot go on with these choices.
        TortieError: no photograph can be read, or the training failed; the run's folder keeps what
            was learnt.
    """
    clock = Clock()
    refuse_auto(options.freeze, current())
    entry = resized(find(options.network), options.input)
    recipe_of(entry, options)  # refuses early what it cannot be
    check_depth(entry, options)
    check_run(options, current())
    enough_classes(photograph.label for photograph in collection.photographs)
    threads = options.threads or core_count()
    sha256 = hash_all(sources, threads)
    current().check_equal("photographs", contents(collection, sha256))
    whole = Photographs(
        sources, sha256, entry.preprocessing,
        int(options.max_megapixels * 1e6), free_memory() // 3,
    )  # fmt: skip
    whole.load(threads, events.progress)
    data = gather(collection, whole, options)
    clock.lap("read")
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(threads)
        folder = options.run or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run = open_run(folder, options, current())
        stack.callback(run.close)
        stack.enter_context(run.told())
        before = run.document()
        check_freeze(run.folder, before, options.freeze)
        if options.freeze == "auto":
            from tortie.learning.depths import choose_depth

            found = choose_depth(collection, data, entry, options, store, run, events)
            if found is None:
                run.clear_replaced()
                own = options.model_copy(update={"freeze": "all"})
                return fit(collection, sources, own, store, events)
            if isinstance(found, Plan):
                return found
            depth, plan, state = found
        else:
            depth = at_depth(data, entry, options, store, before)
            plan = plan_of(collection, data, depth)
            if not events.plan(plan):
                return plan
            clock.lap("plan")
            state = learn(depth, plan, data, run, events)
        clock.lap("training")
        depth.network.eval()
        extractor = extractor_of(depth.network, entry, options, store)
        parts = MemberNetwork.of(depth.network, entry.preprocessing)
        member = Member(parts, extractor, entry.mirror)
        held = _judged(member, data, data.scored, events)
        calibration = _calibrated(member, data, options, events)
        clock.lap("measure")
    return FitResult(
        network=depth.network,
        entry=entry,
        plan=plan,
        seed=options.seed,
        classes=data.classes,
        photographs=data.photographs,
        sources=data.sources,
        sha256=data.examined.keys,
        labels=data.labels,
        protocol=data.protocol,
        groups=data.examined.groups,
        skipped=data.skipped,
        held=held.positions,
        probabilities=tempered(held.probabilities, calibration.temperature["1"]),
        uncalibrated=held.probabilities,
        too_few=data.too_few,
        penalty=None,
        calibration=calibration,
        novelty=None,
        notes=[
            *collection.notes,
            *depth.network.notes,
            *data.examined.duplicates.notes,
            *data.protocol.notes,
            *depth.notes,
            *calibration.notes,
            _kept(state),
            *named("not counted", [data.photographs[i].path for i in data.protocol.leaks]),
            *worst_found(data.examined, held, data.classes),
        ],
        seconds=clock.seconds,
        history=state.history,
        best_epoch=state.best_epoch,
    )


def _kept(state: TrainState) -> str:
    """Which epoch is kept, and why there was no further one."""
    early = "" if f"{state.finished}".startswith("all") else f"; stopped after {state.finished}"
    return f"epoch {state.best_epoch} of {len(state.history)} is kept{early}"


def at_depth(
    data: Dataset, entry: Entry, options: FitOptions, store: ActivationStore,
    before: dict[str, Any] | None = None,
) -> Candidate:  # fmt: skip
    """Build the network, freeze it as far as the options say, and find out how its steps go.

    Args:
        data: the photographs.
        entry: the network's row in the table.
        options: the user's choices.
        store: where activations of a frozen part are kept.
        before: what the run was begun with, where it goes on.
    """
    network, freeze = build_trainable(entry, options, len(data.classes))
    recipe = recipe_of(entry, options)
    policy, notes = chosen_policy(entry, recipe.policy, options.mirror)
    extractor = None
    if freeze.last_frozen is not None:
        extractor = extractor_of(network, entry, options, store, freeze.last_frozen)
    trained = network.cut(freeze.stages)[1] if freeze.stages else network
    trained.to(chosen_device(options.device))
    trained.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def plan(before: dict[str, Any] | None) -> StepPlan:
        return plan_training(
            trained, network, entry, extractor, data, recipe, policy, options, before
        )

    step_plan = first_decides(current(), plan, before)
    return Candidate(entry, options, network, freeze, trained, extractor, store, step_plan, notes)


def learn(depth: Candidate, plan: Plan, data: Dataset, run: Run, events: Events) -> TrainState:
    """Train what is not frozen; the network is left with the weights of its best epoch."""
    with run.told():
        run.begin(_document(depth, data), listed(data))
        run.write("plan.json", json_text(plan.model_dump(mode="json"), indent=2))
        return _trained(depth, data, run, events)


def _trained(depth: Candidate, data: Dataset, run: Run, events: Events) -> TrainState:
    entry, options, step_plan = depth.entry, depth.options, depth.step_plan
    device = chosen_device(options.device)
    if step_plan.probed and (current().count > 1 or run.last is None):
        head = probe(depth.network, data, entry, options, depth.store, events)[0]
        fill_head(depth.network, head)
    train_data = TrainData(
        _feed(depth, data, events), Prepare(entry.preprocessing, device), data.labels,
        len(data.classes), data.train, data.chosen_on,
    )  # fmt: skip
    workers = options.threads or core_count()
    side_weight = depth.network.side_weight
    with tracked(options, run.folder, step_plan.recipe) as tell:
        config = TrainConfig(
            options.draws, step_plan.precision, workers, side_weight, device, current(),
            options.accumulate or 1, tell,
        )  # fmt: skip
        return train(
            depth.trained, train_data, step_plan.recipe, config, run, events.steps, events.note
        )


def _document(depth: Candidate, data: Dataset) -> dict[str, Any]:
    """All that decides the weights but the photographs; a run goes on with the same alone."""
    entry, options, step_plan = depth.entry, depth.options, depth.step_plan
    return {
        "tortie": __version__,
        "torch": torch.__version__.partition("+")[0],  # 2.13.0+cpu computes what 2.13.0 does
        "network": entry.name,
        "input": entry.preprocessing.model_dump(mode="json"),
        "weights": options.weights,
        "tensors": hash_tensors(depth.network.state_dict().items())[:16],
        "freeze": depth.freeze.last_frozen or "none",
        "head": options.head,
        "classes": list(data.classes),
        "recipe": step_plan.recipe.model_dump(mode="json"),
        "views": [view.name for view in step_plan.views] if step_plan.activations != "none" else [],
        "mirror": options.mirror,
        "seed": options.seed,
        "device": options.device,
        "precision": step_plan.precision,
        "frozen precision": options.precision if depth.extractor else None,
        "engine": depth.extractor.choice.engine if depth.extractor else None,
        "activations": step_plan.activations,
        "accumulate": options.accumulate or 1,
        "threads": options.threads or core_count(),
        "processes": current().count,
    }


def listed(data: Dataset) -> list[Listed]:
    """The photographs, for the run's folder."""
    groups = ["" if group is None else str(group) for group in data.examined.groups]
    rows = zip(data.photographs, data.protocol.splits, groups, data.examined.keys, strict=True)
    return [
        Listed(str(one.path), one.label, split, group, sha256) for one, split, group, sha256 in rows
    ]


def _feed(depth: Candidate, data: Dataset, events: Events) -> Feed:
    """Where the inputs of the trained part come from."""
    extractor, step_plan = depth.extractor, depth.step_plan
    if extractor is None or step_plan.activations == "live":
        engine = extractor.engine if extractor else None
        return Live(data.pixels, step_plan.undistorted, step_plan.views, engine)
    judged = data.chosen_on if step_plan.views else np.union1d(data.train, data.chosen_on)
    undistorted = computed(extractor, data, judged, [step_plan.undistorted], events)
    if not step_plan.views:
        return Stored(undistorted, undistorted)
    return Stored(undistorted, computed(extractor, data, data.train, step_plan.views, events))


def _judged(member: Member, data: Dataset, positions: Integers, events: Events) -> HeldOut:
    """Probabilities of some photographs, by the path that predictions take."""
    if not len(positions):
        return HeldOut(positions, np.zeros((0, len(data.classes)), np.float32))
    share_out(current(), member.extractor, *sources_of(data, positions), (), events.progress)
    found = predict([member], 1.0, *sources_of(data, positions), events.progress)
    return HeldOut(positions[found.rows], found.probabilities)


def _calibrated(member: Member, data: Dataset, options: FitOptions, events: Events) -> Calibration:
    """The temperatures, on the calibration part, or where there is none on what chose the epoch."""
    rows, on = data.calibrated_on
    settings = sorted({"1", str(options.crops)}, key=int)
    if enough_to_score([data.photographs[i].label for i in rows]) is not None:
        note = "probabilities are as the network gives them: too few photographs to calibrate on"
        return Calibration(dict.fromkeys(settings, 1.0), on, 0, (note,))
    views = crop_views(member.extractor.preprocessing, options.crops, member.mirror)
    share_out(current(), member.extractor, *sources_of(data, rows), views, events.progress)
    found = predict([member], 1.0, *sources_of(data, rows), events.progress, crops=options.crops)
    own = rows[found.rows]
    said = {"1": HeldOut(own, found.centre[0])}
    if options.crops > 1:
        said[str(options.crops)] = HeldOut(own, found.uncalibrated)
    return calibrated(said, data.labels, on)
