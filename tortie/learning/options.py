"""What a user may ask of a fit."""

import difflib
import math
import re
from collections.abc import Mapping
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from tortie.augment.colour import ColourBasis
from tortie.augment.named import policy
from tortie.augment.ranges import Policy
from tortie.errors import UsageError
from tortie.files import open_regular
from tortie.images.labels import names_of
from tortie.images.layout import parse_splits
from tortie.invalid_values import expected_value
from tortie.learning.training_weights import ClassWeight
from tortie.networks.ladder import Quality, rung
from tortie.weights.classifier_metadata import HEADS


def _fraction_or_folder(value: object) -> object:
    if value is None or isinstance(value, Real | PathLike):
        return value
    if not isinstance(value, str):
        raise ValueError("expected a fraction between 0 and 1, or a folder")
    try:
        return float(value)
    except ValueError:
        return Path(value)


def _between_0_and_1(value: object) -> object:
    if isinstance(value, float) and not 0 < value < 1:
        raise ValueError("a fraction is between 0 and 1")
    return value


def _network_name(value: object) -> object:
    """The name of a module that is given; a name as it is."""
    if isinstance(value, str):
        return value
    from tortie.networks.own import OwnNetwork, register

    if isinstance(value, OwnNetwork) or hasattr(value, "state_dict"):
        return register(value)  # type: ignore[arg-type]
    raise ValueError("expected the name of a network, or an nn.Module")


def _depth(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | Integral):
        raise ValueError("expected all, none, auto, a number of stages, or the name of a stage")
    return value if isinstance(value, str) else int(value)


def _of_the_network(value: object) -> object:
    """A precision that the network can run in; 8 bits are another command's."""
    if value == "int8":
        raise ValueError(
            "expected auto, float32 or bfloat16; 8 bits are for a finished classifier: tortie "
            "export --int8"
        )
    return value


def _head_name(value: object) -> object:
    """The name of a module, or of a list of layers, that is given; a name as it is."""
    if hasattr(value, "state_dict") or isinstance(value, list | tuple):
        from tortie.networks.own import register_head

        return register_head(value)  # type: ignore[arg-type]
    if not isinstance(value, str):
        raise ValueError("expected linear, mlp:N, an nn.Module or a list of layers")
    return value


def _text_of_file(value: object, what: str) -> object:
    """The content of a JSON file that is named; any other value as it is.

    Raises:
        ValueError: it cannot be read.
    """
    if not (isinstance(value, str | Path) and str(value).endswith(".json")):
        return value
    try:
        with open_regular(Path(value)) as file:
            return file.read(_LONGEST).decode()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"cannot read this {what}: {reason}") from None


def _policy_text(value: object) -> object:
    value = _text_of_file(value, "policy")
    if value is not None and not isinstance(value, str | Policy):
        raise ValueError("expected the name of an augmentation, a JSON file or a Policy")
    return value.text() if isinstance(value, Policy) else value


def _recipe_text(value: object) -> object:
    """A recipe of one's own as JSON; names and files are read by the fit."""
    return value.model_dump_json() if isinstance(value, BaseModel) else value


def _basis_text(value: object) -> object:
    value = _text_of_file(value, "colour basis")
    if isinstance(value, ColourBasis):
        return value.model_dump_json()
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return ColourBasis.model_validate_json(value).model_dump_json()
        except ValidationError:
            raise ValueError("no JSON of three axes of three numbers, and three spreads") from None
    if value not in ("photographs", "imagenet"):
        raise ValueError("expected photographs, imagenet, or a JSON file of axes and spreads")
    return value


def _known_policy(name: str | None) -> str | None:
    if name is not None:
        try:
            policy(name)
        except UsageError as error:
            raise ValueError(str(error)) from None
    return name


def _known_head(head: str) -> str:
    if not head.startswith("own:"):
        hidden_layers(head)
    return head


def _known_splits(splits: str) -> str:
    try:
        parse_splits(splits)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return splits


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", value)
    if match is None:
        raise ValueError("expected seconds, or a number with s, m or h, as 90s or 10m")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _class_weight(value: object) -> object:
    """The rule's name, or a dictionary; ``A=2,B=0.5`` is what the command line takes."""
    if value == "none":
        return None
    if isinstance(value, str) and "=" in value:
        value = dict(part.rpartition("=")[::2] for part in value.split(","))
    if not isinstance(value, Mapping):
        if value is None or value in ("auto", "sqrt", "balanced"):
            return value
        raise ValueError(
            "expected sqrt, balanced, none, or a weight for each class, as cat=2,dog=1"
        )
    names, _ = names_of(value)
    weights = {}
    for name, weight in zip(names, value.values(), strict=True):
        try:
            weights[name] = float(weight)
        except (TypeError, ValueError):
            raise ValueError(f"the weight of {name} is {weight!r}, not a number") from None
        if not 0 <= weights[name] < math.inf:
            raise ValueError(f"the weight of {name} is {weight}, not a number from 0 on")
    if not any(weights.values()):
        raise ValueError("no class has a weight above 0")
    return weights


Part = Annotated[
    float | Path | None, AfterValidator(_between_0_and_1), BeforeValidator(_fraction_or_folder)
]
"""Photographs for validation or test: a fraction of the others, or a folder of classes."""


_VIEWS, _BUDGET = 4, 600.0
_LONGEST = 1 << 20  # bytes of a policy's or a basis's file


class FitOptions(BaseModel):
    """The choices of one fit; each has a default that suits somebody with photographs.

    Attributes:
        network: its name in the table of networks, with arguments of its builder where others than
            the table's are wanted, as ``lenet5(pooling=average)``; several, for an ensemble, with
            commas between.
        quality: a rung of the ladder of trained networks in place of ``network``: ``embedded``,
            ``high``, ``small``, ``base``, ``best``; see :mod:`tortie.networks.ladder`.
        weights: where its parameters begin: ``auto`` for the published ones that it has, ImageNet's
            before others; a name of the network's row in the table (``imagenet``), a file,
            ``hf://OWNER/NAME``, or ``None`` for fresh ones. Several, with commas between, for the
            members of an ensemble, of which ``none`` has fresh ones.
        freeze: what to freeze: ``all``, ``none``, the number of stages from the input, the last
            frozen stage's name, ``stages=A,B`` for these stages alone, ``train=A,B`` for all
            others, or ``auto`` to compare depths.
        head: what is trained in place of the network's last layer: ``linear``, ``mlp:N`` with N
            hidden units, or ``mlp:N,M`` with several hidden layers.
        recipe: how the steps go, where there are any: a name of the table of recipes, or a JSON
            file; ``None`` for the one that suits network and depth.
        epochs: number of epochs (overrides the recipe).
        batch: batch size (overrides the recipe).
        learning_rate: learning rate (overrides the recipe).
        class_weight: what a photograph of each class counts in training: ``sqrt`` (the inverse
            square root of its class's share), ``balanced`` (every class counts the same), ``None``
            (every photograph does), or a weight for each class; ``auto`` is ``sqrt`` where the
            softmax layer is solved for, and what the recipe does elsewhere.
        side_heads: weight of each side head's loss beside the head's, in a network that has them;
            ``None`` for what the recipe does.
        accumulate: gradient accumulation steps; more need less memory, and batch-norm takes the
            statistics of each part.
        track: also log each epoch to ``tensorboard``, ``mlflow``, ``wandb``.
        input: ``HEIGHTxWIDTHxCHANNELS`` that photographs are made to, where the network takes
            another than its paper's; ``None`` for its paper's.
        valid: validation set: a folder with one folder per class, or a fraction.
        test: test set: a folder with one folder per class, or a fraction.
        splits: which folders of the photographs are splits: ``auto`` tells by their names and
            contents, ``none`` takes them for classes, and ``train=Training,test=Testing`` names
            them; ``*`` and ``?`` stand for any letters.
        augment: policy that drawn views follow, by its name, with some of its ranges changed where
            that is wanted, as ``full(channel_shift=20)``; a JSON file, or a ``Policy``; ``None``
            for none where everything is frozen, and for the recipe's elsewhere.
        colour_basis: whose principal colours PCA colour goes along: the training ``photographs``',
            those of ``imagenet``, as in AlexNet's paper, of a JSON file, or of a ``ColourBasis``.
        mirror: whether a mirrored photograph keeps its class, so that a policy may mirror it.
        views: number of augmented views of each training photograph where stages are frozen;
            where none is, each epoch draws anew.
        crops: number of crops of each photograph, 1, 10 or 144; a fit of more than one fits
            their temperature too.
        budget: seconds that comparing depths may take, as a number or ``10m``.
        run: folder of a run by steps, where it can be resumed; ``None`` for a temporary one.
        resume: whether to go on with the run in ``run``.
        force: whether a run in ``run`` gives way when this one begins.
        members: number of networks in an ensemble; their probabilities are averaged.
        seed: random seed.
        device: ``auto``, ``cpu``, ``cuda``, or a torch device's name.
        precision: of the frozen part and of the steps; ``auto``: of the frozen part, bfloat16 where
            the device multiplies it natively; of the steps, the faster by a measurement.
        engine: that runs the frozen part; ``auto`` follows the processor and the precision.
        private: whether the file leaves out hashes and paths of the training photographs.
        threads: number of threads; ``None`` for one per core.
        max_megapixels: photographs with more are skipped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    network: Annotated[str, BeforeValidator(_network_name)] = "efficientnet-lite0"
    quality: Quality | None = None
    weights: str | None = "auto"
    freeze: Annotated[str | int, BeforeValidator(_depth)] = "all"
    head: Annotated[str, AfterValidator(_known_head), BeforeValidator(_head_name)] = "linear"
    recipe: Annotated[str | None, BeforeValidator(_recipe_text)] = None
    epochs: int | None = Field(default=None, ge=1)
    batch: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    class_weight: Annotated[ClassWeight, BeforeValidator(_class_weight)] = "auto"
    side_heads: float | None = Field(default=None, gt=0, le=10)
    accumulate: int | None = Field(default=None, ge=1)
    track: Literal["tensorboard", "mlflow", "wandb"] | None = None
    input: str | None = None
    valid: Part = None
    test: Part = None
    splits: Annotated[str, AfterValidator(_known_splits)] = "auto"
    augment: Annotated[str | None, AfterValidator(_known_policy), BeforeValidator(_policy_text)] = (
        None
    )
    colour_basis: Annotated[str, BeforeValidator(_basis_text)] = "photographs"
    mirror: bool = True
    views: int = Field(default=_VIEWS, ge=1, le=1000)
    crops: Literal[1, 10, 144] = 1
    members: int = Field(default=1, ge=1, le=100)
    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], BeforeValidator(_of_the_network)
    ] = "auto"
    engine: Literal["auto", "onnxruntime", "onednn", "eager"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    private: bool = False
    max_megapixels: float = Field(default=200, gt=0)
    budget: Annotated[float, BeforeValidator(_duration), Field(gt=0)] = _BUDGET
    run: Path | None = None
    resume: bool = False
    force: bool = False

    @model_validator(mode="before")
    @classmethod
    def _network_of_the_quality(cls, choices: dict[str, Any]) -> dict[str, Any]:
        quality = choices.get("quality")
        if quality is None or quality not in get_args(Quality):
            return choices
        network = rung(quality).network
        if choices.get("network", network) not in (cls.model_fields["network"].default, network):
            raise ValueError(
                f"quality {quality} is the network {network}: take it, or network "
                f"{_brief(str(choices['network']))}, not both"
            )
        return {**choices, "network": network}

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> "FitOptions":
        if self.augment == "mirror" and not self.mirror:
            raise ValueError(
                "augment mirror draws nothing else: take another, or leave no-mirror out"
            )
        if self.resume and self.run is None:
            raise ValueError("resume needs run, the folder of the run to resume")
        return self

    def changed(self, **changes: object) -> "FitOptions":
        """The same options with some of them changed, checked again.

        Raises:
            UsageError: an invalid value, or options that contradict each other.
        """
        return FitOptions.of(**{**self.model_dump(), **changes})

    @classmethod
    def of(cls, **choices: object) -> "FitOptions":
        """The options, checked.

        Raises:
            UsageError: the first option of an invalid value, with that value.
        """
        try:
            return cls.model_validate(choices)
        except ValidationError as error:
            first = error.errors()[0]
            if not first["loc"]:
                raise UsageError(first["msg"].removeprefix("Value error, ")) from None
            name = str(first["loc"][0])
            if first["type"] == "extra_forbidden":
                raise UsageError(_unknown(name)) from None
            message = _brief(expected_value(first), 300)
            if message.startswith(f"{name} "):  # it names the value itself
                raise UsageError(message) from None
            raise UsageError(f"{name} is {_brief(repr(choices.get(name)))}: {message}") from None


def _unknown(name: str) -> str:
    known = list(FitOptions.model_fields)
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
    return f"no option {_brief(repr(name))}: {hint}"


def _brief(text: str, most: int = 100) -> str:
    """The text, its middle left out where a value of a file or of a script is very long."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


def hidden_layers(head: str) -> tuple[int, ...]:
    """Units of each hidden layer of a head, ``linear`` or ``mlp:N,M``; none for ``linear``.

    Raises:
        UsageError: neither of these.
    """
    if head == "linear":
        return ()
    match = re.fullmatch(HEADS, head)
    if match is None:
        raise UsageError(
            f"head {head!r}: expected linear, or mlp:N with N hidden units, as mlp:256 (of "
            "several layers, 512,256)"
        )
    return tuple(map(int, head.removeprefix("mlp:").split(",")))
