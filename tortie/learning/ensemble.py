"""Ensembles: several networks trained apart, whose probabilities are averaged, never their weights.

Every member sees the same split, and judges the same photographs, so that the mean of what they say
is measured and calibrated as one classifier's.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tortie.activations.store import ActivationStore
from tortie.errors import UsageError
from tortie.evaluation.calibration import fit_temperature, tempered
from tortie.images import Collection, Source
from tortie.images.split import folds
from tortie.learning.calibration import calibrated
from tortie.learning.cross_fitting import FOLDS, HeldOut
from tortie.learning.fit import fit
from tortie.learning.options import FitOptions
from tortie.learning.plan import Plan
from tortie.learning.result import Events, FitResult
from tortie.networks.table import find
from tortie.processes import rank
from tortie.runs.folder import check_beginning, clear, member_folder


def fit_members(
    collection: Collection,
    sources: Sequence[Source],
    options: FitOptions,
    store: ActivationStore,
    events: Events,
) -> FitResult | Plan:
    """Train each member, then measure and calibrate the mean of their probabilities.

    Args:
        collection: the photographs' paths, labels, splits and groups.
        sources: what to read for each of them.
        options: the user's choices; one network of one member is an ordinary fit.
        store: where activations are kept; all members share it.
        events: whom to tell; ``plan`` is asked before each member's work.

    Raises:
        UsageError: members that would be copies of one another, or a choice that cannot be met.
        TortieError: no photograph can be read, or a training failed.
    """
    each = members_of(options)
    stale = options.run if options.force and not options.steps and not rank() else None
    if stale is not None:
        check_beginning(stale, resume=False, replaces=stale)
    fitted = _fit_each(collection, sources, options, each, store, events)
    if stale is not None and isinstance(fitted, FitResult):  # its classifier gives way to this one
        clear(stale)
    return fitted


def _fit_each(
    collection: Collection, sources: Sequence[Source], options: FitOptions,
    each: Sequence[FitOptions], store: ActivationStore, events: Events,
) -> FitResult | Plan:  # fmt: skip
    if len(each) == 1:
        return fit(collection, sources, each[0], store, events)
    _check_each(each)
    cost = sum(find(own.network).multiplications or 0 for own in each)
    told = f"{len(each)} networks; together {cost:,} multiplications a photograph to predict"

    def plan(planned: Plan) -> bool:
        return events.plan(planned.model_copy(update={"ensemble": told}))

    fitted: list[FitResult] = []
    for number, own in enumerate(each, 1):
        events.note(f"member {number} of {len(each)}: {own.network}")
        if fitted and fitted[0].protocol.on != "cross-validation":  # what was drawn is now given
            own = own.model_copy(update={"valid": None, "test": None})
        made = fit(collection, sources, own, store, replace(events, plan=plan))
        if isinstance(made, Plan):
            return made.model_copy(update={"ensemble": told})
        if number == 1:
            collection = _as_split(collection, made)
        fitted.append(made)
    return _together(fitted, options)


def members_of(options: FitOptions) -> list[FitOptions]:
    """The options of each member.

    Raises:
        UsageError: two members would be copies: with everything frozen a softmax layer has one
            solution, so they must differ in network or in drawn views.
    """
    names = [find(name.strip()).name for name in options.network.split(",")]
    count = max(options.members, len(names))
    if options.members > 1 and options.members % len(names):
        raise UsageError(
            f"{options.members} members of {len(names)} networks: expected as many of each, such "
            f"as {len(names)} or {2 * len(names)}"
        )
    same_views = options.augment in (None, "none")
    if count > len(set(names)) and not options.steps and same_views:
        raise UsageError(
            f"{count} members of {', '.join(sorted(set(names)))} would be one: with everything "
            "frozen a softmax layer has a single solution; let them differ by --augment standard, "
            "by --network A,B, or freeze less"
        )
    made = []
    for number in range(count):
        changes: dict[str, object] = {"network": names[number % len(names)], "members": 1}
        changes["member"] = number
        if options.force and not options.resume and not number:
            changes["replaces"] = options.run
        if options.run is not None and count > 1:
            folder = member_folder(options.run, number + 1)
            changes["run"] = folder
            changes["resume"] = options.resume and (folder / "run.json").exists()
        made.append(options.model_copy(update=changes))
    return made


def _check_each(each: Sequence[FitOptions]) -> None:
    """Refuse a member that cannot be trained before another one has been."""
    from tortie.learning.freeze import check_depth

    for own in each:
        check_depth(find(own.network), own)


def _as_split(collection: Collection, first: FitResult) -> Collection:
    """The collection with the first member's split, which the others keep.

    Networks see different photographs as copies, and copies decide how a split is drawn.
    """
    if first.protocol.on == "cross-validation":
        return collection
    known = {
        one.path: split for one, split in zip(first.photographs, first.protocol.splits, strict=True)
    }
    photographs = tuple(replace(one, split=known.get(one.path)) for one in collection.photographs)
    return replace(collection, photographs=photographs)


def _together(fitted: Sequence[FitResult], options: FitOptions) -> FitResult:
    """The mean of what the members say, measured and calibrated."""
    first = fitted[0]
    held = _mean([HeldOut(one.held, one.uncalibrated) for one in fitted])
    settings = set.intersection(*(set(one.calibration.said) for one in fitted))
    said = {
        crops: _mean([one.calibration.said[crops] for one in fitted]) for crops in sorted(settings)
    }
    calibration = first.calibration
    if said:
        calibration = calibrated(said, first.labels, first.calibration.on)
    temperatures: float | NDArray[np.float32] = calibration.temperature["1"]
    if first.protocol.on == "cross-validation" and len(held.positions):
        temperatures = _crossed(held, first, options.seed)
    about_networks = [note for one in fitted for note in one.network.notes]
    notes = [*first.notes, *about_networks, *calibration.notes]
    return replace(
        first,
        held=held.positions,
        uncalibrated=held.probabilities,
        probabilities=tempered(held.probabilities, temperatures),
        calibration=calibration,
        notes=[
            note
            for note in dict.fromkeys(notes)
            if note not in first.calibration.notes or note in calibration.notes
        ],
        seconds={
            phase: round(sum(one.seconds.get(phase, 0.0) for one in fitted), 3)
            for one in fitted
            for phase in one.seconds
        },
        members=tuple(fitted),
    )


def _mean(said: Sequence[HeldOut]) -> HeldOut:
    """The mean of the probabilities of those photographs that every member judged."""
    positions = np.sort(said[0].positions)
    for one in said[1:]:
        positions = np.intersect1d(positions, one.positions)
    rows = []
    for one in said:
        order = np.argsort(one.positions)
        places = order[np.searchsorted(one.positions, positions, sorter=order)]
        rows.append(one.probabilities[places])
    mean: NDArray[np.float64] = np.stack(rows).mean(axis=0, dtype=np.float64)
    return HeldOut(positions, mean.astype(np.float32))


def _crossed(held: HeldOut, first: FitResult, seed: int) -> NDArray[np.float32]:
    """A temperature for each photograph, fitted on the folds that it is not in."""
    rows = held.positions
    labels = first.labels[rows]
    own = folds(
        [str(one) for one in labels], [first.sha256[i] for i in rows],
        [first.groups[i] for i in rows], FOLDS, seed,
    )  # fmt: skip
    temperatures = np.ones(len(rows), np.float32)
    for fold in np.unique(own):
        others = own != fold
        temperatures[~others] = fit_temperature(held.probabilities[others], labels[others])
    return temperatures
