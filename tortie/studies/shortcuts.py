"""Shortcuts A, B, C and a fixed projection."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task, percent
from tortie.experiments.study_figures import dots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme

OPTIONS = ("A", "B", "C", "fixed")


def measure(task: Task) -> Measured:
    """Train the residual network with the shortcut of this cell."""
    from tortie import networks
    from tortie.cost.count import count
    from tortie.experiments.learn import learn, seeded

    settings = task.settings
    split = task.pictures.split(task.seed, settings["train"])
    side, channels = task.pictures.pixels.shape[2:]
    built = seeded(
        task.seed,
        lambda: networks.build(
            "resnet20-cifar", classes=split.classes, in_channels=channels, shortcut=task.cell,
            depth=settings["depth"],
        ),
    )  # fmt: skip
    cost = count(built, (side, side, channels))
    learnt = learn(built, split, task, by=settings["recipe"], epochs=settings["epochs"])
    return {
        task.cell: {
            "parameters": cost.parameters,
            "multiplications": cost.multiplications,
            "right": 1 - learnt.test_error,
        }
    }


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Test accuracy by shortcut."""
    labels = {
        "A": "A: zeros", "B": "B: projection\nwhere sides differ", "C": "C: projection\neverywhere",
        "fixed": "a fixed matrix",
    }  # fmt: skip
    dots(axes[0], result, theme, labels, "right", 100)
    axes[0].set_title("test accuracy by shortcut, %")


STUDY = Study(
    name="shortcuts",
    claim="Shortcuts A, B, C and a fixed projection differ little.",
    source="He et al. 2015 (arXiv:1512.03385), section 4.1, table 3",
    method="The same residual network is trained with each shortcut: zeros in place of missing "
    "channels (A), a learnt projection where sides differ (B) or everywhere (C), or a fixed random "
    "matrix. Little is less than two points of accuracy from A.",
    data="digits", side=8, channels=1,
    scales={
        "quick": Scale(
            about="ResNet-14 on 600 digits of 8×8 pixels, 12 epochs; the paper has ResNet-34 on "
            "ImageNet.",
            cells=OPTIONS, seeds=4, minutes=2,
            settings={"depth": 14, "train": 600, "epochs": 12, "recipe": "scratch"},
        ),
        "full": Scale(
            about="ResNet-56 on all of CIFAR-10 for 164 epochs.",
            cells=OPTIONS, seeds=3, needs="a folder of CIFAR-10",
            settings={"depth": 56, "train": None, "epochs": 164, "recipe": "resnet-cifar"},
            passes={"resnet56-cifar": 4 * 164 * 50_000},
        ),
    },
    measure=measure,
    criteria=tuple(
        Criterion(
            f"test accuracy of {option} minus A, points", "right", option, "A",
            above=-0.02, below=0.02, resolution=0.002, unit=100,
        )
        for option in OPTIONS[1:]
    ),
    columns=(
        Column("parameters", "parameters", 0, exact=True),
        Column("multiplications", "multiplications", 0, exact=True),
        percent("right", "test accuracy, %"),
    ),
    figure=figure,
    caption="Test accuracy by shortcut; small dots are seeds, lines are 95% intervals of the mean.",
)  # fmt: skip
