"""Which distortions may be drawn, each with its range in plain units."""

import difflib
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tortie.augment.colour import IMAGENET_COLOURS, ColourBasis
from tortie.errors import UsageError
from tortie.invalid_values import expected_value
from tortie.text import json_object

# Part of every key: raised whenever the same draw would give other pixels.
VERSION = 1

Range = tuple[float, float]


def _range(lowest: float, highest: float) -> AfterValidator:
    """A validator of ``(low, high)`` in order and within the given bounds."""

    def check(bounds: Range | None) -> Range | None:
        if bounds is not None and not lowest <= bounds[0] <= bounds[1] <= highest:
            raise ValueError(f"expected (low, high) in order, within {lowest:g} to {highest:g}")
        return bounds

    return AfterValidator(check)


Probability = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[Range, _range(0, 10)]
Aspect = Annotated[Range, _range(0.01, 100)]


class Policy(BaseModel):
    """Ranges from which a distortion is drawn; what is left out stays at rest.

    ``Policy()`` distorts nothing. Ranges are ``(low, high)``, drawn evenly unless a field says
    otherwise. The order in which a picture is distorted is fixed: crop, mirror, scale and squeeze,
    shear, rotate, shift, warp; then brightness, contrast, saturation, channel shift, PCA colour;
    then erasing.

    Raises:
        UsageError: a range out of order or out of bounds, or an operation that does not exist.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mirror: Probability = Field(default=0.0, description="probability of exchanging left and right")
    crop_area: Annotated[Range | None, _range(0.001, 1)] = Field(
        default=None, description="fraction of the image's area that a crop keeps; at any place"
    )
    crop_aspect: Aspect = Field(
        default=(3 / 4, 4 / 3), description="width over height of that crop, drawn log-uniformly"
    )
    scale_jitter: Annotated[Range | None, _range(1, 100)] = Field(
        default=None, description="the image's shorter side, in sides of the crop; at any place"
    )
    crop_central: bool = Field(
        default=False, description="whether the crop of scale_jitter stays in the central square"
    )
    scale: Annotated[Range, _range(0.1, 10)] = Field(
        default=(1.0, 1.0), description="enlargement, factor"
    )
    squeeze: Annotated[Range, _range(0.1, 10)] = Field(
        default=(1.0, 1.0), description="factor by which width shrinks while height grows"
    )
    shear: Annotated[Range, _range(-60, 60)] = Field(
        default=(0.0, 0.0), description="degrees by which verticals lean to the right"
    )
    rotate: Annotated[Range, _range(-180, 180)] = Field(
        default=(0.0, 0.0), description="degrees anticlockwise"
    )
    shift: Annotated[Range, _range(-1, 1)] = Field(
        default=(0.0, 0.0), description="fraction of the side, across and down apart"
    )
    whole_pixels: bool = Field(
        default=False, description="whether a shift is rounded to whole pixels"
    )
    warp: Annotated[Range, _range(0, 0.2)] = Field(
        default=(0.0, 0.0),
        description="root mean square displacement along each axis, fraction of side",
    )
    warp_smoothness: Annotated[float, Field(ge=0.02, le=1)] = Field(
        default=0.1, description="sigma of the warp's Gaussian smoothing, fraction of side"
    )
    brightness: Factor = Field(default=(1.0, 1.0), description="factor on every grey level")
    contrast: Factor = Field(
        default=(1.0, 1.0), description="factor on the distance from mid-grey, 127.5"
    )
    saturation: Factor = Field(
        default=(1.0, 1.0), description="factor on the distance from luma (601)"
    )
    channel_shift: Annotated[float, Field(ge=0, le=255)] = Field(
        default=0.0, description="standard deviation of the grey levels added to a channel"
    )
    channel_shift_draw: Literal["normal", "uniform"] = Field(
        default="normal", description="distribution of a channel shift, of mean 0"
    )
    channel_shift_common: bool = Field(
        default=False, description="whether R, G and B are shifted by one draw, not each by its own"
    )
    pca_colour: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.0, description="standard deviation of a normal draw a principal colour (no unit)"
    )
    pca_basis: ColourBasis = Field(
        default=IMAGENET_COLOURS,
        description="principal colours, and what a draw of 1 adds along each",
    )
    erase: Probability = Field(default=0.0, description="probability of erasing a rectangle")
    erase_area: Annotated[Range, _range(0.001, 1)] = Field(
        default=(0.02, 0.33), description="fraction of the picture that is erased"
    )
    erase_aspect: Aspect = Field(
        default=(0.3, 3.3), description="width over height of that rectangle, drawn log-uniformly"
    )
    erase_grey: Annotated[int, Field(ge=0, le=255)] = Field(
        default=127, description="grey level that it takes"
    )

    if not TYPE_CHECKING:

        def __init__(self, /, **ranges: Any) -> None:
            try:
                super().__init__(**ranges)
            except ValidationError as error:
                raise UsageError(_one_line(error)) from None

    @model_validator(mode="after")
    def _one_crop(self) -> "Policy":
        if self.crop_area and self.scale_jitter:
            raise ValueError("give crop_area or scale_jitter, not both: each is the crop")
        return self

    def __repr_args__(self) -> list[tuple[str | None, Any]]:  # of pydantic
        """What is not at rest."""
        return [(name, value) for name, value in self if value != _resting(name)]

    def key(self) -> str:
        """Canonical JSON of all that decides the pixels of a draw: equal keys, equal pictures."""
        fields = {"version": VERSION, **self.model_dump(mode="json")}
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))

    def text(self) -> str:
        """JSON of what is not at rest, as ``--augment FILE.json`` and :func:`policy` take it."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True))

    @classmethod
    def of_json(cls, text: str | bytes) -> "Policy":
        """The policy that :meth:`text` or ``model_dump_json`` wrote.

        Raises:
            UsageError: no JSON object, or one that is no policy.
        """
        return cls(**json_object(text, "augmentation"))

    @property
    def colour_operations(self) -> tuple[str, ...]:
        """The operations asked for that mean nothing on grey images, by name."""
        names = ("saturation", "channel_shift", "pca_colour")
        return tuple(name for name in names if getattr(self, name) != _resting(name))

    def for_grey(self) -> "Policy":
        """This policy without what means nothing on grey; :attr:`colour_operations` names it."""
        return self.without(*self.colour_operations)

    def without(self, *operations: str) -> "Policy":
        """This policy with the named operations at rest.

        Raises:
            UsageError: no such operation.
        """
        unknown = [name for name in operations if name not in Policy.model_fields]
        if unknown:
            raise UsageError(_unknown(unknown[0]))
        return self.model_copy(update={name: _resting(name) for name in operations})


def _resting(name: str) -> Any:
    return Policy.model_fields[name].default


def _unknown(name: str) -> str:
    known = list(Policy.model_fields)
    close = difflib.get_close_matches(name, known, 1, cutoff=0.7)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
    return f"augmentation: no operation {name!r}: {hint}"


def _one_line(error: ValidationError) -> str:
    """The first finding: the field, what was given and what was expected."""
    finding = error.errors()[0]
    message = expected_value(finding)
    if not finding["loc"]:
        return f"augmentation: {message}"
    name = str(finding["loc"][0])
    if finding["type"] == "extra_forbidden":
        return _unknown(name)
    return f"augmentation: {name}: {message}, not {finding['input']!r}"
