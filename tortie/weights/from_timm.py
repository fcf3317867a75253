"""timm: its import, which may fail, and the trained tensors that it knows where to find."""

import importlib
import importlib.util
from types import ModuleType
from typing import TYPE_CHECKING

from tortie.errors import TortieError, UsageError
from tortie.weights.fetch import HubFile, refusal

if TYPE_CHECKING:
    from torch import Tensor


def timm_library(asked: str) -> ModuleType:
    """The package timm.

    Args:
        asked: what it is needed for, as the user wrote it.

    Raises:
        UsageError: it is not installed, or cannot be imported.
    """
    if importlib.util.find_spec("timm") is None:
        raise UsageError(f"{asked} needs timm: pip install 'tortie[timm]'")
    try:
        return importlib.import_module("timm")
    except Exception as error:  # a torchvision of another torch fails in many ways
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"{asked}: timm cannot be imported ({reason}); torchvision must be the one that goes "
            "with this torch: pip install --upgrade timm torch torchvision"
        ) from None


def pretrained_tensors(model: str) -> "dict[str, Tensor]":
    """The trained tensors of a model of timm, by timm's names, fetched unless they are there.

    timm reads safetensors where the hub has them, and pickles with ``weights_only=True``.

    Args:
        model: ``NAME.TAG``.

    Raises:
        UsageError: timm is not installed.
        TortieError: they cannot be fetched.
    """
    timm = timm_library(f"timm:{model}")
    try:
        network = timm.create_model(model, pretrained=True)
    except Exception as error:  # of huggingface_hub, of its HTTP client, of torch
        repository = timm.models.get_pretrained_cfg(model).hf_hub_id or f"timm/{model}"
        raise _told(repository, error) from None
    return dict(network.state_dict())


def _told(repository: str, error: Exception) -> TortieError:
    return refusal(HubFile(repository, None, "model.safetensors"), error)
