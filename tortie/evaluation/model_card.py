"""The card that a classifier has on a hub: what its file says, in Markdown; nothing is invented."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tortie.evaluation.advice import ELSEWHERE, wrong_of_100
from tortie.evaluation.metrics import counted_on
from tortie.networks.table import find
from tortie.text import shown
from tortie.weights.classifier_metadata import Accuracy, Metadata, Share, StoredMember
from tortie.weights.licences import Licence, licence_of
from tortie.weights.push import MARK

_MOST_CLASSES = 1000  # names in the card
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~&])")  # none of these texts begins a line
_ON = {
    "test": "photographs that had no part in training or in any choice",
    "validation": "photographs that had no part in training or in choosing hyperparameters",
    "cross-validation": "training photographs, each predicted by a layer that was trained without "
    "it and its copies",
}


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore")
    threshold: Share
    coverage: Share
    accuracy: Share
    low: Share
    high: Share


class _Measured(BaseModel):
    """What a fit measured of the probabilities, as its record has it."""

    model_config = ConfigDict(extra="ignore")
    log_loss: float = Field(ge=0, allow_inf_nan=False)
    ece: Share
    brier: float = Field(ge=0, le=2, allow_inf_nan=False)
    coverage: list[_Row] = Field(max_length=100)


def model_card(metadata: Metadata, address: str, licence: str | None = None) -> str:
    """The card of a classifier.

    Args:
        metadata: what its file says.
        address: where it will be, ``hf://OWNER/NAME``.
        licence: of the file; ``None`` for that of the weights where they all have one.
    """
    name = address.rstrip("/").rpartition("/")[2].partition("@")[0]
    parts = [
        f"---\n{_front(metadata, name, licence or _common(metadata))}\n---",
        MARK,
        f"# {_escaped(name)}",
        *_introduction(metadata, address),
        "## Classes",
        f"In the order of the probabilities: {_classes(metadata.classes)}.",
        "## Accuracy",
        *_accuracy(metadata),
        "## Probabilities",
        *_probabilities(metadata),
        "## Limits",
        _bullets(_limits(metadata)),
        "## How it was made",
        _bullets(_making(metadata)),
        "## Licence of the weights",
        _bullets(_licences(metadata)),
    ]
    return "\n\n".join(parts) + "\n"


def _front(metadata: Metadata, name: str, licence: str | None) -> str:
    """The lines that the hub reads: YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    accuracy = metadata.accuracy
    results = accuracy and [
        EvalResult(
            task_type="image-classification", dataset_type="imagefolder",
            dataset_name=f"the user's photographs ({accuracy.on})", metric_type="accuracy",
            metric_value=round(accuracy.value, 4),
        )
    ]  # fmt: skip
    data = ModelCardData(
        license=licence or "other", library_name="tortie", tags=["image-classification", "tortie"],
        pipeline_tag="image-classification", eval_results=results or None, model_name=name,
    )  # fmt: skip
    return str(data.to_yaml()).rstrip()


def _introduction(metadata: Metadata, address: str) -> list[str]:
    return [
        f"Names the class of a photograph, one of {len(metadata.classes):,}. Made by tortie "
        f"{_escaped(metadata.tortie)}; the file holds tensors and JSON, and no code.",
        f"```console\n$ tortie predict {address} photo.jpg\n```",
        f'```python\nimport tortie\n\ntortie.load("{address}").predict(["photo.jpg"])\n```',
    ]


def _classes(classes: list[str]) -> str:
    more = f", and {len(classes) - _MOST_CLASSES:,} more" if len(classes) > _MOST_CLASSES else ""
    return ", ".join(map(_escaped, classes[:_MOST_CLASSES])) + more


def _accuracy(metadata: Metadata) -> list[str]:
    """The accuracy with its interval, and what it was counted on; or why there is none."""
    one = metadata.accuracy
    if one is None:
        return [f"Not known: {_escaped(metadata.accuracy_reason or 'nothing was measured')}."]
    said = (
        f"**{one.value:.1%}** (95% interval {one.low:.1%} to {one.high:.1%}) on "
        f"{counted_on(one.n, one.photographs, one.on)}: {_ON[one.on]}. Near copies of a "
        "photograph count as one."
    )
    least, most = wrong_of_100(one.value * one.n, one.n)
    of_100 = f"{least} to {most}" if least < most else str(least)
    said += f" Of 100 new photographs of the same kind, expect it to be wrong on {of_100}."
    return [said, *_baseline(one)]


def _baseline(one: Accuracy) -> list[str]:
    if one.baseline is None or one.baseline_class is None:
        return []
    said = f"Always saying {_escaped(one.baseline_class)} would be right on {one.baseline:.1%}."
    if one.low <= one.baseline:
        said += " **The classifier is not shown to be better than that.**"
    return [said]


def _probabilities(metadata: Metadata) -> list[str]:
    """Calibration, and what rejecting the unsure is worth."""
    temperature, fitted = metadata.temperature["1"], metadata.training.get("calibration")
    said = f"Temperature {temperature:.3g}"
    if isinstance(fitted, dict) and isinstance(fitted.get("n"), int):
        said += f", fitted on {fitted['n']:,} photographs ({_escaped(fitted.get('on'))})"
    measured = _measured(metadata)
    if measured is None:
        return [f"{said}. How well the probabilities are calibrated is not recorded."]
    said += (
        f". Expected calibration error {measured.ece:.1%}, log loss {measured.log_loss:.3f}, Brier "
        f"score {measured.brier:.3f}, on the photographs of the accuracy."
    )
    rows = [
        f"| {one.threshold:g} | {one.coverage:.1%} | {one.accuracy:.1%} ({one.low:.1%} to "
        f"{one.high:.1%}) |"
        for one in measured.coverage
    ]
    table_of = "| reject below | answered | accuracy of these |\n|---|---|---|\n" + "\n".join(rows)
    return [said, table_of] if rows else [said]


def _measured(metadata: Metadata) -> _Measured | None:
    try:
        return _Measured.model_validate(metadata.training.get("measured"))
    except ValidationError:  # a file that was made before there was such a record
        return None


def _limits(metadata: Metadata) -> list[str]:
    limits = [
        ELSEWHERE,
        "It names one of its classes whatever a photograph shows: --reject-below rejects the "
        "unsure, and predict says which photographs are unlike those it was trained on.",
    ]
    one = metadata.accuracy
    if one is not None and one.high - one.low > 0.1:
        limits.append(f"Only {one.n:,} photographs were counted: the interval is wide.")
    if one is not None and one.never_recognised:
        limits.append(f"Never recognised: {_classes(one.never_recognised)}.")
    sides = sorted(
        {(own.preprocessing.height, own.preprocessing.width) for own in metadata.members}
    )
    seen = ", ".join(f"{height}×{width}" for height, width in sides)
    limits.append(f"It sees a photograph at {seen} pixels; what is smaller than that is not seen.")
    return limits


def _making(metadata: Metadata) -> list[str]:
    """Networks, what was frozen, and how many photographs were for what."""
    made = [_member(one) for one in metadata.members]
    splits = metadata.training.get("splits")
    if isinstance(splits, dict) and splits and all(isinstance(n, int) for n in splits.values()):
        counts = ", ".join(f"{n:,} {_escaped(split)}" for split, n in splits.items())
        made.append(f"photographs: {counts}")
    if isinstance(seed := metadata.training.get("seed"), int):
        made.append(f"seed {seed}")
    return made


def _member(one: StoredMember) -> str:
    weights = "random" if one.weights is None else _escaped(one.weights)
    return (
        f"network {_escaped(one.network)}, weights {weights}, {len(one.frozen)} stages frozen, "
        f"head {_escaped(one.head)}"
    )


def _licences(metadata: Metadata) -> list[str]:
    said = []
    for one in metadata.members:
        found = _licence(one)
        if found is None:
            said.append(f"{_escaped(one.network)}: trained from scratch, on no published weights")
        else:
            name = found.name or "licence not known to tortie: ask whoever published them"
            said.append(f"{_escaped(one.network)}: {_escaped(found.source)}, {_escaped(name)}")
    said.append("Published weights were trained on data sets that have terms of their own.")
    return list(dict.fromkeys(said))


def _licence(one: StoredMember) -> Licence | None:
    """Of the parameters that a member began with; ``None`` where they were drawn at random."""
    if one.weights is None:
        return None
    return licence_of(find(one.network).weights.get(one.weights, one.weights))


def _common(metadata: Metadata) -> str | None:
    """The licence that all the weights have; ``None`` where they differ or it is not known."""
    found = [licence for one in metadata.members if (licence := _licence(one))]
    names = {one.name for one in found}
    return names.pop() if len(names) == 1 else None


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _escaped(text: Any) -> str:
    """Text from outside in a line of Markdown: shown as it is, no markup and no HTML."""
    return _MARKDOWN.sub(r"\\\1", shown(text))
