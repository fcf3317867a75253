"""Added residual blocks do not hurt what was there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task
from tortie.experiments.study_figures import lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme
    from tortie.networks.network import Network

RESIDUAL, PLAIN = "residual blocks", "plain layers"


def measure(task: Task) -> Measured:
    """Train a shallow network, insert blocks of this cell's kind, and train on."""
    from torch import nn

    from tortie import networks
    from tortie.experiments.learn import learn, logits_of, seeded

    settings, channels = task.settings, task.pictures.pixels.shape[3]
    split = task.pictures.split(task.seed, settings["train"])

    def build(kind: str, depth: int) -> "Network":
        return networks.build(
            f"{kind}20-cifar", classes=split.classes, in_channels=channels, depth=depth
        )

    def loss_of(network: "Network") -> float:
        logits = logits_of(network, split.train)
        return float(nn.functional.cross_entropy(logits, split.train_labels))

    shallow = seeded(task.seed, lambda: build("resnet", settings["shallow"]))
    learn(shallow, split, task, epochs=settings["epochs"], label_smoothing=0.0)
    kind = "resnet" if task.cell == RESIDUAL else "plain"
    donor = seeded(task.seed + 1, lambda: build(kind, settings["deep"]))
    start, kept = loss_of(shallow), len(list(shallow.stages[1].children()))
    for name in ("conv2_x", "conv3_x", "conv4_x"):
        target = shallow.stages.get_submodule(name)
        for number, block in enumerate(donor.stages.get_submodule(name).children()):
            if number >= kept:
                if task.cell == RESIDUAL:  # F(x) begins as 0
                    nn.init.zeros_(block.get_submodule("norm2").weight)  # type: ignore[arg-type]
                target.add_module(f"block{number + 1}", block)
    inserted = loss_of(shallow)
    losses = [start, inserted]
    for epoch in range(settings["on"]):
        learn(
            shallow, split, task, epochs=1, label_smoothing=0.0, warmup=0.0, schedule="constant",
            learning_rate=settings["rate"],
        )  # fmt: skip
        losses.append(loss_of(shallow))
        assert epoch + 3 == len(losses)
    return {
        task.cell: {
            "start": start,
            "inserted": inserted - start,
            "worst": max(losses[1:]) - start,
            "end": losses[-1] - start,
            "losses": losses,
        }
    }


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Training loss before, after the insertion, and on."""
    epochs = [-1, *range(result.study.scales[result.scale].settings["on"] + 1)]
    arms = {RESIDUAL: "residual blocks, F(x) = 0", PLAIN: "plain layers"}
    lines(axes[0], result, theme, arms, "losses", epochs)
    axes[0].axvline(-0.5, color=theme.pale, linestyle="--", linewidth=1.2)
    axes[0].set_ylim(bottom=0)
    axes[0].set_xticks(epochs, ["before", "after", *map(str, epochs[2:])])
    axes[0].set_xlabel("insertion, then epochs")
    axes[0].set_title("training loss")
    axes[0].legend()


STUDY = Study(
    name="baseline",
    claim="Added residual blocks do not hurt what was there; added plain layers do.",
    source="The lecture on residual networks; He et al. 2015 (arXiv:1512.03385), section 1",
    method="A shallow residual network is trained. Then blocks are put behind those it has, "
    "residual ones that begin as the identity or plain ones, and it is trained on. The training "
    "loss should not rise above where it was, but by a hundredth.",
    data="digits", side=8, channels=1,
    scales={
        "quick": Scale(
            about="8 layers become 20, on 600 digits of 8×8 pixels; 12 epochs before, 5 after.",
            cells=(RESIDUAL, PLAIN), seeds=3, minutes=1,
            settings={
                "shallow": 8, "deep": 20, "train": 600, "epochs": 12, "on": 5, "rate": 2e-4,
            },
        ),
        "full": Scale(
            about="20 layers become 56, on all of CIFAR-10; 60 epochs before, 20 after.",
            cells=(RESIDUAL, PLAIN), seeds=3, needs="a folder of CIFAR-10",
            settings={
                "shallow": 20, "deep": 56, "train": None, "epochs": 60, "on": 20, "rate": 2e-4,
            },
            passes={"resnet56-cifar": 2 * 20 * 50_000, "resnet20-cifar": 2 * 60 * 50_000},
        ),
    },
    measure=measure,
    criteria=(
        Criterion("loss right after residual blocks came, minus before", "inserted", RESIDUAL,
                  below=0.001),
        Criterion("the highest loss after residual blocks came, minus before", "worst", RESIDUAL,
                  below=0.01),
        Criterion("the highest loss after plain layers came, minus before", "worst", PLAIN,
                  above=0.01),
    ),
    columns=(
        Column("start", "loss before", 4),
        Column("inserted", "change by insertion", 4),
        Column("worst", "worst change", 4),
        Column("end", "change at the end", 4),
    ),
    figure=figure,
    caption="Training loss of a trained network before blocks are inserted, right after, and while "
    "it is trained on. Bands are 95% intervals over the seeds.",
)  # fmt: skip
