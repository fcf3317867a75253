"""Principal colours of the training photographs, which PCA colour goes along.

Krizhevsky et al. 2012, section 4.1, fit them on their training set, ImageNet's. On photographs that
are mainly purple those axes would add the same to red, green and blue, where the photographs differ
in red and blue alone.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from tortie.activations.views import Undistorted
from tortie.augment import Policy
from tortie.augment.colour import IMAGENET_COLOURS, ColourBasis
from tortie.learning.dataset import Dataset
from tortie.learning.job import Job
from tortie.training.decoded import DecodedPhotographs

_AT_ONCE = 64  # photographs in memory
_DRAW = 0.1  # of which the note tells the grey levels: the papers' standard deviation


def with_own_colours(
    policy: Policy | None, job: Job, data: Dataset, photographs: DecodedPhotographs | None
) -> tuple[Policy | None, list[str]]:
    """The policy with the principal colours of the training photographs, and a note of them.

    Args:
        policy: as it was chosen; ``None`` for none.
        job: the fit.
        data: the photographs.
        photographs: the same, where they are decoded already.

    Returns:
        the policy as it was where it draws no PCA colour, or has a basis of its own.
    """
    asked = job.options.colour_basis
    if policy is None or not policy.pca_colour or asked == "imagenet":
        return policy, []
    if policy.pca_basis != IMAGENET_COLOURS:  # of a policy of one's own
        return policy, []
    if asked != "photographs":
        own = ColourBasis.model_validate_json(asked)
        return policy.model_copy(update={"pca_basis": own}), ["PCA colour goes along a given basis"]
    basis = _rounded(ColourBasis.of(_undistorted(job, data, photographs)))
    axis = " ".join(f"{name} {by:+.2f}" for name, by in zip("RGB", basis.axes[0], strict=True))
    added = ", ".join(f"{by:+.1f}" for by in basis.added((_DRAW, 0.0, 0.0)))
    note = (
        f"PCA colour goes along the principal colours of the {len(data.train):,} training "
        f"photographs: the first is {axis}, and a draw of {_DRAW:g} adds {added} grey levels; "
        "--colour-basis imagenet takes the paper's"
    )
    return policy.model_copy(update={"pca_basis": basis}), [note]


def _undistorted(
    job: Job, data: Dataset, photographs: DecodedPhotographs | None
) -> Iterator[NDArray[np.uint8]]:
    """The training photographs as the network sees them, in their order."""
    wanted = job.entry.preprocessing
    decoded = photographs or DecodedPhotographs(
        data.sources, data.sha256, wanted, job.max_pixels, limit=0
    )
    view = Undistorted(wanted)
    with ThreadPoolExecutor(job.threads, "tortie-colours") as executor:
        rows = data.train.tolist()
        for begin in range(0, len(rows), _AT_ONCE):
            part = rows[begin : begin + _AT_ONCE]
            yield from executor.map(lambda row: decoded.pixels(row, view), part)


def _rounded(basis: ColourBasis) -> ColourBasis:
    """To so many digits that a sum in another order, by more threads, gives the same."""
    return ColourBasis.model_validate(
        {
            "axes": [[round(by, 5) for by in axis] for axis in basis.axes],
            "spreads": [round(by, 3) for by in basis.spreads],
        }
    )
