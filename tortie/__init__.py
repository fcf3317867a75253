"""tortie: a folder of photographs becomes a classifier one can trust.

The public names are loaded when they are first used: ``import tortie`` does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "CheckResult": "tortie.learning.check",
    "Evaluation": "tortie.evaluation.prediction",
    "Events": "tortie.learning.job",
    "FitResult": "tortie.learning.result",
    "Plan": "tortie.learning.plan",
    "Prediction": "tortie.evaluation.prediction",
    "PredictionList": "tortie.evaluation.prediction",
    "Scores": "tortie.evaluation.metrics",
    "check": "tortie.learning.check:check_images",
    "ImageClassifier": "tortie.classifier",
    "ImageFolder": "tortie.image_folder",
    "features": "tortie.feature_extraction",
    "load": "tortie.loading",
    "TortieError": "tortie.errors",
    "TortieWarning": "tortie.errors",
    "UsageError": "tortie.errors",
}
_ROOMS = ("networks", "images", "weights")

__all__ = [
    "CheckResult",
    "Evaluation",
    "Events",
    "FitResult",
    "ImageClassifier",
    "ImageFolder",
    "Plan",
    "Prediction",
    "PredictionList",
    "Scores",
    "TortieError",
    "TortieWarning",
    "UsageError",
    "__version__",
    "check",
    "features",
    "images",
    "load",
    "networks",
    "weights",
]

if TYPE_CHECKING:
    from tortie import images, networks, weights
    from tortie.classifier import ImageClassifier
    from tortie.errors import TortieError, TortieWarning, UsageError
    from tortie.evaluation.metrics import Scores
    from tortie.evaluation.prediction import Evaluation, Prediction, PredictionList
    from tortie.feature_extraction import features
    from tortie.image_folder import ImageFolder
    from tortie.learning.check import CheckResult
    from tortie.learning.check import check_images as check
    from tortie.learning.job import Events
    from tortie.learning.plan import Plan
    from tortie.learning.result import FitResult
    from tortie.loading import load
else:

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            module, _, own = _HOMES[name].partition(":")
            return getattr(importlib.import_module(module), own or name)
        if name in _ROOMS:
            return importlib.import_module(f"tortie.{name}")
        raise AttributeError(f"module 'tortie' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_ROOMS])
