"""Much data or much engineering."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task, percent
from tortie.experiments.study_figures import curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.picture_sets import Split
    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme

HOG, LENET, RESNET, LITE, TUNED = (
    "HOG + SVM", "LeNet-5", "ResNet-20", "Lite0, frozen", "Lite0, fine-tuned",
)  # fmt: skip


def measure(task: Task) -> Measured:
    """The test error of this cell's method by the number of training pictures."""
    arms: dict[str, dict[str, Any]] = {}
    errors = []
    for count in task.settings["counts"]:
        split = task.pictures.split(task.seed, count, task.settings["test"])
        error = _error(task, split)
        errors.append(max(error, 0.5 / len(split.test_labels)))
        arms[f"{task.cell}, {count}"] = {"error": error}
    slope = np.polyfit(np.log(task.settings["counts"]), np.log(errors), 1)[0]
    gain = errors[0] / errors[-1]
    return {**arms, task.cell: {"exponent": -float(slope), "gain": math.log(gain)}}


def _error(task: Task, split: "Split") -> float:
    import torch
    from torch.nn import functional as F

    from tortie import networks
    from tortie.experiments.learn import fine_tune, learn, linear_probe, seeded

    if task.cell == HOG:
        from skimage.feature import hog
        from sklearn.svm import LinearSVC

        made, tested = (
            [hog(one[0].numpy(), 9, (7, 7), (2, 2)) for one in images]
            for images in (split.train, split.test)
        )
        machine = LinearSVC(C=1.0, dual=False).fit(made, split.train_labels)
        return float((machine.predict(tested) != split.test_labels.numpy()).mean())
    if task.cell in (LITE, TUNED):
        network = networks.build("efficientnet-lite0", classes=split.classes, weights="imagenet")
        prefix, rest = network.eval().cut("avgpool" if task.cell == LITE else "mbconv6")
        with torch.inference_mode():
            first, second = (
                torch.cat([prefix(F.interpolate(part, (64, 64)).expand(-1, 3, -1, -1))
                           for part in images.split(50)]).clone()
                for images in (split.train, split.test)
            )  # fmt: skip
        if task.cell == LITE:
            return linear_probe(first, second, split.train_labels, split.test_labels)
        own = type(split)(first, split.train_labels, second, split.test_labels, split.classes)
        return fine_tune(rest, own, task, epochs=epochs(task, split)).test_error
    name = {LENET: "lenet5", RESNET: "resnet20-cifar"}[task.cell]
    built = seeded(task.seed, lambda: networks.build(name, classes=split.classes, in_channels=1))
    return learn(built, split, task, epochs=epochs(task, split)).test_error


def epochs(task: Task, split: "Split") -> int:
    """Fewer for the networks that take long for a picture."""
    passes = task.settings["passes"] * {RESNET: 1 / 9, TUNED: 1 / 6}.get(task.cell, 1)
    return max(2, round(passes / len(split.train)))


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Learning curves, both axes logarithmic."""
    size = result.study.scales[result.scale]
    for method, colour in zip(size.cells, theme.colours, strict=False):
        points = {count: f"{method}, {count}" for count in size.settings["counts"]}
        curve(axes[0], result, colour, method, points, "error", 100)
    axes[0].set_xscale("log")
    axes[0].set_yscale("log")
    counts = size.settings["counts"]
    axes[0].set_xticks(counts, [f"{count:,}" for count in counts])
    axes[0].set_yticks((2, 5, 10, 20, 50), ("2", "5", "10", "20", "50"))
    axes[0].minorticks_off()
    axes[0].set_xlabel("training pictures")
    axes[0].set_title("test error, %")
    axes[0].legend()


COUNTS = (50, 200, 800)
FEW, MANY = COUNTS[0], COUNTS[-1]
STUDY = Study(
    name="data",
    claim="Much data makes up for little engineering: with few pictures features made by hand "
    "win, with more the lead goes.",
    source="The lecture on practice; Hestness et al. 2017",
    method="Test error by the number of training pictures, of features made by hand (HOG, and a "
    "linear SVM), of networks from fresh weights, of a softmax layer on frozen "
    "EfficientNet-Lite0, and of its last stages fine-tuned, those after mbconv6. A power law is "
    "fitted to each seed's curve.",
    data="digits", side=28, channels=1,
    scales={
        "quick": Scale(
            about="50, 200 and 800 digits enlarged to 28×28 pixels, 300 to test; LeNet-5 "
            "and ResNet-20 from fresh weights.",
            cells=(HOG, LENET, RESNET, LITE, TUNED), seeds=12, minutes=8,
            settings={"counts": COUNTS, "test": 300, "passes": 9000},
        ),
        "full": Scale(
            about="50 to 20,000 photographs of a folder, in grey.",
            cells=(HOG, LENET, RESNET, LITE, TUNED), seeds=3, times=67 * 5 / 3,
            needs="a folder of CIFAR-10",
            settings={"counts": (50, 200, 800, 5000, 20000), "test": 2000, "passes": 600_000},
        ),
    },
    measure=measure,
    criteria=(
        Criterion(f"test error of LeNet-5 minus HOG, {FEW} pictures, points", "error",
                  f"{LENET}, {FEW}", f"{HOG}, {FEW}", above=0, unit=100),
        Criterion("logarithm of what more pictures divide the error by, LeNet-5 minus HOG", "gain",
                  LENET, HOG, above=0),
    ),
    columns=(
        percent("error", "test error, %"),
        Column("exponent", "exponent of the power law", 2),
    ),
    figure=figure,
    caption="Test error by the number of training pictures, both axes logarithmic: a straight line "
    "is a power law. Vertical lines are 95% intervals.",
)  # fmt: skip
