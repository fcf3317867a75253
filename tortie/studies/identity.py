"""A residual block learns the identity easily."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task, percent
from tortie.experiments.study_figures import lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme
    from tortie.networks.network import Network

PLAIN, LITTLE, MUCH = "plain", "residual", "residual, more decay"


def measure(task: Task) -> Measured:
    """Train a network, weigh its blocks, and drop each of them."""
    import torch

    from tortie import networks
    from tortie.experiments.learn import learn, seeded

    settings, channels = task.settings, task.pictures.pixels.shape[3]
    split = task.pictures.split(task.seed, settings["train"])
    depth, kind = settings["depth"], "plain" if task.cell == PLAIN else "resnet"
    network = seeded(
        task.seed,
        lambda: networks.build(
            f"{kind}20-cifar", classes=split.classes, in_channels=channels, depth=depth
        ),
    )
    learnt = learn(
        network, split, task, epochs=settings["epochs"],
        weight_decay=settings["more"] if task.cell == MUCH else settings["decay"],
        decay_norms_and_biases=True, label_smoothing=0.0, learning_rate=4e-3,
    )  # fmt: skip
    found = blocks(network)
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(task.seed)).tolist()
    dropped = [error_with_out(network, [one], split) for one in found]
    several = [
        error_with_out(network, [found[index] for index in order[:k]], split)
        for k in range(len(found) + 1)
    ]
    ratios = branch_ratios(network, found, split.test)
    return {
        task.cell: {
            "right": 1 - learnt.test_error,
            "loss of one": sum(dropped) / len(dropped) - learnt.test_error,
            "without k": [100 * (1 - error) for error in several],
            "ratio": sum(ratios) / len(ratios),
            "ratios": ratios,
        }
    }


def blocks(network: "Network") -> list[Any]:
    """The blocks that keep the shape of their input."""
    found = [one for stage in network.stages for one in stage.children() if hasattr(one, "conv2")]
    return [one for one in found if one.conv1.stride == (1, 1)
            and one.conv1.in_channels == one.conv1.out_channels]  # fmt: skip


def error_with_out(network: "Network", dropped: Sequence[Any], split: Any) -> float:
    """The test error where these blocks pass their input on unchanged."""
    from tortie.experiments.learn import error_of

    hooks = [one.register_forward_hook(lambda module, given, out: given[0]) for one in dropped]
    error = error_of(network, split.test, split.test_labels)
    for hook in hooks:
        hook.remove()
    return error


def branch_ratios(network: "Network", found: Sequence[Any], images: "Tensor") -> list[float]:
    """‖F(x)‖ / ‖x‖ of each block, where F(x) is what its two convolutions yield."""
    from tortie.experiments.learn import logits_of

    seen: dict[int, float] = {}

    def remember(number: int) -> Any:
        def hook(module: Any, given: Any, out: Any) -> None:
            branch = module.norm2(module.conv2(module.relu(module.norm1(module.conv1(given[0])))))
            seen[number] = seen.get(number) or float(branch.norm() / given[0].norm())

        return hook

    hooks = [one.register_forward_hook(remember(number)) for number, one in enumerate(found)]
    logits_of(network, images)
    for hook in hooks:
        hook.remove()
    return [seen[number] for number in range(len(found))]


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Accuracy without k blocks, and the share that each block adds."""
    left, right = axes
    counts = range(len(result.of(PLAIN, "without k")[0]))
    lines(left, result, theme, {LITTLE: LITTLE, PLAIN: PLAIN}, "without k", counts)
    left.set_xlabel("blocks dropped")
    left.set_title("test accuracy, %")
    left.set_ylim(0, 102)
    left.legend()
    lines(right, result, theme, {LITTLE: "residual", MUCH: "more weight decay"}, "ratios")
    right.set_xlabel("block")
    right.set_title("‖F(x)‖ / ‖x‖")
    right.set_ylim(bottom=0)
    right.legend()


STUDY = Study(
    name="identity",
    claim="A residual block learns the identity easily.",
    source="He et al. 2015 (arXiv:1512.03385), figure 7; Veit, Wilber, Belongie 2016",
    method="Residual and plain networks are trained, and blocks dropped at test time: the input of "
    "a block is passed on in its place. What a block adds is measured against its input.",
    data="digits", side=8, channels=1,
    scales={
        "quick": Scale(
            about="20 layers on 600 digits of 8×8 pixels, 12 epochs; weight decay 0.05 and 1.",
            cells=(LITTLE, MUCH, PLAIN), seeds=12, minutes=4,
            settings={"depth": 20, "train": 600, "epochs": 12, "decay": 0.05, "more": 1.0},
        ),
        "full": Scale(
            about="110 layers on all of CIFAR-10, 100 epochs.", needs="a folder of CIFAR-10",
            cells=(LITTLE, MUCH, PLAIN), seeds=3,
            settings={"depth": 110, "train": None, "epochs": 100, "decay": 0.05, "more": 0.5},
            passes={"resnet110-cifar": 3 * 100 * 50_000},
        ),
    },
    measure=measure,
    criteria=(
        Criterion("accuracy lost by dropping one block, plain minus residual, points",
                  "loss of one", PLAIN, LITTLE, above=0, unit=100),
        Criterion("‖F(x)‖/‖x‖", "ratio", LITTLE, below=1),
        Criterion("‖F(x)‖/‖x‖ with more weight decay minus with less", "ratio", MUCH, LITTLE,
                  below=0),
    ),
    columns=(
        percent("right", "test accuracy, %"),
        Column("loss of one", "lost without one block, points", unit=100),
        Column("ratio", "‖F(x)‖/‖x‖", 2),
    ),
    figure=figure, axes=2,
    caption="Left: test accuracy by the number of blocks dropped, drawn at random. Right: what a "
    "block adds, as a share of its input. Bands are 95% intervals over the seeds.",
)  # fmt: skip
