"""Claims of `tortie check`: what it finds, what it calls wrongly, what it costs.

    python benchmarks/bench_check.py labels IMAGES        # 5% wrong labels planted
    python benchmarks/bench_check.py duplicates IMAGES    # 200 near duplicates among 2,000
    python benchmarks/bench_check.py copies IMAGES        # mirrored, cropped ... by any network
    python benchmarks/bench_check.py truncated IMAGES     # 200 images cut at five points
    python benchmarks/bench_check.py repeats CIFAR        # CIFAR-10's test images that are in train
    python benchmarks/bench_check.py scale CIFAR          # 60,000 images, no network

IMAGES is a folder of classes; CIFAR is one with train/ and test/. Every figure is one run, but for
`labels`: five seeds.
"""

import argparse
import io
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import describe
from PIL import Image, ImageDraw, ImageEnhance, ImageFile, ImageOps

from tortie.activations.store import ActivationStore
from tortie.images import find
from tortie.images.find import Collection
from tortie.learning.check import check
from tortie.learning.options import FitOptions

THREADS = len(os.sched_getaffinity(0))


def run(collection: Collection, labels: bool, **choices: object):
    sources = [one.path for one in collection.photographs]
    store = ActivationStore.default(print)
    return check(collection, sources, FitOptions.of(**choices), store, THREADS, labels)


def sampled(folder: Path, most: int, classes: int | None = None) -> Collection:
    """At most so many images a class, of the first classes, the split forgotten."""
    collection = find(folder)
    chosen = list(collection.classes)[:classes]
    generator, kept = random.Random(0), []
    for name in chosen:
        own = [one for one in collection.photographs if one.label == name]
        kept += generator.sample(own, min(most, len(own)))
    kept = [replace(one, split=None) for one in sorted(kept, key=lambda one: str(one.path))]
    return Collection(folder, tuple(kept), ())


def labels(folder: Path, most: int, classes: int | None) -> None:
    clean = sampled(folder, most, classes)
    names = clean.classes
    for seed in range(5):
        generator = random.Random(seed)
        every = list(clean.photographs)
        planted = set(generator.sample(range(len(every)), round(0.05 * len(every))))
        for i in planted:
            others = [name for name in names if name != every[i].label]
            every[i] = replace(every[i], label=generator.choice(others))
        begin = time.perf_counter()
        checked = run(Collection(folder, tuple(every), ()), labels=True, seed=seed)
        seconds = time.perf_counter() - begin
        flagged = {i for one in checked.findings if one.kind == "label-error" for i in one.images}
        hit = len(flagged & planted)
        print(
            f"seed {seed}: {len(every)} images, {len(planted)} planted, {len(flagged)} flagged, "
            f"{hit} of them planted: recall {hit / len(planted):.0%}, "
            f"precision {hit / max(1, len(flagged)):.0%}, {seconds:.1f} s"
        )


def _copies(path: Path, number: int, target: Path) -> None:
    """One of five near duplicates of a photograph."""
    image = Image.open(path).convert("RGB")
    width, height = image.size
    kind = number % 5
    if kind == 0:
        image.save(target, quality=60)
    elif kind == 1:
        image.resize((max(1, width * 7 // 10), max(1, height * 7 // 10))).save(target, quality=90)
    elif kind == 2:
        left, top = round(width * 0.025), round(height * 0.025)
        image.crop((left, top, width - left, height - top)).save(target, quality=92)
    elif kind == 3:  # its pixels lie, and EXIF turns them upright
        exif = Image.Exif()
        exif[0x0112] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(target, quality=92, exif=exif)
    else:
        ImageEnhance.Brightness(image).enhance(1.25).save(target, quality=92)


KINDS = ("re-encoded", "resized", "cropped by 5%", "rotated by EXIF", "brightened")


def duplicates(folder: Path, network: bool, keep: Path | None) -> None:
    collection = find(folder)
    every = random.Random(0).sample(
        list(collection.photographs), min(2000, len(collection.photographs))
    )
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "images"
        for i, one in enumerate(every):
            target = root / one.label / f"{i:05}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(one.path, target)
        own = run(find(root), labels=network)
        before = {frozenset(group) for group, _ in own.inspection.copies()}
        already = {str(own.collection.photographs[i].path) for group in before for i in group}
        paths = [str(p.path) for p in own.collection.photographs if str(p.path) not in already]
        planted = {}
        for number, path in enumerate(random.Random(1).sample(paths, min(200, len(paths)))):
            copy = Path(path).with_name(f"{Path(path).stem}-copy.jpg")
            _copies(Path(path), number, copy)
            planted[str(copy)] = (path, KINDS[number % 5])
        if keep is not None:
            shutil.copytree(root, keep)
        begin = time.perf_counter()
        checked = run(find(root), labels=network)
        seconds = time.perf_counter() - begin
        place = [str(one.path) for one in checked.collection.photographs]
        group_of = {place[i]: n for n, (g, _) in enumerate(checked.inspection.copies()) for i in g}
        found = {copy for copy, (path, _) in planted.items()
                 if copy in group_of and group_of[copy] == group_of.get(path)}  # fmt: skip
        missed = Counter(kind for copy, (_, kind) in planted.items() if copy not in found)
        true = set(planted) | {path for path, _ in planted.values()}
        false = [
            (place[p.first], place[p.second])
            for p in checked.inspection.duplicates.pairs
            if planted.get(place[p.second], planted.get(place[p.first], ("",)))[0]
            not in (place[p.first], place[p.second])
        ]
        print(
            f"{len(every)} images, {len(planted)} planted: {len(found)} found "
            f"({len(found) / len(planted):.1%}), missed {dict(missed)}; {len(false)} pairs not "
            f"planted, {len(before)} groups before planting; {len(true)} images involved; "
            f"{seconds:.1f} s"
        )
        for pair in false:
            print("not planted:", *(Path(one).name for one in pair))


def _corner(image: Image.Image, share: float) -> Image.Image:
    """The upper left or, of an odd width, the lower right corner."""
    width, height = image.size
    x, y = (round(side * (1 - share)) * (width % 2) for side in image.size)
    return image.crop((x, y, x + round(width * share), y + round(height * share)))


def _encoded(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def _stamped(image: Image.Image) -> Image.Image:
    image = image.copy()
    width, height = image.size
    ImageDraw.Draw(image).rectangle((0, round(0.85 * height), width, height), fill="white")
    return image


COPIES = {
    "mirrored": ImageOps.mirror,
    "cut to 90% at a corner": lambda image: _corner(image, 0.9),
    "cut to 80% at a corner": lambda image: _corner(image, 0.8),
    "mirrored and cut to 90%": lambda image: _corner(ImageOps.mirror(image), 0.9),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "JPEG at quality 20": lambda image: _encoded(image, 20),
    "stamped with a white bar": _stamped,
}


def copies(folder: Path, network: str, weights: str, picture: Path | None) -> None:
    """Forty copies of each kind among at most 2,000 images, and the pairs that were not planted."""
    every = sampled(folder, 10_000).photographs
    every = random.Random(0).sample(every, min(2000, len(every)))
    with tempfile.TemporaryDirectory() as scratch:
        root, planted = Path(scratch) / "images", {}
        for i, one in enumerate(every):
            target = root / one.label / f"{i:05}{one.path.suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(one.path, target)
        originals = [one.path for one in find(root).photographs]
        for number, kind in enumerate(COPIES):
            for path in random.Random(number).sample(originals, 40):
                image = Image.open(path).convert("RGB")
                target = path.with_name(f"{path.stem}-copy-{number}.jpg")
                COPIES[kind](image).save(target, quality=92)
                planted[str(target)] = path, kind
        checked = run(find(root), labels=True, network=network, weights=weights)
        place = [str(one.path) for one in checked.collection.photographs]
        rows = checked.inspection.rows
        group_of = {place[i]: n for n, (g, _) in enumerate(checked.inspection.copies()) for i in g}
        found = Counter(
            kind for copy, (path, kind) in planted.items()
            if copy in group_of and group_of[copy] == group_of.get(str(path))
        )  # fmt: skip
        print(f"{network}, {weights}: {len(every)} images")
        for kind in COPIES:
            print(f"  {kind}: {found[kind]} of 40")
        # Copies of one photograph belong together; any other pair was not planted.
        pairs = {
            tuple(Path(place[rows[i]]).stem.split("-")[0] for i in (pair.first, pair.second))
            for pair in checked.inspection.duplicates.pairs
        }
        others = sorted({tuple(sorted(pair)) for pair in pairs if len(set(pair)) > 1})
        print(f"  pairs of different photographs: {len(others)}")
        if picture is not None:
            path_of = {path.stem: path for path in originals}
            _sheet([(path_of[one], path_of[other]) for one, other in others]).save(picture)


def _sheet(pairs: list[tuple[Path, Path]]) -> Image.Image:
    """Pairs side by side, ten a row."""
    sheet = Image.new("RGB", (10 * 150, -(-len(pairs) // 10) * 80 or 80), "white")
    for n, pair in enumerate(pairs):
        for k, path in enumerate(pair):
            image = Image.open(path).convert("RGB").resize((68, 68))
            sheet.paste(image, (n % 10 * 150 + k * 70, n // 10 * 80))
    return sheet


def truncated(folder: Path) -> None:
    every = [
        one for one in find(folder).photographs if one.path.suffix.lower() in (".jpg", ".jpeg")
    ]
    every = random.Random(0).sample(every, min(200, len(every)))
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "images"
        cut, whole = {}, set()
        for i, one in enumerate(every):
            target = root / one.label
            target.mkdir(parents=True, exist_ok=True)
            content = one.path.read_bytes()
            whole.add(str(target / f"{i:03}.jpg"))
            (target / f"{i:03}.jpg").write_bytes(content)
            pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
            for share in (0.1, 0.5, 0.9, 0.99, 0.999):
                part = content[: int(len(content) * share)]
                name = target / f"{i:03}-{share}.jpg"
                name.write_bytes(part)
                cut[str(name)] = share, _loses(part, pixels)
        checked = run(find(root), labels=False)
        flagged = {
            path for one in checked.findings
            if one.kind in ("truncated", "unreadable") for path in one.paths
        }  # fmt: skip
        losing = {path for path, (_, loses) in cut.items() if loses}
        print(
            f"{len(every)} images, {len(cut)} cuts, {len(losing)} of them lose pixels: "
            f"{len(losing & flagged)} flagged; {len(whole & flagged)} of {len(whole)} whole files "
            f"flagged; of the {len(cut) - len(losing)} cuts that lose none, "
            f"{len(flagged - losing - whole)} flagged"
        )
        print("missed, by share kept:", dict(Counter(cut[path][0] for path in losing - flagged)))


def _loses(part: bytes, pixels: np.ndarray) -> bool:
    """Whether a decoder that makes do with what there is shows other pixels than the whole file."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        shown = np.asarray(Image.open(io.BytesIO(part)).convert("RGB"))
    except Exception:
        return True
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    return shown.shape != pixels.shape or bool((shown != pixels).any())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "what",
        choices=("labels", "duplicates", "copies", "truncated", "repeats", "scale"),
        nargs="?",
    )
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--most", type=int, default=100_000, help="images a class, for labels")
    parser.add_argument("--classes", type=int, help="how many classes, for labels")
    parser.add_argument("--network", action="store_true", help="activations too, for duplicates")
    parser.add_argument("--keep", type=Path, help="a folder, for peers/near_duplicates.py")
    parser.add_argument("--with", dest="by", default="efficientnet-lite0", help="for copies")
    parser.add_argument("--weights", default="imagenet", help="for copies")
    parser.add_argument("--picture", type=Path, help="where copies and repeats draw their pairs")
    arguments = parser.parse_args()
    if arguments.images is None:
        print("bench_check: skipped, it needs a folder of images: see its first lines")
        return
    print(describe())
    if arguments.what == "labels":
        labels(arguments.images, arguments.most, arguments.classes)
    elif arguments.what == "duplicates":
        duplicates(arguments.images, arguments.network, arguments.keep)
    elif arguments.what == "copies":
        copies(arguments.images, arguments.by, arguments.weights, arguments.picture)
    elif arguments.what == "truncated":
        truncated(arguments.images)
    elif arguments.what == "repeats":
        repeats(arguments.images, arguments.picture)
    else:
        scale(arguments.images)


def repeats(folder: Path, picture: Path | None) -> None:
    begin = time.perf_counter()
    checked = run(find(folder), labels=False)
    seconds = time.perf_counter() - begin
    photographs = checked.collection.photographs
    found = [one for one in checked.findings if one.kind == "duplicate-across-splits"]
    tests = {i for one in found for i in one.drops if photographs[i].split == "test"}
    within = [one for one in checked.findings if one.kind.endswith("-duplicate")]
    print(
        f"{len(tests)} test images repeat training images, in {len(found)} sets; "
        f"{len(within)} further sets within a part; {seconds:.0f} s"
    )
    if picture is not None:
        sample = random.Random(0).sample(found, min(60, len(found)))
        pairs = [[photographs[i].path for i in (one.images[0], one.drops[0])] for one in sample]
        _sheet([(first, second) for first, second in pairs]).save(picture)


def scale(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as cache:
        for state in ("empty", "warm"):
            begin = time.perf_counter()
            command = [
                *(sys.executable, "-m", "tortie", "check", str(folder)),
                *("--network", "none", "--json", "-q"),
            ]
            environment = {**os.environ, "TORTIE_CACHE": cache}
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
            seconds = time.perf_counter() - begin
            print(f"store {state}: {seconds:.0f} s, peak memory of either run {peak:.2f} GB")


if __name__ == "__main__":
    main()
