"""Two 3×3 convolutions for one 5×5: parameters, what they see, accuracy."""

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

TWO, ONE, EQUAL = "two 3×3", "one 5×5", "one 5×5, equal cost"


def network(arm: str, side: int, classes: int, width: int) -> "Network":
    """Two modules of equal receptive field, each two 3×3 convolutions or one of 5×5."""
    from torch import nn

    from tortie.networks.network import Network

    if arm == EQUAL:  # 25 c² multiplications a position for the 18 w² of two 3×3
        width = round(width * (18 / 25) ** 0.5)
    kernels = (3, 3) if arm == TWO else (5,)

    def module() -> list[nn.Module]:
        layers: list[nn.Module] = []
        for kernel in kernels:
            layers += [nn.Conv2d(width, width, kernel, padding=kernel // 2)]
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
        return layers

    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["stem"] = nn.Sequential(nn.Conv2d(1, width, 1), nn.ReLU())
    stages["module1"] = nn.Sequential(*module())
    stages["pool1"] = nn.MaxPool2d(2)
    stages["module2"] = nn.Sequential(*module())
    stages["pool2"] = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return Network(stages, nn.Linear(4 * width, classes), (side, side, 1))


def measure(task: Task) -> Measured:
    """Count the network of this cell, and train it."""
    from tortie.cost.count import count
    from tortie.experiments.learn import learn, seeded

    split = task.pictures.split(task.seed, task.settings["train"])
    side, width = task.pictures.pixels.shape[1], task.settings["width"]
    built = seeded(task.seed, lambda: network(task.cell, side, split.classes, width))
    stages = {part.name: part for part in count(built).stages}
    modules = [stages["module1"], stages["module2"]]
    learnt = learn(built, split, task, epochs=task.settings["epochs"])
    return {
        task.cell: {
            "parameters": sum(part.parameters for part in modules),
            "multiplications": sum(part.multiplications for part in modules),
            "sees": _sees(built),
            "right": 1 - learnt.test_error,
        }
    }


def _sees(network: "Network") -> int:
    """Pixels along a side that a value after module1 depends on: where its gradient is not 0."""
    import torch

    network.eval()
    images = torch.rand(1, *network.input_shape[::-1], requires_grad=True)
    with torch.no_grad():
        for parameter in network.stages[1].parameters():
            if parameter.dim() > 1:
                parameter.abs_()  # no term cancels another
    maps = network.stages[1](network.stages[0](images).abs())
    maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].sum().backward()
    seen = images.grad
    assert seen is not None
    return int((seen[0].abs().sum(0).sum(0) > 0).sum())


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Parameters as bars, accuracy beside them."""
    arms = {TWO: "two 3×3", ONE: "one 5×5", EQUAL: "one 5×5,\nequal cost"}
    dots(axes[0], result, theme, arms, "parameters", 1e-3, exact=True)
    axes[0].set_title("thousand parameters")
    axes[0].set_xticks([])
    dots(axes[1], result, theme, arms, "right", 100)
    axes[1].set_title("test accuracy, %")
    axes[1].set_yticklabels([])


STUDY = Study(
    name="uniformity",
    claim="Two 3×3 convolutions do what one 5×5 does, with fewer parameters.",
    source="Simonyan, Zisserman 2015, section 2.3",
    method="Networks of two modules are counted and trained. A module is two 3×3 convolutions or "
    "one of 5×5, of as many channels or of as many as cost the same; batch normalisation and ReLU "
    "follow each convolution. They do the same where accuracy is at most a point lower.",
    data="digits", side=16, channels=1,
    scales={
        "quick": Scale(
            about="24 channels, 500 digits of 16×16 pixels, 15 epochs.",
            cells=(TWO, ONE, EQUAL), seeds=12, minutes=3,
            settings={"width": 24, "train": 500, "epochs": 15},
        ),
        "full": Scale(
            about="128 channels on all of CIFAR-10 in grey, 60 epochs.",
            cells=(TWO, ONE, EQUAL), seeds=5, times=400 * 5**2,
            settings={"width": 128, "train": None, "epochs": 60}, needs="a folder of CIFAR-10",
        ),
    },
    measure=measure,
    criteria=(
        Criterion(
            "parameters of two 3×3 over one 5×5", "parameters", TWO, ONE,
            below=0.8, ratio=True, exact=True,
        ),
        Criterion(
            "receptive field of two 3×3 minus one 5×5, pixels", "sees", TWO, ONE,
            above=-0.5, below=0.5, exact=True,
        ),
        Criterion(
            "test accuracy of two 3×3 minus one 5×5, points", "right", TWO, ONE,
            above=-0.01, resolution=0.002, unit=100,
        ),
        Criterion(
            "test accuracy of two 3×3 minus one 5×5 of equal cost, points", "right", TWO, EQUAL,
            above=-0.01, resolution=0.002, unit=100,
        ),
    ),
    columns=(
        Column("parameters", "parameters", 0, exact=True),
        Column("multiplications", "multiplications", 0, exact=True),
        Column("sees", "sees, pixels", 0, exact=True),
        percent("right", "test accuracy, %"),
    ),
    figure=figure, axes=2,
    caption="Left: parameters of the modules. Right: test accuracy; small dots are seeds, the line "
    "is the 95% interval of the mean.",
)  # fmt: skip
