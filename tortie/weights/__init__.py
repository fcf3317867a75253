"""Where trained parameters come from."""

from tortie.weights.published import load_published

__all__ = ["imagenet_classes", "load_published"]


def imagenet_classes() -> tuple[str, ...]:
    """The 1,000 class names of ILSVRC-2012 in the order of the logits (WordNet's words)."""
    from importlib.resources import files

    text = files("tortie.weights").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
