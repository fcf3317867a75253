"""The augmentation of a fit: the policy that was asked for, as far as it suits the network."""

from collections.abc import Sequence

from tortie.augment import Policy, policy
from tortie.augment.colour import IMAGENET_COLOURS
from tortie.learning.options import FitOptions
from tortie.networks.entry import Entry

_WHOSE = {"photographs": "the photographs' own axes", "imagenet": "ImageNet's axes"}


def chosen_policy(entry: Entry, name: str, mirror: bool) -> tuple[Policy | None, Sequence[str]]:
    """A policy as far as it suits a network and the photographs, and what the user should know.

    Args:
        entry: the network.
        name: of the policy.
        mirror: whether a mirrored photograph keeps its class.

    Returns:
        ``None`` for ``none``.
    """
    if name == "none":
        return None, []
    chosen = policy(name)
    notes = []
    if chosen.mirror and not entry.mirror:
        chosen = chosen.without("mirror")
        notes.append(f"no photograph is mirrored: {entry.name} reads digits, which it would change")
    elif chosen.mirror and not mirror:
        chosen = chosen.without("mirror")
    if entry.preprocessing.channels == 1 and chosen.colour_operations:
        notes.append(f"grey input takes no {', '.join(chosen.colour_operations)}")
        chosen = chosen.for_grey()
    return chosen, notes


def said_colours(options: FitOptions, augment: str) -> str:
    """Whose principal colours PCA colour goes along, in words; empty where none is drawn.

    Args:
        options: of the fit.
        augment: policy of the drawn views, by its name or as JSON.
    """
    chosen = policy(augment)
    if not chosen.pca_colour:
        return ""
    own = chosen.pca_basis != IMAGENET_COLOURS or options.colour_basis not in _WHOSE
    return f"PCA colour along {'given axes' if own else _WHOSE[options.colour_basis]}"
