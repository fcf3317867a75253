"""An exported file answers as its classifier does, or is not written."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from PIL import Image

import tortie
from tests.conftest import lay_out, photograph
from tortie.cli.main import main
from tortie.errors import TortieError, UsageError
from tortie.export import export as module
from tortie.export.export import ExportOptions, answer_of, export
from tortie.export.half import halve
from tortie.export.int8 import loss
from tortie.export.model import Contents, write_model

HOME = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("exported") / "photographs")


@pytest.fixture(scope="module")
def model(photographs):
    """A classifier's file, with its split CSV beside it."""
    path = photographs.parent / "two.safetensors"
    with pytest.raises(SystemExit) as ended:
        main(["fit", str(photographs), "-o", str(path), "--quiet",
              "--precision", "float32", "--threads", "1"])  # fmt: skip
    assert ended.value.code == 0
    return path


def fitted(photographs, **options):
    return tortie.ImageClassifier(precision="float32", threads=1, **options).fit(photographs)


def run(capfd, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    captured = capfd.readouterr()
    return ended.value.code, captured.out, captured.err


def test_the_command_compares_writes_and_says_so(model, tmp_path, capfd):
    output = tmp_path / "two.onnx"
    code, out, _ = run(capfd, "export", model, "-o", output, "--reject-below", "0.7", "--json")
    document = json.loads(out)
    assert code == 0 and document["bytes"] == output.stat().st_size
    assert document["compared_on"] == "training photographs"
    assert document["same_labels"] == document["photographs"] == 24
    assert document["median_difference"] <= document["largest_difference"] <= 1e-3
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    own = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    assert own["classes"] == ["blobs", "stripes"] and own["reject_below"] == 0.7
    assert own["opset"] == 18 and own["provenance"]["classifier"] == "two.safetensors"
    assert len(own["provenance"]["sha256"]) == 64 and own["accuracy"]["low"] < 1
    assert not list(tmp_path.glob(".*"))  # no part is left


def test_without_photographs_it_is_compared_on_built_in_pictures(model, tmp_path, capfd):
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(model.read_bytes())
    code, out, _ = run(capfd, "export", alone, "-o", tmp_path / "a.onnx")
    assert code == 0 and "built-in pictures: same label on" in out


def test_it_answers_as_the_classifier_with_ten_crops_and_tells_strangers(model, tmp_path):
    classifier = tortie.load(model).set_params(precision="float32", crops=10, threads=1)
    written = write_model(classifier, Contents(crops=10), {})
    session = onnxruntime.InferenceSession(
        written.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    image = np.asarray(photograph("stripes", 7))
    probabilities, _, percentile = session.run(None, {"image": image})
    (expected,) = classifier.classify([image])
    assert probabilities == pytest.approx(
        [expected.probabilities[name] for name in ("blobs", "stripes")], abs=1e-4
    )
    assert percentile == pytest.approx(expected.novelty_percentile, abs=0.5)


@pytest.mark.parametrize(
    "options",
    [
        {"network": "lenet5-1998", "weights": None, "freeze": "none", "epochs": 1},
        {"network": "efficientnet-lite0", "members": 2, "augment": "mirror"},
        {
            "network": "resnet20-cifar",
            "weights": None,
            "freeze": "none",
            "epochs": 1,
            "head": "mlp:5",
        },
    ],
    ids=["grey, published head", "ensemble", "mlp"],
)
def test_whatever_can_be_fitted_can_be_exported(photographs, options):
    classifier = fitted(photographs, **options)
    answer = answer_of(write_model(classifier, Contents(), {}))
    for number in range(3):
        image = np.asarray(photograph("blobs", 50 + number))
        assert answer(image) == pytest.approx(classifier.predict_proba([image])[0], abs=1e-4)


def test_batches_of_resized_images(model):
    classifier = tortie.load(model).set_params(precision="float32", threads=1)
    written = write_model(classifier, Contents(resized=True), {})
    session = onnxruntime.InferenceSession(
        written.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = [photograph("stripes", 70 + i) for i in range(3)]
    pixels = classifier.metadata.members[0].preprocessing.pixels
    found = session.run(["probabilities"], {"images": np.stack([pixels(one) for one in images])})
    assert found[0] == pytest.approx(classifier.predict_proba(images), abs=1e-4)


def test_half_keeps_the_weights_that_fit_float16(model):
    classifier = tortie.load(model).set_params(precision="float32", threads=1)
    plain = write_model(classifier, Contents(), {})
    halved = halve(plain, ("network",))
    assert halved.ByteSize() < 0.6 * plain.ByteSize()
    types = {one.data_type for one in halved.graph.initializer if one.name.endswith(" half")}
    assert types == {onnx.TensorProto.FLOAT16}
    image = np.asarray(photograph("blobs", 90))
    assert answer_of(halved)(image) == pytest.approx(answer_of(plain)(image), abs=1e-2)


@pytest.mark.slow
def test_eight_bits_are_a_third_of_the_size_and_their_loss_is_said(model, tmp_path, capfd):
    arguments = "--int8", "--max-loss", "20", "--json"
    code, out, _ = run(capfd, "export", model, "-o", tmp_path / "int8.onnx", *arguments)
    document = json.loads(out)
    assert code == 0 and document["bytes"] < 5_000_000  # 13.8 MB in float32
    assert document["loss"]["low"] <= document["loss"]["points"] <= document["loss"]["high"]
    assert document["loss"]["on"].startswith("training photographs: none was held out")


def test_a_model_that_answers_otherwise_is_not_written(model, tmp_path, monkeypatch):
    def wrong(classifier, contents, provenance):
        written = write_model(classifier, contents, provenance)
        bias = next(one for one in written.graph.initializer if one.name == "head0.head.bias")
        shifted = numpy_helper.to_array(bias) + np.array([0, 100], np.float32)
        bias.CopyFrom(numpy_helper.from_array(shifted, bias.name))
        return written

    monkeypatch.setattr(module, "write_model", wrong)
    with pytest.raises(TortieError, match="nothing is written"):
        export(model, tmp_path / "wrong.onnx", ExportOptions())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "two.txt"], "expected a name that ends in .onnx"),
        (["-o", "nowhere/two.onnx"], "no folder"),
        (["-o", "two.onnx", "--crops", "144"], "takes 1 or 10"),
        (["-o", "two.onnx", "--half", "--int8"], "not both"),
        (["-o", "two.onnx", "--resized", "--crops", "10"], "leave --crops out"),
        (["-o", "two.onnx", "--int8"], "leads to none: name a folder of classes with --images"),
        (["-o", "two.onnx", "--images", "x"], "add --int8"),
        (["-o", "two.onnx", "--max-loss", "3"], "--max-loss is of --int8"),
        (["-o", "two.onnx", "--check", "nope"], "--check: no such file or folder: 'nope'"),
        (["-o", "two.onnx", "--check", "nope.zip"], "no such file or folder: 'nope.zip'"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    model, tmp_path, monkeypatch, capfd, arguments, message
):
    (tmp_path / "alone.safetensors").write_bytes(model.read_bytes())
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capfd, "export", "alone.safetensors", *arguments)
    assert code == 2 and message in err
    assert [one.name for one in tmp_path.iterdir()] == ["alone.safetensors"]


def test_eight_bits_are_not_measured_on_other_classes(model, tmp_path, capfd):
    """Photographs of classes that the classifier does not know would be wrong before and after."""
    others = lay_out(tmp_path / "others", 3)
    (others / "blobs").rename(others / "cat")
    output = tmp_path / "two.onnx"
    code, _, err = run(capfd, "export", model, "-o", output, "--int8", "--images", others)
    assert code == 2 and "does not have: 1 ('cat'); it has 2 ('blobs'," in err
    assert not output.exists()


def test_what_is_compared_on_nothing_is_not_written(model, tmp_path, capfd):
    broken = tmp_path / "broken.jpg"
    broken.write_text("no image")
    code, _, err = run(capfd, "export", model, "-o", tmp_path / "two.onnx", "--check", broken)
    assert code == 1 and "none of 1 photographs" in err and "nothing is written" in err
    assert [one.name for one in tmp_path.iterdir()] == ["broken.jpg"]


def test_an_existing_file_is_kept_and_no_input_is_replaced(model, tmp_path):
    output = tmp_path / "two.onnx"
    output.write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        export(model, output, ExportOptions())
    with pytest.raises(UsageError, match="is an input"):
        export(model, output, ExportOptions(check=[output]), may_replace=True)
    assert output.read_text() == "mine"


def test_a_file_that_appears_meanwhile_is_kept(model, tmp_path):
    """Of two exports with one output, both begun while nothing is there, the second is refused."""
    output = tmp_path / "two.onnx"
    with pytest.raises(TortieError, match=r"two\.onnx"):
        export(
            model, output, ExportOptions(), progress=lambda done, total: output.write_text("other")
        )
    assert output.read_text() == "other"


def test_the_loss_is_that_of_pairs():
    # Of 100: 90 right both times, 6 right before alone, 2 after alone. Agresti and Min 2005,
    # with half a photograph more in each cell: d = 4/102, se = sqrt(9 - 16/102)/102 = 0.029154.
    pairs = [(True, True)] * 90 + [(True, False)] * 6 + [(False, True)] * 2 + [(False, False)] * 2
    found = loss(pairs, "test photographs")
    assert found.points == pytest.approx(0.04)
    assert (found.low, found.high) == pytest.approx(
        (0.039216 - 0.057141, 0.039216 + 0.057141), abs=2e-5
    )
    assert (found.before.value, found.after.value) == (0.96, 0.92)


def test_the_example_of_the_documentation_needs_onnxruntime_and_pillow_alone(model, tmp_path):
    page = (HOME / "docs" / "export.md").read_text()
    (example,) = re.findall(r"```python\n(# classify\.py.*?)```", page, re.DOTALL)
    assert len(example.splitlines()) <= 30
    export(model, tmp_path / "pets.onnx", ExportOptions())
    photograph("stripes", 5).save(tmp_path / "new.png")
    turned = photograph("blobs", 5).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    blocked = "import sys\nfor name in ('tortie', 'torch', 'cv2'): sys.modules[name] = None\n"
    (tmp_path / "classify.py").write_text(blocked + example)
    done = subprocess.run(
        [sys.executable, "classify.py", "pets.onnx", "new.png", "turned.png"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    classifier = tortie.load(model).set_params(precision="float32", threads=1)
    for line, path in zip(done.stdout.splitlines(), ("new.png", "turned.png"), strict=True):
        (expected,) = classifier.classify([tmp_path / path])
        assert line.startswith(f"{path}  {expected.label} {expected.probability:.1%}")
