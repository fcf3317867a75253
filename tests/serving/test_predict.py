"""The server says what the command line and Python say, and tells what it serves."""

import io
import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from tests.conftest import photograph
from tests.serving.conftest import running
from tortie.loading import load
from tortie.serving.pages import SCRIPTS


def jpeg(label="blobs", number=500):
    content = io.BytesIO()
    photograph(label, number).save(content, "JPEG", quality=95)
    return content.getvalue()


def awkward(folder):
    """Pictures that are decoded by other rules than usual."""
    image = photograph("blobs", 600)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(folder / f"exif-{orientation}.jpg", exif=exif)
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("L").save(folder / "grey.png")
    image.convert("P").save(folder / "palette.gif")
    image.convert("RGBA").save(folder / "alpha.png")
    deep = (np.asarray(image.convert("L"), np.uint16) * 257)[:, ::-1]
    Image.fromarray(np.ascontiguousarray(deep)).save(folder / "16-bit.png")
    image.resize((1, 1)).save(folder / "tiny.bmp")
    image.resize((1600, 1200)).save(folder / "large.webp")
    image.save(folder / "é\u202e.tiff")
    return sorted(folder.iterdir())


def test_command_line_python_and_http_give_the_same_probabilities(client, fitted_file, tmp_path):
    # Oracle: the command line, whose photographs go through the store in batches.
    paths = awkward(tmp_path)
    command = [sys.executable, "-m", "tortie", "predict", str(fitted_file), *map(str, paths)]
    printed = subprocess.run([*command, "--json"], capture_output=True, check=True).stdout
    told = {one["path"]: one for one in json.loads(printed)}
    python = load(fitted_file).classify(paths)
    for path, judged in zip(paths, python, strict=True):
        content = path.read_bytes()
        (raw,) = client.predict(content).json
        (sent,) = client.form(("file", path.name, content)).json
        assert sent["path"] == path.name
        expected = told[str(path)] | {"path": "photograph"}
        assert raw["label"] == expected["label"] == judged.label
        assert raw.keys() == expected.keys()
        assert list(raw["probabilities"]) == list(expected["probabilities"])
        for name, probability in judged.probabilities.items():
            assert raw["probabilities"][name] == pytest.approx(probability, abs=1e-6)
            assert sent["probabilities"][name] == pytest.approx(probability, abs=1e-6)
            assert expected["probabilities"][name] == pytest.approx(probability, abs=1e-6)
        assert raw["novelty_percentile"] == pytest.approx(judged.novelty_percentile, abs=1e-3)


def test_several_photographs_one_of_them_unreadable(client):
    answer = client.form(
        ("files", "a.jpg", jpeg()), ("files", "b.jpg", b"no"), ("file", "c.jpg", jpeg("stripes"))
    )
    assert answer.status == 200
    first, second, third = answer.json
    assert (first["path"], first["label"], third["label"]) == ("a.jpg", "blobs", "stripes")
    assert second == {"path": "b.jpg", "reason": "not an image"}


def test_rejection_and_activation_map(client):
    mixed = io.BytesIO()
    Image.blend(photograph("blobs", 1), photograph("stripes", 1), 0.5).save(mixed, "PNG")
    (answer,) = client.predict(mixed.getvalue(), "?reject_below=1&activation_map=true").json
    assert answer["rejected"] and answer["label"] is None  # float32 may say exactly 1 of it
    assert 0.5 <= answer["probability"] <= 1
    (answer,) = client.predict(jpeg(), "?activation_map=true").json
    assert answer["label"] == "blobs"
    assert answer["activation_map"]["image"].startswith("data:image/jpeg;base64,")
    assert answer["activation_map"]["heat"].startswith("data:image/png;base64,")


def test_it_tells_what_it_serves_and_counts(client):
    model = client.get("/model").json
    assert model["classes"] == ["blobs", "stripes"]
    accuracy = model["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"] and accuracy["n"] == 24
    assert client.get("/health").json == {"status": "ok"}
    client.predict(jpeg())
    client.predict(b"no")
    counted = client.get("/metrics")
    assert counted.headers["content-type"].startswith("text/plain")
    assert 'tortie_requests_total{status="200"}' in counted.body.decode()
    assert 'tortie_requests_total{status="415"}' in counted.body.decode()
    assert "tortie_ready 1.0" in counted.body.decode()


def test_no_file_that_it_was_trained_on_is_told(fitted_file):
    # Oracle: the names in the record of a fit that found copies and an unreadable file.
    classifier = load(fitted_file)
    before = classifier.metadata
    own = "/home/someone/insects/train/ants/1473187633_63ccaacea6.jpg"
    training = before.training | {
        "notes": [
            f"the same file more than once: 1, 2 files of equal bytes ('{own}'); tortie check"
        ],
        "skipped": [{"path": own, "reason": "truncated"}],
    }
    member = before.members[0].model_copy(
        update={"weights": "/home/someone/secret/run.safetensors"}
    )
    classifier._metadata = before.model_copy(update={"training": training, "members": [member]})
    with running(lambda: classifier) as client:
        answer = client.until_ready().get("/model")
    assert answer.status == 200 and answer.json["training"]["seed"] == 0
    for part in ("someone", "insects", "ants", "1473187633", ".jpg", "secret", "run."):
        assert part not in answer.body.decode(), part
    assert answer.json["networks"][0]["weights"] == "a file"


def test_pages_ask_no_other_host(client):
    # Invariant: nothing in what is sent to a browser names another host.
    for path in ("/", "/page.css", *SCRIPTS, "/docs"):
        answer = client.get(path)
        assert answer.status == 200, path
        assert b"://" not in answer.body, path
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert b"POST /predict" in client.get("/docs").body
    assert client.get("/openapi.json").json["paths"]["/predict"]["post"]["requestBody"]


def test_many_threads_for_the_first_time(fitted_file):
    # Invariant: the first requests, all at once, are told to wait or are answered as later ones.
    content = jpeg()
    with running(lambda: load(fitted_file), threads=4) as client:
        found, start = [], threading.Barrier(12)

        def ask():
            start.wait()
            while (answer := client.predict(content)).status == 503:
                assert answer.headers["retry-after"] == "1"
            found.append(answer.json)

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 12 and all(one == found[0] for one in found)


def test_a_predictor_that_is_first_called_by_many_threads(fitted_file):
    classifier, found = load(fitted_file), []
    content, start = jpeg(), threading.Barrier(8)

    def ask():
        start.wait()
        found.append(classifier.live()([content]).probabilities)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = load(fitted_file).predict_proba([content])
    assert len(found) == 8
    assert all(np.abs(one - expected).max() <= 1e-6 for one in found)
