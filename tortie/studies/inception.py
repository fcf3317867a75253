"""Let the network choose among 1×1, 3×3, 5×5 and pooling."""

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

ALL, ONES, THREES, FIVES = "all four", "1×1 alone", "3×3 alone", "5×5 alone"
KERNELS = {ONES: 1, THREES: 3, FIVES: 5}
BRANCHES = {"one": "1×1", "three": "3×3", "five": "5×5", "pool": "pooling"}
WIDTHS = (8, 12, 16, 2, 4, 4)  # half of table 1's proportions: 32 channels in all


def network(arm: str, side: int, channels: int, classes: int, middle: int) -> "Network":
    """Two Inception modules, or two modules of one branch with ``middle`` channels between."""
    from torch import nn

    from tortie.networks.inception import Inception
    from tortie.networks.network import Network

    def module() -> nn.Module:
        if arm == ALL:
            return Inception(32, WIDTHS, norm=False)
        kernel = KERNELS[arm]
        large = nn.Conv2d(middle, 32, kernel, padding=kernel // 2)
        return nn.Sequential(nn.Conv2d(32, middle, 1), nn.ReLU(), large, nn.ReLU())

    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["stem"] = nn.Sequential(nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(),
                                   nn.MaxPool2d(2))  # fmt: skip
    stages["module1"], stages["module2"] = module(), module()
    stages["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    built = Network(stages, nn.Linear(128, classes), (side, side, channels))
    for layer in built.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return built


def equal_cost(arm: str, side: int, channels: int, classes: int) -> int:
    """Channels between, so that a module of one branch costs what four branches do."""
    from tortie.cost.count import count

    wanted = count(network(ALL, side, channels, classes, 0)).multiplications
    costs = {
        middle: abs(count(network(arm, side, channels, classes, middle)).multiplications - wanted)
        for middle in range(1, 97)
    }
    return min(costs, key=lambda middle: costs[middle])


def measure(task: Task) -> Measured:
    """Train the network of this cell; of the whole one, what each branch sends on."""
    from torch import nn

    from tortie.cost.count import count
    from tortie.experiments.learn import learn, seeded

    settings = task.settings
    split = task.pictures.split(task.seed, settings["train"])
    side, channels = task.pictures.pixels.shape[2:]
    shape = side, channels, split.classes
    middle = 0 if task.cell == ALL else equal_cost(task.cell, *shape)
    built = seeded(task.seed, lambda: network(task.cell, *shape, middle))
    learnt = learn(built, split, task, epochs=settings["epochs"])
    cost = {"multiplications": count(built).multiplications}
    arms = {task.cell: {"right": 1 - learnt.test_error, **cost}}
    if task.cell == ALL:
        images = split.test.to(next(built.parameters()).device)
        maps = built.stages[1](built.stages[0](images)).detach()
        begin, total = 0, float(maps.abs().mean())
        for branch, width in zip(BRANCHES, (WIDTHS[0], WIDTHS[2], *WIDTHS[4:]), strict=True):
            part = maps[:, begin : begin + width].abs().mean().item() / total
            squares = [
                float(layer.weight.detach()[:, begin : begin + width].norm() ** 2) / width
                for layer in built.stages[2].modules()
                if isinstance(layer, nn.Conv2d) and layer.in_channels == 32
            ]
            arms[f"branch {BRANCHES[branch]}"] = {
                "activation": part,
                "weight": sum(squares) ** 0.5,
            }
            begin += width
    return arms


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Accuracy at equal cost, and what each branch sends on."""
    left, right = axes
    dots(left, result, theme, {arm: arm for arm in (ALL, *KERNELS)}, "right", 100)
    left.set_title("test accuracy, equal cost, %")
    arms = {f"branch {name}": name for name in BRANCHES.values()}
    dots(right, result, theme, arms, "activation")
    right.axvline(1, color=theme.pale, linestyle="--", linewidth=1.2)
    right.set_title("activation a channel, mean = 1")


STUDY = Study(
    name="inception",
    claim="A network that may choose among 1×1, 3×3, 5×5 and pooling does better than with one.",
    source="Szegedy et al. 2015, figure 2; the lecture on Inception",
    method="Networks of two Inception modules are trained beside networks whose modules have one "
    "kind of filter alone and as many channels as cost the same. Of the whole network, what each "
    "branch of the first module sends on is measured by channel: activation, and weight in the "
    "second module.",
    data="patches", side=16, channels=1,
    scales={
        "quick": Scale(
            about="Modules of 32 channels, 600 patches of 16×16 pixels, 15 epochs.",
            cells=(ALL, *KERNELS), seeds=12, minutes=3, settings={"train": 600, "epochs": 15},
        ),
        "full": Scale(
            about="The same networks on all of CIFAR-10 in grey, 60 epochs.",
            cells=(ALL, *KERNELS), seeds=5, times=333, needs="a folder of CIFAR-10",
            settings={"train": None, "epochs": 60},
        ),
    },
    measure=measure,
    criteria=tuple(
        Criterion(f"test accuracy of all four minus {arm}, points", "right", ALL, arm, above=0,
                  unit=100)
        for arm in KERNELS
    ),
    columns=(
        Column("multiplications", "multiplications", 0, exact=True),
        percent("right", "test accuracy, %"),
        Column("activation", "activation a channel", 2, least=0.0),
        Column("weight", "outgoing weight a channel", 2, least=0.0),
    ),
    figure=figure, axes=2,
    caption="Left: test accuracy of networks of equal cost. Right: what a channel of each branch "
    "of the first module sends on, over the mean of all.",
)  # fmt: skip
