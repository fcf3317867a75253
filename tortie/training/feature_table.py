"""Activations of the photographs of a training, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FeatureTable:
    """Activations of some of the photographs.

    Attributes:
        activations: float32 ``(n, views, ...)``.
        row: row among them of each photograph ``(N,)``; −1 where it has none.
    """

    activations: NDArray[np.float32]
    row: NDArray[np.int64]

    def take(self, rows: Sequence[int], view: int) -> "Tensor":
        """Float32 ``(len(rows), ...)``."""
        import torch

        return torch.from_numpy(self.activations[self.row[list(rows)], view])
