"""Options that would be left without effect, which are refused and not ignored."""

from typing import Any

from tortie.augment.colour import IMAGENET_COLOURS
from tortie.augment.named import policy
from tortie.errors import UsageError
from tortie.learning.options import FitOptions

_OF_STEPS = (
    "recipe",
    "epochs",
    "batch",
    "learning_rate",
    "side_heads",
    "accumulate",
    "track",
    "resume",
)
"""Options that have an effect only where stages, or a head of several layers, train by steps."""


def check_for_depth(options: FitOptions, by_steps: bool, frozen: bool) -> None:
    """Refuse options that the depth of freezing would leave without effect.

    Args:
        options: of the fit.
        by_steps: whether training goes by steps; otherwise the softmax layer alone is solved for.
        frozen: whether any stage is frozen.

    Raises:
        UsageError: with the option and what it is for.
    """
    given = [name for name in _OF_STEPS if getattr(options, name) not in (None, False)]
    if given and not by_steps:
        raise UsageError(
            f"{given[0]} is for training by steps: freeze none, or fewer stages than all, or take "
            "the head mlp:N"
        )
    drawn = options.augment not in (None, "none") or by_steps
    if options.views != _default("views") and not (drawn and frozen):
        raise UsageError(
            "views are drawn by --augment where a part is frozen; where nothing is, each epoch "
            "draws anew"
        )
    if not by_steps:
        check_colour_basis(options, options.augment or "none")
    if options.budget != _default("budget") and options.freeze != "auto":
        raise UsageError(
            "budget is time to compare depths in, with --freeze auto: elsewhere --epochs says "
            "how long it takes"
        )


def check_colour_basis(options: FitOptions, augment: str) -> None:
    """Refuse a colour basis where the policy draws no PCA colour, or has a basis of its own.

    Args:
        options: of the fit.
        augment: policy of the drawn views, by its name or as JSON.

    Raises:
        UsageError: with a policy that draws it.
    """
    chosen = policy(augment)
    if options.colour_basis == _default("colour_basis"):
        return
    if chosen.pca_colour and chosen.pca_basis != IMAGENET_COLOURS:
        raise UsageError("the policy has a basis of its own: leave colour_basis or pca_basis out")
    if chosen.pca_colour:
        return
    shown = augment if augment.isidentifier() else "this policy"
    raise UsageError(
        f"colour_basis is for PCA colour, which {shown} does not draw: take augment full, alexnet, "
        "or a policy with pca_colour"
    )


def _default(option: str) -> Any:
    return FitOptions.model_fields[option].default
