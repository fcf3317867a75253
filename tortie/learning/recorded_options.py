"""The options of a fit that its file keeps, so that a classifier can say how it was trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tortie.errors import TortieError, UsageError
from tortie.learning.options import FitOptions

_NOT_KEPT = {
    "device", "precision", "engine", "threads", "max_megapixels",  # of a machine, and of predicting
    "crops", "splits", "run", "resume", "force", "track",
}  # fmt: skip


def recorded(options: FitOptions) -> dict[str, Any]:
    """The options that decide what is learnt, as JSON has them; no paths where that is private."""
    kept = options.model_dump(mode="json", exclude=_NOT_KEPT)
    if options.private:
        for name in ("valid", "test"):
            if isinstance(getattr(options, name), Path):
                del kept[name]
    return kept


def restored(path: Path, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of :class:`~tortie.ImageClassifier` from what a file keeps.

    Names that this tortie does not know, of a later one, are passed over.

    Raises:
        TortieError: a value that no fit can have.
    """
    known = {
        name: value
        for name, value in kept.items()
        if name in FitOptions.model_fields and name not in _NOT_KEPT
    }
    try:
        if any(str(known.get(name)).endswith(".json") for name in ("augment", "colour_basis")):
            raise UsageError("a file's name, where its content is kept")
        FitOptions.of(**known)
    except (UsageError, TypeError) as error:
        raise TortieError(f"{path} does not describe a classifier: options: {error}") from None
    return known
