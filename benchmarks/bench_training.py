"""Claims: training by steps against the plain PyTorch loop of the tutorials, side by side.

- ResNet-20 on CIFAR-10: photographs a second of an epoch, mirrored and shifted, batch 128.
- EfficientNet-Lite0 on ants and bees: an epoch of the whole network; and from its middle stage, the
  first half frozen, from the store, against the plain loop that runs the frozen half live.
- What the plan said of an epoch, and of a step's memory, against what they took.
- An epoch of each against its floor: forward and backward of what learns, alone, on random images,
  in the faster of torch's two layouts.

The plain loop is float32, eager, contiguous, torch's own DataLoader with two workers and
torchvision's transforms, on the same network object; both sides run in one process, in turn.

    python benchmarks/bench_training.py CIFAR ANTS_AND_BEES [--images 5000] [--rounds 3]
                                       [--only cifar|lite]

Run it in the environment of peers (tests/conformance/requirements.txt), where torchvision is.
CIFAR holds train/CLASS/*.jpg, ANTS_AND_BEES train/CLASS/* and val/CLASS/*.
"""

import argparse
import copy
import csv
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
import torchvision
from machine import describe
from torch import nn
from torchvision import transforms

sys.path.insert(0, str(Path(__file__).parent.parent))
from tortie import ImageClassifier
from tortie.learning.job import Events
from tortie.networks import build, find
from tortie.training.recipes import recipe


def rows_of(images: Path, count: int | None, folder: Path) -> Path:
    """A CSV of ``count`` training photographs, spread over the classes, and a few to choose by."""
    target = folder / f"{images.name}-{count}.csv"
    found = sorted(path for path in (images / "train").rglob("*") if path.is_file())
    some = found if count is None else found[:: max(1, len(found) // count)][:count]
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        writer.writerows((path, path.parent.name, "train") for path in some)
        others = sorted(path for path in images.rglob("*") if path.is_file() and path not in some)
        for split, kept in (("validation", others[::400]), ("test", others[1::400])):
            writer.writerows((path, path.parent.name, split) for path in kept)
    return target


class Listed(torch.utils.data.Dataset):
    """Photographs of a CSV, as the tutorials read them."""

    def __init__(self, source: Path, transform: transforms.Compose) -> None:
        rows = [row for row in csv.DictReader(source.open()) if row["split"] == "train"]
        names = sorted({row["label"] for row in rows})
        self.rows = [(row["path"], names.index(row["label"])) for row in rows]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path, label = self.rows[index]
        return self.transform(torchvision.datasets.folder.pil_loader(path)), label


def plain(
    network: nn.Module, source: Path, transform: transforms.Compose, batch: int, rate: float,
    frozen: nn.Module | None = None,
) -> float:  # fmt: skip
    """Seconds of one epoch of the plain loop; a frozen half runs without gradients."""
    loader = torch.utils.data.DataLoader(
        Listed(source, transform), batch_size=batch, shuffle=True, num_workers=2
    )
    optimiser = torch.optim.SGD(network.parameters(), rate, momentum=0.9, weight_decay=1e-4)
    network.train()
    begin = time.perf_counter()
    for images, labels in loader:
        if frozen is not None:
            with torch.no_grad():
                images = frozen(images)
        loss = nn.functional.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()
    return time.perf_counter() - begin


def floor(trained: nn.Module, shape: tuple[int, ...], batch: int, count: int) -> float:
    """Seconds of forward and backward alone, of as many steps as an epoch has."""
    found = []
    for layout in (torch.channels_last, torch.contiguous_format):
        network = copy.deepcopy(trained).to(memory_format=layout).train()
        images = torch.randn(batch, *shape).contiguous(memory_format=layout)
        labels = torch.zeros(batch, dtype=torch.int64)
        times = []
        for _ in range(4):
            begin = time.perf_counter()
            nn.functional.cross_entropy(network(images), labels).backward()
            times.append(time.perf_counter() - begin)
        found.append(statistics.median(times[1:]))
    return min(found) * count / batch


class Watched:
    """tortie's epochs by the clock, and the plan."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.plan = None

    def events(self) -> Events:
        """Whom the fit tells."""
        return Events(plan=self._planned, note=self._noted, steps=self._stepped)

    def _planned(self, plan) -> None:
        self.plan = plan

    def _stepped(self, done: int, total: int) -> None:
        if done == 1:
            self.times.append(time.perf_counter())

    def _noted(self, line: str) -> None:
        if line.startswith("epoch "):
            self.times.append(time.perf_counter())

    @property
    def epochs(self) -> list[float]:
        """Seconds of the epochs after the first, which makes what others find made."""
        return [b - a for a, b in zip(self.times[1:], self.times[2:], strict=False)]


def ours(source: Path, network: str, epochs: int, **choices) -> Watched:
    """A fit by steps, watched."""
    watched = Watched()
    classifier = ImageClassifier(network, epochs=epochs, **choices)
    classifier.fit(source, events=watched.events())
    return watched


def told(
    name: str, images: int, tortie: list[float], peer: list[float], floors: list[float]
) -> None:
    """Two lines: photographs a second of both sides, and the ratios with their spread."""
    ratios = [b / a for a, b in zip(tortie, peer, strict=True)]
    print(
        f"{name}: tortie {images / statistics.median(tortie):,.1f} photographs/s, plain "
        f"{images / statistics.median(peer):,.1f}: {statistics.median(ratios):.2f}x "
        f"({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )
    times = [a / b for a, b in zip(tortie, floors, strict=True)]
    print(
        f"  floor {images / statistics.median(floors):,.1f} photographs/s: tortie's epoch takes "
        f"{statistics.median(times):.2f} times as long ({min(times):.2f} to {max(times):.2f})",
        flush=True,
    )


def cifar(images: Path, count: int, rounds: int, folder: Path) -> None:
    source = rows_of(images, count, folder)
    drawn = find("resnet20-cifar").preprocessing
    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([m / 255 for m in drawn.mean], [s / 255 for s in drawn.std]),
        ]
    )  # fmt: skip
    tortie, peer, floors = [], [], []
    for _ in range(rounds):
        watched = ours(
            source, "resnet20-cifar", 2, weights=None, freeze="none", augment="cifar", batch=128
        )
        tortie += watched.epochs[:1]
        floors.append(floor(build("resnet20-cifar", classes=10), (3, 32, 32), 128, count))
        peer.append(plain(build("resnet20-cifar", classes=10), source, transform, 128, 0.1))
    told(f"ResNet-20, CIFAR-10, {count:,} photographs", count, tortie, peer, floors)
    assert watched.plan is not None
    print(f"  plan: {watched.plan.training.epoch_seconds:.1f} s an epoch", flush=True)


def ants_and_bees(images: Path, rounds: int, folder: Path) -> None:
    source = rows_of(images, None, folder)
    count = sum(row["split"] == "train" for row in csv.DictReader(source.open()))
    drawn = find("efficientnet-lite0").preprocessing
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([m / 255 for m in drawn.mean], [s / 255 for s in drawn.std]),
        ]
    )  # fmt: skip
    # Both sides normalise by each batch, as the tutorials do.
    (folder / "fine-tune.json").write_text(
        recipe("fine-tune").changed(statistics="batch").model_dump_json()
    )
    choices = {"recipe": str(folder / "fine-tune.json"), "batch": 32}
    times: dict[str, list[float]] = {name: [] for name in ("whole", "plain", "half", "half plain")}
    live, floors, half_floors = [], [], []
    for _ in range(rounds):
        whole = ours(source, "efficientnet-lite0", 2, freeze="none", **choices)
        times["whole"] += whole.epochs[:1]
        network = build("efficientnet-lite0", weights="imagenet")
        network.new_head(2)
        floors.append(floor(network, (3, 224, 224), 32, count))
        times["plain"].append(plain(network, source, transform, 32, 0.01))
        half = ours(source, "efficientnet-lite0", 6, freeze="mbconv4", views=2, **choices)
        times["half"].append(statistics.median(half.epochs))
        prefix, trained = network.cut("mbconv4")
        half_floors.append(floor(trained, (80, 14, 14), 32, count))
        times["half plain"].append(plain(trained, source, transform, 32, 0.01, prefix.eval()))
        live.append(_live_epoch(source, choices))
    told("Lite0, ants and bees, all of it", count, times["whole"], times["plain"], floors)
    name = "Lite0 from its middle stage, from the store"
    told(name, count, times["half"], times["half plain"], half_floors)
    assert half.plan is not None
    training = half.plan.training
    stored = statistics.median(times["half"])
    saved = statistics.median(live) - stored
    planned = training.epoch_seconds_live - training.epoch_seconds
    print(
        f"  an epoch from the store {stored:.2f} s, live {statistics.median(live):.2f} s: saves "
        f"{saved:.2f} s; the plan said {training.epoch_seconds:.2f} and "
        f"{training.epoch_seconds_live:.2f}: {planned:.2f} s"
    )


def _live_epoch(source: Path, choices: dict) -> float:
    """An epoch of the same with the frozen half live, as where memory has no room for it."""
    from tortie.learning import step_plan

    room, step_plan.free_memory = step_plan.free_memory, lambda: 0
    try:
        watched = ours(source, "efficientnet-lite0", 3, freeze="mbconv4", views=2, **choices)
    finally:
        step_plan.free_memory = room
    assert watched.plan is not None and watched.plan.training.activations == "live"
    return statistics.median(watched.epochs)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cifar", type=Path)
    parser.add_argument("ants_and_bees", type=Path)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("cifar", "lite"))
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as name:
        os.environ["TORTIE_CACHE"] = name
        print(describe())
        if arguments.only != "lite":
            cifar(arguments.cifar, arguments.images, arguments.rounds, Path(name))
        if arguments.only != "cifar":
            ants_and_bees(arguments.ants_and_bees, arguments.rounds, Path(name))


if __name__ == "__main__":
    main()
