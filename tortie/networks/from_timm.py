"""Networks of timm, as named stages and a head: ``timm:convnext_tiny``.

Stages are those of timm's feature information, named after the modules that end them; what comes
after the last of them, pooling and all, is the stage ``pre_logits``. The names, the preprocessing
and the trained tensors are timm's, so that a network is named with the tag of its training:
``timm:convnext_tiny`` means what timm takes for it now, ``timm:convnext_tiny.in12k_ft_in1k``.
"""

import difflib
import math
from typing import TYPE_CHECKING, Any

from tortie.errors import UsageError
from tortie.images.preprocess import Preprocessing
from tortie.networks.entry import Entry
from tortie.weights.from_timm import timm_library

if TYPE_CHECKING:
    from torch import nn

    from tortie.networks.network import Network

PREFIX = "timm:"
_CODE = 1  # revision of how networks are cut here
_CLASSES = 1000  # of a network that was published without a head


def find_timm(name: str) -> Entry:
    """What the table of networks would say of a network of timm.

    Args:
        name: ``timm:MODEL`` or ``timm:MODEL.TAG``.

    Raises:
        UsageError: timm is not installed, has no such model, or asks for an input that tortie
            cannot make.
    """
    timm = timm_library(name)
    model, _, tag = name.removeprefix(PREFIX).partition(".")
    if not timm.is_model(model):
        close = difflib.get_close_matches(model, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(PREFIX + one for one in close)}?" if close else ""
        raise UsageError(f"timm has no model {model!r}: {hint or 'timm.list_models() lists them'}")
    known = [one.partition(".")[2] for one in timm.list_models(f"{model}.*", pretrained=True)]
    if tag and tag not in known:
        there = ", ".join(known) or "none"
        raise UsageError(f"timm has no weights {tag!r} of {model}: it has {there}")
    published = timm.models.get_pretrained_cfg(f"{model}.{tag}" if tag else model)
    full = f"{model}.{published.tag}" if published.tag else model
    return Entry(
        name=f"{PREFIX}{full}",
        builder="tortie.networks.from_timm:build_timm",
        paper=f"timm {timm.__version__}" + _origin(published),
        year=None,
        preprocessing=_preprocessing(name, timm.data.resolve_data_config({}, published.to_dict())),
        preprocessing_source="timm's, as its weights were trained",
        code=_revision(timm.__version__),
        arguments={"model": full},
        weights={"imagenet": f"{PREFIX}{full}"} if published.has_weights else {},
    )


def _origin(published: Any) -> str:
    said = (published.origin_url, published.license)
    return "".join(f", {one}" for one in said if one)


def _revision(version: str) -> int:
    """A number for this code and timm's, which the stages run: of 1.0.31, 1 001 000 031."""
    parts = [int(part) for part in version.split(".")[:3] if part.isdecimal()]
    number = _CODE
    for part in (*parts, 0, 0, 0)[:3]:
        number = 1000 * number + part
    return number


def _preprocessing(name: str, data: dict[str, Any]) -> Preprocessing:
    """How timm makes an image an input; its mean and deviation are in parts of 255."""
    channels, height, width = data["input_size"]
    if height != width or channels not in (1, 3):
        raise UsageError(
            f"{name} sees images of {height}×{width}×{channels}: tortie makes squares of 1 or 3 "
            "channels"
        )
    if data["interpolation"] not in ("bicubic", "bilinear"):
        raise UsageError(f"{name} wants images resized by {data['interpolation']}: not known here")
    return Preprocessing(
        resize=max(math.floor(height / data["crop_pct"]), height),
        height=height,
        width=width,
        channels=channels,
        interpolation=data["interpolation"],
        mean=tuple(round(255 * part, 6) for part in data["mean"]),
        std=tuple(round(255 * part, 6) for part in data["std"]),
    )


def build_timm(
    model: str, classes: int | None = None, in_channels: int | None = None, img_size: int = 0
) -> "Network":
    """A network of timm with fresh parameters.

    Args:
        model: ``NAME`` or ``NAME.TAG``.
        classes: length of the logits; by default those of its published head, 1,000 where it has
            none.
        in_channels: channels of the images; by default those it was published for.
        img_size: side of the images of a vision transformer, whose positions are interpolated; 0
            for the side it was published for.

    Returns:
        A network whose stages end where timm says that features are taken.

    Raises:
        UsageError: timm is not installed, the network takes no side of images, or it cannot be cut
            into stages and a head.
    """
    from tortie.networks.network import Network
    from tortie.networks.tracing import trace_stages

    name = f"{PREFIX}{model}"
    timm = timm_library(name)
    published = timm.models.get_pretrained_cfg(model)
    channels, height, width = published.input_size
    classifier = published.classifier
    if not isinstance(classifier, str):
        given = f"has {len(classifier)} heads" if classifier else "has no head"
        raise UsageError(f"{name} {given}: tortie needs one linear map at its end")
    arguments = {"num_classes": classes or published.num_classes or _CLASSES}
    if in_channels is not None:
        arguments["in_chans"] = in_channels
    if img_size:
        arguments["img_size"], height, width = img_size, img_size, img_size
    whole, fixed = _created(timm, model, arguments), bool(published.fixed_input_size)
    try:
        traced = trace_stages(whole, _ends(whole), classifier)
    except UsageError as error:
        try:  # a vision transformer for images of any size looks at them in its pass
            whole = timm.create_model(model, dynamic_img_size=False, **arguments)
            traced, fixed = trace_stages(whole, _ends(whole), classifier), True
        except (TypeError, UsageError):
            raise UsageError(f"{name} cannot be cut into stages and a head: {error}") from None
    network = Network(
        traced.stages,
        traced.head,
        (height, width, in_channels or channels),
        fixed_size=fixed,
    )
    network.aliases = traced.aliases
    network.channels_last = getattr(whole, "output_fmt", "NCHW") == "NHWC"
    network.notes = _notes(name, published)
    return network


def _created(timm: Any, model: str, arguments: dict[str, Any]) -> Any:
    try:
        return timm.create_model(model, **arguments)
    except (AssertionError, TypeError, ValueError):
        if "img_size" not in arguments:
            raise
        side = arguments["img_size"]
        raise UsageError(
            f"{PREFIX}{model} takes no img_size={side}, which is for vision transformers: of other "
            f"networks, try --input {side}x{side}x3"
        ) from None


def _notes(name: str, published: Any) -> tuple[str, ...]:
    """What is not done here as timm does it."""
    if published.crop_mode == "center" and published.crop_pct <= 1:
        return ()
    how = "squashed to a square" if published.crop_mode == "squash" else "with a border"
    return (
        f"timm gives {name} images {how}; here the shorter side is resized and the centre cut out: "
        "its published figures may differ",
    )


def _ends(whole: "nn.Module") -> list[str]:
    """The modules where timm takes features, from the input."""
    known: Any = getattr(whole, "feature_info", [])
    return [one["module"] for one in getattr(known, "info", known)]
