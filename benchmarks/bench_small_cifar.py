"""5,000 photographs of CIFAR-10, ResNet-20 from scratch: what augmentation and an ensemble bring.

Trains the paper's ResNet-20 with its recipe, shortened to the same number of steps for all, on 500
photographs a class: without augmentation, and with the shift and mirror of the paper, several seeds
each. Prints test accuracies on the 10,000 test photographs, the ensemble of the augmented networks
(their outputs averaged), and the network of their averaged weights with batch-norm statistics
estimated anew: outputs, not weights.

    python benchmarks/bench_small_cifar.py CIFAR_FOLDER [--epochs 40] [--seeds 5] [--keep FOLDER]

CIFAR_FOLDER holds train/CLASS/*.jpg and test/CLASS/*.jpg.
"""

import argparse
import copy
import csv
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from machine import describe

from tortie import ImageClassifier, load
from tortie.images import decode
from tortie.learning.job import Events
from tortie.networks.table import find

A_CLASS = 500
BATCH = 64


def listed(images: Path, folder: Path) -> Path:
    """A CSV of the first 500 training photographs of each class and of all test photographs."""
    target = folder / "photographs.csv"
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        for split in ("train", "test"):
            for one in sorted((images / split).iterdir()):
                files = sorted(one.iterdir())[: A_CLASS if split == "train" else None]
                writer.writerows((path, one.name, split) for path in files)
    return target


def fitted(
    source: Path, keep: Path, augment: str, seed: int, epochs: int, threads: int | None
) -> ImageClassifier:
    """A ResNet-20 from scratch; one that was kept is taken from its file."""
    path = keep / f"{augment}-{seed}.safetensors"
    if not path.exists():
        begin = time.perf_counter()
        classifier = ImageClassifier(
            "resnet20-cifar", weights=None, freeze="none", augment=augment, epochs=epochs,
            batch=BATCH, seed=seed, threads=threads,
        )  # fmt: skip
        events = Events(note=lambda line: print("   ", line, flush=True))
        classifier.fit(source, events=events)
        classifier.save(path)
        print(f"{path.name}: {time.perf_counter() - begin:.0f} s", flush=True)
    return load(path)


def averaged(networks: list[torch.nn.Module], train: np.ndarray) -> torch.nn.Module:
    """The mean of the networks' weights, its batch-norm statistics those of ``train``."""
    mean = copy.deepcopy(networks[0])
    states = [network.state_dict() for network in networks]
    mean.load_state_dict(
        {
            name: torch.stack([state[name].float() for state in states]).mean(dim=0).to(first.dtype)
            for name, first in states[0].items()
        }
    )
    for module in mean.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the plain mean over all batches
    mean.train()
    with torch.no_grad():
        for batch in torch.from_numpy(train).split(256):
            mean(batch)
    return mean.eval()


def inputs(paths: list[Path]) -> np.ndarray:
    """Photographs as the network takes them: float32 ``(n, 3, 32, 32)``."""
    drawn = find("resnet20-cifar").preprocessing
    pixels = np.stack([drawn.pixels(decode(path).image) for path in paths]).astype(np.float32)
    return ((pixels - drawn.mean) / drawn.std).transpose(0, 3, 1, 2).astype(np.float32).copy()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5, help="of the augmented networks")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--keep", type=Path, help="a folder for the classifiers")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        keep = arguments.keep or Path(name)
        keep.mkdir(exist_ok=True)
        source = listed(arguments.images, keep)
        rows = list(csv.DictReader(source.open()))
        test = [row for row in rows if row["split"] == "test"]
        paths = [Path(row["path"]) for row in test]
        names = sorted({row["label"] for row in rows})
        truth = np.array([names.index(row["label"]) for row in test])
        right = {}
        for augment, seeds in (("none", 3), ("cifar", arguments.seeds)):
            own = [
                fitted(source, keep, augment, seed, arguments.epochs, arguments.threads)
                for seed in range(seeds)
            ]
            said = [classifier.predict_proba(paths) for classifier in own]
            right[augment] = [float((one.argmax(1) == truth).mean()) for one in said]
        train = inputs([Path(row["path"]) for row in rows if row["split"] == "train"])
        networks = [classifier._networks[0] for classifier in own]
        merged = averaged(networks, train)
        with torch.inference_mode():
            logits = torch.cat([merged(b) for b in torch.from_numpy(inputs(paths)).split(256)])
    print(describe())
    for augment, values in right.items():
        spread = f"{min(values):.1%} to {max(values):.1%}"
        print(f"augment {augment}: {statistics.mean(values):.1%} of 10,000 ({spread})")
    gain = statistics.mean(right["cifar"][:3]) - statistics.mean(right["none"])
    print(f"augmentation brings {100 * gain:+.1f} points, 3 seeds each, the same number of steps")
    outputs = (np.mean(said, axis=0).argmax(1) == truth).mean()
    print(
        f"ensemble of {len(said)} by outputs: {outputs:.1%}, "
        f"{100 * (outputs - statistics.mean(right['cifar'])):+.1f} points above its members' mean"
    )
    print(f"by weights instead: {(logits.argmax(1).numpy() == truth).mean():.1%}")


if __name__ == "__main__":
    main()
