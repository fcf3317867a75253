"""The main job: everything frozen, the softmax layer solved for.

:func:`frozen_fit` reads from top to bottom: hash the files, cut the network, plan, take or compute
the activations, split, solve, measure. :func:`solve` is the part from the activations on, which
comparing depths takes too.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tortie.activations.feature_duplicates import feature_duplicate_pairs
from tortie.evaluation.novelty import fit_novelty
from tortie.evaluation.strangers import measure_strangers
from tortie.images import Facts, read
from tortie.images.finding import Finding
from tortie.learning.calibration import (
    Calibration,
    CropFeatures,
    calibrate,
    crop_rows,
)
from tortie.learning.check_labels import CHOOSE_ON, check_labels
from tortie.learning.clock import Clock
from tortie.learning.cross_fitting import (
    MANY,
    HeldOut,
    LabelledFeatures,
    choose_among,
    choose_on,
    cross_fitted_parts,
    cross_validate,
    predict_by,
    train_on,
)
from tortie.learning.dataset import (
    Dataset,
    Integers,
    enough_classes,
    hash_photographs,
    make_dataset,
)
from tortie.learning.frozen_network import FrozenNetwork, frozen_network
from tortie.learning.frozen_plan import plan_frozen, preview_split
from tortie.learning.job import Job
from tortie.learning.plan import Plan
from tortie.learning.result import FitResult, Notes, dataset_notes
from tortie.learning.softmax import (
    Floats,
    LinearHead,
    PenaltyChoice,
    few_threads,
    is_small,
    softmax,
)
from tortie.processes import give_back_memory

if TYPE_CHECKING:
    from tortie.activations.views import View
    from tortie.training.decoded import DecodedPhotographs


def frozen_fit(
    job: Job, photographs: "DecodedPhotographs | None" = None, clock: Clock | None = None
) -> FitResult:
    """Solve for the softmax layer on the activations of a network that is frozen as a whole.

    Args:
        job: the fit.
        photographs: all of the job's, where they are decoded already.
        clock: its phases so far; ``None`` to begin.

    Raises:
        UsageError: fewer than two classes, a class of one photograph, an invalid option.
        TortieError: no photograph can be read.
    """
    clock = clock or Clock()
    classes = enough_classes(
        (photograph.label for photograph in job.collection.photographs),
        job.collection.label_type,
        job.collection.notes,
    )
    with ExitStack() as stack:
        sha256 = hash_photographs(job) if photographs is None else photographs.sha256
        reads = None
        if job.store.is_empty and job.processes.count == 1 and photographs is None:
            # Everything is missing: decoding begins while the network is loaded.
            reads = stack.enter_context(
                read(
                    job.sources, preprocessing=job.entry.preprocessing, threads=job.threads,
                    max_pixels=job.max_pixels,
                )
            )  # fmt: skip
        clock.lap("find and hash")

        from tortie.activations.extract import Extraction
        from tortie.learning.features import MANY, compute_in_parts, is_for_parts, reader_of

        frozen = frozen_network(job, len(classes))
        extractor = frozen.extractor
        clock.lap("load the network")
        reader = reader_of(photographs, job.threads)
        extraction = stack.enter_context(
            Extraction(extractor, job.sources, sha256, reads, reader=reader)
        )
        if job.processes.first:
            extraction.sample()
        seconds = (extraction.read_seconds + extraction.forward_seconds) / job.threads
        unreadable = len(extraction.reasons)  # few, or nothing else is missing: all are known
        plan = plan_frozen(
            job, frozen, preview_split(job), extraction.missing - unreadable, seconds, unreadable
        )
        job.announce(plan)
        in_parts = photographs is None and is_for_parts(extractor, extraction.missing)
        if job.processes.count > 1 or in_parts:
            extraction.abandon()
            compute_in_parts(job, extractor, job.sources, sha256)
            extractor.release()
            extraction = stack.enter_context(Extraction(extractor, job.sources, sha256))
        activations, _ = extraction.finish(job.events.progress)
        if activations.nbytes > MANY:
            extractor.release()
    clock.lap("activations")
    return fit_activations(
        frozen, WhatWasRead(sha256, extraction.facts, extraction.reasons), activations, plan, clock
    )


class WhatWasRead(NamedTuple):
    """What reading the listed photographs told.

    Attributes:
        sha256: of each one's content; ``None`` where it cannot be opened.
        facts: of each; ``None`` where it cannot be read.
        reasons: why one cannot be read, by its place in the list.
    """

    sha256: Sequence[str | None]
    facts: Sequence[Facts | None]
    reasons: Mapping[int, str]


def fit_activations(
    frozen: FrozenNetwork, known: WhatWasRead, activations: Floats, plan: Plan, clock: Clock
) -> FitResult:
    """Split the photographs, solve for the softmax layer and measure it.

    Args:
        frozen: the network.
        known: of the job's photographs.
        activations: of those that can be read, float32 ``(N, D)``.
        plan: of the fit.
        clock: its phases so far.
    """
    with few_threads(activations):
        duplicates = feature_duplicate_pairs(activations, known.facts, frozen.job.threads)
    if not is_small(activations):
        give_back_memory()
    data = make_dataset(frozen.job, *known, duplicates)
    if not is_small(activations):
        give_back_memory()
    clock.lap("duplicates and split")
    return solve(frozen, data, activations, plan, clock)


def solve(
    frozen: FrozenNetwork, data: Dataset, activations: Floats, plan: Plan, clock: Clock
) -> FitResult:
    """Solve for the softmax layer and measure it.

    Args:
        frozen: the network.
        data: the photographs.
        activations: of the undistorted view of each photograph, float32 ``(N, D)``.
        plan: of the fit.
        clock: its phases so far.
    """
    job = frozen.job
    table = LabelledFeatures(
        activations, data.labels, data.sha256, data.groups,
        classes=len(data.classes), weights=data.weights(np.arange(len(data))),
        training=data.training_weights,
    )  # fmt: skip
    views, view_notes = _drawn_views(job, data)
    if views:
        train = data.train
        table = table.with_drawn(_views_of(job, frozen, data, train, views), train)
        clock.lap("drawn views")
    crops = None
    if job.options.crops > 1:
        crops = _crops(job, frozen, data, table)
        clock.lap("crops to calibrate")
    few = len(data) < MANY  # two times five fits of more would take longer than the fit
    with few_threads(activations):
        solved = train_and_measure(table, data, crops, job.threads, job.kept_penalty)
        shared = solved.choice if _is_of_the_check(table, data) else None
        label_errors = (
            check_labels(data.inspection, activations, data.seed, shared, job.kept_penalty)
            if few
            else None
        )
        result = result_of(frozen, data, table, solved, plan, label_errors)
    clock.lap("softmax layer")
    result.notes_by_source["views"] = view_notes
    return replace(result, seconds=clock.seconds)


def result_of(
    frozen: FrozenNetwork, data: Dataset, table: LabelledFeatures, solved: "Solved", plan: Plan,
    label_errors: list[Finding] | None = None,
) -> FitResult:  # fmt: skip
    """What a fit comes to, with the distance to the training photographs; its time is not told."""
    train = table.by_content(data.train)
    known = table.folds(data.seed, train), data.weights(train), train
    novelty = None
    if frozen.job.kept_penalty is None:
        novelty = fit_novelty(table.features, data.labels, *known)
    strangers = measure_strangers(table.features, data.labels, *known) if novelty else None
    listed, network = frozen.job.collection.all_notes, frozen.stages.notes
    notes: Notes = {
        **dataset_notes(data, listed, network, label_errors or []),
        "views": [],
        "calibration": solved.calibration.notes,
    }
    return FitResult(
        part=frozen.with_head(solved.head),
        extractor=frozen.extractor,
        entry=frozen.job.entry,
        plan=plan,
        data=data,
        held_out=solved.held_out,
        calibration=solved.calibration,
        notes_by_source=notes,
        seconds={},
        penalty=solved.penalty,
        novelty=novelty,
        strangers=strangers,
        label_errors=label_errors,
    )


def _is_of_the_check(table: LabelledFeatures, data: Dataset) -> bool:
    """Whether the penalty is chosen as a check of labels does: on all photographs, as they are."""
    return (
        len(data.train) == len(data) <= CHOOSE_ON
        and table.drawn is None
        and data.training_weights.by_default
        and not data.empty_classes
    )


class Solved(NamedTuple):
    """What was chosen, trained, measured and calibrated on activations.

    Attributes:
        head: the softmax layer.
        penalty: of it.
        held_out: predictions that the accuracy is counted on.
        calibration: the temperatures.
        choice: of the penalty, where it was cross-fitted.
    """

    head: LinearHead
    penalty: float
    held_out: HeldOut
    calibration: Calibration
    choice: PenaltyChoice | None


def train_and_measure(
    table: LabelledFeatures, data: Dataset, crops: CropFeatures | None, threads: int = 1,
    kept: float | None = None,
) -> Solved:  # fmt: skip
    """Choose the penalty, train the softmax layer, predict what was held out, calibrate.

    The penalty is chosen on the validation photographs where there are both these and a test, and
    by cross-fitting inside the training photographs otherwise. Where the accuracy is measured by
    cross-validation too, it is nested, but with a penalty that is ``kept`` there is none to choose.
    """
    train, validation, seed = data.train, data.part("validation"), data.seed
    choice = cross_fitted = None
    if data.split.on == "test" and len(validation):
        penalty = choose_on(table, train, validation).penalty if kept is None else kept
    else:
        choice = choose_among(table, train, seed, kept)
        order = np.concatenate([rows for _, rows in cross_fitted_parts(table, train, seed)])
        penalty, cross_fitted = choice.penalty, HeldOut(order, softmax(choice.logits))
    head = train_on(table, train, penalty)
    if data.too_few is None and data.split.on == "cross-validation":
        if kept is None:
            cross_fitted = cross_validate(table, seed, threads)
        assert cross_fitted is not None
        held_out = cross_fitted.only(data.scored)
    else:
        held_out = predict_by(table, head, data.scored)
    calibration = calibrate(table, data, head, penalty, cross_fitted, crops)
    return Solved(head, penalty, held_out, calibration, choice)


def _drawn_views(job: Job, data: Dataset) -> "tuple[list[View], list[str]]":
    """The drawn views of a training photograph, and what the user should know of them."""
    name = job.options.augment or "none"
    if name == "none":
        return [], []
    from tortie.activations.views import Drawn
    from tortie.learning.chosen_policy import chosen_policy
    from tortie.learning.colours import with_own_colours

    chosen, notes = chosen_policy(job.entry, name, job.options.mirror)
    chosen, colours = with_own_colours(chosen, job, data, None)
    if chosen is None:
        return [], list(notes)
    numbers = range(1, job.options.views + 1)
    drawn = [Drawn(job.entry.preprocessing, chosen, job.draw_seed, n) for n in numbers]
    return list(drawn), [*notes, *colours]


def _crops(job: Job, frozen: FrozenNetwork, data: Dataset, table: LabelledFeatures) -> CropFeatures:
    """Activations of the crops of the photographs that the temperature is fitted on."""
    from tortie.evaluation.crops import crop_views

    rows = crop_rows(table, data, job.options.crops)
    views = crop_views(job.entry.preprocessing, job.options.crops, job.entry.mirror)
    return CropFeatures(job.options.crops, _views_of(job, frozen, data, rows, views), rows)


def _views_of(
    job: Job, frozen: FrozenNetwork, data: Dataset, rows: Integers, views: "list[View]"
) -> Floats:
    """Activations ``(n, views, D)`` of some views of some photographs."""
    from tortie.learning.features import features

    return features(job, frozen.extractor, data, rows, views).activations
