"""Classifiers' files, the store and threads: what was damaged, forged, or called by many at once.

    python benchmarks/battery/classifiers.py [--scale 0.1]

A *damaged* file is a saved one after an accident: its checksum must notice, so another answer than
the whole file's is wrong. A *forged* one was edited by somebody who computed the checksum anew: it
is refused in a line that names it, or answers as classifiers do, with finite probabilities that add
to one. Of a damaged store every answer must be that of no store.
"""

import json
import os
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from PIL import Image

from battery.mutations import mutations
from battery.tally import Rows, Tally, main
from battery.watched import watched
from tests.conftest import lay_out, photograph
from tests.weights.forge import parts, sealed

EXTREMES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 255, 2**31, 2**63, 2**80, -0.5, 1e308, float("nan"), float("inf"), "",
    "x", "\x1b[31m", "\u202e", "A" * 10**5, "../../etc/passwd", [], {}, [[]], [1] * 1000, {"a": 1},
)  # fmt: skip
_OVERFLOW = "the classifier's probabilities for it are NaN, as its weights overflow"
IMAGES = [(label, 900 + number) for label in ("blobs", "stripes") for number in range(2)]


def answered(path: str) -> tuple[str, str, Any]:
    """What comes of loading a file and asking it."""
    import tortie

    images = [photograph(*one) for one in IMAGES]
    try:
        found = tortie.load(path).set_params(precision="float32").predict_proba(images)
    except tortie.TortieError as error:
        said = str(error)
        good = (
            len(said) < 700
            and said.isprintable()
            and (Path(path).name in said or _OVERFLOW in said)
        )
        reason = said.replace(path, "FILE")
        return ("refused", reason[:100], None) if good else ("wrong", f"said {said[:200]!r}", None)
    good = bool(np.isfinite(found).all()) and bool(np.allclose(found.sum(axis=1), 1, atol=1e-3))
    return ("read", "", found) if good else ("wrong", f"probabilities {found.tolist()}", None)


def try_files(folder: Path, rows: Rows, scale: float, seed: int) -> None:
    """Damaged and forged files of three classifiers."""
    damaged = rows.setdefault("damaged classifiers", Tally())
    forged = rows.setdefault("forged classifiers", Tally())
    path = folder / "tried.safetensors"
    with watched(answered) as process:
        for name, whole in classifiers(folder):
            wanted = process.ask(str(whole)).pixels
            data = whole.read_bytes()
            for one in mutations(name, data, seed, round(1000 * scale)):
                path.write_bytes(one.data)
                out = process.ask(str(path))
                if out.kind == "read":
                    same = np.allclose(out.pixels, wanted, atol=1e-5)
                    out.kind, out.told = ("right", "") if same else ("wrong", "another answer")
                damaged.add(one.name, out.kind, out.told, out.seconds, out.megabytes)
            drawn = random.Random(f"{seed} {name}")
            for number in range(round(1000 * scale)):
                path.write_bytes(forgery(whole, drawn))
                out = process.ask(str(path))
                forged.add(f"{name} forgery {number}", out.kind, out.told, out.seconds,
                           out.megabytes)  # fmt: skip


def classifiers(folder: Path) -> list[tuple[str, Path]]:
    """One network solved for, one trained by steps, and an ensemble."""
    import tortie

    names = ("frozen", "steps", "three")
    if (folder / "three.safetensors").exists():
        return [(name, folder / f"{name}.safetensors") for name in names]
    photographs = lay_out(folder / "photographs", 14)
    made = {
        "frozen": tortie.ImageClassifier("resnet20-cifar"),
        "steps": tortie.ImageClassifier("lenet5", weights=None, freeze="none", epochs=1),
        "three": tortie.ImageClassifier("lenet5", weights=None, freeze="none", epochs=1, members=3),
    }
    found = []
    for name, classifier in made.items():
        if name == "frozen":
            classifier.set_params(weights=random_weights(folder))
        path = folder / f"{name}.safetensors"
        classifier.fit(photographs).save(path)
        found.append((name, path))
    return found


def random_weights(folder: Path) -> str:
    """A file of weights, drawn."""
    import torch
    from safetensors.torch import save_file

    import tortie

    torch.manual_seed(0)
    save_file(tortie.networks.build("resnet20-cifar").state_dict(), folder / "weights.safetensors")
    return str(folder / "weights.safetensors")


def forgery(whole: Path, drawn: random.Random) -> bytes:
    """The file with something else somewhere in its record, its header or its tensors; sealed."""
    header, body = parts(whole)
    kind = drawn.randrange(4)
    if kind < 2:
        record = json.loads(header["__metadata__"]["tortie"])
        for _ in range(drawn.choice((1, 1, 2))):
            change(record, drawn)
        header["__metadata__"]["tortie"] = json.dumps(record)
    elif kind == 2:
        for _ in range(drawn.choice((1, 1, 2))):
            change(header, drawn)
    else:
        name = drawn.choice([name for name in header if name != "__metadata__"])
        begin, end = header[name]["data_offsets"]
        if end > begin:
            place = drawn.randrange(begin, end)
            body[place : place + 4] = drawn.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff" * 4,
                                                    drawn.randbytes(4)))[: end - place]  # fmt: skip
    return sealed(header, bytes(body))


def change(content: Any, drawn: random.Random) -> None:
    """Replace, remove, add or exchange something at some depth of JSON."""
    while True:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        key = drawn.choice(keys)
        inner = content[key]
        if not (isinstance(inner, dict | list) and inner) or drawn.random() < 0.2:
            break
        content = inner
    kind = drawn.randrange(5)
    if kind == 0:
        del content[key]
    elif kind == 1 and isinstance(content, dict):
        content["another"] = content.pop(key)
    elif kind == 2:
        content[key] = content[drawn.choice(keys)]
    else:
        content[key] = drawn.choice(EXTREMES)


def try_store(folder: Path, rows: Rows, scale: float, seed: int) -> None:
    """Answers from a store of which a part was overwritten, cut away or exchanged."""
    row = rows.setdefault("damaged stores", Tally())
    whole = dict(classifiers(folder))["steps"]
    store = folder / "store"
    os.environ["TORTIE_CACHE"] = str(store)
    with watched(answered) as process:
        wanted = process.ask(str(whole)).pixels
        process.ask(str(whole))  # so that all is stored
    kept = {path: path.read_bytes() for path in store.rglob("store-1.sqlite*") if path.is_file()}
    name, content = next((path, data) for path, data in kept.items() if path.suffix == ".sqlite")
    with watched(answered) as process:
        for one in mutations("store", content, seed, round(300 * scale)):
            for path in store.rglob("store-1.sqlite*"):
                path.unlink()
            name.write_bytes(one.data)
            out = process.ask(str(whole))
            same = out.pixels is not None and np.allclose(out.pixels, wanted, atol=1e-5)
            kind = "right" if same else "wrong" if out.kind == "read" else out.kind
            row.add(one.name, kind, out.told, out.seconds, out.megabytes)


def try_threads(folder: Path, rows: Rows, scale: float, seed: int) -> None:
    """Eight threads that call a classifier which was just loaded, by each engine."""
    import tortie

    row = rows.setdefault("first calls of eight threads", Tally())
    images = [Image.fromarray(np.asarray(photograph(*one))) for one in IMAGES * 2]
    for name in ("steps", "three"):
        path = dict(classifiers(folder))[name]
        for engine in ("onnxruntime", "onednn", "eager"):
            choices = {"engine": engine, "precision": "float32", "threads": 1}
            wanted = tortie.load(path).set_params(**choices).predict_proba(images)
            for number in range(max(1, round(5 * scale))):
                os.environ["TORTIE_CACHE"] = str(folder / f"cold-{name}-{engine}-{number}")
                fresh = tortie.load(path).set_params(**choices)
                with ThreadPoolExecutor(8) as pool:
                    asked = [pool.submit(fresh.predict_proba, [image]) for image in images]
                for place, one in enumerate(asked):
                    try:
                        same = np.allclose(one.result()[0], wanted[place], atol=1e-5)
                        row.add(f"{name} {engine} {place}", "right" if same else "wrong")
                    except Exception as error:
                        row.add(f"{name} {engine} {place}", "traceback", repr(error))


if __name__ == "__main__":
    parts_of_it = {"files": try_files, "threads": try_threads, "stores": try_store}
    main(__doc__.split("\n")[0], parts_of_it)
