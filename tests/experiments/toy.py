"""A study that takes no time: made-up numbers, so that every verdict is known."""

from tortie.experiments.study import Column, Criterion, Scale, Study
from tortie.experiments.study_figures import dots

# right answers of two arms by seed
MADE_UP = {
    "better": {101: 0.90, 102: 0.92, 103: 0.91, 104: 0.93},
    "worse": {101: 0.80, 102: 0.83, 103: 0.80, 104: 0.84},
}


def measure(task):
    path = task.settings.get("count")
    if path:
        with open(path, "a") as file:
            file.write(f"{task.cell} {task.seed}\n")
    if task.settings.get("stop") == (task.cell, task.seed):
        raise KeyboardInterrupt
    return {task.cell: {"right": MADE_UP[task.cell][task.seed]}}


def figure(axes, result, theme):
    dots(axes[0], result, theme, {"better": "better", "worse": "worse"}, "right", 100)


def toy(above=0.0, below=float("inf"), seeds=3, **settings):
    """The study; the claim is that the first arm is better by ``above`` to ``below``."""
    scale = Scale(
        about="Made-up numbers.", cells=("better", "worse"), seeds=seeds, minutes=1,
        settings=settings,
    )  # fmt: skip
    return Study(
        name="toy", claim="The first is better.", source="nobody", method="Nothing is done.",
        data="none", side=8, channels=1,
        scales={"quick": scale, "full": Scale("The same.", scale.cells, 4, None, needs="luck")},
        measure=measure,
        criteria=(
            Criterion("difference, points", "right", "better", "worse", above, below, unit=100),
        ),
        columns=(Column("right", "right, %", unit=100),),
        figure=figure, caption="Two arms.",
    )  # fmt: skip
