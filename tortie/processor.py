"""What this processor multiplies natively, read from its flags without torch."""

import functools
import os
from pathlib import Path

_FLAGS = Path("/proc/cpuinfo")

_WITHOUT_BFLOAT16 = {
    "sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2", "avx512_core", "avx512_core_vnni",
}  # fmt: skip
"""Caps of oneDNN's instruction set under which it has no product of bfloat16 (oneDNN, "CPU
Dispatcher Control")."""

_WITHOUT_AMX = {"avx512_core_bf16", "avx512_core_fp16", "avx10_1_512", "avx10_2_512"}
"""Caps under which it has AVX-512's product of bfloat16, and not AMX's."""


def native_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 natively: by AVX-512 BF16 or by AMX.

    What only emulates it is many times slower than in float32. ``ONEDNN_MAX_CPU_ISA`` caps what
    oneDNN, and so PyTorch, may use of the processor; this function keeps to the same cap, so that
    ``ONEDNN_MAX_CPU_ISA=AVX2`` stands for a plain processor. Where the operating system does not
    list the flags (other than Linux), the answer is no.
    """
    return bool(_allowed(_cap()) & _flags(_FLAGS))


def _cap() -> str:
    name = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA", "")
    return name.lower()


def _allowed(cap: str) -> set[str]:
    if cap in _WITHOUT_BFLOAT16:
        return set()
    return {"avx512_bf16"} if cap in _WITHOUT_AMX else {"avx512_bf16", "amx_bf16"}


@functools.cache
def _flags(cpuinfo: Path) -> frozenset[str]:
    """The flags of the first processor in a file such as ``/proc/cpuinfo``; none without one."""
    try:
        with cpuinfo.open() as lines:
            for line in lines:
                if line.startswith("flags"):
                    return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()
