"""``--precision bfloat16`` on a processor with it and on a plain one; both are simulated."""

import json

import pytest
import torch

from tests.cli.test_cli import run  # noqa: F401  (a fixture)
from tests.conftest import lay_out
from tortie import processor
from tortie.activations.engine import chosen_precision, native_precision


@pytest.fixture
def flags(tmp_path, monkeypatch):
    """A function that gives the processor other flags."""

    def have(*names):
        path = tmp_path / "-".join(("cpuinfo", *names))
        path.write_text(f"flags\t\t: fpu {' '.join(names)}\n")
        monkeypatch.setattr(processor, "_FLAGS", path)
        monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)

    return have


@pytest.mark.parametrize(
    "words",
    [
        "fit {photographs} -o {out}", "fit {photographs} -o {out} --freeze none",
        "predict {model} {photographs}",
        "evaluate {model} {photographs}", "check {photographs}", "bench lenet5",
    ],
)  # fmt: skip
def test_bfloat16_is_refused_where_it_is_emulated(run, flags, fitted_file, tmp_path, words):  # noqa: F811
    flags("avx2", "avx512f")
    photographs = lay_out(tmp_path / "photographs", 2)
    out = tmp_path / "a.safetensors"
    places = {"photographs": photographs, "model": fitted_file, "out": out}
    code, said, err = run(*words.format(**places).split(), "--precision", "bfloat16")
    assert code == 2 and not said
    assert err == (
        "tortie: precision bfloat16: cpu here has no bfloat16 arithmetic, and emulates it many "
        "times slower than float32: take auto or float32\n"
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("flag", "asked", "runs"),
    [
        ("avx512_bf16", "bfloat16", "bfloat16"),
        ("amx_bf16", "auto", "bfloat16"),
        ("avx512_bf16", "float32", "float32"),
        ("avx2", "auto", "float32"),
        ("avx2", "float32", "float32"),
    ],
)
def test_what_runs_is_what_was_asked_or_what_is_native(flags, flag, asked, runs):
    flags(flag)
    cpu = torch.device("cpu")
    assert (chosen_precision(asked, cpu) or native_precision(cpu)) == runs


def test_the_plan_of_a_plain_processor_says_float32(run, flags, tmp_path):  # noqa: F811
    flags("avx2")
    words = ("-o", tmp_path / "a.safetensors", "--plan", "--json")
    code, out, _ = run("fit", lay_out(tmp_path / "photographs", 3), *words)
    assert code == 0
    assert json.loads(out)["precision"] == "float32"
