"""``--freeze``: how many stages of a network are frozen, parsed once against the stages it has."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from tortie.errors import UsageError
from tortie.networks.entry import Entry
from tortie.networks.stage_names import stage_number


class Freeze(BaseModel):
    """How deep a network is frozen, whichever way it was asked for.

    Attributes:
        stages: number of frozen stages, from the input.
        of: number of stages of the network.
        last_frozen: name of the last frozen stage, where the network is cut; ``None`` where nothing
            is frozen.
    """

    model_config = ConfigDict(frozen=True)

    stages: int
    of: int
    last_frozen: str | None

    @property
    def is_complete(self) -> bool:
        """Whether every stage is frozen, so that the head alone is trained."""
        return self.stages == self.of


def resolve(asked: str | int, names: Sequence[str]) -> Freeze | None:
    """How deep ``all``, ``none``, a number of stages or the name of a stage freezes a network.

    Args:
        asked: as the user wrote it.
        names: of the network's stages, from the input.

    Returns:
        ``None`` for ``auto``: the depth is for the fit to find.

    Raises:
        UsageError: no such stage.
    """
    text = str(asked)
    if text == "auto":
        return None
    if text == "all":
        stages = len(names)
    elif text == "none":
        stages = 0
    else:
        stages = stage_number(int(text) if text.isdecimal() else text, names)
    last_frozen = names[stages - 1] if stages else None
    return Freeze(stages=stages, of=len(names), last_frozen=last_frozen)


def middle_stage(names: Sequence[str]) -> str:
    """The stage that halves a network: the last of its first half, by number of stages."""
    return names[(len(names) + 1) // 2 - 1]


def chosen_weights(entry: Entry, weights: str | None) -> str | None:
    """The weights that a fit begins with; of ``auto``, the published ones that the network has.

    Raises:
        UsageError: there are none of that name; with what to ask for instead.
    """
    if weights == "auto" and entry.weights:
        return entry.default_weights
    if weights in ("auto", "imagenet") and weights not in entry.weights:
        instead = f"--network {entry.sibling or 'efficientnet-lite0'}"
        none = "no trained weights"
        if entry.weights:
            none, instead = f"no weights {weights!r}", f"--weights {entry.default_weights}"
        raise UsageError(
            f"{entry.name} has {none}: take {instead}, --weights FILE, or "
            "train from scratch with --weights none --freeze none"
        )
    return weights


def check_weights_trained(entry: Entry, weights: str | None, freeze: Freeze | None) -> None:
    """Refuse to freeze random numbers.

    Args:
        entry: the network.
        weights: where the parameters begin; ``None`` for fresh ones.
        freeze: the frozen stages; ``None`` where depths are compared.

    Raises:
        UsageError: with what to ask for instead.
    """
    if weights is None and (freeze is None or freeze.stages):
        trained = entry.default_weights or "FILE"
        raise UsageError(
            f"fresh weights cannot be frozen: they are random numbers; take --weights {trained}, "
            "or --freeze none to train from scratch"
        )
