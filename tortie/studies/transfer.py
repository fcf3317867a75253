"""Better on ImageNet, better frozen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task, percent
from tortie.experiments.study_figures import curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme

# Top-1 accuracy on ImageNet, %, as published with the weights (EfficientNet-Lite's own table).
TOP1 = {"efficientnet-lite0": 75.1, "efficientnet-lite1": 76.7, "efficientnet-lite2": 77.6}
RANDOM, CHANCE = "random weights", 0.1


def measure(task: Task) -> Measured:
    """The accuracy of a softmax layer on the frozen network of this cell."""
    import torch

    from tortie import networks
    from tortie.experiments.learn import linear_probe, seeded

    settings = task.settings
    split = task.pictures.split(task.seed, settings["train"], settings["test"])
    is_random = task.cell == RANDOM
    name = "efficientnet-lite0" if is_random else task.cell
    network = seeded(
        task.seed, lambda: networks.build(name, weights=None if is_random else "imagenet")
    ).eval()
    with torch.inference_mode():
        train, test = (
            torch.cat([network.forward_features(part) for part in images.split(50)])
            for images in (split.train, split.test)
        )
    error = linear_probe(train, test, split.train_labels, split.test_labels)
    top1 = CHANCE if is_random else TOP1[task.cell]
    return {task.cell: {"right": 1 - error, "imagenet": top1}}


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Transfer against ImageNet."""
    points = {top1: name for name, top1 in TOP1.items()}
    curve(axes[0], result, theme.colours[0], "frozen", points, "right", 100)
    for top1, name in points.items():
        mean = 100 * result.mean(name, "right").value
        label = name.removeprefix("efficientnet-")
        axes[0].annotate(label, (top1, mean), (8, -16), textcoords="offset points")
    floor = 100 * result.mean(RANDOM, "right").value
    axes[0].axhline(floor, color=theme.pale, linestyle="--", linewidth=1.2)
    axes[0].annotate("random weights", (74.8, floor), (0, 6), textcoords="offset points")
    axes[0].set_xlim(74.7, 78.2)
    axes[0].set_xlabel("top-1 accuracy on ImageNet, %")
    axes[0].set_title("softmax layer on the frozen network, %")


LITE0, LITE1, LITE2 = TOP1
STUDY = Study(
    name="transfer",
    claim="Networks that are better on ImageNet are better frozen.",
    source="Kornblith, Shlens, Le 2019, figure 1",
    method="A softmax layer is trained on what frozen networks yield of a few patches of "
    "photographs a class. The networks are those whose weights come in packages, and one of "
    "random weights.",
    data="photographs", side=96, channels=3,
    scales={
        "quick": Scale(
            about="EfficientNet-Lite0 to 2 on 2 patches a class, enlarged to 96×96 pixels; the "
            "paper has 16 networks and 12 data sets.",
            cells=(*TOP1, RANDOM), seeds=12, minutes=1, settings={"train": 20, "test": 100},
        ),
        "full": Scale(
            about="The same networks on 5,000 photographs of a folder of one's own.",
            cells=(*TOP1, RANDOM), seeds=5, times=10_000 / 120, needs="a folder of photographs",
            settings={"train": 5000, "test": 5000},
        ),
    },
    measure=measure,
    criteria=(
        Criterion("accuracy of Lite0 minus random weights, points", "right", LITE0, RANDOM,
                  above=0, unit=100),
        Criterion("accuracy of Lite2 minus Lite0, points", "right", LITE2, LITE0, above=0,
                  unit=100),
    ),
    columns=(
        Column("imagenet", "ImageNet top-1, %", exact=True),
        percent("right", "frozen, test accuracy, %"),
    ),
    figure=figure,
    caption="Test accuracy of a softmax layer on frozen networks, against their accuracy on "
    "ImageNet. Vertical lines are 95% intervals; the dashed line is a network of random weights.",
)  # fmt: skip
