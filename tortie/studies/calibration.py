"""LeNet-5 is calibrated, modern networks are not, and a temperature mends it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task, percent
from tortie.experiments.study_figures import dots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme


def measure(task: Task) -> Measured:
    """Train a network; half of the test pictures fit the temperature, the others judge it."""
    from tortie import networks
    from tortie.evaluation.calibration import (
        expected_calibration_error,
        fit_temperature,
        temperature_scaled,
    )
    from tortie.experiments.learn import learn, logits_of, seeded

    settings, channels = task.settings, task.pictures.pixels.shape[3]
    split = task.pictures.split(task.seed, settings["train"])
    name, arguments = settings["networks"][task.cell]
    network = seeded(
        task.seed,
        lambda: networks.build(name, classes=split.classes, in_channels=channels, **arguments),
    )
    learnt = learn(network, split, task, epochs=settings["epochs"], label_smoothing=0.0)
    said = logits_of(network, split.test).softmax(1).numpy()
    labels = split.test_labels.numpy()
    half = len(said) // 2
    temperature = fit_temperature(said[:half], labels[:half])
    mended = temperature_scaled(said[half:], temperature)
    before = expected_calibration_error(said[half:], labels[half:], settings["bins"])
    after = expected_calibration_error(mended, labels[half:], settings["bins"])
    base = {"right": 1 - learnt.test_error, "temperature": temperature}
    return {
        task.cell: {**base, "ece": before, "confidence": float(said.max(1).mean())},
        f"{task.cell}, tempered": {"ece": after},
    }


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Expected calibration error before and after."""
    names = result.study.scales[result.scale].settings["networks"]
    labels: dict[str, str] = {}
    for name in names:
        labels |= {name: name, f"{name}, tempered": f"{name},\ntempered"}
    dots(axes[0], result, theme, labels, "ece", 100)
    axes[0].set_xlim(left=0)
    axes[0].set_title("expected calibration error, %")


OLD, NEW = "LeNet-5", "ResNet"
STUDY = Study(
    name="calibration",
    claim="LeNet-5 is calibrated, modern networks are not; a temperature mends it.",
    source="Guo, Pleiss, Sun, Weinberger 2017, figures 1 and 4, table 1",
    method="LeNet-5 and a residual network are trained in the same way, without label smoothing. "
    "On one half of the test pictures a temperature is fitted, on the other half the calibration "
    "error is measured before and after.",
    data="patches", side=28, channels=1,
    scales={
        "quick": Scale(
            about="600 patches of 28×28 pixels, 20 epochs, a ResNet of 8 layers; the paper has "
            "LeNet-5 and a ResNet of 110 layers on CIFAR-100.",
            cells=(OLD, NEW), seeds=12, minutes=5,
            settings={
                "networks": {OLD: ("lenet5", {}), NEW: ("resnet20-cifar", {"depth": 8})},
                "train": 600, "epochs": 20, "bins": 15,
            },
        ),
        "full": Scale(
            about="All of CIFAR-10 in grey, 60 epochs, LeNet-5 and ResNet-110.",
            cells=(OLD, NEW), seeds=3, needs="a folder of CIFAR-10",
            settings={
                "networks": {OLD: ("lenet5", {}), NEW: ("resnet110-cifar", {})},
                "train": None, "epochs": 60, "bins": 15,
            },
            passes={"resnet110-cifar": 60 * 50_000},
        ),
    },
    measure=measure,
    criteria=(
        Criterion("calibration error of the ResNet minus LeNet-5, points", "ece", NEW, OLD, above=0,
                  unit=100),
        Criterion("calibration error of the ResNet tempered minus not, points", "ece",
                  f"{NEW}, tempered", NEW, below=0, unit=100),
    ),
    columns=(
        percent("right", "test accuracy, %"),
        percent("confidence", "mean confidence, %"),
        percent("ece", "calibration error, %"),
        Column("temperature", "temperature", 2),
    ),
    figure=figure,
    caption="Expected calibration error before and after the temperature; small dots are seeds, "
    "lines are 95% intervals of the mean.",
)  # fmt: skip
