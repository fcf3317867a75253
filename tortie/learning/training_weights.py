"""What each photograph counts in training: by its class, and by the weight that a user gave it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tortie.errors import UsageError
from tortie.text import quoted

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

ClassWeight = Literal["auto", "sqrt", "balanced"] | Mapping[str, float] | None
"""What a photograph of each class counts: ``"sqrt"`` the inverse square root of its class's share,
halfway between every image counting the same (``None``) and every class counting the same
(``"balanced"``), so that a small class is neither drowned nor inflated; or a weight for each class,
1 for those that are not named. ``"auto"``, the default of a fit, is ``"sqrt"`` for a softmax layer
that is solved for, and in a training by steps what the recipe's ``balance`` says, which is none in
every recipe of the table."""


def per_class(
    counts: Integers, weight: ClassWeight, classes: Sequence[str] = ()
) -> NDArray[np.float64]:
    """What a photograph of each class counts ``(K,)``, to be scaled.

    Args:
        counts: training photographs of each class ``(K,)``; a class of none weighs 0.
        weight: by what rule.
        classes: names, for weights that are given by name.
    """
    present = np.maximum(counts, 1)
    if weight is None:
        found = np.ones(len(counts))
    elif isinstance(weight, Mapping):
        found = np.array([weight.get(name, 1.0) for name in classes])
    else:
        found = 1 / (present if weight == "balanced" else np.sqrt(present))
    return np.where(counts > 0, found, 0)


def check_class_weight(weight: ClassWeight, classes: Sequence[str]) -> None:
    """Refuse weights of classes that are not there.

    Raises:
        UsageError: with the class.
    """
    if isinstance(weight, Mapping):
        unknown = [name for name in weight if name not in classes]
        if unknown:
            known = ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "")
            raise UsageError(
                f"class_weight names class {quoted(unknown[0])}: the classes are {known}"
            )


@dataclass(frozen=True)
class TrainingWeights:
    """What each of N photographs counts in training, beside the others.

    Attributes:
        by_class: by what rule a class counts.
        classes: names of the classes, where the rule has them.
        samples: a weight for each photograph ``(N,)``; ``None`` where each is one.
    """

    by_class: ClassWeight = "auto"
    classes: Sequence[str] = ()
    samples: NDArray[np.float64] | None = None

    @property
    def by_default(self) -> bool:
        """Whether nobody asked for other weights than those of a softmax layer."""
        return self.by_class in ("auto", "sqrt") and self.samples is None

    def of(self, rows: Integers, labels: Integers, count: int) -> Floats:
        """Weights ``(n,)`` of mean one.

        Args:
            rows: which photograph each image is of ``(n,)``.
            labels: class indices of the images ``(n,)``.
            count: number of classes.
        """
        counts = np.bincount(labels, minlength=count)
        by_class = per_class(counts, self.by_class, self.classes)
        samples = 1.0 if self.samples is None else self.samples[rows]
        weights = by_class[labels] * samples
        mean = weights.mean()
        return (weights / (mean or 1.0)).astype(np.float32)

    def only(self, rows: Integers) -> "TrainingWeights":
        """Those of some photographs."""
        own = None if self.samples is None else self.samples[rows]
        return TrainingWeights(self.by_class, self.classes, own)


def said(weight: ClassWeight, by_samples: bool, balance: str | None = None) -> str:
    """What photographs count, as a plan says it.

    Args:
        weight: by what rule.
        by_samples: whether photographs have weights of their own, too.
        balance: what the recipe does of its own accord, in a training by steps.
    """
    if weight == "auto" and balance is not None:
        text = {
            "none": "none: each photograph counts the same",
            "loss": "balanced: every class counts the same",
            "sampler": "balanced: every class is drawn equally often",
        }[balance]
        text = f"{text} (the recipe's)"
    elif weight in ("auto", "sqrt"):
        text = "sqrt: each photograph counts the inverse square root of its class's share"
    elif weight == "balanced":
        text = "balanced: every class counts the same"
    elif isinstance(weight, Mapping):
        text = ", ".join(f"{name} {value:g}" for name, value in list(weight.items())[:5])
        text += ", …" if len(weight) > 5 else ""
    else:
        text = "none: each photograph counts the same"
    return text + ("; times the weight given for each photograph" if by_samples else "")
