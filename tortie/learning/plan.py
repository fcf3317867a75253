"""The plan of a fit: what will be done and what it costs, before it is done."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tortie.evaluation.notebook import NotebookCard
from tortie.learning.freeze import Freeze


class Training(BaseModel):
    """What training by steps will do; there is none where the softmax layer alone is solved for.

    Attributes:
        recipe: its name.
        epochs: times that every training photograph is seen.
        batch: batch size.
        steps: in all epochs.
        images: photographs trained on.
        input: ``HEIGHTxWIDTHxCHANNELS`` that they are made to.
        chosen_on: photographs that choose the best epoch.
        probed: photographs whose outputs the head begins with: it is solved on the network as it
            is; 0 where it begins at random.
        activations: where the frozen part's outputs come from: ``store``, ``live``, or ``none``
            where nothing is frozen.
        why: the reason, with its figures.
        precision: of the steps' multiplications.
        seconds_per_step: of the trained part, timed on this machine.
        step_bytes: of the parameters, their gradients and averages, and the activations of a step.
        epoch_seconds: of an epoch and its validation, with the activations as said above.
        epoch_seconds_live: the same, with the frozen part live.
        side_weight: of each side head's loss beside the head's; ``None`` without side heads.
    """

    model_config = ConfigDict(frozen=True)

    recipe: str
    epochs: int
    batch: int
    steps: int
    images: int
    input: str
    chosen_on: int
    probed: int
    activations: Literal["store", "live", "none"]
    why: str
    precision: str
    seconds_per_step: float
    step_bytes: int
    epoch_seconds: float
    epoch_seconds_live: float
    side_weight: float | None = None

    def lines(self) -> list[tuple[str, str]]:
        """The training as a person reads it."""
        kept = "the last epoch is kept (too few photographs for validation)"
        if self.chosen_on:
            kept = f"best epoch chosen on {self.chosen_on:,} held-out photographs"
        lines = [
            (
                "training",
                f"recipe {self.recipe}: {self.epochs} epoch{'s' * (self.epochs > 1)} of "
                f"{self.images:,} photographs as {self.input}, batch size {self.batch}, "
                f"{self.precision}; {kept}",
            )
        ]
        if self.probed:
            lines.append(
                (
                    "head",
                    "starts from a linear probe (the softmax layer of the network before training)",
                )
            )
        if self.side_weight is not None:
            lines.append(("side heads", f"each loss weighs {self.side_weight:g} of the head's"))
        if self.activations != "none":
            lines.append(("frozen part", f"{self.activations}: {self.why}"))
        return lines


class Plan(BaseModel):
    """What a fit will do, and what it will cost on this machine.

    Attributes:
        network: name in the table.
        weights: where its parameters begin.
        freeze: the frozen stages.
        head: what is trained on the frozen activations.
        class_weight: what each photograph counts in training, in words.
        augment: policy of the drawn views.
        colours: whose principal colours PCA colour goes along, in words; empty where it is not
            drawn.
        views: of each photograph, the undistorted one included.
        classes: number of classes.
        images: photographs found.
        splits: photographs found in each split that was given; ``all`` where none was.
        on: what the accuracy will be counted on.
        rule: how the photographs are split and the penalty is chosen, in words.
        images_in_store: photographs whose activations are known already; views of them, in a
            training by steps.
        images_to_compute: photographs that have to be read and go through the network; all
            views, in a training by steps.
        views_to_compute: drawn views and crops on top, where everything is frozen; those that the
            store has are not computed again, but nobody knows yet how many these are.
        trained_parameters: weights and biases that are trained.
        frozen_parameters: parameters that stay as they are.
        multiplications_per_image: of convolution and linear layers up to the cut.
        multiplications: of all photographs to compute.
        seconds: estimate for reading and computing, from a few timed photographs; 0
            where none had to be computed, and drawn views or crops may be in the store or not.
        memory_bytes: estimate of the activations and their standardised copy.
        disk_bytes: what the store will grow by.
        device: where the network runs.
        precision: of the frozen part.
        threads: that read and multiply, in each process.
        processes: that torchrun began; memory is that of each.
        training: the steps of the training, where there are any.
        depth_rule: the rule that compares depths, and in the end the verdict; ``None`` where the
            depth was given.
        prediction: what several networks or crops cost a prediction; ``None`` for one of each.
        notes: what the user should know before the work begins.
    """

    model_config = ConfigDict(frozen=True)

    network: str
    weights: str | None
    freeze: Freeze
    head: str = "linear"
    class_weight: str = ""
    augment: str = "none"
    colours: str = ""
    views: int = 1
    classes: int
    images: int
    splits: dict[str, int]
    on: str
    rule: str
    images_in_store: int
    images_to_compute: int
    views_to_compute: int = 0
    trained_parameters: int
    frozen_parameters: int
    multiplications_per_image: int
    multiplications: int
    seconds: float
    memory_bytes: int
    disk_bytes: int
    device: str
    precision: str
    threads: int
    processes: int = 1
    training: Training | None = None
    depth_rule: str | None = None
    prediction: str | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Network, photographs and time."""
        return (
            f"Plan({self.network}, {self.images:,} photographs in {self.classes} classes, "
            f"{self.trained_parameters:,} parameters to train, {duration(self.seconds)})"
        )

    def __str__(self) -> str:
        """The plan as the command line prints it."""
        return "\n".join(f"{heading:>12}  {line}" for heading, line in self.lines())

    def _repr_html_(self) -> str:
        return NotebookCard("Plan", self.notes, self.lines()).html()

    def _views_line(self) -> list[tuple[str, str]]:
        if self.augment == "none":
            return []
        policy = f"{self.augment}, {self.colours}" if self.colours else self.augment
        if self.views == 1:
            return [("augment", f"{policy}: new random views in every epoch")]
        views = _counted(self.views - 1, "augmented view")
        return [("augment", f"{policy}: {views} of each training photograph")]

    def _processes_line(self) -> list[tuple[str, str]]:
        if self.processes == 1:
            return []
        return [("processes", f"{self.processes}, which share the work")]

    def lines(self) -> list[tuple[str, str]]:
        """The plan as a person reads it: pairs of a heading and a line."""
        freeze = self.freeze
        frozen = "nothing"
        if freeze.stages:
            frozen = f"{freeze.stages} of {freeze.of} stages (through {freeze.last_frozen})"
        if freeze.later:
            frozen = (
                f"{frozen} and {', '.join(freeze.later)}"
                if freeze.stages
                else (f"{len(freeze.later)} of {freeze.of} stages ({', '.join(freeze.later)})")
            )
        trained = "softmax layer"
        if self.training is not None:
            later = freeze.of - freeze.stages - len(freeze.later)
            trained = f"{later} stages and the head" if later else "the head"
            trained += f" ({self.head})"
        splits = ", ".join(f"{count:,} {name}" for name, count in self.splits.items())
        seconds = duration(self.seconds)
        if not self.multiplications:
            seconds = "nothing to compute"
        elif not self.seconds:  # the store may have the rest, too: nobody knows yet
            seconds = "in a time not known, as no photograph had to be timed"
        where = f"{self.precision}, {self.device}, {_counted(self.threads, 'thread')}"
        stored = f"{self.images_in_store:,} in the store, {self.images_to_compute:,} to compute"
        if self.views_to_compute:
            stored += f"; up to {self.views_to_compute:,} drawn views and crops to compute"
        if self.training and self.training.activations != "store":
            stored = "not stored"
        return [
            ("photographs", f"{self.images:,} in {self.classes} classes ({splits})"),
            ("network", f"{self.network}, weights {self.weights or 'random'}"),
            *([("prediction", self.prediction)] if self.prediction else []),
            ("frozen", f"{frozen}: {self.frozen_parameters:,} parameters"),
            *freeze.lines(),
            ("trained", f"{trained}: {self.trained_parameters:,} parameters"),
            *([("class weight", self.class_weight)] if self.class_weight else []),
            ("split", self.rule),
            *self._views_line(),
            *(self.training.lines() if self.training else []),
            *([("depth", self.depth_rule)] if self.depth_rule else []),
            *self._processes_line(),
            ("activations", f"{stored} ({where})"),
            (
                "cost",
                f"{_scaled(self.multiplications, '')} multiplications "
                f"({_scaled(self.multiplications_per_image, '')} a photograph), "
                f"{_scaled(self.memory_bytes, 'B')} of memory, "
                f"{_scaled(self.disk_bytes, 'B')} of disk, {seconds}",
            ),
        ]


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _scaled(value: float, unit: str) -> str:
    for limit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {name}{unit}"
    return f"{value:,.0f} {unit}".strip()
