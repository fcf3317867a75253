"""The studies, one file a claim: each has a ``STUDY``. Adding a file adds a study."""

import difflib
import importlib
import pkgutil
from typing import TYPE_CHECKING

from tortie.errors import UsageError

if TYPE_CHECKING:
    from tortie.experiments.study import Study


def names() -> tuple[str, ...]:
    """Names of all studies, sorted."""
    return tuple(sorted(one.name.replace("_", "-") for one in pkgutil.iter_modules(__path__)))


def find(name: str) -> "Study":
    """The study of that name.

    Raises:
        UsageError: no such study; the message names close matches.
    """
    asked = name.lower().replace("_", "-")
    if asked not in names():
        close = difflib.get_close_matches(asked, names(), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names())}"
        raise UsageError(f"no study {name!r}: {hint}")
    module = importlib.import_module(f"tortie.studies.{asked.replace('-', '_')}")
    found: Study = module.STUDY
    return found
