"""What one process computes alone and two compute together; tests hold them against each other.

``python -m tests.learning.pairs FOLDER`` is one of several processes, told which by the variables
that torchrun sets; it leaves what it found in ``FOLDER/RANK.npz``.
"""

import atexit
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tortie.errors import TortieError
from tortie.networks.network import TrainedPart
from tortie.processes import ALONE, join
from tortie.runs.run import Run
from tortie.training.batch_norm import norms_of, synchronised
from tortie.training.loop import TrainConfig, TrainData, probabilities, train
from tortie.training.recipe import Recipe

RECIPE = Recipe(
    name="test", source="tests", learning_rate=0.02, epochs=3, batch=5, clip_norm=1.0, ema=0.9,
    weight_decay=0.01, balance="loss",
)  # fmt: skip


class InMemory:
    """Noise in which the brighter images are of class 1."""

    def __init__(self, count):
        generator = torch.Generator().manual_seed(count)
        self.labels = torch.randint(0, 2, (count,), generator=generator).numpy()
        self.images = torch.randn(count, 3, 8, 8, generator=generator)
        self.images += torch.from_numpy(self.labels)[:, None, None, None]

    def take(self, rows, epoch):
        return self.images[list(rows)]


def small(norm=True):
    """Two convolutions, of which the first is normalised, and a side head."""
    torch.manual_seed(0)
    middle = nn.BatchNorm2d(6) if norm else nn.Identity()
    first = nn.Sequential(nn.Conv2d(3, 6, 3), middle, nn.ReLU())
    last = nn.Sequential(nn.Conv2d(6, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    side = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))
    return TrainedPart({"first": first, "last": last}, nn.Linear(4, 2), {"first": side})


def lesson_of(count, judged=5):
    feed = InMemory(count + judged)
    train_rows, chosen = np.arange(count), np.arange(count, count + judged)
    return TrainData(feed, lambda inputs: inputs, feed.labels, 2, train_rows, chosen)


def manner_of(processes, **others):
    return TrainConfig(0, "float32", 0, 0.3, torch.device("cpu"), processes, **others)


def learnt(processes, folder, count=17, norm=True, resume=False, stop_at=None, **recipe):
    """Weights and statistics after training, and what each epoch came to, as one vector."""
    accumulate = recipe.pop("accumulate", 1)
    trained, run = (
        small(norm),
        Run(folder, resume, processes=processes),
    )

    def progress(done, total):
        if done == stop_at:
            raise KeyboardInterrupt

    try:
        run.begin({"precision": "float32", "activations": "none"}, [])
        place = train(
            trained, lesson_of(count), RECIPE.changed(**recipe),
            manner_of(processes, accumulate=accumulate), run, progress, lambda line: None,
        )  # fmt: skip
    except KeyboardInterrupt:
        return None
    finally:
        run.close()
    rows = [list(row.values()) for row in place.history]
    tensors = [tensor.double().flatten() for tensor in trained.state_dict().values()]
    return torch.cat([*tensors, torch.tensor(rows).double().flatten()]).numpy()


def normalised(processes, count, momentum=0.1):
    """Output and gradients of a batch-norm, of this process's images; then weights, statistics."""
    torch.manual_seed(1)
    norm = nn.BatchNorm2d(4, momentum=momentum).double()
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    for _ in range(2):
        norm.zero_grad()
        images = 5 + torch.randn(count, 4, 3, 3, dtype=torch.float64)
        targets = torch.randn_like(images)
        share = processes.share(np.arange(count))
        own = images[share.rows].requires_grad_()
        with synchronised(norms_of(norm), processes, share.weight > 0):
            output = norm(own)
        loss = (output.tanh() * targets[share.rows]).sum() * (share.weight > 0)
        loss.backward()
    processes.all_reduce([norm.weight.grad, norm.bias.grad])
    shared = [norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var]
    by_image = torch.stack([output.detach(), own.grad], dim=1)
    every = processes.gather_rows(by_image, share)
    return torch.cat([every.flatten(), *shared]).numpy()


def judged(processes, count):
    data = lesson_of(17, count)
    return probabilities(small(), data, data.chosen_on, manner_of(processes)).numpy()


def everything(processes, folder):
    """All comparisons by name."""
    found = {
        "norm of 7": normalised(processes, 7),
        "norm of 1": normalised(processes, 1),
        "norm, plain mean": normalised(processes, 6, momentum=None),
        "judged 5": judged(processes, 5),
        "judged 1": judged(processes, 1),
        "judged 0": judged(processes, 0),
        "trained": learnt(processes, folder / "plain"),
        "mixed": learnt(processes, folder / "mixed", mixup=0.4),
        "side heads": learnt(processes, folder / "sides", side_heads=True),
        "parts": learnt(processes, folder / "parts", norm=False, accumulate=2),
        "one photograph": learnt(processes, folder / "one", 1, balance="none", norm=False),
        "three": learnt(processes, folder / "three", 3, batch=2, balance="none"),
        "whole": np.array([processes.all_reduce_scalars(1.0, processes.rank)]),
    }
    learnt(processes, folder / "stopped", stop_at=6)
    found["went on"] = learnt(processes, folder / "stopped", resume=True)
    return found


def name_threads(path):
    """Say which threads of torch's process groups are left as Python shuts down."""
    names = [Path(task, "comm").read_text() for task in Path("/proc/self/task").glob("*")]
    path.write_text("".join(name for name in names if "gloo" in name))


def main(folder):
    atexit.register(name_threads, folder / f"{os.environ['RANK']}.threads")  # after join's own
    processes = join("cpu")
    np.savez(folder / f"{processes.rank}.npz", **everything(processes, folder / "runs"))
    for text in ("alike", f"of {processes.rank}"):
        try:
            processes.check_equal("photographs", text)
        except (TortieError, SystemExit) as error:
            print(type(error).__name__, error)

    def fail():
        raise TortieError("the disk is full")

    processes.broadcast_bytes(fail)


if __name__ == "__main__":
    assert ALONE.first
    try:
        main(Path(sys.argv[1]))
    except TortieError as error:
        print(error)
        sys.exit(1)
