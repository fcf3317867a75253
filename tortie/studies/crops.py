"""More crops, a little better, linearly dearer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task, percent
from tortie.experiments.study_figures import curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme
    from tortie.networks.network import Network

CROPS, MEMBERS = (1, 10, 144), (1, 3)


def measure(task: Task) -> Measured:
    """Train members on central crops; test on one, ten and 144 crops of each picture."""
    import torch

    from tortie import networks
    from tortie.cost.count import count
    from tortie.experiments.learn import learn, logits_of, seeded

    settings, channels = task.settings, task.pictures.pixels.shape[3]
    split = task.pictures.split(task.seed, settings["train"], settings["test"])
    side = task.pictures.pixels.shape[1]
    small = side * 7 // 8  # 224 of 256
    margin = (side - small) // 2

    def build() -> "Network":
        return networks.build(settings["network"], classes=split.classes, in_channels=channels)

    def central(images: "Tensor") -> "Tensor":
        return images[:, :, margin : margin + small, margin : margin + small]

    own = type(split)(
        central(split.train), split.train_labels, central(split.test), split.test_labels,
        split.classes,
    )  # fmt: skip
    members = [seeded(1000 * task.seed + n, build) for n in range(max(MEMBERS))]
    for member in members:
        learn(member, own, task, epochs=settings["epochs"])
    once = count(members[0], (small, small, channels)).multiplications
    arms = {}
    for crops in CROPS:
        views = crop(split.test, crops, small)
        said = [
            torch.stack([logits_of(member, view).softmax(1) for view in views]).mean(0)
            for member in members
        ]
        for number in MEMBERS:
            right = torch.stack(said[:number]).mean(0).argmax(1) == split.test_labels
            arms[f"{crops} crops × {number}"] = {
                "right": float(right.float().mean()),
                "multiplications": once * len(views) * number,
            }
    return arms


def crop(images: "Tensor", crops: int, small: int) -> "list[Tensor]":
    """The crops of square pictures: the centre; the corners; larger ones; and mirror images.

    Of square pictures the three squares of the paper's 144 are one, which leaves 48.
    """
    from torch.nn import functional as F

    side = images.shape[-1]
    found = []
    scales = (1.0,) if crops < 144 else (1.0, 288 / 256, 320 / 256, 352 / 256)
    for scale in scales:
        size = round(side * scale)
        large = images
        if size != side:
            large = F.interpolate(images, (size, size), mode="bilinear", align_corners=False)
        centre, end = (size - small) // 2, size - small
        places = [(centre, centre)]
        if crops > 1:
            places += [(0, 0), (0, end), (end, 0), (end, end)]
        found += [large[:, :, y : y + small, x : x + small] for y, x in places]
        if crops == 144:
            found += [F.interpolate(large, (small, small), mode="bilinear", align_corners=False)]
    return found if crops == 1 else [*found, *(view.flip(3) for view in found)]


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Accuracy against multiplications."""
    labels = {1: "one network", **{n: f"{n} networks" for n in MEMBERS[1:]}}
    for number, colour in zip(MEMBERS, theme.colours, strict=False):
        names = [f"{crops} crops × {number}" for crops in CROPS]
        points = {result.of(name, "multiplications")[0] / 1e6: name for name in names}
        curve(axes[0], result, colour, labels[number], points, "right", 100)
    axes[0].set_xscale("log")
    axes[0].set_xlabel("million multiplications a picture: 1, 10 and 144 crops")
    axes[0].set_title("test accuracy, %")
    axes[0].legend()


ONE, TEN, MANY = (f"{crops} crops × 1" for crops in CROPS)
STUDY = Study(
    name="crops",
    claim="More crops make it a little better, and linearly dearer.",
    source="Szegedy et al. 2015, section 7, tables 2 and 3; Krizhevsky et al. 2012, section 4.1",
    method="Networks are trained on the centres of pictures, 7/8 of their side, and tested on the "
    "centre, on the paper's ten crops, and on 144 (48 here, since the three squares of a square "
    "picture are one), each by one network and by several. A little is up to five points.",
    data="patches", side=32, channels=1,
    scales={
        "quick": Scale(
            about="LeNet-5 on 28×28 pixels of 800 patches of 32×32, 15 epochs, 300 to test.",
            cells=("all",), seeds=12, minutes=3,
            settings={"network": "lenet5", "train": 800, "test": 300, "epochs": 15},
        ),
        "full": Scale(
            about="ResNet-20 on 28×28 pixels of all of CIFAR-10 in grey, 60 epochs.",
            cells=("all",), seeds=3, needs="a folder of CIFAR-10",
            settings={"network": "resnet20-cifar", "train": None, "test": None, "epochs": 60},
            passes={"resnet20-cifar": 3 * 60 * 50_000},
        ),
    },
    measure=measure,
    criteria=(
        Criterion("multiplications of ten crops over one", "multiplications", TEN, ONE, above=9.9,
                  below=10.1, ratio=True, exact=True),
        Criterion("test accuracy of ten crops minus one, points", "right", TEN, ONE, above=0,
                  below=0.05, unit=100),
        Criterion("test accuracy of 144 crops minus one, points", "right", MANY, ONE, above=0,
                  below=0.05, unit=100),
    ),
    columns=(
        Column("multiplications", "multiplications", 0, exact=True),
        percent("right", "test accuracy, %"),
    ),
    figure=figure,
    caption="Test accuracy against multiplications; the points of a line are 1, 10 and 144 crops. "
    "Vertical lines are 95% intervals.",
)  # fmt: skip
