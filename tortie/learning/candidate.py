"""A network frozen to one depth: how its other stages will be trained, and the training."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tortie import __version__
from tortie.activations.key import hash_tensors
from tortie.activations.views import Drawn
from tortie.learning.backbone import Backbone, fill_head, make_backbone
from tortie.learning.dataset import Dataset, Integers
from tortie.learning.features import features
from tortie.learning.job import Job
from tortie.learning.plan import Plan
from tortie.learning.probe import probe
from tortie.learning.side_heads import side_notes
from tortie.learning.step_plan import StepPlan, plan_steps
from tortie.learning.stepwise_plan import plan_stepwise
from tortie.learning.tracking import tracked
from tortie.learning.training_weights import ClassWeight, per_class
from tortie.runs.resume import Listed
from tortie.runs.run import Run
from tortie.text import json_text
from tortie.training.decoded import DecodedPhotographs
from tortie.training.feed import Feed, Live, Prepare, Stored
from tortie.training.loop import TrainConfig, TrainData, train
from tortie.training.state import TrainState


@dataclass(frozen=True)
class Candidate:
    """A network frozen to one depth, and how its other stages will be trained.

    Attributes:
        backbone: the network.
        data: the photographs.
        photographs: the same, decoded as far as memory allows.
        steps: how the steps go.
    """

    backbone: Backbone
    data: Dataset
    photographs: DecodedPhotographs
    steps: StepPlan

    @property
    def job(self) -> Job:
        """The fit, at this depth."""
        return self.backbone.job

    @property
    def plan(self) -> Plan:
        """What training it will do and cost."""
        return plan_stepwise(self.backbone, self.data, self.photographs, self.steps)


@dataclass(frozen=True)
class Trained:
    """A candidate after its training.

    Attributes:
        candidate: its network has the weights of the best epoch.
        plan: of the training.
        state: how the training went.
        sides: notes of what side heads score.
    """

    candidate: Candidate
    plan: Plan
    state: TrainState
    sides: Sequence[str] = ()


@dataclass(frozen=True)
class StoredFeatures:
    """Features that were extracted before, and are trained on in place of photographs.

    Attributes:
        train_data: rows, classes, and which rows are for what.
        digest: of all that the files hold.
    """

    train_data: TrainData
    digest: str


def make_candidate(
    job: Job, data: Dataset, photographs: DecodedPhotographs, before: dict[str, Any] | None
) -> Candidate:
    """Build the network, freeze it as far as the job says, and find out how its steps go.

    Args:
        job: the fit.
        data: the photographs.
        photographs: the same, decoded.
        before: what the run was begun with, where it is resumed.
    """
    backbone = make_backbone(job, len(data.classes))
    return Candidate(backbone, data, photographs, plan_steps(backbone, data, photographs, before))


def train_candidate(
    candidate: Candidate, plan: Plan, run: Run, features: StoredFeatures | None = None
) -> Trained:
    """Train what is not frozen; the network is left with the weights of its best epoch.

    Args:
        candidate: what is trained.
        plan: of the training.
        run: its folder.
        features: that are trained on in place of the photographs; ``None`` for these.
    """
    job, data, steps, backbone = (
        candidate.job, candidate.data, candidate.steps, candidate.backbone
    )  # fmt: skip
    with run.told():
        of_features = {} if features is None else {"features": features.digest}
        run.begin({**_document(candidate), **of_features}, listed(data))
        run.write("plan.json", json_text(plan.model_dump(mode="json"), indent=2))
        if steps.probed and (job.processes.count > 1 or run.last is None):
            fill_head(backbone.network, probe(backbone, data, candidate.photographs)[0])
        train_data = features.train_data if features else train_data_of(data, job, _feed(candidate))
        with tracked(job, run.folder, steps.recipe) as tell:
            config = TrainConfig(
                seed=job.draw_seed,
                precision=steps.precision,
                workers=job.threads,
                side_weight=_side_weight(candidate),
                device=job.device,
                processes=job.processes,
                accumulate=job.options.accumulate or 1,
                tell=tell,
            )
            state = train(
                backbone.trained, train_data, steps.recipe, config, run,
                job.events.steps, job.events.note,
            )  # fmt: skip
            sides = (
                side_notes(backbone.trained, train_data, config) if steps.recipe.side_heads else []
            )
    if job.options.weights is not None:
        backbone.network.side_heads = torch.nn.ModuleDict()  # as after any new head
    backbone.network.eval()
    return Trained(candidate, plan, state, sides)


def train_data_of(data: Dataset, job: Job, feed: Feed) -> TrainData:
    """What is learnt from, where the dataset has all of it.

    Args:
        data: the photographs.
        job: the fit.
        feed: gives the inputs of each photograph.
    """
    return TrainData(
        feed=feed,
        prepare=Prepare(job.entry.preprocessing, job.device),
        labels=data.labels,
        classes=len(data.classes),
        train=data.train,
        chosen_on=data.chosen_on,
        chosen_weights=data.weights(data.chosen_on),
        class_weights=class_weights_of(data.labels[data.train], data.class_weight, data.classes),
        sample_weights=data.training_weights.samples,
    )


def class_weights_of(
    labels: Integers, class_weight: ClassWeight, classes: Sequence[str]
) -> NDArray[np.float32] | None:
    """What a photograph of each class counts in the loss, where that was asked for; mean one.

    Args:
        labels: of the training photographs.
        class_weight: as it was asked for.
        classes: names.
    """
    if class_weight in ("auto", None):
        return None
    counts = np.bincount(labels, minlength=len(classes))
    weights = per_class(counts, class_weight, classes)
    mean = float(weights[labels].mean())
    return (weights / (mean or 1.0)).astype(np.float32)


def _feed(candidate: Candidate) -> Feed:
    """Where the inputs of the trained part come from."""
    job, data, steps = candidate.job, candidate.data, candidate.steps
    photographs = candidate.photographs
    if steps.activations != "store":
        engine = candidate.backbone.extractor.engine if steps.activations == "live" else None
        return Live(photographs, steps.undistorted, steps.views, engine)
    extractor = candidate.backbone.extractor
    predicted = data.chosen_on if steps.views else np.union1d(data.train, data.chosen_on)
    undistorted = features(job, extractor, data, predicted, [steps.undistorted], photographs)
    if not steps.views:
        return Stored(undistorted, undistorted)
    return Stored(undistorted, features(job, extractor, data, data.train, steps.views, photographs))


def _colours(steps: StepPlan) -> dict[str, Any] | None:
    """The principal colours that views are drawn along."""
    drawn = [view.policy for view in steps.views if isinstance(view, Drawn)]
    return drawn[0].pca_basis.model_dump(mode="json") if drawn and drawn[0].pca_colour else None


def _side_weight(candidate: Candidate) -> float:
    """Of each side head's loss, where the recipe trains them."""
    asked = candidate.job.options.side_heads
    return candidate.backbone.network.side_weight if asked is None else asked


def _document(candidate: Candidate) -> dict[str, Any]:
    """All that decides the weights but the photographs; a run is resumed with the same alone."""
    job, steps, backbone = candidate.job, candidate.steps, candidate.backbone
    options = job.options
    return {
        "tortie": __version__,
        "torch": torch.__version__.partition("+")[0],
        "network": job.entry.title,
        "input": job.entry.preprocessing.model_dump(mode="json"),
        "weights": options.weights,
        "tensors": hash_tensors(backbone.network.state_dict().items())[:16],
        "freeze": backbone.freeze.title,
        "head": options.head,
        "classes": list(candidate.data.classes),
        "recipe": steps.recipe.model_dump(mode="json"),
        "views": [view.name for view in steps.views] if steps.activations != "none" else [],
        "colours": _colours(steps),
        "side weight": _side_weight(candidate) if steps.recipe.side_heads else None,
        "class weight": options.class_weight,
        "sample weights": _digest(candidate.data),
        "mirror": options.mirror,
        "seed": options.seed,
        "device": options.device,
        "precision": steps.precision,
        "frozen precision": options.precision if backbone.freeze.stages else None,
        "engine": backbone.extractor.choice.engine if backbone.freeze.stages else None,
        "activations": steps.activations,
        "accumulate": options.accumulate or 1,
        "threads": job.threads,
        "processes": job.processes.count,
    }


def _digest(data: Dataset) -> str | None:
    """What tells the weights of photographs from others; ``None`` where each counts one."""
    samples = data.training_weights.samples
    return None if samples is None else hashlib.sha256(samples.tobytes()).hexdigest()[:16]


def listed(data: Dataset) -> Sequence[Listed]:
    """The photographs, for the run's folder."""
    groups = ["" if group is None else str(group) for group in data.groups]
    rows = zip(data.photographs, data.split.splits, groups, data.sha256, strict=True)
    return [
        Listed(str(one.path), one.label, split, group, sha256) for one, split, group, sha256 in rows
    ]
