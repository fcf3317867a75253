"""What a classifier's file says of itself, checked as it is read: anybody can write such a file."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tortie.images.class_names import LONGEST
from tortie.images.labels import LabelType, labels_of
from tortie.images.preprocess import Preprocessing
from tortie.text import is_clean

HEADS = "mlp:[1-9][0-9]{0,4}(,[1-9][0-9]{0,4}){0,7}"
"""A pattern of heads with hidden layers, up to eight."""
OWN = "own:[A-Za-z0-9_]{1,100}-[0-9a-f]{8}"
"""A pattern of the names of modules of a user's own."""
MOST_MEMBERS = 100
MOST_CLASSES = 100_000
_SIDE = 9999  # pixels, the most that --input takes


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Temperature = Annotated[float, Field(ge=0.001, le=1000, allow_inf_nan=False)]
"""What log-probabilities are divided by; 1 changes nothing."""
CropSetting = Annotated[str, Field(pattern=r"\A(1|10|144)\z")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
ClassName = Annotated[str, Field(min_length=1, max_length=LONGEST)]


class Accuracy(_Data):
    """A share of right answers with its 95% Wilson interval, and what it was counted on.

    Attributes:
        value: the share.
        low: lower end of the interval.
        high: upper end.
        n: number counted: a group of copies is one.
        photographs: number of photographs, where that is known.
        on: the part of the split.
        baseline: share right where the most frequent class is always named.
        baseline_class: that class.
        never_recognised: classes of which none was recognised.
    """

    value: Share
    low: Share
    high: Share
    n: int = Field(ge=1)
    photographs: int | None = Field(default=None, ge=1)
    on: Literal["test", "validation", "cross-validation"]
    baseline: Share | None = None
    baseline_class: ClassName | None = None
    never_recognised: list[ClassName] = Field(default=[], max_length=MOST_CLASSES)


class StoredMember(_Data):
    """One network of the classifier; its tensors are ``members.I.stages…`` and ``members.I.head…``.

    Attributes:
        network: its name in the table of networks.
        arguments: the builder's arguments.
        code: revision of the network's code that it was trained with.
        weights: where its parameters began.
        head: ``linear`` for a softmax layer of one's own, ``mlp:N,M`` with hidden layers before it,
            ``published`` for the paper's head.
        frozen: stages that were frozen, by name.
        preprocessing: how an image becomes its input.
        precision: of the activations that its head was trained on.
    """

    network: str = Field(max_length=200)
    arguments: dict[str, Any]
    code: int = Field(ge=0, lt=2**63)
    weights: str | None = Field(max_length=10_000)
    head: str = Field(pattern=rf"\A(linear|published|{HEADS}|{OWN})\z")
    frozen: list[str] = Field(max_length=10_000)
    preprocessing: Preprocessing
    precision: Literal["float32", "bfloat16"]

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        own = self.preprocessing
        if max(own.height, own.width) > _SIDE or own.resize > 4 * max(own.height, own.width):
            raise ValueError(f"preprocessing: no network sees {own.height}×{own.width} like that")
        if not all(abs(value) <= 1000 for value in own.mean):
            raise ValueError("preprocessing: the mean is no grey level")
        if not all(0.001 <= value <= 1e6 for value in own.std):
            raise ValueError("preprocessing: the standard deviation is no grey level")
        return self

    @property
    def hidden_layers(self) -> tuple[int, ...]:
        """Units of each of the head's hidden layers."""
        if not self.head.startswith("mlp:"):
            return ()
        return tuple(map(int, self.head.removeprefix("mlp:").split(",")))


class Metadata(_Data):
    """What a classifier's file says of itself.

    Attributes:
        version: of this layout.
        tortie: version of tortie that wrote it.
        classes: names, in the order of the logits.
        members: the networks; the classifier averages their probabilities.
        temperature: for each crop setting, what the log-probabilities are divided by; that of
            ``"1"`` stands in for a setting that has none.
        accuracy: measured, or ``None`` where there was too little to tell.
        accuracy_reason: why there is no accuracy.
        training: the record of the fit: plan, counts, penalty, left-out files.
        label_type: of the labels that the classes were learnt by.
        options: the arguments of the fit that decide what is learnt.
    """

    version: Literal[1] = 1
    tortie: str = Field(max_length=100)
    classes: list[ClassName] = Field(min_length=2, max_length=MOST_CLASSES)
    members: list[StoredMember] = Field(min_length=1, max_length=MOST_MEMBERS)
    temperature: dict[CropSetting, Temperature] = {"1": 1.0}
    accuracy: Accuracy | None = None
    accuracy_reason: str | None = Field(default=None, max_length=10_000)
    training: dict[str, Any] = {}
    label_type: LabelType = "str"
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        if "1" not in self.temperature:
            raise ValueError("temperature: none for one crop")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: one name is there twice")
        if not all(map(is_clean, self.classes)):
            raise ValueError("classes: a name with control characters")
        labels_of(self.classes, self.label_type)
        return self
