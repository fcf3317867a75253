"""What is frozen need not be computed twice."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tortie.experiments.study import Column, Criterion, Measured, Scale, Study, Task
from tortie.experiments.study_figures import curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme

EPOCHS = (1, 2, 4, 8)


def measure(task: Task) -> Measured:
    """Train the same head on frozen stages, which run in each epoch or once."""
    import torch
    from torch import nn

    from tortie import networks
    from tortie.cost.count import count
    from tortie.experiments.learn import seeded

    settings = task.settings
    weights = settings["weights"]
    split = task.pictures.split(task.seed, settings["train"])
    network = seeded(
        task.seed,
        lambda: networks.build("efficientnet-lite0", classes=split.classes, weights=weights),
    ).eval()
    prefix, rest = network.cut("avgpool")
    shape = task.pictures.pixels.shape[1:]
    parts = count(network, (shape[0], shape[1], 3)).stages
    frozen, trained = (
        sum(one.multiplications for one in some) for some in (parts[:-1], parts[-1:])
    )
    start = {name: tensor.clone() for name, tensor in rest.state_dict().items()}
    arms = {}
    for stored in (False, True):
        rest.load_state_dict(start)
        optimiser = torch.optim.SGD(rest.parameters(), 0.05)
        losses: list[float] = []
        begin, kept = time.process_time(), []
        for epoch in range(1, EPOCHS[-1] + 1):
            for number, batch in enumerate(split.train.split(50)):
                if not stored or epoch == 1:
                    with torch.no_grad():
                        features = prefix(batch)
                    kept.append(features)
                else:
                    features = kept[number]
                labels = split.train_labels[50 * number : 50 * number + len(batch)]
                loss = nn.functional.cross_entropy(rest(features), labels)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append(float(loss.detach()))
            if epoch in EPOCHS:
                runs = 1 if stored else epoch
                arms[f"{'stored' if stored else 'live'}, {epoch} epochs"] = {
                    "multiplications": len(split.train) * (runs * frozen + 3 * epoch * trained),
                    "seconds": time.process_time() - begin,
                    "loss": losses[-1],
                }
    return arms


def figure(axes: "Sequence[Axes]", result: "Result", theme: "Theme") -> None:
    """Seconds over epochs."""
    for arm, label, colour in (
        ("live", "frozen stages in each epoch", theme.colours[1]),
        ("stored", "frozen stages once", theme.colours[0]),
    ):
        points = {n: f"{arm}, {n} epochs" for n in EPOCHS}
        curve(axes[0], result, colour, label, points, "seconds")
    axes[0].set_xticks(EPOCHS)
    axes[0].set_ylim(bottom=0)
    axes[0].set_xlabel("epochs")
    axes[0].set_title("seconds of the processor")
    axes[0].legend()


LIVE, STORED = f"live, {EPOCHS[-1]} epochs", f"stored, {EPOCHS[-1]} epochs"
STUDY = Study(
    name="store",
    claim="What is frozen need not be computed twice.",
    source="The lecture on transfer learning: save the activations before training the rest",
    method="The softmax layer of EfficientNet-Lite0 is trained on its frozen stages, which run in "
    "every epoch, or once, with their outputs kept in memory. The losses must be the same. The "
    "store of tortie fit keeps these outputs on the disk, for the next fit too.",
    data="photographs", side=64, channels=3,
    scales={
        "quick": Scale(
            about="200 patches of photographs, enlarged to 64×64 pixels.",
            cells=("both",), seeds=3, minutes=1, settings={"train": 200, "weights": "imagenet"},
        ),
        "full": Scale(
            about="5,000 photographs of a folder of one's own.",
            cells=("both",), seeds=3, times=5000 / 200, needs="a folder of photographs",
            settings={"train": 5000, "weights": "imagenet"},
        ),
    },
    measure=measure,
    criteria=(
        Criterion("multiplications of eight epochs, live over stored", "multiplications", LIVE,
                  STORED, above=7, ratio=True, exact=True),
        Criterion("seconds of eight epochs, live over stored", "seconds", LIVE, STORED, above=4,
                  ratio=True),
        Criterion("last loss, live minus stored", "loss", LIVE, STORED, above=-1e-5, below=1e-5),
    ),
    columns=(
        Column("multiplications", "multiplications", 0, exact=True),
        Column("seconds", "seconds", 2),
        Column("loss", "loss", 5),
    ),
    figure=figure,
    caption="Time of the processor by the number of epochs. Vertical lines are 95% intervals.",
)  # fmt: skip
