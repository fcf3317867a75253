"""Which device computes, found without torch where there can be but a processor."""

import sys
from pathlib import Path

from tortie.errors import UsageError

# What a driver of a graphics card that torch can use leaves: NVIDIA's, AMD's, and Windows' for
# the Linux beside it.
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def device_name(asked: str) -> str:
    """The name of the device that ``asked`` stands for; ``auto`` takes a GPU where there is one.

    Raises:
        UsageError: no such device here.
    """
    if asked == "cpu" or (asked == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    there = _kinds()
    if asked.split(":")[0] not in there:
        raise UsageError(f"no device {asked!r} here: there is {', '.join(there)}")
    try:
        device = torch.device(asked)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, ValueError):
        kind = asked.split(":")[0]
        raise UsageError(
            f"no device {asked!r} here: {kind} numbers its devices from 0, and does not have or "
            "lend this one; take auto"
        ) from None
    return str(device)


def _kinds() -> list[str]:
    """Kinds of devices that this machine and this build of PyTorch have."""
    import torch

    kinds = ["cpu"]
    for kind in ("cuda", "xpu", "mps"):
        module = getattr(torch, kind, None) or getattr(torch.backends, kind, None)
        if module is not None and module.is_available():
            kinds.append(kind)
    return kinds


def _may_have_gpu() -> bool:
    """Whether it takes torch to know; where no driver is, there is no graphics card to find."""
    if sys.platform == "darwin":
        return False
    return sys.platform == "win32" or any(Path(driver).exists() for driver in _DRIVERS)
