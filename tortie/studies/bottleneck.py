"""A 1×1 convolution first: exact counts, and the accuracy with and without it."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tortie.cost.convolution import bottleneck
from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task, percent
from tortie.experiments.study_figures import dots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme
    from tortie.networks.network import Network


def network(through: int | None, side: int, classes: int, wide: int) -> "Network":
    """A 5×5 convolution from ``wide`` channels to a sixth, through fewer where asked."""
    from torch import nn

    from tortie.networks.network import Network

    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stem = nn.Conv2d(1, wide, 3, padding=1)
    stages["stem"] = nn.Sequential(stem, nn.BatchNorm2d(wide), nn.ReLU(), nn.MaxPool2d(2))
    before: list[nn.Module] = []
    if through:
        before = [nn.Conv2d(wide, through, 1), nn.BatchNorm2d(through), nn.ReLU()]
    large = nn.Conv2d(through or wide, wide // 6, 5, padding=2)
    stages["module"] = nn.Sequential(*before, large, nn.BatchNorm2d(wide // 6), nn.ReLU())
    stages["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return Network(stages, nn.Linear(4 * (wide // 6), classes), (side, side, 1))


def measure(task: Task) -> Measured:
    """Count the lecture's convolution, and train the network of this cell."""
    from tortie.cost.count import count
    from tortie.experiments.learn import learn, seeded

    cost = bottleneck((28, 28, 192), 5, 32, 16)
    pictures, wide = task.pictures, task.settings["wide"]
    through = wide // 12 if task.cell == "with" else None
    split = pictures.split(task.seed, task.settings["train"])
    side = pictures.pixels.shape[1]
    built = seeded(task.seed, lambda: network(through, side, split.classes, wide))
    (module,) = [part for part in count(built).stages if part.name == "module"]
    learnt = learn(built, split, task, epochs=task.settings["epochs"])
    return {
        f"{task.cell} 1×1 first": {
            "lecture": cost.multiplications if through else cost.direct.multiplications,
            "module": module.multiplications,
            "right": 1 - learnt.test_error,
        }
    }


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Multiplications as bars, accuracy beside them."""
    arms = {"without 1×1 first": "5×5", "with 1×1 first": "1×1, 5×5"}
    dots(axes[0], result, theme, arms, "lecture", 1e-6, exact=True)
    axes[0].set_title("million multiplications")
    axes[0].set_xticks([])
    dots(axes[1], result, theme, arms, "right", 100)
    axes[1].set_title("test accuracy, %")
    axes[1].set_yticklabels([])


WITHOUT, WITH = "without 1×1 first", "with 1×1 first"
STUDY = Study(
    name="bottleneck",
    claim="A 1×1 convolution before a large one saves tenfold and does not hurt.",
    source="Lin, Chen, Yan 2013; Szegedy et al. 2015, section 3; the lecture's 28×28×192 example",
    method="The lecture's 5×5 convolution is counted with and without 16 channels of 1×1 before "
    "it. A network around that convolution, at half of its channels (96, 8, 16), is trained with "
    "and without it. It hurts where accuracy falls by a point.",
    data="digits", side=16, channels=1,
    scales={
        "quick": Scale(
            about="900 digits of 16×16 pixels, 15 epochs.",
            cells=("without", "with"), seeds=5, minutes=2,
            settings={"wide": 96, "train": 900, "epochs": 15},
        ),
        "full": Scale(
            about="The lecture's 192, 16 and 32 channels on all of CIFAR-10 in grey, 60 epochs.",
            cells=("without", "with"), seeds=5, times=222 * 2**2,
            settings={"wide": 192, "train": None, "epochs": 60}, needs="a folder of CIFAR-10",
        ),
    },
    measure=measure,
    criteria=(
        Criterion(
            "multiplications of the lecture's 5×5 without, over with", "lecture", WITHOUT, WITH,
            above=9, ratio=True, exact=True,
        ),
        Criterion(
            "test accuracy with minus without, points", "right", WITH, WITHOUT,
            above=-0.01, resolution=0.002, unit=100,
        ),
    ),
    columns=(
        Column("lecture", "multiplications, 28×28×192", 0, exact=True),
        Column("module", "trained module", 0, exact=True),
        percent("right", "test accuracy, %"),
    ),
    figure=figure, axes=2,
    caption="Left: multiplications of one 5×5 convolution from 28×28×192 to 32 channels. Right: "
    "test accuracy of a network around such a convolution; small dots are seeds, the line is the "
    "95% interval of the mean.",
)  # fmt: skip
