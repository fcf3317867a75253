"""The answers' JSON, as the OpenAPI document describes it."""

from typing import Any

from pydantic import BaseModel, Field

from tortie.weights.classifier_metadata import Accuracy


class Refused(BaseModel):
    """Why a request is refused."""

    error: str = Field(description="The reason, in a sentence.")


class MapImages(BaseModel):
    """Where the network saw what speaks for the most probable class."""

    image: str = Field(description="What the network saw, a JPEG as a data URI.")
    heat: str = Field(description="The map to lay over it, a PNG as a data URI.")


class PredictedPhotograph(BaseModel):
    """What the classifier says of a photograph; of one that cannot be read, why."""

    path: str = Field(description="The name that the client gave.")
    reason: str | None = Field(default=None, description="Why it cannot be read.")
    label: str | None = Field(default=None, description="The class; null where it is rejected.")
    probability: float | None = Field(default=None, description="Of the most probable class.")
    rejected: bool | None = Field(default=None, description="No class is probable enough.")
    novelty_percentile: float | None = Field(
        default=None, description="Percentage of the training photographs that are less unusual."
    )
    probabilities: dict[str, float] | None = Field(
        default=None, description="By class, most probable first."
    )
    activation_map: MapImages | None = Field(default=None, description="Where it was asked for.")


class ModelDocument(BaseModel):
    """What the classifier is, and how good."""

    name: str
    tortie: str = Field(description="Version that wrote the classifier.")
    classes: list[str]
    accuracy: Accuracy | None = Field(description="With its 95% interval.")
    accuracy_reason: str | None = Field(description="Why there is no accuracy.")
    temperature: float
    crops: int
    strange_percentile: float = Field(
        description="From this novelty_percentile on, a photograph is unlike the training's."
    )
    networks: list[dict[str, Any]]
    training: dict[str, Any] = Field(description="Where the classifier comes from.")


class Status(BaseModel):
    """How the server is."""

    status: str
