"""The one error of everything that reads photographs."""

from pathlib import Path

from tortie.errors import TortieError
from tortie.text import quoted


class UnreadableImage(TortieError):
    """An image that cannot be read.

    Attributes:
        reason: why, in a few words, without the file's name.
    """

    def __init__(self, reason: str, source: Path | None = None) -> None:
        self.reason = reason
        super().__init__(reason if source is None else f"cannot read {quoted(source)}: {reason}")


class UnreadableArchive(TortieError):
    """An archive that cannot be listed: it is damaged, cut short or none.

    Attributes:
        reason: why, in a few words, without the archive's name.
    """

    def __init__(self, archive: Path, reason: str, kind: str = "an archive") -> None:
        self.reason = reason
        super().__init__(f"{quoted(archive)} cannot be read as {kind}: {reason}")


class TooManyPixels(UnreadableImage):
    """An image that is over a limit on its size, told by its header."""


class HeaderGoesOn(Exception):
    """A header is longer than the bytes at hand: the file is cut, or more must be read."""


def reason_of(error: UnreadableImage | MemoryError) -> str:
    """Why an image takes no part, in a few words; memory that runs out is no end of a run."""
    return error.reason if isinstance(error, UnreadableImage) else "not enough memory to read it"
