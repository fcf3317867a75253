"""Averages of outputs and of weights."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tortie.experiments.study import Criterion, Measured, Scale, Study, Task, percent
from tortie.experiments.study_figures import curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme
    from tortie.networks.network import Network


def measure(task: Task) -> Measured:
    """Train networks that differ in their seed alone, and average them in both ways."""
    import torch

    from tortie import networks
    from tortie.experiments.learn import error_of, learn, logits_of, seeded

    settings = task.settings
    split = task.pictures.split(task.seed, settings["train"])
    channels = task.pictures.pixels.shape[3]

    def build() -> "Network":
        return networks.build(settings["network"], classes=split.classes, in_channels=channels)

    members = [seeded(1000 * task.seed + n, build) for n in range(max(settings["members"]))]
    alone = [learn(one, split, task, epochs=settings["epochs"]).test_error for one in members]
    said = torch.stack([logits_of(one, split.test).softmax(1) for one in members])
    arms = {"one network": {"right": 1 - sum(alone) / len(alone)}}
    for count in settings["members"]:
        wrong = said[:count].mean(0).argmax(1) != split.test_labels
        arms[f"outputs of {count}"] = {"right": 1 - float(wrong.float().mean())}
        mixed = seeded(0, build)
        states = [one.state_dict() for one in members[:count]]
        means = {
            name: torch.stack([state[name].float() for state in states]).mean(0).to(tensor.dtype)
            for name, tensor in states[0].items()
        }
        mixed.load_state_dict(means)
        error = error_of(mixed, split.test, split.test_labels)
        arms[f"weights of {count}"] = {"right": 1 - error}
    return arms


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Accuracy by members."""
    members = result.study.scales[result.scale].settings["members"]
    for kind, label, colour in (
        ("outputs", "outputs averaged", theme.colours[0]),
        ("weights", "weights averaged", theme.colours[1]),
    ):
        points = {1: "one network", **{n: f"{kind} of {n}" for n in members}}
        curve(axes[0], result, colour, label, points, "right", 100)
    axes[0].set_ylim(0, 102)
    axes[0].set_xticks([1, *members])
    axes[0].set_xlabel("networks")
    axes[0].set_title("test accuracy, %")
    axes[0].legend(loc="center right")


STUDY = Study(
    name="ensembles",
    claim="Several networks do better where their outputs are averaged; their weights must not be.",
    source="The lecture on practice; Krizhevsky et al. 2012, section 5",
    method="Networks that differ in their first weights alone are trained on the same pictures. "
    "Averaged are their probabilities, or all of their weights.",
    data="digits", side=28, channels=1,
    scales={
        "quick": Scale(
            about="Five LeNet-5 a seed on 200 digits enlarged to 28×28 pixels, 15 epochs.",
            cells=("all",), seeds=4, minutes=1,
            settings={"network": "lenet5", "members": (2, 3, 5), "train": 200, "epochs": 15},
        ),
        "full": Scale(
            about="Seven ResNet-20 a seed on all of CIFAR-10, 60 epochs.",
            cells=("all",), seeds=3, needs="a folder of CIFAR-10",
            settings={
                "network": "resnet20-cifar", "members": (2, 3, 5, 7), "train": None, "epochs": 60,
            },
            passes={"resnet20-cifar": 7 * 60 * 50_000},
        ),
    },
    measure=measure,
    criteria=(
        Criterion(
            "test accuracy of five networks' outputs minus one network, points", "right",
            "outputs of 5", "one network", above=0, unit=100,
        ),
        Criterion(
            "test accuracy of five networks' weights minus one network, points", "right",
            "weights of 5", "one network", below=0, unit=100,
        ),
    ),
    columns=(percent("right", "test accuracy, %"),),
    figure=figure,
    caption="Test accuracy by the number of networks whose outputs, or whose weights, are "
    "averaged. Vertical lines are 95% intervals.",
)  # fmt: skip
