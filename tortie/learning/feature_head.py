"""A head of several layers, trained by steps on features that ``tortie extract`` wrote.

Recipe, loop, checkpoints and the choice of the epoch are those of any training by steps; what comes
before the head is in the files. So nothing is drawn anew: an epoch sees the features as they are.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tortie.activations.feature_shards import FeatureShard, Manifest
from tortie.activations.views import Undistorted
from tortie.errors import UsageError
from tortie.evaluation.member import MemberNetwork
from tortie.learning.backbone import Backbone, make_backbone
from tortie.learning.calibration import Calibration, calibrated, uncalibrated
from tortie.learning.candidate import (
    Candidate,
    StoredFeatures,
    Trained,
    train_candidate,
    train_data_of,
)
from tortie.learning.clock import Clock
from tortie.learning.cross_fitting import HeldOut
from tortie.learning.dataset import Dataset, Integers, make_dataset
from tortie.learning.frozen_fit import WhatWasRead
from tortie.learning.frozen_network import check_tensors
from tortie.learning.job import Job
from tortie.learning.plan import Plan
from tortie.learning.result import FitResult
from tortie.learning.softmax import Floats
from tortie.learning.step_plan import StepPlan, multiplications_of, recipe_of
from tortie.learning.stepwise_fit import open_run, result_of_steps, torch_threads
from tortie.runs.folder import check_beginning
from tortie.training.decoded import DecodedPhotographs
from tortie.training.feature_table import FeatureTable
from tortie.training.feed import Stored, batches_of
from tortie.training.loop import TrainData
from tortie.training.step_cost import measure_step

_TOGETHER = 1024  # rows that are predicted together
_TIMED = 32  # rows of the step that is timed, at most


@dataclass(frozen=True)
class HeadRows:
    """What a head is trained on, chosen by and measured on.

    Attributes:
        data: photographs; all of them, or a sample.
        features: of each of these, float32 ``(len(data), D)``.
        stored: rows that are trained on.
        why: how they are read, in words.
        bytes: of memory that rows and features take.
        plan: what the plan says of all rows, where the data is a sample.
    """

    data: Dataset
    features: Floats
    stored: StoredFeatures
    why: str
    bytes: int
    plan: Mapping[str, Any] = field(default_factory=dict)

    @property
    def train_data(self) -> TrainData:
        """What the loop learns from."""
        return self.stored.train_data


def rows_in_memory(
    job: Job, known: WhatWasRead, features: Floats, shards: Sequence[FeatureShard]
) -> HeadRows:
    """All rows, split as the photographs would be.

    Args:
        job: the fit.
        known: of the photographs.
        features: of those that can be read, float32 ``(N, D)``.
        shards: the files that they are of.
    """
    data = make_dataset(job, *known)
    table = FeatureTable(features[:, None], np.arange(len(features)))
    train_data = train_data_of(data, job, Stored(table, table))
    why = "the features are there, and are held in memory"
    stored = StoredFeatures(train_data, digest_of(shards))
    return HeadRows(data, features, stored, why, features.nbytes)


def digest_of(shards: Sequence[FeatureShard]) -> str:
    """What tells the content of files from others."""
    told = [[one.header.sha256, one.header.stamp, one.header.context] for one in shards]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def check_head(job: Job) -> None:
    """Refuse a recipe or a run that does not fit, before the features are read.

    Raises:
        UsageError: with the way out.
    """
    recipe, _ = recipe_of(job, len(job.collection.photographs))
    if recipe.policy != "none":
        raise UsageError(
            f"recipe {recipe.name} draws views ({recipe.policy}), which needs the photographs: "
            "take another, or fit on the photographs"
        )

    def check() -> bytes:
        if job.options.run is not None:
            check_beginning(job.options.run, job.options.resume, job.replaces)
        return b""

    job.processes.broadcast_bytes(check)


def fit_head(job: Job, manifest: Manifest, rows: HeadRows, clock: Clock) -> FitResult:
    """Train the head, and measure the classifier.

    Raises:
        UsageError: a run that cannot be resumed with these options.
        TortieError: features of other weights, or the training failed; the run's folder keeps what
            was learnt.
    """
    data = rows.data
    with torch_threads(job.threads), open_run(job) as run:
        backbone = make_backbone(job, len(data.classes))
        check_tensors(backbone.whole_extractor(), manifest)
        none_read = DecodedPhotographs([], [], job.entry.preprocessing, job.max_pixels, 0)
        steps = _plan_steps(backbone, rows, run.document())
        candidate = Candidate(backbone, data, none_read, steps)
        plan = _plan(candidate, rows)
        job.announce(plan)
        clock.lap("plan")
        trained = train_candidate(candidate, plan, run, rows.stored)
        clock.lap("training")
        return _measured(trained, rows.features, clock)


def _plan(candidate: Candidate, rows: HeadRows) -> Plan:
    """The plan, with the counts of all rows, of which the data may be a sample."""
    plan, data, steps = candidate.plan, rows.train_data, candidate.steps
    counts = {"images": len(data.train), "chosen_on": len(data.chosen_on)}
    epochs = steps.recipe.epochs * (3 * len(data.train) + len(data.chosen_on))  # 3: backward, too
    after = steps.multiplications - steps.prefix_multiplications
    return plan.model_copy(
        update={
            "training": plan.training and plan.training.model_copy(update=counts),
            "multiplications": (epochs + len(rows.data.scored)) * after, **rows.plan,
        }
    )  # fmt: skip


def _plan_steps(backbone: Backbone, rows: HeadRows, before: dict[str, Any] | None) -> StepPlan:
    """Time a step; its precision is for the first of several processes to choose."""
    job, found = backbone.job, []

    def first() -> bytes:
        found.append(_steps(backbone, rows, before))
        return json.dumps({"precision": found[0].precision}).encode()

    if job.processes.count == 1:
        return _steps(backbone, rows, before)
    chosen = json.loads(job.processes.broadcast_bytes(first))
    return found[0] if found else _steps(backbone, rows, chosen)


def _steps(backbone: Backbone, rows: HeadRows, before: dict[str, Any] | None) -> StepPlan:
    job, data = backbone.job, rows.train_data
    recipe, why_recipe = recipe_of(job, len(data.train))
    timed = min(_TIMED, recipe.batch, len(data.train))
    inputs = torch.from_numpy(rows.features[:timed]).to(job.device)
    labels = torch.from_numpy(rows.data.labels[:timed]).to(job.device)
    precision = before["precision"] if before else job.precision
    cost = measure_step(backbone.trained, inputs, labels, recipe, precision)
    batch = -(-min(recipe.batch, len(data.train)) // job.processes.count)
    multiplications, prefix = multiplications_of(backbone)
    return StepPlan(
        recipe=recipe,
        undistorted=Undistorted(job.entry.preprocessing),
        views=(),
        step_cost=cost.of_batch(
            backbone.trained, recipe, len(inputs), batch, job.options.accumulate or 1
        ),
        activations="store",
        why=rows.why,
        kept_bytes=rows.bytes,
        steps=len(batches_of(data.train, recipe.batch)) * recipe.epochs,
        prefix_multiplications=prefix,
        multiplications=multiplications,
        prefix_seconds=0.0,
        probed=0,
        in_store=len(data.train) + len(data.chosen_on),
        to_compute=0,
        notes=(why_recipe,) if why_recipe else (),
    )


def _measured(trained: Trained, features: Floats, clock: Clock) -> FitResult:
    """Predict what was held out, calibrate, and put the result together."""
    candidate, data = trained.candidate, trained.candidate.data
    backbone = candidate.backbone
    part = MemberNetwork.of(backbone.network, backbone.entry.preprocessing)

    def predicted(positions: Integers) -> HeldOut:
        found = np.empty((len(positions), len(data.classes)), np.float32)
        for at in range(0, len(positions), _TOGETHER):  # the head counts in float64
            own = slice(at, at + _TOGETHER)
            found[own] = part.probabilities(features[positions[own]])
        return HeldOut(positions, found)

    rows = data.calibration.positions
    if data.too_few_of(rows, crossed=False) is not None:
        calibration: Calibration = uncalibrated(data, ["1"])
    else:
        calibration = calibrated({"1": predicted(rows)}, data)
    return result_of_steps(trained, predicted(data.scored), calibration, clock)
