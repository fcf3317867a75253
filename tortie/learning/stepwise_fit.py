"""The main job where stages learn too: some or none are frozen, the others trained by steps.

:func:`stepwise_fit` reads from top to bottom: read the photographs, split, build and freeze the
network, plan the steps, train, predict what was held out.
"""

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch

from tortie.evaluation.crops import Crops, crop_views
from tortie.evaluation.member import MemberNetwork
from tortie.evaluation.predict import Member, Predictions, predict
from tortie.forks import usable_torch_threads
from tortie.learning.calibration import Calibration, calibrated, uncalibrated
from tortie.learning.candidate import Candidate, Trained, make_candidate, train_candidate
from tortie.learning.clock import Clock
from tortie.learning.cross_fitting import HeldOut
from tortie.learning.dataset import (
    Dataset,
    Integers,
    enough_classes,
    hash_photographs,
    make_dataset,
)
from tortie.learning.features import compute_in_parts, reader_of
from tortie.learning.job import Job
from tortie.learning.plan import Plan
from tortie.learning.result import FitResult, dataset_notes
from tortie.learning.step_plan import recipe_of
from tortie.runs.folder import check_beginning
from tortie.runs.resume import check_freeze
from tortie.runs.run import Run
from tortie.training.decoded import DecodedPhotographs, free_memory
from tortie.training.state import TrainState

_LEFT = 0.99  # of the loss of guessing: a training that is above it has not begun to learn
_FEW_STEPS = 100  # an epoch; the papers' recipes take hundreds


def stepwise_fit(job: Job) -> FitResult:
    """Train the stages that are not frozen, and measure the classifier.

    Raises:
        UsageError: an invalid option, or a run that cannot be resumed with these options.
        TortieError: no photograph can be read, or the training failed; the run's folder keeps what
            was learnt.
    """
    clock = Clock()
    check_stepwise(job)
    data, listed_photographs = read_dataset(job)
    photographs = listed_photographs.only(data.inspection.rows)
    clock.lap("read")
    with torch_threads(job.threads), open_run(job) as run:
        document = run.document()
        check_freeze(run.folder, document, job.options.freeze)
        candidate = make_candidate(job, data, photographs, document)
        plan = candidate.plan
        job.announce(plan)
        clock.lap("plan")
        trained = train_candidate(candidate, plan, run)
        clock.lap("training")
        return measure(trained, clock)


def check_stepwise(job: Job) -> None:
    """Refuse a recipe or a run that does not fit, before a photograph is read.

    Raises:
        UsageError: with the way out.
    """
    recipe_of(job, len(job.collection.photographs))
    enough_classes(
        (photograph.label for photograph in job.collection.photographs),
        job.collection.label_type,
        job.collection.notes,
    )

    def check() -> bytes:
        if job.options.run is not None:
            check_beginning(job.options.run, job.options.resume, job.replaces)
        return b""

    job.processes.broadcast_bytes(check)


def read_dataset(job: Job) -> tuple[Dataset, DecodedPhotographs]:
    """Read every listed photograph once, and keep it decoded as far as memory allows.

    Raises:
        UsageError: fewer than two classes, or a class of one photograph.
        TortieError: no photograph can be read.
    """
    sha256 = hash_photographs(job)
    photographs = DecodedPhotographs(
        job.sources, sha256, job.entry.preprocessing, job.max_pixels, free_memory() // 3
    )
    photographs.load(job.threads, job.events.progress)
    data = make_dataset(job, sha256, photographs.facts, photographs.reasons)
    return data, photographs


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """A block in which torch computes on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(usable_torch_threads(count))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def open_run(job: Job) -> Iterator[Run]:
    """The folder of the job's run, or a temporary one; closed when the block ends.

    Raises:
        UsageError: as :class:`~tortie.runs.run.Run` does.
        TortieError: the folder cannot be made, or the fit was interrupted.
    """
    options = job.options
    with ExitStack() as stack:
        folder = options.run or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lasting = options.run is not None
        run = Run(folder, options.resume, lasting, job.replaces, job.processes)
        stack.callback(run.close)
        with run.told():
            yield run


def measure(trained: Trained, clock: Clock) -> FitResult:
    """Predict what was held out, calibrate, and put the result together."""
    candidate, data = trained.candidate, trained.candidate.data
    held_out = HeldOut(data.scored, np.zeros((0, len(data.classes)), np.float32))
    if len(data.scored):
        found = _predictions(candidate, data.scored, 1)
        held_out = HeldOut(data.scored[found.rows], found.uncalibrated)
    return result_of_steps(trained, held_out, _calibrated(candidate), clock)


def result_of_steps(
    trained: Trained, held_out: HeldOut, calibration: Calibration, clock: Clock
) -> FitResult:
    """The result of a training by steps, from what it predicts."""
    candidate, state = trained.candidate, trained.state
    job, data, backbone = candidate.job, candidate.data, candidate.backbone
    clock.lap("measure")
    return FitResult(
        part=MemberNetwork.of(backbone.network, job.entry.preprocessing),
        extractor=backbone.whole_extractor(),
        entry=job.entry,
        plan=trained.plan,
        data=data,
        held_out=held_out,
        calibration=calibration,
        notes_by_source={
            **dataset_notes(data, job.collection.all_notes, backbone.network.notes),
            "views": candidate.steps.notes,
            "calibration": calibration.notes,
            "training": [
                _kept_epoch(state),
                *trained.sides,
                *learnt_nothing(state.history, len(data.classes), trained.plan),
            ],
        },
        seconds=clock.seconds,
        history=state.history,
        best_epoch=state.best_epoch,
    )


def learnt_nothing(
    history: Sequence[Mapping[str, float | None]], classes: int, plan: Plan
) -> list[str]:
    """A warning where the training loss is still that of guessing; none where it has left that.

    Args:
        history: of the epochs, with their ``train_loss`` and ``validation_loss``.
        classes: K. Guessing has a loss of ln K.
        plan: of the training.
    """
    guessing = math.log(classes)
    losses = [
        loss
        for key in ("train_loss", "validation_loss")  # that of side heads is in the former
        if history and (loss := history[-1].get(key)) is not None
    ]
    if not losses or min(losses) < _LEFT * guessing or plan.training is None:
        return []
    training = plan.training
    steps = math.ceil(training.images / training.batch)
    few = f"its {steps:,} steps an epoch of {training.images:,} photographs are too few"
    return [
        f"warning: nothing was learnt: the loss is {min(losses):.3f}, and that of guessing among "
        f"{classes} classes ln {classes} = {guessing:.3f}; most likely "
        + (few if steps < _FEW_STEPS else "its learning rate does not suit")
        + ": try --weights imagenet, more --epochs, a smaller --batch or another --learning-rate"
    ]


def _kept_epoch(state: TrainState) -> str:
    """Which epoch is kept, and why there was no further one."""
    early = f"; stopped after {state.waited} epochs without a better one"
    ended = early if state.finished == "patience" else ""
    return f"epoch {state.best_epoch} of {len(state.history)} is kept{ended}"


def _predictions(candidate: Candidate, rows: Integers, crops: Crops) -> Predictions:
    """Predictions for some photographs, by the path that the classifier takes later."""
    backbone, data = candidate.backbone, candidate.data
    job, extractor = backbone.job, backbone.whole_extractor()
    sources, sha256 = [data.sources[i] for i in rows], [data.sha256[i] for i in rows]
    views = crop_views(extractor.preprocessing, crops, job.entry.mirror)
    if job.processes.count > 1:
        compute_in_parts(job, extractor, sources, sha256, views)
    parts = MemberNetwork.of(backbone.network, job.entry.preprocessing)
    member = Member(parts, extractor, job.entry.mirror)
    reader = reader_of(candidate.photographs.only(rows.tolist()), job.threads)
    return predict([member], 1.0, sources, sha256, job.events.progress, crops=crops, reader=reader)


def _calibrated(candidate: Candidate) -> Calibration:
    """The temperatures, on the calibration part, or where there is none on what chose the epoch."""
    data, crops = candidate.data, candidate.job.options.crops
    rows = data.calibration.positions
    if data.too_few_of(rows, crossed=False) is not None:
        return uncalibrated(data, sorted({"1", str(crops)}, key=int))
    found = _predictions(candidate, rows, crops)
    own = rows[found.rows]
    by_crops = {"1": HeldOut(own, found.centre[0])}
    if crops > 1:
        by_crops[str(crops)] = HeldOut(own, found.uncalibrated)
    return calibrated(by_crops, data)
