"""What a verb imports: without torch, whose import takes longer than all else, where it can."""

import os
import subprocess
import sys

import pytest
from PIL import Image

from tests.conftest import lay_out

HEAVY = {"torch", "onnx", "scipy", "sklearn", "matplotlib", "jinja2", "huggingface_hub", "cv2"}


def heavy(tmp_path, *words, cap="AVX2") -> set[str]:
    """Heavy modules in memory when the command ends, on a plain processor or as ``cap`` says."""
    code = (
        "import sys; from tortie.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        f"print('heavy', *(sorted({HEAVY} & sys.modules.keys())))"
    )
    environment = os.environ | {
        "TORTIE_CACHE": str(tmp_path / "cache"), "ONEDNN_MAX_CPU_ISA": cap,
        "ATEN_CPU_CAPABILITY": "avx2",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], env=environment, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.fixture
def model(tmp_path):
    """A classifier that was made on a plain processor."""
    photographs = lay_out(tmp_path / "photographs", 3)
    heavy(tmp_path, "fit", photographs, "-o", tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def test_a_photograph_is_predicted_without_torch(model, tmp_path):
    new = tmp_path / "new.png"
    Image.linear_gradient("L").convert("RGB").save(new)
    assert heavy(tmp_path, "predict", model, new) == set()  # computed
    assert heavy(tmp_path, "predict", model, new) == set()  # from the store
    moved = model.rename(tmp_path / "moved.safetensors")
    assert heavy(tmp_path, "predict", moved, new, "--crops", "10") == set()


def test_a_file_from_elsewhere_predicts_without_torch(model, tmp_path):
    """Even where nothing can be kept between commands."""
    new, other = tmp_path / "new.png", tmp_path / "other"
    Image.linear_gradient("L").convert("RGB").save(new)
    other.mkdir()
    (other / "cache").write_text("a file where the cache's folder would be")
    for _ in range(2):
        assert heavy(other, "predict", model, new) == {"onnx"}


def test_float32_needs_no_torch_on_a_processor_with_bfloat16(model, tmp_path):
    new = tmp_path / "new.png"
    Image.linear_gradient("L").convert("RGB").save(new)
    words = ("predict", model, new, "--precision", "float32")
    assert "torch" not in heavy(tmp_path, *words, cap="ALL")


def test_an_evaluation_needs_no_torch(model, tmp_path):
    others = lay_out(tmp_path / "others", 4)
    words = ("evaluate", model, others, "--report", tmp_path / "report.html")
    assert "torch" not in heavy(tmp_path, *words)


def test_a_published_network_needs_no_torch_the_second_time(tmp_path):
    new = tmp_path / "new.png"
    Image.linear_gradient("L").convert("RGB").save(new)
    assert "torch" in heavy(tmp_path, "predict", "efficientnet-lite0", new)
    assert "torch" not in heavy(tmp_path, "predict", "efficientnet-lite0", new, "--crops", "10")


@pytest.mark.parametrize("cap", ["AVX2", "ALL"])
def test_a_fit_of_what_the_store_has_needs_no_torch(tmp_path, cap):
    photographs = lay_out(tmp_path / "photographs", 6)
    words = ("fit", photographs, "-o", tmp_path / "a.safetensors", "--force")
    heavy(tmp_path, *words, cap=cap)
    assert heavy(tmp_path, *words, cap=cap) == {"jinja2"}


def test_a_fit_of_new_photographs_by_a_known_network_needs_no_torch(model, tmp_path):
    new = lay_out(tmp_path / "new", 5)
    assert "torch" not in heavy(tmp_path, "fit", new, "-o", tmp_path / "b.safetensors")


def test_a_check_by_a_known_network_needs_no_torch(model, tmp_path):
    assert "torch" not in heavy(tmp_path, "check", tmp_path / "photographs", "--quiet")
