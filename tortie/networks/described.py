"""The layers of every network of the table, as :mod:`tortie.cost.describe` counted them.

They are kept as data so that showing a network need not import torch; a test counts each again.
"""

import json
from importlib.resources import files
from typing import Any


def described(name: str) -> list[dict[str, Any]] | None:
    """The stages of a network of the table, the head last, each with its layers.

    Args:
        name: in the table; of the builder's own arguments, the table's.

    Returns:
        As :func:`tortie.cost.describe.describe`; ``None`` for a network that is not there.
    """
    text = files("tortie.networks").joinpath("layers.json").read_text(encoding="utf-8")
    found: list[dict[str, Any]] | None = json.loads(text).get(name)
    return found
