"""The main job where stages learn too: freeze some or none, train the rest by steps.

One function, :func:`fit_deep`, read from top to bottom: read the photographs, build and freeze the
network, split, choose how the steps go, plan, train, measure what was held out.
"""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tortie import __version__
from tortie.activations.extract import Extraction, Extractor
from tortie.activations.key import hash_tensors
from tortie.activations.store import ActivationStore
from tortie.activations.views import View
from tortie.errors import TortieError
from tortie.evaluation.predict import Member, predict
from tortie.images import Collection, Source, hash_all
from tortie.learning.cross_fitting import Held
from tortie.learning.depth import build_trainable, check_depth, resized
from tortie.learning.feed import Feed, Integers, Kept, Live, Prepare, Stored
from tortie.learning.fit import Clock, core_count, enough_classes, named, worst_found
from tortie.learning.fitted import Events, Fitted
from tortie.learning.frozen import chosen_device, chosen_policy, chosen_precision
from tortie.learning.gathered import Gathered, gather
from tortie.learning.loop import Lesson, Manner, train
from tortie.learning.options import FitOptions
from tortie.learning.photographs import Photographs, free_memory
from tortie.learning.plan import Plan
from tortie.learning.run import Run, check_beginning
from tortie.learning.training import Course, plan_of, plan_training, recipe_of
from tortie.networks.network import Network
from tortie.networks.table import Entry, find


def fit_deep(
    collection: Collection,
    sources: Sequence[Source],
    options: FitOptions,
    store: ActivationStore,
    events: Events,
) -> Fitted | Plan:
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
    entry = resized(find(options.network), options.input)
    recipe = recipe_of(entry, options)
    check_depth(entry, options)
    if options.run is not None:
        check_beginning(options.run, options.resume)
    enough_classes(photograph.label for photograph in collection.photographs)
    threads = options.threads or core_count()
    whole = Photographs(
        sources, hash_all(sources, threads), entry.preprocessing,
        int(options.max_megapixels * 1e6), free_memory() // 3,
    )  # fmt: skip
    whole.load(threads, events.progress)
    clock.lap("read")
    data = gather(collection, whole, options)
    network, freeze = build_trainable(entry, options, len(data.classes))
    device = chosen_device(options.device)
    policy, notes = chosen_policy(entry, recipe.policy, options.mirror)
    clock.lap("load the network")

    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(threads)
        folder = options.run or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run = Run(folder, options.resume, lasting=options.run is not None)
        stack.callback(run.close)
        extractor = None
        if freeze.last_frozen is not None:
            extractor = _extractor(network, entry, options, store, freeze.last_frozen)
        rest = network.cut(freeze.stages)[1] if freeze.stages else network
        course = plan_training(
            rest.to(device), network, entry, extractor, data, recipe, policy, options,
            run.document(),
        )  # fmt: skip
        plan = plan_of(collection, data, entry, network, freeze, course, options, notes, threads)
        if not events.plan(plan):
            return plan
        tensors = hash_tensors(network.state_dict().items())  # a file of weights may be another
        run.begin(_document(entry, options, course, data, threads, tensors), _listed(data))
        stack.enter_context(run.told())
        run.write("plan.json", plan.model_dump_json(indent=2))
        clock.lap("plan")
        lesson = Lesson(
            _feed(course, extractor, data, events), Prepare(entry.preprocessing, device),
            data.labels, len(data.classes), data.train, data.chosen_on,
        )  # fmt: skip
        clock.lap("activations")
        manner = Manner(options.seed, course.precision, threads, network.side_weight, device)
        place = train(rest, lesson, recipe, manner, run, events.steps, events.note)
        clock.lap("training")
    network.eval()
    held = _held(network, data, _extractor(network, entry, options, store), events)
    clock.lap("measure")
    return Fitted(
        network=network,
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
        left_out=data.left_out,
        held=held.positions,
        probabilities=held.probabilities,
        too_few=data.too_few,
        penalty=None,
        notes=[
            *collection.notes,
            *network.notes,
            *data.examined.duplicates.notes,
            *data.protocol.notes,
            *notes,
            f"trained for {len(place.history)} epochs ({place.finished}); epoch "
            f"{place.best_epoch} is kept",
            *named("not counted", [data.photographs[i].path for i in data.protocol.leaks]),
            *worst_found(data.examined, held, data.classes),
        ],
        seconds=clock.seconds,
        history=place.history,
        best_epoch=place.best_epoch,
    )


def _extractor(
    network: Network, entry: Entry, options: FitOptions, store: ActivationStore,
    cut: str | None = None,
) -> Extractor:  # fmt: skip
    return Extractor.of(
        network, entry, store=store, device=chosen_device(options.device),
        precision=chosen_precision(options.precision), threads=options.threads or core_count(),
        max_pixels=int(options.max_megapixels * 1e6), cut=cut,
    )  # fmt: skip


def _document(
    entry: Entry, options: FitOptions, course: Course, data: Gathered, threads: int, tensors: str
) -> dict[str, Any]:
    """All that decides the weights but the photographs; a run goes on with the same alone."""
    return {
        "tortie": __version__,
        "torch": torch.__version__,
        "network": entry.name,
        "input": entry.preprocessing.model_dump(mode="json"),
        "weights": options.weights,
        "tensors": tensors,
        "freeze": str(options.freeze),
        "head": options.head,
        "classes": list(data.classes),
        "recipe": course.recipe.model_dump(mode="json"),
        "views": [view.name for view in course.views] if course.activations != "none" else [],
        "mirror": options.mirror,
        "seed": options.seed,
        "device": options.device,
        "precision": course.precision,
        "frozen precision": options.precision,
        "activations": course.activations,
        "threads": threads,
    }


def _listed(data: Gathered) -> list[tuple[str, str, str, str]]:
    keys = data.examined.keys
    rows = zip(data.photographs, data.protocol.splits, keys, strict=True)
    return [(str(one.path), one.label, split, sha256) for one, split, sha256 in rows]


def _feed(course: Course, extractor: Extractor | None, data: Gathered, events: Events) -> Feed:
    """Where the inputs of the trained part come from."""
    if extractor is None or course.activations == "live":
        engine = extractor.engine if extractor else None
        return Live(data.pixels, course.undistorted, course.views, engine)
    judged = data.chosen_on if course.views else np.union1d(data.train, data.chosen_on)
    undistorted = _computed(extractor, data, judged, [course.undistorted], events)
    if not course.views:
        return Stored(undistorted, undistorted)
    return Stored(undistorted, _computed(extractor, data, data.train, course.views, events))


def _computed(
    extractor: Extractor, data: Gathered, rows: Integers, views: Sequence[View], events: Events
) -> Kept:
    """Activations of some photographs, from the store as far as it has them."""
    keys = data.examined.keys
    sources, digests = [data.sources[i] for i in rows], [keys[i] for i in rows]
    with Extraction(extractor, sources, digests, views=views) as extraction:
        activations, found = extraction.finish(events.progress)
    if len(found) < len(rows):
        position, reason = min(extraction.reasons.items())
        raise TortieError(f"{data.photographs[rows[position]].path}: {reason}; fit again")
    place = np.full(len(data.photographs), -1)
    place[rows] = np.arange(len(rows))
    return Kept(activations, place)


def _held(network: Network, data: Gathered, extractor: Extractor, events: Events) -> Held:
    """Probabilities of the photographs that are scored, by the path that predictions take."""
    positions = np.array(data.protocol.scored, np.int64)
    if data.too_few is not None:
        return Held(positions[:0], np.zeros((0, len(data.classes)), np.float32))
    found = predict(
        [Member(network, extractor)], 1.0, [data.sources[i] for i in positions],
        [data.examined.keys[i] for i in positions], events.progress,
    )  # fmt: skip
    return Held(positions[found.rows], found.probabilities)
