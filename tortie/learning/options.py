"""What a user may ask of a fit."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tortie.errors import UsageError


def _fraction_or_folder(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return Path(value)


def _between_0_and_1(value: object) -> object:
    if isinstance(value, float) and not 0 < value < 1:
        raise ValueError("a fraction is between 0 and 1")
    return value


Part = Annotated[
    float | Path | None, AfterValidator(_between_0_and_1), BeforeValidator(_fraction_or_folder)
]
"""Photographs for validation or test: a fraction of the others, or a folder of classes."""


class FitOptions(BaseModel):
    """The choices of one fit; each has a default that suits somebody with photographs.

    Attributes:
        network: its name in the table of networks.
        weights: where its parameters begin: a name of the network's row in the table
            (``imagenet``), a file, ``hf://OWNER/NAME``, or ``None`` for fresh ones.
        freeze: what to freeze: ``all``, ``none``, the number of stages from the input, or the
            last frozen stage's name.
        valid: photographs of the validation: a fraction of the others, or a folder of classes.
        test: photographs of the test: a fraction of the others, or a folder of classes.
        augment: policy that drawn views follow: ``none``, ``mirror``, ``standard``, ``full``.
        views: drawn views of each training photograph, beside the undistorted one.
        crops: of each photograph that are judged, 1, 10 or 144; a fit of more than one fits
            their temperature too.
        seed: of every draw.
        device: ``auto``, ``cpu``, ``cuda``, or a torch device's name.
        precision: of the frozen part; ``auto`` is bfloat16 where the device multiplies it natively.
        threads: that read photographs and multiply; ``None`` for one a core.
        max_megapixels: a photograph with more is left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str = "efficientnet-lite0"
    weights: str | None = "imagenet"
    freeze: str | int = "all"
    valid: Part = None
    test: Part = None
    augment: Literal["none", "mirror", "standard", "full"] = "none"
    views: int = Field(default=4, ge=1, le=1000)
    crops: Literal[1, 10, 144] = 1
    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    max_megapixels: float = Field(default=200, gt=0)

    @classmethod
    def of(cls, **choices: object) -> "FitOptions":
        """The options, checked.

        Raises:
            UsageError: the first choice that cannot be meant, with its value.
        """
        try:
            return cls.model_validate(choices)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            raise UsageError(f"{name} is {choices.get(name)!r}: {first['msg']}") from None
