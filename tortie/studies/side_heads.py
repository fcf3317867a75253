"""Side outputs regularise, and help early stages."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task, percent
from tortie.experiments.study_figures import curve, dots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme
    from tortie.networks.network import Network

WITHOUT, WITH = "without side heads", "with side heads"
STAGES = 4


def network(with_sides: bool, side: int, channels: int, classes: int, width: int) -> "Network":
    """Four stages of two 3×3 convolutions; side heads hang from the first and the second."""
    from torch import nn

    from tortie.networks.network import Network

    def head(inputs: int) -> nn.Module:
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * inputs, 64), nn.ReLU(),
            nn.Dropout(0.5), nn.Linear(64, classes),
        )  # fmt: skip

    stages: OrderedDict[str, nn.Module] = OrderedDict()
    inputs = channels
    for number in range(1, STAGES + 1):
        layers: list[nn.Module] = []
        for _ in (1, 2):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
        if number in (1, 3):
            layers += [nn.MaxPool2d(2)]
        stages[f"stage{number}"] = nn.Sequential(*layers)
    stages["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    sides = {f"stage{number}": head(width) for number in (1, 2)} if with_sides else {}
    last = nn.Linear(4 * width, classes)
    built = Network(stages, last, (side, side, channels), side_heads=sides)
    for layer in built.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return built


def measure(task: Task) -> Measured:
    """Train the network of this cell; then a softmax layer on what each stage yields."""
    import torch

    from tortie.experiments.learn import learn, linear_probe, seeded

    settings = task.settings
    split = task.pictures.split(task.seed, settings["train"])
    side, channels = task.pictures.pixels.shape[2:]
    sides = task.cell == WITH
    built = seeded(
        task.seed, lambda: network(sides, side, channels, split.classes, settings["width"])
    )
    weight = 0.3 if sides else 0.0
    learnt = learn(built, split, task, epochs=settings["epochs"], side_weight=weight)
    place = next(built.parameters()).device
    train, test = split.train.to(place), split.test.to(place)
    arms = {}
    with torch.inference_mode():
        for number in range(1, STAGES + 1):
            stage = built.stages.get_submodule(f"stage{number}")
            train, test = stage(train), stage(test)
            pooled, tested = (
                torch.nn.functional.adaptive_avg_pool2d(one, 2).flatten(1).cpu()
                for one in (train, test)
            )
            error = linear_probe(pooled, tested, split.train_labels, split.test_labels)
            arms[f"{task.cell}, stage {number}"] = {"probe": 1 - error}
    return {task.cell: {"right": 1 - learnt.test_error, "loss": learnt.losses[-1]}, **arms}


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Test accuracy, and what a softmax layer makes of each stage."""
    left, right = axes
    dots(left, result, theme, {WITHOUT: "without", WITH: "with"}, "right", 100)
    left.set_title("test accuracy, %")
    for arm, colour in zip((WITHOUT, WITH), theme.colours, strict=False):
        points = {n: f"{arm}, stage {n}" for n in range(1, STAGES + 1)}
        curve(right, result, colour, arm, points, "probe", 100)
    right.set_xticks(range(1, STAGES + 1))
    right.set_xlabel("stage")
    right.set_title("softmax layer on a stage, %")
    right.legend()


STUDY = Study(
    name="side-heads",
    claim="Side outputs regularise, and help early stages.",
    source="Szegedy et al. 2015, section 5; Lee et al. 2015 (deeply-supervised nets)",
    method="A plain network of eight convolutions is trained with and without two side heads whose "
    "losses count 0.3 each and which are dropped after training. Then a softmax layer is fitted "
    "to what each stage yields.",
    data="patches", side=16, channels=1,
    scales={
        "quick": Scale(
            about="16 channels, 600 patches of 16×16 pixels, 20 epochs; the paper has GoogLeNet.",
            cells=(WITHOUT, WITH), seeds=12, minutes=2,
            settings={"width": 16, "train": 600, "epochs": 20},
        ),
        "full": Scale(
            about="96 channels on all of CIFAR-10 in grey, 60 epochs.",
            cells=(WITHOUT, WITH), seeds=5, times=250 * 6**2, needs="a folder of CIFAR-10",
            settings={"width": 96, "train": None, "epochs": 60},
        ),
    },
    measure=measure,
    criteria=(
        Criterion("test accuracy with minus without, points", "right", WITH, WITHOUT, above=0,
                  unit=100),
        Criterion("softmax layer on stage 1, with minus without, points", "probe",
                  f"{WITH}, stage 1", f"{WITHOUT}, stage 1", above=0, unit=100),
    ),
    columns=(
        percent("right", "test accuracy, %"),
        Column("loss", "training loss", 3),
        percent("probe", "softmax layer on the stage, %"),
    ),
    figure=figure, axes=2,
    caption="Left: test accuracy. Right: test accuracy of a softmax layer on each stage; side "
    "heads hang from stages 1 and 2. Lines at the points are 95% intervals.",
)  # fmt: skip
