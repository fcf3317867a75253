"""What a study was run on: processor, cores, versions. No name of a computer or of a person."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tortie import __version__
from tortie.processes import core_count
from tortie.processor import native_bfloat16

_CPUINFO = Path("/proc/cpuinfo")
_PACKAGES = ("torch", "numpy", "scikit-learn", "scikit-image")


def machine() -> dict[str, Any]:
    """Processor, cores, instruction set, device and versions; JSON's types only."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "processor": _processor(),
        "cores": core_count(),
        "instructions": os.environ.get("ONEDNN_MAX_CPU_ISA")
        or torch.backends.cpu.get_cpu_capability(),
        "bfloat16": native_bfloat16(),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "tortie": __version__,
        **{name: _version(name) for name in _PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        with _CPUINFO.open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
