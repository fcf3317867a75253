"""tortie: a folder of photographs becomes a classifier one can trust.

The public names are loaded when they are first used: ``import tortie`` does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Events": "tortie.learning.job",
    "ImageClassifier": "tortie.classifier",
    "features": "tortie.feature_extraction",
    "load": "tortie.loading",
    "TortieError": "tortie.errors",
    "UsageError": "tortie.errors",
}
_ROOMS = ("networks", "images", "weights")

__all__ = [
    "Events",
    "ImageClassifier",
    "TortieError",
    "UsageError",
    "__version__",
    "features",
    "images",
    "load",
    "networks",
    "weights",
]

if TYPE_CHECKING:
    from tortie import images, networks, weights
    from tortie.classifier import ImageClassifier
    from tortie.errors import TortieError, UsageError
    from tortie.feature_extraction import features
    from tortie.learning.job import Events
    from tortie.loading import load
else:

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(importlib.import_module(_HOMES[name]), name)
        if name in _ROOMS:
            return importlib.import_module(f"tortie.{name}")
        raise AttributeError(f"module 'tortie' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_ROOMS])
