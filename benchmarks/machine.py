"""What a benchmark ran on, in one line."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def describe() -> str:
    """Processor, cores, Python and the versions that matter."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    flags: set[str] = set()
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
            if line.startswith("flags"):
                flags = set(line.split(":", 1)[1].split())
    native = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{model} ({', '.join(native)}), {cores} cores, Python {platform.python_version()}, "
        f"torch {version('torch')}, Pillow {version('pillow')}"
    )
