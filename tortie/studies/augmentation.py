"""What each distortion is worth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task, percent
from tortie.experiments.study_figures import dots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme

NONE, ALL, MIRROR = "no distortion", "all but mirroring", "mirroring"
KINDS: dict[str, dict[str, Any]] = {
    "shift": {"shift": (-0.1, 0.1)},
    "rotation": {"rotate": (-12, 12)},
    "scale": {"scale": (0.85, 1.15)},
    "shear": {"shear": (-12, 12)},
    "local warping": {"warp": (0.0, 0.03)},
}
POLICIES: dict[str, dict[str, Any]] = {
    NONE: {},
    **KINDS,
    ALL: {name: value for one in KINDS.values() for name, value in one.items()},
    MIRROR: {"mirror": 0.5},
}


def measure(task: Task) -> Measured:
    """Train LeNet-5 on pictures that are distorted anew in each epoch."""
    import torch

    from tortie import networks
    from tortie.augment import ColourBasis, Policy, draw
    from tortie.experiments.learn import learn, seeded

    settings, pictures = task.settings, task.pictures
    rows, _ = pictures.rows(task.seed, settings["train"])
    split = pictures.split(task.seed, settings["train"])
    level = pictures.pixels[rows].astype(np.float32)
    mean, std = level.mean((0, 1, 2)), level.std((0, 1, 2)) + 1e-3
    chosen = Policy(**POLICIES[task.cell])
    side, channels = pictures.pixels.shape[2:]

    def distort(images: torch.Tensor, numbers: Any, epoch: int) -> torch.Tensor:
        drawn = [
            draw(chosen, task.seed, str(number), epoch).apply(
                pictures.pixels[rows[number]], side, side
            )
            for number in numbers
        ]
        normal = (np.stack(drawn).astype(np.float32) - mean) / std
        return torch.from_numpy(np.ascontiguousarray(normal.transpose(0, 3, 1, 2)))

    network = seeded(
        task.seed,
        lambda: networks.build("lenet5", classes=split.classes, in_channels=channels),
    )
    learnt = learn(
        network, split, task, epochs=settings["epochs"],
        distort=None if task.cell == NONE else distort,
    )  # fmt: skip
    arms: dict[str, dict[str, Any]] = {task.cell: {"right": 1 - learnt.test_error}}
    if task.cell == NONE:  # the lecture's example: a mainly purple picture
        shades = np.linspace(0, 1, 256)[:, None, None] * np.array([200, 20, 220])
        basis = ColourBasis.of([shades.round().astype(np.uint8)])
        red, green, blue = basis.added((0.1, 0.0, 0.0))
        arms["purple picture"] = {"red": red, "green": green, "blue": blue,
                                  "ratio": abs(red) / max(abs(green), 1e-9)}  # fmt: skip
    return arms


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Test accuracy by distortion."""
    dots(axes[0], result, theme, {arm: arm for arm in POLICIES}, "right", 100)
    none = 100 * result.mean(NONE, "right").value
    axes[0].axvline(none, color=theme.pale, linestyle="--", linewidth=1.2)
    axes[0].set_title("test accuracy by distortion, %")


STUDY = Study(
    name="augmentation",
    claim="Distortions that keep the class help; mirrored digits do not.",
    source="The lecture on augmentation; LeCun et al. 1998, section III-A; Krizhevsky et al. 2012, "
    "section 4.1",
    method="LeNet-5 is trained on few digits, each distorted anew in every epoch by one kind of "
    "distortion, by all of them, or by mirroring. PCA colour is taken of a mainly purple picture: "
    "red and blue move, green hardly.",
    data="digits", side=28, channels=1,
    scales={
        "quick": Scale(
            about="150 digits enlarged to 28×28 pixels, 30 epochs.",
            cells=tuple(POLICIES), seeds=12, minutes=2, settings={"train": 150, "epochs": 30},
        ),
        "full": Scale(
            about="All of a folder of digits, such as MNIST, 30 epochs.",
            cells=tuple(POLICIES), seeds=5, times=60_000 / 150, needs="a folder of MNIST",
            settings={"train": None, "epochs": 30},
        ),
    },
    measure=measure,
    criteria=(
        Criterion("test accuracy of all distortions minus none, points", "right", ALL, NONE,
                  above=0, unit=100),
        Criterion("test accuracy of shifts minus none, points", "right", "shift", NONE, above=0,
                  unit=100),
        Criterion("test accuracy of mirroring minus none, points", "right", MIRROR, NONE, below=0,
                  unit=100),
        Criterion("PCA colour of a purple picture: red over green", "ratio", "purple picture",
                  above=5, exact=True),
    ),
    columns=(
        percent("right", "test accuracy, %"),
        Column("red", "red", exact=True), Column("green", "green", exact=True),
        Column("blue", "blue", exact=True),
    ),
    figure=figure,
    caption="Test accuracy by distortion; the dashed line is without. Small dots are seeds, lines "
    "are 95% intervals of the mean.",
)  # fmt: skip
