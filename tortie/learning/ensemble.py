"""Ensembles: several networks trained apart, whose probabilities are averaged, never their weights.

Every member sees the same split, and judges the same photographs, so that the mean of what they say
is measured and calibrated as one classifier's.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tortie.activations.store import ActivationStore
from tortie.errors import UsageError
from tortie.evaluation.crops import prediction_cost
from tortie.images import Collection, Source
from tortie.images.split import folds
from tortie.learning.calibration import Calibration, calibrated
from tortie.learning.cross_fitting import FOLDS, HeldOut
from tortie.learning.dataset import Dataset
from tortie.learning.job import Events, Job, make_job
from tortie.learning.options import FitOptions
from tortie.learning.result import FitResult
from tortie.learning.temperature import choose_temperature
from tortie.networks.arguments import split_networks
from tortie.processes import Processes
from tortie.runs.folder import member_folder


def member_jobs(
    collection: Collection, sources: Sequence[Source], options: FitOptions,
    store: ActivationStore, processes: Processes, events: Events, plan_only: bool,
) -> list[Job]:  # fmt: skip
    """A job for each network; one network of one member is an ordinary fit.

    Args:
        collection: the photographs' paths, labels, splits and groups.
        sources: what to read for each of them.
        options: the user's options.
        store: where activations are kept; all members share it.
        processes: that compute this fit together.
        events: callbacks.
        plan_only: whether to stop at the plan.

    Raises:
        UsageError: two members would be copies: with everything frozen a softmax layer has one
            solution, so they must differ in network or in drawn views; or an invalid option.
    """
    networks = split_networks(options.network)
    weights = split_weights(options.weights)
    each = max(len(networks), len(weights))
    for parts, what in ((networks, "networks"), (weights, "weights")):
        if len(parts) not in (1, each):
            raise UsageError(
                f"{len(networks)} networks with {len(weights)} weights: expected as many of both, "
                f"or one of the {what}"
            )
    count = max(options.members, each)
    if options.members > 1 and options.members % each:
        raise UsageError(
            f"{options.members} members of {each} networks: expected as many of each, such "
            f"as {each} or {2 * each}"
        )
    jobs = []
    for number in range(count):
        own = _member_options(options, number, count).changed(
            network=networks[number % len(networks)], weights=weights[number % len(weights)],
            quality=None,
        )  # fmt: skip
        job = make_job(collection, sources, own, store, processes, events, plan_only)
        replaces = options.run if options.force and not options.resume and not number else None
        jobs.append(replace(job, member=number, replaces=replaces))
    same_views = options.augment in (None, "none")
    kinds = {(job.entry.title, job.options.weights) for job in jobs}
    if count > len(kinds) and not any(job.by_steps for job in jobs) and same_views:
        raise UsageError(
            f"{count} members of {', '.join(sorted({title for title, _ in kinds}))} would be one: "
            "with everything frozen a softmax layer has a single solution; let them differ by "
            "--augment standard, by --network A,B or --weights A,B, or freeze less"
        )
    if count == 1 and options.crops == 1:
        return jobs
    return [_with_cost_of_all(job, jobs) for job in jobs]


def split_weights(text: str | None) -> list[str | None]:
    """The weights of ``A,B,none``; a file's name may have commas.

    Raises:
        UsageError: an empty name among them.
    """
    if text is None or Path(text).exists():
        return [text]
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise UsageError(f"weights {text!r}: an empty name; give A,B")
    return [None if part == "none" else part for part in parts]


def _member_options(options: FitOptions, number: int, count: int) -> FitOptions:
    changes: dict[str, object] = {"members": 1}
    if options.run is not None and count > 1:
        folder = member_folder(options.run, number + 1)
        changes["run"] = folder
        changes["resume"] = options.resume and (folder / "run.json").exists()
    return options.changed(**changes)


def _with_cost_of_all(job: Job, jobs: Sequence[Job]) -> Job:
    """The job of a member, whose plan says what all of them cost in a prediction."""
    return replace(
        job,
        prediction=prediction_cost(
            [(one.entry.preprocessing, one.entry.mirror) for one in jobs],
            [_multiplications(one) for one in jobs],
            job.options.crops,
        ),
    )


def _multiplications(job: Job) -> int:
    """Of one photograph, by the table or counted."""
    entry = job.entry
    if entry.multiplications is not None and job.options.input is None:
        return entry.multiplications
    from tortie.cost.count import count
    from tortie.weights.meta import meta_device

    with meta_device():
        network = entry.build()
    return count(network, entry.preprocessing.shape).multiplications


def given_split(job: Job, first: FitResult) -> Job:
    """The job of a later member, with the split of the first.

    Networks see different photographs as copies, and copies decide how a split is drawn.
    """
    if first.data.split.on == "cross-validation":
        return job
    pairs = zip(first.data.photographs, first.data.split.splits, strict=True)
    known = {photograph.path: split for photograph, split in pairs}
    photographs = tuple(
        replace(one, split=known.get(one.path)) for one in job.collection.photographs
    )
    return replace(
        job,
        collection=replace(job.collection, photographs=photographs),
        options=job.options.changed(valid=None, test=None),  # what was drawn is now given
    )


def combine(results: Sequence[FitResult], options: FitOptions) -> FitResult:
    """The mean of the members' probabilities, measured and calibrated as one classifier's."""
    first = results[0]
    held_out = _mean([one.held_out for one in results])
    calibration = _calibrated(results)
    if first.data.split.on == "cross-validation" and len(held_out.positions):
        temperatures = _cross_fitted_temperatures(held_out, first.data, options.seed)
        held_out = replace(held_out, temperatures=temperatures)
    networks = [note for one in results for note in one.notes_by_source["network"]]
    return replace(
        first,
        held_out=held_out,
        calibration=calibration,
        notes_by_source={
            **first.notes_by_source,
            "network": list(dict.fromkeys(networks)),
            "calibration": calibration.notes,
        },
        seconds={
            phase: round(sum(one.seconds.get(phase, 0.0) for one in results), 3)
            for one in results
            for phase in one.seconds
        },
        members=tuple(results),
    )


def _calibrated(results: Sequence[FitResult]) -> Calibration:
    """The temperatures of the mean, for the crop settings that every member has."""
    predictions = [one.calibration.predictions for one in results]
    settings = sorted(set.intersection(*map(set, predictions)))
    if not settings:
        return results[0].calibration
    by_crops = {crops: _mean([one[crops] for one in predictions]) for crops in settings}
    return calibrated(by_crops, results[0].data)


def _mean(each: Sequence[HeldOut]) -> HeldOut:
    """The mean of the probabilities of those photographs that every member predicted."""
    positions = np.sort(each[0].positions)
    for one in each[1:]:
        positions = np.intersect1d(positions, one.positions)
    rows = [one.probabilities[one.places(positions)] for one in each]
    mean: NDArray[np.float64] = np.stack(rows).mean(axis=0, dtype=np.float64)
    return HeldOut(positions, mean.astype(np.float32))


def _cross_fitted_temperatures(
    held_out: HeldOut, data: Dataset, seed: int
) -> NDArray[np.float32]:  # fmt: skip
    """A temperature for each photograph, fitted on the folds that it is not in."""
    rows = held_out.positions
    labels = data.labels[rows]
    own = folds(
        [str(one) for one in labels], [data.sha256[i] for i in rows],
        [data.groups[i] for i in rows], FOLDS, seed,
    )  # fmt: skip
    temperatures = np.ones(len(rows), np.float32)
    for fold in np.unique(own):
        others = own != fold
        temperatures[~others] = choose_temperature(
            held_out.probabilities[others], labels[others], data.weights(rows)[others]
        )
    return temperatures
