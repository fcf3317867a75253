"""Draw distortions of photographs; apply each in one resampling and one matrix.

::

    from tortie.augment import draw, policy

    distortion = draw(policy("standard"), seed=0, image_key="tigger.jpg", view=1)
    picture = distortion.apply(image, 224, 224)  # uint8 (224, 224, 3)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tortie.augment.colour import IMAGENET_COLOURS, IMAGENET_COLOURS_DEVIATION, ColourBasis
    from tortie.augment.crop import AreaCrop, ScaledCrop
    from tortie.augment.distortion import Distortion
    from tortie.augment.drawing import draw
    from tortie.augment.geometry import Warp
    from tortie.augment.named import POLICIES, policy
    from tortie.augment.ranges import Policy
else:
    _HOMES = {
        "IMAGENET_COLOURS": "colour",
        "IMAGENET_COLOURS_DEVIATION": "colour",
        "POLICIES": "named",
        "AreaCrop": "crop",
        "ColourBasis": "colour",
        "Distortion": "distortion",
        "Policy": "ranges",
        "ScaledCrop": "crop",
        "Warp": "geometry",
        "draw": "drawing",
        "policy": "named",
    }

    def __getattr__(name: str) -> Any:  # what no prediction needs is loaded when it is first used
        if name in _HOMES:
            return getattr(importlib.import_module(f"tortie.augment.{_HOMES[name]}"), name)
        raise AttributeError(f"module 'tortie.augment' has no attribute {name!r}")


__all__ = [
    "IMAGENET_COLOURS",
    "IMAGENET_COLOURS_DEVIATION",
    "POLICIES",
    "AreaCrop",
    "ColourBasis",
    "Distortion",
    "Policy",
    "ScaledCrop",
    "Warp",
    "draw",
    "policy",
]
