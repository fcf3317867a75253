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
    try:
        device = torch.device(asked)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        # Of a name that it does not know torch lists every kind there ever was.
        reason = str(error).splitlines()[0].split(" device type at start of")[0]
        if reason.startswith("Expected one of"):
            reason = "expected cpu, cuda, or another of torch's devices"
        raise UsageError(f"no device {asked!r} here ({reason}): take cpu or auto") from None
    return str(device)


def _may_have_gpu() -> bool:
    """Whether it takes torch to know; where no driver is, there is no graphics card to find."""
    if sys.platform == "darwin":
        return False
    return sys.platform == "win32" or any(Path(driver).exists() for driver in _DRIVERS)
