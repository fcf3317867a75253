"""``--freeze``: how many stages of a network are frozen, parsed once against the stages it has."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from tortie.errors import UsageError
from tortie.networks.entry import Entry
from tortie.networks.stage_names import stage_number


class Freeze(BaseModel):
    """Which stages of a network are frozen, whichever way it was asked for.

    Attributes:
        stages: number of frozen stages before the first trained one, from the input.
        of: number of stages of the network.
        last_frozen: name of the last of these, where the network is cut; ``None`` where there is
            none.
        later: names of frozen stages after a trained one: their input changes with every step, so
            that nothing of them can be stored.
    """

    model_config = ConfigDict(frozen=True)

    stages: int
    of: int
    last_frozen: str | None
    later: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every stage is frozen, so that the head alone is trained."""
        return self.stages == self.of

    @property
    def any(self) -> bool:
        """Whether a stage is frozen."""
        return self.stages > 0 or bool(self.later)

    @property
    def title(self) -> str:
        """What tells it from another: ``conv3_x``, ``none``, ``conv1 and conv3_x, conv4_x``."""
        prefix = self.last_frozen or "none"
        return f"{prefix} and {', '.join(self.later)}" if self.later else prefix

    def names(self, stages: Sequence[str]) -> tuple[str, ...]:
        """Names of all frozen stages, of those of the network."""
        return (*stages[: self.stages], *self.later)

    def lines(self) -> list[tuple[str, str]]:
        """What is stored and what runs live, where stages after a trained one are frozen."""
        if not self.later:
            return []
        stored = "nothing can be stored, as the first stage is trained"
        if self.stages:
            stored = f"what {self.last_frozen} yields can be stored"
        later = ", ".join(self.later)
        return [("frozen live", f"{later}: after a trained stage, computed in each step; {stored}")]


def resolve(asked: str | int, names: Sequence[str]) -> Freeze | None:
    """Which stages ``all``, ``none``, a number, a stage's name or a list of names freezes.

    Args:
        asked: as the user wrote it: ``stages=A,B`` freezes these, ``train=A,B`` all others; a
            number or the name of a stage freezes the first ones, up to and with it.
        names: of the network's stages, from the input.

    Returns:
        ``None`` for ``auto``: the depth is for the fit to find.

    Raises:
        UsageError: no such stage.
    """
    text = str(asked)
    how, equals, listed = text.partition("=")
    if text == "auto":
        return None
    if equals:
        frozen = _listed(how, listed, names)
        stages = next((i for i, name in enumerate(names) if name not in frozen), len(names))
        later = tuple(name for name in names[stages:] if name in frozen)
    else:
        whole = {"all": len(names), "none": 0}
        number = int(text) if text.isdecimal() else text
        stages = whole[text] if text in whole else stage_number(number, names)
        later = ()
    last_frozen = names[stages - 1] if stages else None
    return Freeze(stages=stages, of=len(names), last_frozen=last_frozen, later=later)


def _listed(how: str, listed: str, names: Sequence[str]) -> set[str]:
    """The frozen stages of ``stages=A,B`` or ``train=A,B``."""
    given = [name.strip() for name in listed.split(",")]
    if how not in ("stages", "train"):
        raise UsageError(f"freeze {how}={listed}: expected stages=A,B, or train=A,B")
    for name in given:
        stage_number(name, names)
    return set(given) if how == "stages" else set(names) - set(given)


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
    if weights is None and (freeze is None or freeze.any):
        trained = entry.default_weights or "FILE"
        raise UsageError(
            f"fresh weights cannot be frozen: they are random numbers; take --weights {trained}, "
            "or --freeze none to train from scratch"
        )
