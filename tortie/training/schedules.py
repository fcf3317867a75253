"""The learning rate as a pure function of progress, the share of all steps that are done.

Every schedule maps progress in [0, 1) to a multiplier in [0, 1] of the recipe's rate, and starts
at 1. The warm-up is a factor on top, so that a drop at half-way stays at half-way.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence

from tortie.training.recipe import Recipe


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


def cosine(progress: float, final: float = 0.0) -> float:
    """Half a cosine from 1 down to ``final`` (Loshchilov, Hutter 2017, without restarts)."""
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def linear(progress: float, final: float = 0.0) -> float:
    """A straight line from 1 down to ``final``."""
    return final + (1 - final) * (1 - progress)


def steps(progress: float, drops: Sequence[float], factor: float) -> float:
    """``factor`` to the power of how many ``drops`` are reached; ``drops`` ascend."""
    return factor ** bisect_right(drops, progress)


def inverse(progress: float, final: float) -> float:
    """1 / (1 + c · progress), with the c that ends at ``final``, above 0."""
    return 1 / (1 + (1 / final - 1) * progress)


def exponential(progress: float, final: float) -> float:
    """The same factor at every step, from 1 down to ``final``, above 0."""
    return float(final**progress)


def warming(progress: float, warmup: float, start: float) -> float:
    """A straight line from ``start`` to 1 while progress is under ``warmup``, then 1."""
    if progress >= warmup:
        return 1.0
    return start + (1 - start) * progress / warmup


def rate(recipe: Recipe, progress: float) -> float:
    """The multiplier of the recipe's learning rate, in [0, 1], at ``progress`` in [0, 1)."""
    falling = {
        "constant": lambda: constant(progress),
        "cosine": lambda: cosine(progress, recipe.final),
        "linear": lambda: linear(progress, recipe.final),
        "steps": lambda: steps(progress, recipe.drops, recipe.drop_factor),
        "inverse": lambda: inverse(progress, recipe.final),
        "exponential": lambda: exponential(progress, recipe.final),
    }[recipe.schedule]()
    return falling * warming(progress, recipe.warmup, recipe.warmup_start)
