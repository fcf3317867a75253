"""timm: its import, which may fail, and the trained tensors that it knows where to find."""

import importlib
import importlib.util
from types import ModuleType
from typing import TYPE_CHECKING

from tortie.errors import UsageError

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


def pretrained_tensors(model: str, img_size: int = 0) -> "dict[str, Tensor]":
    """The trained tensors of a model of timm, by timm's names, fetched unless they are there.

    They come as safetensors where the hub has them so; timm reads the few others, pickles, with
    ``weights_only=True``. timm gives them the shapes and names of its code of today.

    Args:
        model: ``NAME.TAG``.
        img_size: side of the images, to which timm interpolates the positions; 0 for its own.

    Raises:
        UsageError: timm is not installed.
        TortieError: they cannot be fetched.
    """
    from tortie.weights.fetch import HubFile, fetch_from_hub, quiet_hub, refusal

    timm = timm_library(f"timm:{model}")
    published = timm.models.get_pretrained_cfg(model)
    wanted = HubFile(published.hf_hub_id or f"timm/{model}", None, "model.safetensors")
    overlay = {}
    if published.hf_hub_id and not published.hf_hub_filename:
        try:
            overlay = {"file": str(fetch_from_hub(wanted)), "custom_load": False}
        except UsageError:  # the repository has no such file: timm knows what else to look for
            overlay = {}
    try:
        sized = {"img_size": img_size} if img_size else {}
        with quiet_hub():
            network = timm.create_model(
                model, pretrained=True, pretrained_cfg_overlay=overlay, **sized
            )
    except Exception as error:  # of huggingface_hub, of its HTTP client, of torch
        raise refusal(wanted, error) from None
    return dict(network.state_dict())
