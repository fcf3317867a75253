"""The policies that have a name: tortie's own four, and the recipes of the papers."""

import difflib
import re

from tortie.augment.ranges import Policy
from tortie.errors import UsageError

_STANDARD = Policy(
    mirror=0.5,
    crop_area=(0.35, 1.0),
    rotate=(-8, 8),
    brightness=(0.8, 1.2),
    contrast=(0.8, 1.2),
    saturation=(0.8, 1.2),
)

POLICIES: dict[str, Policy] = {
    "none": Policy(),
    "mirror": Policy(mirror=0.5),
    "standard": _STANDARD,
    "full": Policy(
        mirror=0.5,
        crop_area=(0.25, 1.0),
        shear=(-8, 8),
        rotate=(-15, 15),
        warp=(0.0, 0.015),
        brightness=(0.75, 1.25),
        contrast=(0.75, 1.25),
        saturation=(0.7, 1.3),
        channel_shift=6.0,
        pca_colour=0.1,
        erase=0.25,
        erase_area=(0.02, 0.2),
    ),
    # Krizhevsky, Sutskever and Hinton 2012, section 4.1: shorter side to 256, its central square,
    # a crop of 224 at any place (not only at whole pixels), mirror, PCA colour.
    "alexnet": Policy(
        mirror=0.5, scale_jitter=(256 / 224, 256 / 224), crop_central=True, pca_colour=0.1
    ),
    # Simonyan and Zisserman 2015, section 3.1: shorter side from 256 to 512, a crop of 224 at any
    # place, mirror, AlexNet's colour.
    "vgg": Policy(mirror=0.5, scale_jitter=(256 / 224, 512 / 224), pca_colour=0.1),
    # He et al. 2016, section 3.4: shorter side from 256 to 480, else as VGG.
    "resnet": Policy(mirror=0.5, scale_jitter=(256 / 224, 480 / 224), pca_colour=0.1),
    # Szegedy et al. 2015, section 6: area 8% to 100%, aspect 3/4 to 4/3 (log-uniform in practice).
    # Their photometric distortions are not numbered: brightness, contrast, saturation as usual.
    "googlenet": Policy(
        mirror=0.5,
        crop_area=(0.08, 1.0),
        crop_aspect=(3 / 4, 4 / 3),
        brightness=(0.6, 1.4),
        contrast=(0.6, 1.4),
        saturation=(0.6, 1.4),
    ),
    # He et al. 2016, section 4.2: 4 pixels of 32 on each side, a crop of 32, mirror. What the paper
    # pads with zeros is mirrored here.
    "cifar": Policy(mirror=0.5, shift=(-4 / 32, 4 / 32), whole_pixels=True),
    # LeCun et al. 1998, section III-A: planar affine distortions of digits (translation, scaling,
    # squeezing, horizontal shearing). The ranges are not printed: these are ours. Digits are never
    # mirrored.
    "lenet5": Policy(
        scale=(0.85, 1.15), squeeze=(0.9, 1.1), shear=(-12, 12), shift=(-2 / 28, 2 / 28)
    ),
    # Simard, Steinkraus and Platt 2003: even draws in ±1, Gaussian of sigma 4, times 34, on 29×29:
    # displacements of 34 √(1/3) / (4 √(4π)) = 1.384 pixels rms along each axis.
    "simard": Policy(warp=(1.384 / 29, 1.384 / 29), warp_smoothness=4 / 29),
}


def policy(name: str) -> Policy:
    """The policy of that name, such as ``none``, ``mirror``, ``standard`` or ``full``.

    In brackets, some of its ranges may be changed: ``full(rotate=-30:30, channel_shift=20,
    channel_shift_draw=uniform)``; a range is LOW:HIGH. A text that begins with a brace is
    the JSON of a policy.

    Raises:
        UsageError: no such policy or operation, or a range that cannot be.
    """
    if name.lstrip().startswith("{"):
        return Policy.of_json(name)
    found = re.fullmatch(r"\s*([^()]*?)\s*(?:\(([^()]*)\))?\s*", name)
    base, listed = (found[1], found[2]) if found else (name, None)
    if base not in POLICIES:
        close = difflib.get_close_matches(base, POLICIES, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(POLICIES)}"
        raise UsageError(f"no augmentation {name!r}: {hint}")
    changes = {}
    for part in filter(None, (part.strip() for part in (listed or "").split(","))):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals:
            raise UsageError(f"augmentation {base}: expected operation=value, not {part!r}")
        changes[key] = tuple(value.split(":")) if ":" in value else value
    if not changes:
        return POLICIES[base]
    ranges = {key: getattr(POLICIES[base], key) for key in Policy.model_fields}
    return Policy(**{**ranges, **changes})
