"""A notebook, run from top to bottom by a real kernel."""

import os
import sys
from pathlib import Path

import pytest

import tortie
from tests.conftest import lay_out, photograph

nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

CELLS = (
    "import tortie\nclassifier = tortie.ImageClassifier().fit('photos')\nclassifier",
    "evaluation = classifier.evaluate('others')\nevaluation",
    "classifier.fitted_.plan",
    "tortie.check('photos')",
    "evaluation.plot()",
    "tortie.ImageClassifier('lenet5', weights=None, freeze='none', epochs=2).fit('photos').fitted_",
    "classifier.predict(3)",
)


@pytest.mark.slow  # a kernel of Jupyter, which imports torch
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own packages
def test_a_notebook_shows_results_and_is_never_silent(tmp_path, monkeypatch):
    import nbformat

    lay_out(tmp_path / "photos")
    (tmp_path / "photos" / "blobs" / "bad.jpg").write_bytes(b"words")
    for label in ("blobs", "stripes"):
        (tmp_path / "others" / label).mkdir(parents=True)
        for number in range(5):
            photograph(label, 500 + number).save(tmp_path / "others" / label / f"{number}.png")
    home = str(Path(tortie.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([home, os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in CELLS])
    notebook.cells[-1].metadata["tags"] = ["raises-exception"]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": tmp_path}}
    )
    client.create_kernel_manager()
    client.km.kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    client.execute()
    outputs = [cell.outputs for cell in notebook.cells]
    shown = [
        "".join(one.data.get("text/html", "") for one in each if "data" in one) for each in outputs
    ]
    said = ["".join(one.text for one in each if one.output_type == "stream") for each in outputs]
    assert "ImageClassifier" in shown[0] and "95% interval" in shown[0]
    assert "left out: photos/blobs/bad.jpg: not an image" in said[0]
    assert "Confusion matrix" in shown[1] and "<svg" in shown[1]
    assert "class weight" in shown[2]
    assert "Cannot be read" in shown[3]
    assert any("image/png" in one.get("data", {}) for one in outputs[4])
    assert "epoch 2 of 2: training loss" in said[5]
    (error,) = (one for one in outputs[6] if one.output_type == "error")
    assert error.ename == "UsageError"
    assert sum(f"{home}/tortie" in line for line in error.traceback) <= 3
