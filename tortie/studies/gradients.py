"""Gradients through very deep networks: plain, normalised, residual."""

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task
from tortie.experiments.study_figures import curve, lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.picture_sets import Split
    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme
    from tortie.networks.network import Network

KINDS = ("plain, Glorot's start", "plain, normalised", "residual")


def network(kind: str, depth: int, classes: int, channels: int) -> "Network":
    """The network of that depth; "plain, Glorot's start" has no batch normalisation."""
    from torch import nn

    from tortie import networks

    built = networks.build(
        f"{'resnet' if kind == 'residual' else 'plain'}20-cifar",
        classes=classes, in_channels=channels, depth=depth,
    )  # fmt: skip
    if kind == KINDS[0]:
        for module in list(built.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    setattr(module, name, nn.Identity())
                if isinstance(child, nn.Conv2d):
                    nn.init.xavier_normal_(child.weight)
    return built


def measure(task: Task) -> Measured:
    """Each convolution's gradient over its weights at the first step and after some, by depth."""
    from tortie.experiments.learn import learn, seeded

    split = task.pictures.split(task.seed, 64)
    channels = task.pictures.pixels.shape[3]
    logs = {}
    for depth in task.settings["depths"]:
        build = partial(network, task.cell, depth, split.classes, channels)
        built = seeded(task.seed, build)
        begin = gradient_decades(built, split)
        built.zero_grad()
        learn(built, split, task, epochs=task.settings["steps"], batch=len(split.train))
        logs[depth] = begin, gradient_decades(built, split)
    shallow = tenth(logs[min(logs)][0])
    return {
        f"{task.cell} {depth}": {
            "layers": begin, "first": tenth(begin), "last": tenth(begin[::-1]),
            "later": tenth(later), "change": tenth(begin) - shallow,
            "distance": abs(tenth(begin) - shallow),
        }
        for depth, (begin, later) in logs.items()
    }  # fmt: skip


def tenth(logs: Sequence[float]) -> float:
    """The mean of the first tenth."""
    count = max(1, len(logs) // 10)
    return sum(logs[:count]) / count


def gradient_decades(built: "Network", split: "Split") -> list[float]:
    """Powers of ten of each layer's gradient over its weights, input to head."""
    import torch
    from torch import nn

    built.train()
    nn.functional.cross_entropy(built(split.train), split.train_labels).backward()
    logs = []
    for layer in built.modules():
        # 3×3 convolutions: a projection of a shortcut is none of the chain
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            assert layer.weight.grad is not None
            gradient = float(torch.linalg.vector_norm(layer.weight.grad.double()))
            weights = float(torch.linalg.vector_norm(layer.weight.detach().double()))
            logs.append(math.log10(max(gradient / weights, 1e-300)))
    return logs


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """The gradient of the first layers, over depth, and of each layer of one depth."""
    depths = result.study.scales[result.scale].settings["depths"]
    labels = ("plain", "plain, batch-normalised", "residual")
    for kind, label, colour in zip(KINDS, labels, theme.colours, strict=False):
        curve(axes[0], result, colour, label, {depth: f"{kind} {depth}" for depth in depths},
              "first")  # fmt: skip
    axes[0].set_xticks(depths)
    axes[0].set_xlabel("layers")
    axes[0].set_title("gradient at the first layers, powers of ten")
    axes[0].legend()
    lines(axes[1], result, theme, {f"{kind} {SHOWN}": kind for kind in KINDS}, "layers")
    axes[1].set_xlabel(f"layer, input to head, of {SHOWN}")
    axes[1].set_title("gradient of each layer, powers of ten")


DEPTHS, SHOWN = (8, 20, 32, 56, 110), 56
STUDY = Study(
    name="gradients",
    claim="In very deep plain networks gradients vanish or explode; normalisation and shortcuts "
    "keep them.",
    source="Glorot, Bengio 2010; He et al. 2015 (arXiv:1512.03385), section 1",
    method="One forward and one backward pass of 64 pictures through fresh networks for CIFAR, "
    "without batch normalisation (weights as Glorot's), with it, and with shortcuts too. The "
    "gradient of each convolution is divided by its weights; shown is the geometric mean over the "
    "first tenth of the layers. It counts as lost where it is a hundred times that of 8 layers, or "
    "a hundredth. The networks are then trained for some steps on the same pictures, by the recipe "
    "`scratch`, and looked at again.",
    data="digits",
    side=16,
    channels=1,
    scales={
        "quick": Scale(
            about="The paper's depths on 64 digits of 16×16 pixels; after ten steps, too.",
            cells=KINDS, seeds=5, minutes=4, settings={"depths": DEPTHS, "steps": 10},
        ),
        "full": Scale(
            about="The same on 64 photographs of CIFAR-10.",
            cells=KINDS, seeds=20, times=10, settings={"depths": DEPTHS, "steps": 100},
            needs="a folder of CIFAR-10",
        ),
    },
    measure=measure,
    criteria=(
        Criterion("powers of ten, 110 to 8 layers, plain", "distance", f"{KINDS[0]} 110", above=2),
        Criterion("the same with batch normalisation", "distance", f"{KINDS[1]} 110", below=2),
        Criterion("the same with shortcuts", "distance", f"{KINDS[2]} 110", below=2),
    ),
    columns=(
        Column("first", "first layers, powers of ten", 2),
        Column("last", "last layers", 2),
        Column("later", "first layers, after some steps", 2),
        Column("change", "first, against 8 layers", 2),
    ),
    figure=figure,
    axes=2,
    caption="Size of the gradient, relative to the weights, at the first step: at the layers next "
    "to the input by depth, and at each layer of the networks of 56. Vertical lines are 95% "
    "intervals.",
)  # fmt: skip
