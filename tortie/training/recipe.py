"""How a network is trained: optimiser, rates, schedule, loss; frozen and checked."""

import difflib
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tortie.augment.named import policy
from tortie.errors import UsageError
from tortie.invalid_values import expected_value
from tortie.text import json_object

Optimiser = Literal["sgd", "adam", "adamw", "rmsprop"]
Schedule = Literal["constant", "cosine", "linear", "steps", "inverse", "exponential"]

Share = Annotated[float, Field(ge=0, le=1)]
Inside = Annotated[float, Field(gt=0, lt=1)]


class Recipe(BaseModel):
    """All that decides a step of training beside the network, the photographs and the seed.

    Progress is the share of all steps that are done, from 0 to 1.

    Raises:
        UsageError: a field that does not exist, a value out of bounds, or two that exclude each
            other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1, description="what it is called on the command line")
    source: str = Field(
        min_length=1, description="paper and section, and what differs from it; or the reason"
    )
    optimiser: Optimiser = Field(
        default="sgd", description="torch's optimiser of that name; adamw decays apart from Adam"
    )
    learning_rate: Annotated[float, Field(gt=0, le=100)] = Field(
        description="rate of the head and the last stage where the schedule is at 1"
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.9,
        description="share of the last step's velocity that is kept; Adam's first beta",
    )
    nesterov: bool = Field(
        default=False, description="whether sgd takes its gradient's step ahead of the velocity"
    )
    weight_decay: Share = Field(
        default=0.0,
        description="share of a weight added to its gradient (adamw: taken off it, times the rate)",
    )
    decay_norms_and_biases: bool = Field(
        default=False, description="whether biases and normalisation layers decay as weights do"
    )
    depth_factor: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="rate of a trained stage over that of the next trained stage"
    )
    schedule: Schedule = Field(
        default="cosine", description="how the rate falls with progress, from 1"
    )
    drops: tuple[Inside, ...] = Field(
        default=(), description="progress at which steps multiplies the rate by drop_factor"
    )
    drop_factor: Inside = Field(default=0.1, description="what the rate is multiplied by at a drop")
    final: Share = Field(
        default=0.0, description="share of the rate that cosine to exponential come down to"
    )
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="progress over which the rate climbs from warmup_start to itself"
    )
    warmup_start: Share = Field(default=0.0, description="share of the rate at the first step")
    epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(
        description="times that every training photograph is seen"
    )
    batch: Annotated[int, Field(ge=1, le=65_536)] = Field(
        description="photographs a step, over all devices"
    )
    made_for: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="steps of the paper, which rate and schedule suppose"
    )
    loss: Literal["cross-entropy", "rbf"] = Field(
        default="cross-entropy", description="of the logits; rbf is that of LeNet-5 as printed"
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="share of each label that is spread evenly over all classes"
    )
    mixup: Annotated[float, Field(ge=0, le=100)] = Field(
        default=0.0, description="both parameters of the Beta that mixes pairs; 0 mixes none"
    )
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="largest norm of the whole gradient; longer ones are scaled down"
    )
    ema: Inside | None = Field(
        default=None, description="share of the running average of the weights kept at a step"
    )
    patience: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="epochs without a better validation after which training stops"
    )
    balance: Literal["none", "loss", "sampler"] = Field(
        default="none",
        description="where a photograph of class k counts n/(K n_k): in the loss, or in the draw",
    )
    statistics: Literal["batch", "kept"] = Field(
        default="batch",
        description="what batch normalisation goes by in training: each batch's mean and variance, "
        "or those that the network came with, which stay",
    )
    probe: bool = Field(
        default=False,
        description="whether a new linear head of a trained network begins with the softmax layer "
        "that suits its stages as they are, not at random",
    )
    side_heads: bool = Field(
        default=False, description="whether side heads train, with the network's own weight"
    )
    policy: str = Field(default="none", description="augmentation policy, by its name")

    if not TYPE_CHECKING:

        def __init__(self, /, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise UsageError(_one_line(error)) from None

    @model_validator(mode="after")
    def _fields_agree(self) -> "Recipe":
        policy(self.policy)
        if self.schedule == "steps" and not self.drops:
            raise ValueError("schedule steps needs drops, such as (0.5, 0.75)")
        if list(self.drops) != sorted(set(self.drops)):
            raise ValueError(f"drops: expected each later than the one before, not {self.drops}")
        if self.schedule in ("inverse", "exponential") and not self.final:
            raise ValueError(f"schedule {self.schedule} needs final above 0, such as 0.01")
        if self.nesterov and not (self.optimiser == "sgd" and self.momentum):
            raise ValueError("nesterov is for sgd with momentum: say nesterov=False")
        if self.loss == "rbf" and self.probe:
            raise ValueError("loss rbf has no softmax layer to begin with: say probe=False")
        if self.loss == "rbf" and (self.label_smoothing or self.mixup or self.balance == "loss"):
            raise ValueError(
                "loss rbf takes labels as they are: no label_smoothing, no mixup, and balance "
                "by sampler"
            )
        return self

    def changed(self, **fields: Any) -> "Recipe":
        """This recipe with other values, checked as a whole.

        Raises:
            UsageError: a field that does not exist or an invalid value, in one line.
        """
        return Recipe(**{**self.model_dump(), **fields})

    @classmethod
    def of_json(cls, text: str | bytes) -> "Recipe":
        """The recipe that ``model_dump_json`` wrote.

        Raises:
            UsageError: no JSON object, or one that is no recipe.
        """
        return cls(**json_object(text, "recipe"))


def _one_line(error: ValidationError) -> str:
    """The first finding: the field, what was given and what was expected.

    A field that is not there comes first, as it may be one that is missing, spelt otherwise.
    """
    findings = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    finding = findings[0]
    message = expected_value(finding)
    if not finding["loc"]:
        return f"recipe: {message}"
    name = ".".join(str(part) for part in finding["loc"])
    if finding["type"] == "extra_forbidden":
        known = list(Recipe.model_fields)
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
        return f"recipe: no field {name!r}: {hint}"
    if finding["type"] == "missing":
        missing = [str(one["loc"][0]) for one in findings if one["type"] == "missing"]
        return f"recipe: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    return f"recipe: {name}: {message}, not {finding['input']!r}"
