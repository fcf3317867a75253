"""Augmented images a second on one core: tortie and three peers, same operations and ranges.

Claim: everything at once at least 6 times the fastest peer (8 aimed at), the light pipeline at
least 1.1 times. A decoded 500×375 photograph-like image to 224×224, uint8 to uint8 (kornia: float
to float), one thread each, no decoding, rounds of all libraries by turns; the best round counts.

Run it in an environment that has the peers (albumentations 2.0.8, kornia, torchvision); those that
are missing are said and left out::

    PYTHONPATH=. python benchmarks/bench_augment.py
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import argparse
import importlib.util
import math
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tortie.augment import Policy, draw

SIDE = 224
AREA, ASPECT, DEGREES, LEAN, JITTER = (0.35, 1.0), (3 / 4, 4 / 3), 15.0, 8.0, 0.2
RMS, SMOOTHNESS = 0.01, 0.1  # of the side: 2.2 pixels along each axis, sigma 22.4 pixels
PCA = 0.1
# Even noise in ±1 has variance 1/3; a Gaussian of sigma s divides it by 4π s².
ALPHA = RMS * SIDE * math.sqrt(3) * 2 * math.sqrt(math.pi) * SMOOTHNESS * SIDE

Pipeline = Callable[[int], object]


def photograph() -> np.ndarray:
    """A smooth random image of a photograph's size and about its spectrum, uint8 (375, 500, 3)."""
    rng = np.random.default_rng(0)
    image = np.zeros((375, 500, 3))
    for size in (4, 8, 16, 32, 64, 128, 256):
        noise = rng.normal(size=(size, size, 3))
        image += cv2.resize(noise, (500, 375), interpolation=cv2.INTER_CUBIC) * 80 / size**0.5
    return np.clip(image + 127, 0, 255).astype(np.uint8)


def tortie(image: np.ndarray, heavy: bool) -> dict[str, Pipeline]:
    jitter = (1 - JITTER, 1 + JITTER)
    policy = Policy(
        mirror=0.5,
        crop_area=AREA,
        crop_aspect=ASPECT,
        rotate=(-DEGREES, DEGREES),
        shear=(-LEAN, LEAN),
        brightness=jitter,
        contrast=jitter,
        saturation=jitter,
        warp=(RMS, RMS) if heavy else (0, 0),
        warp_smoothness=SMOOTHNESS,
        pca_colour=PCA if heavy else 0.0,
    )
    batch = np.empty((SIDE, SIDE, 3), np.float32)

    def normalised(view: int) -> object:
        drawn = draw(policy, 0, "photograph", view + 1)
        return drawn.apply_normalised(image, SIDE, SIDE, mean=127.0, std=128.0, out=batch)

    return {
        "tortie": lambda view: draw(policy, 0, "photograph", view + 1).apply(image, SIDE, SIDE),
        "tortie, normalised float32": normalised,
    }


def albumentations(image: np.ndarray, heavy: bool) -> dict[str, Pipeline]:
    import albumentations as A

    steps = [
        A.RandomResizedCrop((SIDE, SIDE), AREA, ASPECT, interpolation=cv2.INTER_LINEAR),
        A.HorizontalFlip(p=0.5),
        A.Affine(
            rotate=(-DEGREES, DEGREES),
            shear={"x": (-LEAN, LEAN), "y": (0, 0)},
            border_mode=cv2.BORDER_REFLECT,
            p=1,
        ),
    ]
    if heavy:
        steps.append(
            A.ElasticTransform(ALPHA, SMOOTHNESS * SIDE, border_mode=cv2.BORDER_REFLECT, p=1)
        )
    steps.append(A.ColorJitter((0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (0, 0), p=1))
    found = {"albumentations": A.Compose([*steps, *([A.FancyPCA(PCA, p=1)] if heavy else [])])}
    if heavy:
        # Its own PCA colour finds the components of each image anew: leave it out, too.
        found["albumentations, PCA left out"] = A.Compose(steps)
    return {name: (lambda _, run=run: run(image=image)["image"]) for name, run in found.items()}


def _pca_torch(scale: float) -> Callable:
    import torch

    axes = torch.tensor(
        [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
    )
    values = torch.tensor([0.2175, 0.0188, 0.0045])

    def add(images: "torch.Tensor") -> "torch.Tensor":
        drawn = torch.randn(3) * PCA
        return images + scale * (axes @ (drawn * values))[:, None, None]

    return add


def torchvision(image: np.ndarray, heavy: bool) -> dict[str, Pipeline]:
    import torch
    from PIL import Image
    from torchvision.transforms import v2

    warp = v2.ElasticTransform(2 * ALPHA, SMOOTHNESS * SIDE)  # its alpha counts half pixels
    pca = _pca_torch(255.0)

    def clipped(images: torch.Tensor) -> torch.Tensor:
        return pca(images.float()).clamp_(0, 255).to(torch.uint8)

    run = v2.Compose(
        [
            v2.RandomResizedCrop(SIDE, AREA, ASPECT, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(
                DEGREES, shear=(-LEAN, LEAN), interpolation=v2.InterpolationMode.BILINEAR
            ),
            *([warp] if heavy else []),
            v2.ColorJitter(JITTER, JITTER, JITTER),
            *([clipped] if heavy else []),
        ]
    )
    tensor = torch.from_numpy(image).permute(2, 0, 1).contiguous()
    pipelines: dict[str, Pipeline] = {"torchvision v2, tensor": lambda _: run(tensor)}
    if not heavy:
        picture = Image.fromarray(image)
        pipelines["torchvision v2, PIL"] = lambda _: run(picture)
    return pipelines


def kornia(image: np.ndarray, heavy: bool) -> dict[str, Pipeline]:
    import kornia.augmentation as K
    import torch

    sigma = SMOOTHNESS * SIDE
    kernel = 2 * round(3 * sigma) + 1
    in_units = 2 * ALPHA / SIDE  # its displacements are in half sides
    run = K.AugmentationSequential(
        K.RandomResizedCrop((SIDE, SIDE), AREA, ASPECT),
        K.RandomHorizontalFlip(),
        K.RandomAffine(DEGREES, shear=(-LEAN, LEAN), padding_mode="reflection", p=1.0),
        *(
            [
                K.RandomElasticTransform(
                    (kernel, kernel), (sigma, sigma), (in_units, in_units), p=1.0
                )
            ]
            if heavy
            else []
        ),
        K.ColorJiggle(JITTER, JITTER, JITTER, p=1.0),
    )
    pca = _pca_torch(1.0)
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].float().div(255).repeat(16, 1, 1, 1)

    def images(view: int) -> object:  # a batch of 16, once in 16 calls
        if view % 16:
            return None
        done = run(batch)
        return torch.stack([pca(one) for one in done]) if heavy else done

    return {"kornia, batches of 16": images}


NOTES = {
    "tortie": "one bilinear resampling, antialiased before it; edges mirrored",
    "tortie, normalised float32": "the same, normalised in the same matrix",
    "albumentations": "bilinear at each step, not antialiased; edges mirrored",
    "albumentations, PCA left out": "the same without its PCA colour",
    "torchvision v2, tensor": "bilinear at each step, crop antialiased; edges black",
    "torchvision v2, PIL": "bilinear at each step, crop antialiased; edges black",
    "kornia, batches of 16": "bilinear at each step, not antialiased; edges mirrored",
}


def measure(pipelines: dict[str, Pipeline], seconds: float, rounds: int) -> dict[str, float]:
    """Images a second of each pipeline: the best of ``rounds``, taken by turns."""
    best = dict.fromkeys(pipelines, 0.0)
    for _ in range(rounds):
        for name, run in pipelines.items():
            count, start = 0, time.perf_counter()
            while (spent := time.perf_counter() - start) < seconds or count % 16:
                run(count)
                count += 1
            best[name] = max(best[name], count / spent)
    return best


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="a round of one library")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    cv2.setNumThreads(1)
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)
    versions = {"opencv": cv2.__version__, "numpy": np.__version__}
    peers = [albumentations, torchvision, kornia]
    for peer in list(peers):
        if importlib.util.find_spec(peer.__name__) is None:
            print(f"{peer.__name__} is not installed: left out")
            peers.remove(peer)
        else:
            versions[peer.__name__] = importlib.import_module(peer.__name__).__version__
    print(f"{processor()}, one thread; {', '.join(' '.join(v) for v in versions.items())}")
    image = photograph()
    for title, heavy, wanted in (
        ("everything: crop, mirror, rotate, shear, warp, colour, PCA", True, 6.0),
        ("light: crop, mirror, rotate, shear, colour", False, 1.1),
    ):
        pipelines = tortie(image, heavy)
        for peer in peers:
            pipelines |= peer(image, heavy)
        rates = measure(pipelines, arguments.seconds, arguments.rounds)
        print(f"\n{title}")
        for name, rate in rates.items():
            print(f"  {rate:7.0f} images/s/core  {name}: {NOTES[name]}")
        others = {name: rate for name, rate in rates.items() if not name.startswith("tortie")}
        if others:
            fastest = max(others, key=lambda name: others[name])
            ratio = rates["tortie"] / others[fastest]
            print(f"  {ratio:.2f} times the fastest peer, {fastest} (wanted: {wanted:g})")


if __name__ == "__main__":
    main()
