"""What is native, by the flags and oneDNN's cap; the oracle is what oneDNN itself dispatches to."""

import os
import re
import subprocess
import sys

import pytest

from tortie import processor

AMX = "flags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16 amx_tile\n"
AVX512_BF16 = "flags\t\t: fpu avx2 avx512f avx512_bf16\n"
AVX512 = "flags\t\t: fpu avx2 avx512f avx512_vnni\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A function that sets the processor's flags and oneDNN's cap."""

    def become(cpuinfo, cap=None):
        path = tmp_path / f"cpuinfo{len(list(tmp_path.iterdir()))}"
        path.write_text(f"processor\t: 0\n{cpuinfo}\nprocessor\t: 1\nflags\t\t: none\n")
        monkeypatch.setattr(processor, "_FLAGS", path)
        for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
            monkeypatch.delenv(name, raising=False)
        if cap:
            monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", cap)

    return become


@pytest.mark.parametrize(
    ("cpuinfo", "cap", "native"),
    [
        (AMX, None, True),
        (AVX512_BF16, None, True),
        (AVX512, None, False),
        ("Features\t: fp asimd bf16\n", None, False),  # not x86
        (AMX, "AVX2", False),
        (AMX, "avx512_core_vnni", False),
        (AMX, "AVX512_CORE_BF16", True),
        ("flags\t: amx_bf16\n", "AVX512_CORE_BF16", False),  # what is left is AMX, which is capped
        (AMX, "AVX512_CORE_AMX", True),
        (AVX512, "AVX512_CORE_AMX", False),  # a cap adds nothing
        (AMX, "no such set", True),  # oneDNN ignores it
    ],
)
def test_bfloat16_is_native_where_the_flags_say_so_and_the_cap_allows(
    machine, cpuinfo, cap, native
):
    machine(cpuinfo, cap)
    assert processor.native_bfloat16() == native


def test_the_older_name_of_the_cap_holds_too(machine, monkeypatch):
    machine(AMX)
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "AVX2")
    assert not processor.native_bfloat16()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_AMX")  # the newer name comes first
    assert processor.native_bfloat16()


def test_without_a_list_of_flags_nothing_is_native(machine, monkeypatch, tmp_path):
    machine(AMX)
    monkeypatch.setattr(processor, "_FLAGS", tmp_path / "none")
    assert not processor.native_bfloat16()


@pytest.mark.parametrize("cap", ["", "AVX2", "AVX512_CORE", "AVX512_CORE_BF16"])
def test_onednn_says_the_same_of_the_processor(cap):
    # The log of oneDNN names the set it uses; where torch does not ask it, the log is empty.
    code = (
        "import torch; from tortie.processor import native_bfloat16\n"
        "a = torch.ones(64, 64).bfloat16(); a @ a\n"
        "print('native', native_bfloat16())"
    )
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": cap, "ONEDNN_VERBOSE": "1"}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    native = re.search(r"isa:.*(bfloat16|AMX|AVX ?10)", out) is not None
    assert ("native True" in out) == native, out
