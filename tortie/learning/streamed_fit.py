"""A fit on features larger than memory: the softmax layer of all rows, figures from samples.

The solver reads every row that is trained on from its file, in each pass; the steps of a head with
hidden layers read a window of rows at a time (:mod:`~tortie.learning.feature_head`). Held in memory
are a few numbers a row (:mod:`~tortie.learning.feature_rows`) and a sample of the photographs,
whole: those that choose the penalty, calibrate and are scored, and of each class some that were
trained on, for the distance to them. The report, the intervals and the calibration are of these, as
of any fit.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tortie.activations.feature_shards import FeatureShard, Manifest, notes_of
from tortie.activations.store import ActivationStore
from tortie.images import Collection, Photograph
from tortie.images.hashed_split import MOST
from tortie.images.split import SPLITS
from tortie.learning.calibration import calibrate
from tortie.learning.clock import Clock
from tortie.learning.cross_fitting import LabelledFeatures, predict_by
from tortie.learning.dataset import Dataset, enough_classes, make_dataset
from tortie.learning.feature_rows import FeatureRows, chosen_part, read_rows, scored_part
from tortie.learning.frozen_fit import Solved, WhatWasRead, result_of
from tortie.learning.frozen_network import FrozenNetwork, network_of
from tortie.learning.frozen_plan import plan_frozen, preview_split
from tortie.learning.job import Events, Job, make_job
from tortie.learning.options import FitOptions
from tortie.learning.plan import Plan
from tortie.learning.result import FitResult
from tortie.learning.softmax import PENALTIES, Floats, Integers, LinearHead, Weights, choose
from tortie.learning.streaming_solver import Block, StreamedProblem
from tortie.learning.training_weights import check_class_weight, per_class, said
from tortie.processes import Processes, give_back_memory

IN_MEMORY = 2**26
"""Numbers of a set of features up to which it is fitted in memory: 256 MB as float32. It is a
constant, and no share of what is free, so that a fit does not depend on what else is running."""
_ROWS = 2048  # of a block: 10 MB of 1,280 features
_WINDOWS = "the features are read from their files, a window of them at a time"
_BYTES_OF_STEPS = 80  # of a row, where a head is trained by steps: its class, part, place, order
_SAMPLE = 10_000  # photographs trained on that are held in memory; or ten of each class


def is_large(manifest: Manifest) -> bool:
    """Whether the features are read from their files in each pass."""
    return manifest.photographs * int(np.prod(manifest.shape)) > IN_MEMORY


class FeatureFolder(NamedTuple):
    """A folder of features, opened.

    Attributes:
        path: of the folder.
        manifest: what it says that it holds.
        shards: its files.
    """

    path: Path
    manifest: Manifest
    shards: Sequence[FeatureShard]


def fit_streamed(
    folder: FeatureFolder, options: FitOptions, store: ActivationStore,
    processes: Processes, events: Events, plan_only: bool = False,
) -> FitResult:  # fmt: skip
    """Fit the softmax layer or another head on all rows of features, and measure it on samples.

    Args:
        folder: of the features.
        options: the user's, with the features' own.
        store: gives the place of the cache.
        processes: each reads its share of the files in a pass.
        events: callbacks.
        plan_only: whether to stop at the plan.

    Raises:
        UsageError: fewer than two classes, a class of one photograph, fractions that cannot be.
        TortieError: features that cannot be read, or are of other weights.
    """
    clock, manifest = Clock(), folder.manifest
    sampled = _sampled(folder, options, clock)
    rows, collection, known = sampled.rows, sampled.collection, sampled.known
    sources = [one.path for one in collection.photographs]
    job = make_job(collection, sources, options, store, processes, events, plan_only)
    if job.by_steps:
        return _fit_head(job, folder, sampled, clock)
    frozen = network_of(job, manifest)
    plan = _plan(frozen, manifest, rows, len(known.reasons))
    job.announce(plan)
    data = _dataset(job, sampled)
    clock.lap("samples")
    with closing(_problem(job, rows, manifest)) as problem:
        head, penalty = _chosen(problem, _chosen_on(sampled, data, manifest))
        passes = problem.passes
    clock.lap("softmax layer")
    table = LabelledFeatures(  # after the solver has let go of its own rows
        sampled.activations(manifest), data.labels, data.sha256, data.groups,
        classes=len(data.classes), weights=data.weights(np.arange(len(data))),
    )  # fmt: skip
    calibration = calibrate(table, data, head, penalty, None, None)
    solved = Solved(head, penalty, predict_by(table, head, data.scored), calibration, None)
    result = result_of(frozen, data, table, solved, plan)
    clock.lap("calibration and distance")
    how = (
        f"the softmax layer is solved for on all {rows.counts['train']:,} training photographs, in "
        f"{passes} passes of their features"
    )
    return _told(result, rows, how, clock)


class _Sampled(NamedTuple):
    """All rows of the files, and the photographs of a sample of them.

    Attributes:
        rows: all.
        sample: those whose photographs are held in memory, ascending.
        collection: these photographs, then those that cannot be read.
        known: of them.
    """

    rows: FeatureRows
    sample: Integers
    collection: Collection
    known: WhatWasRead

    def activations(self, manifest: Manifest, positions: Integers | None = None) -> Floats:
        """Of the sample, or of some of it, ascending, float32 ``(n, D)``."""
        wanted = self.sample if positions is None else self.sample[positions]
        found = np.empty((len(wanted), *manifest.shape), np.float32)
        begin = 0
        for shard, own in self.rows.in_files(wanted):
            found[begin : begin + len(own)] = shard.features(own)
            begin += len(own)
        return found


def _sampled(folder: FeatureFolder, options: FitOptions, clock: Clock) -> _Sampled:
    """Read what is known of the rows, split them, and draw the sample."""
    manifest = folder.manifest
    check_class_weight(options.class_weight, manifest.classes)
    rows = read_rows(folder.shards, manifest, options)
    counts = np.bincount(rows.labels, minlength=len(manifest.classes)).tolist()
    of_class = Counter(dict(zip(manifest.classes, counts, strict=True)))
    enough_classes(of_class, manifest.label_type)
    clock.lap("duplicates and split")
    sample = _sample(rows, options.seed)
    return _Sampled(rows, sample, *_listed(folder, rows, sample))


def _dataset(job: Job, sampled: _Sampled) -> Dataset:
    """The photographs of the sample, split as all rows are."""
    data, rule = make_dataset(job, *sampled.known), sampled.rows.rule
    split = replace(data.split, rule=rule, measured_rule=rule)
    return replace(data, split=split, by_steps=False)  # the part that chooses is drawn already


def _sample(rows: FeatureRows, seed: int) -> Integers:
    """Rows that are held in memory, ascending."""
    most = max(10, _SAMPLE // max(1, int(rows.labels.max()) + 1))
    parts = [rows.sample(part, MOST[part], seed) for part in SPLITS[1:]]
    return np.sort(np.concatenate([rows.sample_each_class(most, seed), *parts]))


def _listed(
    folder: FeatureFolder, rows: FeatureRows, sample: Integers
) -> tuple[Collection, WhatWasRead]:
    """The photographs of a sample, each in its part, then those that cannot be read."""
    photographs, sha256, facts = [], [], []
    parts = iter(rows.splits[sample].tolist())
    for shard, own in rows.in_files(sample):
        found = zip(shard.photographs(own.tolist()), parts, strict=False)  # parts go on
        photographs += [replace(one, split=SPLITS[place]) for one, place in found]
        sha256 += [one.tobytes().hex() for one in shard.column("sha256")[own]]
        facts += shard.facts(own.tolist())
    skipped = [one for shard in rows.shards for one in shard.header.skipped]
    reasons = {len(photographs) + place: one[2] for place, one in enumerate(skipped)}
    photographs += [Photograph(Path(path), label) for path, label, _ in skipped]
    none = [None] * len(skipped)
    notes = tuple(notes_of(rows.shards))
    collection = Collection(folder.path, tuple(photographs), notes, folder.manifest.label_type)
    return collection, WhatWasRead([*sha256, *none], [*facts, *none], reasons)


def _plan(frozen: FrozenNetwork, manifest: Manifest, rows: FeatureRows, skipped: int) -> Plan:
    """The plan of the sample, with the counts of all rows."""
    job, (width,) = frozen.job, manifest.shape
    plan = plan_frozen(job, frozen, preview_split(job), unreadable=skipped)
    size = len(rows) * width * np.dtype(manifest.dtype).itemsize
    held = plan.memory_bytes + 33 * len(rows)
    note = (
        f"the features ({size / 1e9:.3g} GB) are read from their files in each pass of the solver"
    )
    return plan.model_copy(
        update={
            "images": len(rows) + skipped, "splits": rows.counts, "on": scored_part(rows),
            "rule": rows.rule, "images_in_store": len(rows), "memory_bytes": held, "notes": (note,),
            "class_weight": said(job.options.class_weight, bool((rows.weights != 1).any())),
        }
    )  # fmt: skip


def _problem(job: Job, rows: FeatureRows, manifest: Manifest) -> StreamedProblem:
    """The softmax layer's problem on all rows of train; a process reads its share of the files."""
    train = rows.part("train")
    labels = rows.labels[train].astype(np.int64)
    counts = np.bincount(labels, minlength=len(manifest.classes))
    weights = per_class(counts, job.options.class_weight, manifest.classes)[labels]
    weights *= rows.weights[train]
    shares: Floats = (weights / (weights.sum() or 1.0)).astype(np.float32)
    blocks: list[Callable[[], Block]] = []
    begin = 0
    for number, (shard, own) in enumerate(rows.in_files(train)):
        if number % job.processes.count == job.processes.rank:
            for at in range(0, len(own), _ROWS):
                part = slice(begin + at, begin + min(at + _ROWS, len(own)))
                blocks.append(
                    partial(_block, shard, own[at : at + _ROWS], labels[part], shares[part])
                )
        begin += len(own)
    shape = manifest.shape[0], len(manifest.classes)
    return StreamedProblem(blocks, len(train), shape, job.threads, job.processes)


def _block(shard: FeatureShard, rows: Integers, labels: Integers, weights: Floats) -> Block:
    return Block(shard.features(rows), labels, weights)


def _chosen_on(
    sampled: _Sampled, data: Dataset, manifest: Manifest
) -> tuple[Floats, Integers, Weights]:
    """Features, classes and weights of the photographs that choose the penalty."""
    positions = data.part(chosen_part(sampled.rows))
    features = sampled.activations(manifest, positions)
    return features, data.labels[positions], data.weights(positions)


def _chosen(
    problem: StreamedProblem, held: tuple[Floats, Integers, Weights]
) -> tuple[LinearHead, float]:
    """The softmax layer of the penalty of least log loss on some rows, and the penalty."""
    penalties = PENALTIES[::2]  # whole decades
    penalty = choose(problem, [held], penalties).penalty
    return problem.solve(penalty)[0], penalty


def _told(result: FitResult, rows: FeatureRows, how: str, clock: Clock) -> FitResult:
    """The result, with what was done on all rows and what on samples, a line each."""
    counts, data = rows.counts, result.data
    parts = [
        f"{len(data.part(part)):,} of {counts[part]:,} {part} photographs"
        for part in SPLITS
        if part in counts and len(data.part(part)) < counts[part]
    ]
    lines = [
        how,
        "near copies are looked for by hashes in buckets: mirrored and strongly cropped copies may "
        "be on two sides of the split",
    ]
    if parts:
        lines.append(f"figures, distances and findings are of samples: {', '.join(parts)}")
    give_back_memory()  # the report needs some
    result.notes_by_source["split"] = [*rows.notes, *result.notes_by_source["split"], *lines]
    return replace(result, seconds=clock.seconds, rows=rows)


def with_replaced(job: Job) -> Job:
    """The job, with the run that gives way to it where ``--force`` asks for that."""
    options = job.options
    return replace(job, replaces=options.run if options.force and not options.resume else None)


def _fit_head(job: Job, folder: FeatureFolder, sampled: _Sampled, clock: Clock) -> FitResult:
    """Train a head of several layers by steps on all rows, a window of them at a time."""
    from tortie.learning.candidate import StoredFeatures, class_weights_of
    from tortie.learning.feature_head import HeadRows, check_head, digest_of, fit_head
    from tortie.training.feed import Prepare
    from tortie.training.loop import TrainData
    from tortie.training.windows import Windowed

    manifest, rows, sample = folder.manifest, sampled.rows, sampled.sample
    job = with_replaced(job)
    check_head(job)
    data = _dataset(job, sampled)
    activations = sampled.activations(manifest)
    clock.lap("samples")
    train, labels = rows.part("train"), rows.labels.astype(np.int64)
    chosen = data.part(chosen_part(rows))
    feed = Windowed(rows.shards, train, (sample, activations), job.draw_seed)
    train_data = TrainData(
        feed=feed,
        prepare=Prepare(job.entry.preprocessing, job.device),
        labels=labels,
        classes=len(manifest.classes),
        train=train,
        chosen_on=sample[chosen],
        chosen_weights=data.weights(chosen),
        class_weights=class_weights_of(labels[train], job.options.class_weight, manifest.classes),
        sample_weights=rows.weights.astype(np.float64) if (rows.weights != 1).any() else None,
        arranged=feed.arranged,
    )
    plan = {
        "images": len(rows) + len(sampled.known.reasons), "splits": rows.counts,
        "on": scored_part(rows), "images_in_store": len(rows),
    }  # fmt: skip
    held = activations.nbytes + feed.bytes + _BYTES_OF_STEPS * len(rows)
    stored = StoredFeatures(train_data, digest_of(folder.shards))
    head_rows = HeadRows(
        data=data, features=activations, stored=stored, why=_WINDOWS, bytes=held, plan=plan
    )
    result = fit_head(job, manifest, head_rows, clock)
    how = (
        f"the head is trained on all {len(train):,} training photographs, by steps on their "
        "features, read from their files a window at a time"
    )
    return _told(result, rows, how, clock)
