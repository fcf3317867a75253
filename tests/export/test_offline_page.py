"""An exported page is whole, asks for nothing, and answers as the classifier does."""

import base64
import gzip
import io
import json
import re
import tarfile

import numpy as np
import onnx
import pytest
from PIL import Image

import tortie
from tests.chromium import camera, chromium, needs_browser
from tests.conftest import photograph
from tests.export.test_export import run
from tortie.errors import TortieError, UsageError
from tortie.export import runtime as module
from tortie.export.export import ExportOptions, export
from tortie.export.model import Contents
from tortie.export.runtime import Runtime

FAKE = Runtime(gzip.compress(b"script"), gzip.compress(b"wasm"))


def part(page, name):
    """What a part of a page holds, unpacked."""
    (packed,) = re.findall(rf'<script type="text/plain" id="{name}">([^<]*)</script>', page)
    return gzip.decompress(base64.b64decode(packed))


def test_a_page_holds_the_model_the_runtime_and_what_is_known(fitted_file, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "runtime", lambda: FAKE)
    output = tmp_path / "textures.html"
    export(fitted_file, output, ExportOptions(Contents(reject_below=0.7)))
    page = output.read_text("utf-8")
    assert part(page, "runtime-script") == b"script" and part(page, "runtime-wasm") == b"wasm"
    model = onnx.load_from_string(part(page, "model"))
    assert [one.name for one in model.graph.input] == ["image"]
    (written,) = re.findall(r'<script type="application/json" id="metadata">(.*?)</script>', page)
    assert json.loads(written)["classes"] == ["blobs", "stripes"]
    assert json.loads(written)["reject_below"] == 0.7
    assert "Copyright (c) Microsoft Corporation" in page
    # Invariant: the policy lets nothing be fetched, and no script or style names an address.
    assert "default-src 'none'" in page and "connect-src" not in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)


def test_a_name_that_is_html_stays_text(fitted_file, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "runtime", lambda: FAKE)
    name = "<script>alert(1)<script><!--.safetensors"
    (tmp_path / name).write_bytes(fitted_file.read_bytes())
    export(tmp_path / name, tmp_path / "a.html", ExportOptions())
    assert "<script>alert" not in (tmp_path / "a.html").read_text("utf-8")


def test_without_the_runtime_the_command_names_the_target(
    fitted_file, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(module, "_MEMBERS", {"a.gz": "", "b.gz": ""})
    code, _, err = run(capfd, "export", fitted_file, "-o", tmp_path / "a.html")
    assert code == 2 and "`make runtime` fetches it" in err
    assert not list(tmp_path.iterdir())


def test_pages_take_whole_photographs(fitted_file, tmp_path):
    with pytest.raises(UsageError, match="leave it out"):
        export(fitted_file, tmp_path / "a.html", ExportOptions(Contents(resized=True)))


def test_a_runtime_that_is_another_is_refused(tmp_path, monkeypatch):
    package = io.BytesIO()
    with tarfile.open(fileobj=package, mode="w:gz"):
        pass
    monkeypatch.setattr(
        module.urllib.request, "urlopen", lambda *_, **__: io.BytesIO(package.getvalue())
    )
    with pytest.raises(TortieError, match="SHA-256"):
        module.fetch(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("arguments", [(), ("--half",), ("--int8", "--max-loss", "20")])
def test_in_a_browser_without_a_network(fitted_file, tmp_path, capfd, arguments):
    # Oracle: the classifier itself, on files that every decoder reads alike.
    need_runtime()
    output, images = tmp_path / "textures.html", fitted_file.parent / "photographs"
    given = (*arguments, "--reject-below", "0.6", "--check", str(images))
    if "--int8" in arguments:
        given = (*given, "--images", str(images))
    code, _, err = run(capfd, "export", fitted_file, "-o", output, *given)
    assert (code, err) == (0, "")
    assert output.stat().st_size <= (11e6 if "--int8" in arguments else 23e6)
    files = awkward(tmp_path / "images")
    (tmp_path / "images" / "no.jpg").write_bytes(b"no image")
    expected = tortie.load(fitted_file).set_params(precision="float32").predict_proba(files)
    classes = ["blobs", "stripes"]
    with chromium(tmp_path) as browser:
        browser.go_offline()
        browser.open(output.as_uri())
        browser.until("document.readyState === 'complete' && $('state').hidden")
        browser.choose("#files", [*files, tmp_path / "images" / "no.jpg"])
        count = len(files) + 1
        browser.until(f"$('answers').children.length === {count} && !running", 120)
        items = "[...$('answers').children]"
        labels = browser.evaluate(f"{items}.map((one) => one.querySelector('.label').textContent)")
        found = browser.evaluate(
            f"{items}.map((one) => Object.fromEntries([...one.querySelectorAll('.bars li')]"
            ".map((row) => [row.querySelector('bdi').textContent, "
            "parseFloat(row.querySelector('i').style.width) / 100])))"
        )
        assert browser.requests == [] and browser.errors == []
        assert "this browser cannot read the file" in browser.text()
    labels, found = labels[::-1], found[::-1]  # the newest answer comes first
    assert labels[-1] == "No answer"
    tolerance = {(): 1e-3, ("--half",): 1e-2}.get(arguments, 0.3)
    for path, own, label, theirs in zip(files, expected, labels, found, strict=False):
        values = np.array([theirs[name] for name in classes])
        assert np.abs(values - own).max() <= tolerance, path.name
        sure = max(values) >= 0.6
        assert label == (classes[int(values.argmax())] if sure else "Not sure"), path.name


@pytest.mark.slow
@needs_browser
def test_photographs_are_dropped_pasted_and_taken_without_a_network(fitted_file, tmp_path):
    # Oracle: the class that each photograph was drawn of.
    need_runtime()
    page = tmp_path / "textures.html"
    export(fitted_file, page, ExportOptions())
    dropped = [tmp_path / f"{label}.png" for label in ("blobs", "stripes")]
    for number, path in enumerate(dropped):
        photograph(path.stem, 320 + number).save(path)
    shown = camera(tmp_path / "camera", [photograph("stripes", 330)])
    answers = "[...$('answers').querySelectorAll('.label')].map((one) => one.textContent)"
    with chromium(tmp_path / "browser", *shown) as browser:

        def labels(count):
            browser.until(f"$('answers').children.length === {count} && !running")
            return browser.evaluate(answers)

        browser.go_offline()
        browser.open(page.as_uri())
        browser.until("document.readyState === 'complete' && $('state').hidden")
        browser.drop("#give", dropped)
        assert labels(2) == ["stripes", "blobs"]  # the newest first
        browser.paste(photograph("blobs", 325))
        assert labels(3)[0] == "blobs"
        browser.shoot()
        assert labels(4)[0] == "stripes"
        browser.evaluate("$('close').click(); 0")
        assert browser.evaluate("$('shooting').hidden && !camera.stream")
        assert browser.requests == [] and browser.errors == []


def need_runtime():
    """Skip a test where the runtime of pages is not here."""
    try:
        module.runtime()
    except UsageError:
        pytest.skip("no runtime is here: make runtime")


def awkward(folder):
    """Photographs as PNG: plain, turned by EXIF, grey, of a palette, tiny."""
    folder.mkdir()
    pictures = {f"plain{i}": photograph(("blobs", "stripes")[i % 2], 300 + i) for i in range(4)}
    pictures["grey"] = photograph("stripes", 310).convert("L")
    pictures["palette"] = photograph("blobs", 311).quantize(64)
    pictures["tiny"] = photograph("stripes", 312).resize((5, 3))
    pictures["large"] = photograph("blobs", 313).resize((2000, 1500))
    for name, one in pictures.items():
        one.save(folder / f"{name}.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = photograph("stripes", 314).transpose(Image.Transpose.ROTATE_90)
    turned.save(folder / "turned.png", exif=exif)
    return sorted(folder.glob("*.png"))
