"""Little data: freeze more; much data: freeze less."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task, percent
from tortie.experiments.study_figures import heat

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.picture_sets import Split
    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme

DEPTHS = {"all stages": "avgpool", "through mbconv6": "mbconv6", "through mbconv3": "mbconv3"}


def measure(task: Task) -> Measured:
    """Fine-tune with this many pictures a class at each depth, and as ``auto`` would choose."""
    from tortie.experiments.learn import moves_nothing

    count, classes = int(task.cell), len(task.pictures.classes)
    split = task.pictures.split(task.seed, count * classes, task.settings["test"])
    right = rights(task, split)
    chosen = next(iter(DEPTHS))
    if not moves_nothing(count):
        held = max(1, round(0.15 * len(split.train)))
        images, labels = split.train, split.train_labels
        part = type(split)(images[held:], labels[held:], images[:held], labels[:held], classes)
        found = rights(task, part)
        chosen = max(found, key=lambda depth: found[depth])
    near = float(right[chosen] >= max(right.values()) - 0.01)
    return {
        **{f"{name}, {count} a class": {"right": one} for name, one in right.items()},
        f"auto, {count} a class": {
            "right": right[chosen], "near": near, "row": float([*DEPTHS].index(chosen)),
        },
        f"{count} a class": {"lead": right["all stages"] - right["through mbconv3"]},
    }  # fmt: skip


def rights(task: Task, split: "Split") -> dict[str, float]:
    """The share of test pictures that are right at each depth; what is frozen runs once."""
    import torch

    from tortie import networks
    from tortie.experiments.learn import fine_tune, linear_probe, seeded

    right = {}
    for name, cut in DEPTHS.items():
        network = seeded(
            task.seed,
            lambda: networks.build("efficientnet-lite0", classes=split.classes, weights="imagenet"),
        ).eval()
        network.freeze(cut)
        prefix, rest = network.cut(cut)
        with torch.inference_mode():
            stored = [
                torch.cat([prefix(part) for part in images.split(50)]).clone()
                for images in (split.train, split.test)
            ]
        if cut == "avgpool":
            error = linear_probe(stored[0], stored[1], split.train_labels, split.test_labels)
        else:
            labels = split.train_labels, split.test_labels
            own = type(split)(stored[0], labels[0], stored[1], labels[1], split.classes)
            error = fine_tune(rest, own, task, epochs=task.settings["epochs"]).test_error
        right[name] = 1 - error
    return right


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Accuracy by pictures a class and depth."""
    counts = result.study.scales[result.scale].cells
    values = [
        [100 * result.mean(f"{depth}, {count} a class", "right").value for count in counts]
        for depth in DEPTHS
    ]
    rows = [depth.replace("through ", "through\n") for depth in DEPTHS]
    lands = [round(result.mean(f"auto, {count} a class", "row").value) for count in counts]
    heat(axes[0], values, rows, list(counts), theme, outlined=lands)
    axes[0].set_xlabel("pictures a class")
    axes[0].set_ylabel("frozen")
    axes[0].set_title("test accuracy, %")


STUDY = Study(
    name="freezing",
    claim="With little data freeze more, with much data freeze less.",
    source="Yosinski et al. 2014; Kumar et al. 2022; the lecture on transfer learning",
    method="EfficientNet-Lite0 is frozen through three stages and its rest is trained, with few "
    "pictures a class and with more. What is frozen is computed once. `auto` lands where "
    "`--freeze auto` does: under 20 pictures a class on freezing all, from there on on what wins "
    "on 15% of the training pictures. The lead of freezing "
    "all over freezing least should be above 0 with few, and lower with more.",
    data="photographs", side=64, channels=3,
    scales={
        "quick": Scale(
            about="1, 4 and 16 patches of photographs a class, of 64×64 pixels, 150 to test.",
            cells=("1", "4", "16"), seeds=12, minutes=6, settings={"test": 150, "epochs": 10},
        ),
        "full": Scale(
            about="5, 50 and 500 photographs a class of a folder.",
            cells=("5", "50", "500"), seeds=3, times=26 * 3, needs="a folder of photographs",
            settings={"test": 5000, "epochs": 30},
        ),
    },
    measure=measure,
    criteria=(
        Criterion("accuracy of freezing all minus freezing through mbconv3, 1 a class, points",
                  "lead", "1 a class", above=0, unit=100),
        Criterion("the same, 16 a class minus 1 a class, points", "lead", "16 a class",
                  "1 a class", below=0, unit=100),
    ),
    columns=(
        percent("right", "test accuracy, %"),
        percent("near", "within a point of the best, % of seeds", 0, exact=True),
        Column("lead", "lead of freezing all, points", unit=100),
    ),
    figure=figure,
    caption="Test accuracy by pictures a class and by how much is frozen. Outlined: where "
    "--freeze auto lands.",
)  # fmt: skip
