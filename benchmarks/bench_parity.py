"""Claim: a classifier gives the same answers from the command line, Python, HTTP, ONNX and HTML.

Command line, Python and server to 1e-6, as they are by default; the exported files beside the
classifier in float32: the same labels, and 1e-3 for photographs up to twice the input size. The
page runs in a headless Chromium on the files themselves, so its decode is the browser's. With
`--awkward`, 40 pictures are made of the first photograph: turned by EXIF, CMYK, transparent, of a
palette, grey, of 16 bits, tiny, of 12 megapixels.

    python benchmarks/bench_parity.py MODEL IMAGES [--most 500] [--awkward]
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import onnxruntime
from bench_server import free_port, request_of, server
from machine import describe
from PIL import Image

import tortie
from tortie.images import decode, find_files

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.chromium import BROWSER, chromium  # noqa: E402

UNREAD = (".tif", ".heic")  # by Chromium


def awkward(source: Path, folder: Path) -> list[Path]:
    """40 pictures that are decoded by other rules than usual."""
    image = Image.open(source).convert("RGB")
    width, height = image.size
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(folder / f"exif-{orientation}.jpg", exif=exif, quality=95)
    image.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    image.convert("CMYK").save(folder / "cmyk.tif")
    alpha = Image.linear_gradient("L").resize(image.size)
    clear = image.copy()
    clear.putalpha(alpha)
    for kind in ("png", "webp", "tif", "gif"):
        clear.save(folder / f"alpha.{kind}", **({"lossless": True} if kind == "webp" else {}))
    Image.merge("LA", (image.convert("L"), alpha)).save(folder / "alpha-grey.png")
    clear.quantize(64).save(folder / "alpha-palette.png")
    image.quantize(256).save(folder / "palette.png")
    image.quantize(16).save(folder / "palette.gif")
    image.convert("1").save(folder / "one-bit.png")
    for kind in ("png", "jpg", "webp", "bmp"):
        image.convert("L").save(folder / f"grey.{kind}")
    deep = np.asarray(image.convert("L"), np.uint16) * 257
    Image.fromarray(deep).save(folder / "16-bit.png")
    Image.fromarray(deep).save(folder / "16-bit.tif")
    Image.fromarray(deep // 16).save(folder / "12-bits-of-16.png")
    for name, size in {"1x1": (1, 1), "2x3": (2, 3), "9x400": (9, 400), "400x9": (400, 9)}.items():
        image.resize(size).save(folder / f"tiny-{name}.png")
    for kind in ("png", "jpg", "webp"):
        image.resize((4000, 3000)).save(folder / f"12-megapixels.{kind}")
    image.save(folder / "progressive.jpg", progressive=True, subsampling=0)
    image.save(folder / "half-colour.jpg", subsampling=1, quality=60)
    image.resize((width * 2 // 3 + 1, height * 2 // 3 + 1)).save(folder / "odd.jpg")
    image.crop((0, 0, width, height // 3)).save(folder / "wide.jpg")
    image.save(folder / "plain.bmp")
    image.save(folder / "plain.png")
    image.save(folder / "plain.avif", quality=90)
    return sorted(folder.iterdir())


def from_command(model: Path, paths: list[Path]) -> dict[Path, dict[str, float]]:
    command = [sys.executable, "-m", "tortie", "predict", str(model), "--json"]
    printed = subprocess.run([*command, *map(str, paths)], capture_output=True, check=True).stdout
    return {Path(one["path"]): one["probabilities"] for one in json.loads(printed)}


async def _post(port: int, paths: list[Path]) -> list[bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    bodies = []
    for path in paths:
        writer.write(request_of(path.read_bytes()))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        bodies.append(await reader.readexactly(length))
    writer.close()
    return bodies


def from_server(model: Path, paths: list[Path]) -> dict[Path, dict[str, float]]:
    port = free_port()
    command = [sys.executable, "-m", "tortie", "serve", str(model), "--port", str(port)]
    with server(command, port, request_of(paths[0].read_bytes())):
        bodies = asyncio.run(_post(port, paths))
    return {p: json.loads(one)[0]["probabilities"] for p, one in zip(paths, bodies, strict=True)}


def from_onnx(file: Path, paths: list[Path]) -> dict[Path, dict[str, float]]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    found = {}
    for path in paths:
        pixels = np.asarray(decode(path).image)
        probabilities = session.run(["probabilities"], {"image": pixels})[0]
        found[path] = dict(zip(classes, map(float, probabilities), strict=True))
    return found


def from_page(file: Path, paths: list[Path]) -> dict[Path, dict[str, float]]:
    """What the page says of the files that the browser reads."""
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as browser:
        browser.open(file.absolute().as_uri())
        browser.until("document.readyState === 'complete' && $('state').hidden")
        browser.evaluate(
            "window.told = []; show = (item, answer) => told.push(answer.probabilities);"
            "fail = (item, reason) => told.push(null); 0"
        )
        browser.choose("#files", [path.absolute() for path in paths])
        browser.until(f"told.length === {len(paths)}", 600)
        found = browser.evaluate("told")
        assert not browser.requests, browser.requests
    return {path: one for path, one in zip(paths, found, strict=True) if one}


def compare(name: str, found: dict, expected: dict, paths: list[Path], bound: float) -> None:
    """Print how far two ways are apart, and which files are beyond a bound."""
    apart, other = {}, []
    for path in paths:
        if path not in found:
            continue
        own, theirs = expected[path], found[path]
        apart[path] = max(abs(own[label] - theirs[label]) for label in own)
        if max(own, key=own.get) != max(theirs, key=theirs.get):
            other.append(path.name)
    missing = [path.name for path in paths if path not in found]
    values = sorted(apart.values())
    print(
        f"{name}: {len(apart)} compared, largest difference {values[-1]:.1e}, median "
        f"{values[len(values) // 2]:.1e}, same label on {len(apart) - len(other)}"
        + (f"; not read: {', '.join(missing)}" if missing else "")
    )
    beyond = sorted((p for p in apart if apart[p] > bound), key=apart.get, reverse=True)
    for path in beyond[:12]:
        with closing(Image.open(path)) as image:
            said = f"{image.size[0]}×{image.size[1]} {image.mode}"
        word = ", OTHER LABEL" if path.name in other else ""
        print(f"    {path.name} ({said}): {apart[path]:.1e}{word}")
    if len(beyond) > 12:
        print(f"    and {len(beyond) - 12} more beyond {bound:g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--most", type=int, default=500)
    parser.add_argument("--awkward", action="store_true")
    given = parser.parse_args()
    if given.images is None:
        print("bench_parity: skipped, it needs a classifier and a folder of photographs")
        return
    print(describe())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        listed = list(find_files([given.images]).paths)
        paths = listed[:: max(1, -(-len(listed) // given.most))]
        if given.awkward:
            (folder / "awkward").mkdir()
            paths = awkward(listed[0], folder / "awkward")
        print(f"{len(paths)} photographs")
        python = {
            path: one.probabilities
            for path, one in zip(paths, tortie.load(given.model).classify(paths), strict=True)
        }
        assert all(python.values()), [str(path) for path in paths if not python[path]]
        compare("command line", from_command(given.model, paths), python, paths, 1e-6)
        compare("HTTP", from_server(given.model, paths), python, paths, 1e-6)
        plain = tortie.load(given.model).set_params(precision="float32")
        exact = {
            path: one.probabilities for path, one in zip(paths, plain.classify(paths), strict=True)
        }
        for kind in ("onnx", "html") if BROWSER else ("onnx",):
            file = folder / f"exported.{kind}"
            command = [sys.executable, "-m", "tortie", "export", str(given.model), "-o", str(file)]
            subprocess.run([*command, "--quiet"], check=True, capture_output=True)
            ask = from_onnx if kind == "onnx" else from_page
            compare(kind.upper(), ask(file, paths), exact, paths, 1e-3)


if __name__ == "__main__":
    main()
