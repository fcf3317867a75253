"""The names of a network's stages, and how a user names one of them. Never imports torch itself."""

from collections.abc import Sequence

from tortie.errors import UsageError
from tortie.networks.entry import Entry


def stage_names(entry: Entry) -> tuple[str, ...]:
    """Names of the stages of a network, from the input: from the table, or from the network."""
    if entry.stages is not None:
        return entry.stages
    from tortie.weights.meta import meta_device

    with meta_device():
        return tuple(entry.build().stage_names)


def stage_number(cut: str | int, names: Sequence[str]) -> int:
    """Number of stages through ``cut``, a stage's name or a number of stages.

    Raises:
        UsageError: no such stage, or a number outside 0 to the number of stages.
    """
    if isinstance(cut, int):
        if 0 <= cut <= len(names):
            return cut
        raise UsageError(f"cannot cut after {cut} stages: the network has {len(names)}")
    if cut not in names:
        raise UsageError(f"no stage {cut!r}: the stages are {', '.join(names)}")
    return list(names).index(cut) + 1
