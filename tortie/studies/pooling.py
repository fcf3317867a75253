"""Maximum against average; the non-linearity before or after the pooling."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task, percent
from tortie.experiments.study_figures import dots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme

ARMS = {
    "maximum": {"pooling": "max"},
    "average": {"pooling": "average"},
    "average, ReLU after it": {"pooling": "average", "activation_after": "pooling"},
    "average, tanh": {"pooling": "average", "activation": "tanh"},
    "average, tanh after it": {
        "pooling": "average", "activation": "tanh", "activation_after": "pooling",
    },
}  # fmt: skip


def measure(task: Task) -> Measured:
    """Train LeNet-5 with the pooling of this cell."""
    from tortie import networks
    from tortie.experiments.learn import learn, seeded

    split = task.pictures.split(task.seed, task.settings["train"])
    channels = task.pictures.pixels.shape[3]
    built = seeded(
        task.seed,
        lambda: networks.build(
            "lenet5", classes=split.classes, in_channels=channels, **ARMS[task.cell]
        ),
    )
    learnt = learn(built, split, task, epochs=task.settings["epochs"])
    return {task.cell: {"right": 1 - learnt.test_error, "loss": learnt.losses[-1]}}


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Test accuracy by pooling."""
    labels = {arm: arm.replace(", ", ",\n") for arm in ARMS}
    dots(axes[0], result, theme, labels, "right", 100)
    axes[0].set_title("test accuracy, %")


STUDY = Study(
    name="pooling",
    claim="Maximum pooling does better than average pooling; on which side of it the non-linearity "
    "stands matters little.",
    source="The lecture on LeNet-5 then and now; LeCun et al. 1998, section II-B",
    method="LeNet-5 is trained with the maximum or the average over 2×2, and with ReLU or tanh "
    "before or after the average. Little is less than a point of accuracy.",
    data="digits", side=28, channels=1,
    scales={
        "quick": Scale(
            about="200 digits enlarged to 28×28 pixels, 20 epochs.",
            cells=tuple(ARMS), seeds=12, minutes=1, settings={"train": 200, "epochs": 20},
        ),
        "full": Scale(
            about="All of a folder of digits, such as MNIST, 20 epochs.",
            cells=tuple(ARMS), seeds=10, times=60_000 / 200, settings={"train": None, "epochs": 20},
            needs="a folder of MNIST",
        ),
    },
    measure=measure,
    criteria=(
        Criterion(
            "test accuracy of the maximum minus the average, points", "right", "maximum",
            "average", above=0, unit=100,
        ),
        Criterion(
            "ReLU after the average minus before it, points", "right", "average, ReLU after it",
            "average", above=-0.01, below=0.01, resolution=0.002, unit=100,
        ),
        Criterion(
            "tanh after the average minus before it, points", "right", "average, tanh after it",
            "average, tanh", above=-0.01, below=0.01, resolution=0.002, unit=100,
        ),
    ),
    columns=(percent("right", "test accuracy, %"), Column("loss", "training loss", 3)),
    figure=figure,
    caption="Test accuracy of LeNet-5; small dots are seeds, lines are 95% intervals of the mean.",
)  # fmt: skip
