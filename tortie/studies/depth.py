"""Deeper plain networks train worse, deeper residual ones do not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task, percent
from tortie.experiments.study_figures import curve, lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme


def measure(task: Task) -> Measured:
    """Train the network of this cell, ``plain-20`` or the like."""
    from tortie import networks
    from tortie.experiments.learn import learn, seeded

    kind, depth = task.cell.split("-")
    settings, channels = task.settings, task.pictures.pixels.shape[3]
    split = task.pictures.split(task.seed, settings["train"])
    network = seeded(
        task.seed,
        lambda: networks.build(
            f"{kind}20-cifar", classes=split.classes, in_channels=channels, depth=int(depth)
        ),
    )
    learnt = learn(
        network, split, task, by=settings["recipe"], watch=True, epochs=settings["epochs"],
    )  # fmt: skip
    return {
        task.cell: {
            "error": learnt.train_errors[-1],
            "loss": learnt.losses[-1],
            "losses": learnt.losses,
            "test": learnt.test_error,
        }
    }


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Training error over depth: plain in theory, plain in practice, residual."""
    depths = result.study.scales[result.scale].settings["depths"]
    plain = {depth: f"plain-{depth}" for depth in depths}
    residual = {depth: f"resnet-{depth}" for depth in depths}
    left, right = axes
    curve(left, result, theme.colours[1], "plain, in practice", plain, "error", 100)
    curve(left, result, theme.colours[0], "residual", residual, "error", 100)
    best = [100 * result.mean(plain[depths[0]], "error").value * 0.8**n for n in range(len(depths))]
    left.plot(depths, best, "--", color=theme.pale, label="plain, in theory")
    left.set_xticks(depths)
    left.set_ylim(0, 100)
    left.set_xlabel("layers")
    left.set_title("training error, %")
    left.legend()
    deepest = depths[-1]
    arms = {f"resnet-{deepest}": "residual", f"plain-{deepest}": "plain"}
    lines(right, result, theme, arms, "losses")
    right.set_xlabel("epoch")
    right.set_title(f"training loss, {deepest} layers")


QUICK, FULL = (8, 20, 56), (20, 32, 44, 56)
STUDY = Study(
    name="depth",
    claim="Deeper plain networks train worse; deeper residual ones do not.",
    source="He et al. 2015 (arXiv:1512.03385), figures 1 and 6",
    method="The paper's networks for CIFAR are trained with and without shortcuts, from the same "
    "seeds and for the same steps. What counts is the error on the pictures that they are trained "
    "on: a deeper network that trains worse has not overfitted, it has not been trained.",
    data="digits", side=8, channels=1,
    scales={
        "quick": Scale(
            about="8, 20 and 56 layers on 600 digits of 8×8 pixels, 8 epochs of AdamW; the paper "
            "has 20 to 56 layers on 50,000 photographs for 164 epochs.",
            cells=tuple(f"{kind}-{depth}" for depth in QUICK for kind in ("plain", "resnet")),
            seeds=3, minutes=2,
            settings={"depths": QUICK, "train": 600, "epochs": 8, "recipe": "scratch"},
        ),
        "full": Scale(
            about="The paper's protocol on CIFAR-10, without its distortions: 164 epochs of SGD.",
            cells=tuple(f"{kind}-{depth}" for depth in FULL for kind in ("plain", "resnet")),
            seeds=3, needs="a folder of CIFAR-10",
            settings={"depths": FULL, "train": None, "epochs": 164, "recipe": "resnet-cifar"},
            passes={f"resnet{depth}-cifar": 2 * 164 * 50_000 for depth in FULL},
        ),
    },
    measure=measure,
    criteria=(
        Criterion(
            "training error of plain-56 minus plain-20, points", "error", "plain-56", "plain-20",
            above=0, unit=100,
        ),
        Criterion(
            "training error of resnet-56 minus resnet-20, points", "error", "resnet-56",
            "resnet-20", below=0.02, unit=100,
        ),
        Criterion(
            "training error of plain-56 minus resnet-56, points", "error", "plain-56", "resnet-56",
            above=0, unit=100,
        ),
    ),
    columns=(
        percent("error", "training error, %"),
        Column("loss", "training loss", 3),
        percent("test", "test error, %"),
    ),
    figure=figure, axes=2,
    caption="Left: training error over depth; the dashed line is drawn, not measured: what a "
    "deeper network could do if it trained as well. Right: training loss of the deepest, with the "
    "95% interval over the seeds.",
)  # fmt: skip
