"""Local response normalisation: with, without, and batch normalisation in its place."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task, percent
from tortie.experiments.study_figures import dots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme
    from tortie.networks.network import Network

NONE, LRN, BATCH = "none", "local response", "batch"


def network(kind: str, side: int, channels: int, classes: int, width: int) -> "Network":
    """Three convolutions, as AlexNet's: ReLU, normalisation, pooling."""
    from torch import nn

    from tortie.networks.layers import LocalResponseNorm
    from tortie.networks.network import Network

    def stage(inputs: int, outputs: int) -> nn.Module:
        layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, padding=1)]
        if kind == BATCH:
            layers += [nn.BatchNorm2d(outputs)]
        layers += [nn.ReLU()]
        if kind == LRN:  # the paper's constants; torch's module takes a mean over 5 maps
            layers += [LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)]
        return nn.Sequential(*layers, nn.MaxPool2d(2))

    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["conv1"] = stage(channels, width)
    stages["conv2"] = stage(width, 2 * width)
    stages["conv3"] = nn.Sequential(nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.ReLU())
    stages["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return Network(stages, nn.Linear(8 * width, classes), (side, side, channels))


def measure(task: Task) -> Measured:
    """Train the network of this cell."""
    from tortie.experiments.learn import learn, seeded

    split = task.pictures.split(task.seed, task.settings["train"])
    side, channels = task.pictures.pixels.shape[2:]
    width = task.settings["width"]
    built = seeded(task.seed, lambda: network(task.cell, side, channels, split.classes, width))
    learnt = learn(built, split, task, epochs=task.settings["epochs"])
    return {task.cell: {"right": 1 - learnt.test_error, "loss": learnt.losses[-1]}}


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Test accuracy by normalisation."""
    dots(axes[0], result, theme, {arm: arm for arm in (NONE, LRN, BATCH)}, "right", 100)
    axes[0].set_title("test accuracy by normalisation, %")


STUDY = Study(
    name="lrn",
    claim="Local response normalisation does not help much.",
    source="Simonyan, Zisserman 2015, section 4.1, against Krizhevsky et al. 2012, section 3.3",
    method="A network of three convolutions is trained without normalisation, with AlexNet's after "
    "the ReLU of the first two, and with batch normalisation before it. Much is two points of "
    "accuracy.",
    data="patches", side=16, channels=1,
    scales={
        "quick": Scale(
            about="16 and 32 channels, 1,200 patches of 16×16 pixels, 15 epochs.",
            cells=(NONE, LRN, BATCH), seeds=4, minutes=2,
            settings={"width": 16, "train": 1200, "epochs": 15},
        ),
        "full": Scale(
            about="96 and 192 channels on all of CIFAR-10 in grey, 60 epochs.",
            cells=(NONE, LRN, BATCH), seeds=5, times=167 * 6**2, needs="a folder of CIFAR-10",
            settings={"width": 96, "train": None, "epochs": 60},
        ),
    },
    measure=measure,
    criteria=(
        Criterion(
            "test accuracy with local response normalisation minus without, points", "right", LRN,
            NONE, below=0.02, resolution=0.002, unit=100,
        ),
    ),
    columns=(percent("right", "test accuracy, %"), Column("loss", "training loss", 3)),
    figure=figure,
    caption="Test accuracy without normalisation, with AlexNet's, and with batch normalisation; "
    "small dots are seeds, lines are 95% intervals of the mean.",
)  # fmt: skip
