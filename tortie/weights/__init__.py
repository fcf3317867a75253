"""Where trained parameters come from."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tortie.weights.published import load_published
else:

    def __getattr__(name: str) -> Any:  # what fetches weights is loaded when it is first used
        if name == "load_published":
            return importlib.import_module("tortie.weights.published").load_published
        raise AttributeError(f"module 'tortie.weights' has no attribute {name!r}")


__all__ = ["class_names", "imagenet_classes", "load_published"]

_CIFAR10 = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def class_names(weights: str, classes: int) -> tuple[str, ...]:
    """Names of the classes that published weights tell apart, in the order of the logits.

    Args:
        weights: their name in the table of networks; a file has no names of its own.
        classes: length of the logits.

    Returns:
        As many names; the classes' numbers where none of that many are known.
    """
    known = {"cifar10": _CIFAR10}.get(weights) or imagenet_classes()
    return known if len(known) == classes else tuple(map(str, range(classes)))


def imagenet_classes() -> tuple[str, ...]:
    """The 1,000 class names of ILSVRC-2012 in the order of the logits (WordNet's words)."""
    from importlib.resources import files

    text = files("tortie.weights").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
