"""Placeholder of the contract; the reading part fills it in."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Preprocessing(BaseModel):
    """How an image becomes a network's input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resize: int
    height: int
    width: int
    channels: Literal[1, 3] = 3
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    mean: tuple[float, ...]
    std: tuple[float, ...]
