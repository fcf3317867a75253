"""Side heads: classifiers that hang from middle stages and are trained beside the head.

Szegedy et al. 2014, section 5: their losses, at a weight, give the earlier stages gradients, and
regularise. Inference does not use them, so what they score is told and they are not kept where the
file has a head of its own.
"""

import numpy as np
import torch

from tortie.errors import UsageError
from tortie.evaluation.metrics import wilson
from tortie.learning.freeze import Freeze
from tortie.networks.arguments import arguments_of
from tortie.networks.entry import Entry
from tortie.networks.network import Network, TrainedPart
from tortie.training.feed import batches_of, ready
from tortie.training.loop import TrainConfig, TrainData
from tortie.training.precision import arithmetic


def check_side_heads(entry: Entry) -> None:
    """Refuse a weight for the side heads of a network that has none.

    Raises:
        UsageError: with the networks that have them.
    """
    has = [one for one in arguments_of(entry) if one.name == "side_heads" and one.default]
    if not has:
        raise UsageError(
            f"side_heads is for a network with side heads, as googlenet and googlenet-bn: "
            f"{entry.title} has none"
        )


def hang_side_heads(network: Network, entry: Entry, classes: int, freeze: Freeze) -> None:
    """Give a network whose head is new fresh side heads of so many classes.

    Args:
        network: where those of the published classes were dropped with the published head.
        entry: its row in the table.
        classes: of the side heads.
        freeze: the frozen stages; a frozen stage's side head cannot train it.

    Raises:
        UsageError: all of them hang from frozen stages.
    """
    network.side_heads = entry.build(classes=classes).side_heads
    stages = list(network.side_heads)
    if not set(stages) - set(freeze.names(network.stage_names)):
        raise UsageError(
            f"the side heads of {entry.title} hang from {', '.join(stages)}, which are frozen: "
            "freeze fewer stages, or leave --side-heads out"
        )


@torch.inference_mode()
def side_notes(trained: TrainedPart, data: TrainData, config: TrainConfig) -> list[str]:
    """What each side head scores on the photographs that chose the epoch, and the head beside it.

    Args:
        trained: as training left it.
        data: photographs and classes.
        config: of the training.
    """
    rows, right = data.chosen_on, torch.from_numpy(data.labels[data.chosen_on])
    if not len(rows) or not trained.side_heads:
        return []
    trained.eval()
    hits: dict[str, int] = {}
    labels = dict(zip(rows.tolist(), right.tolist(), strict=True))
    for batch, inputs in ready(data.feed, batches_of(rows, 64), 0, config.workers):
        wanted = torch.tensor([labels[int(row)] for row in batch])
        with arithmetic(config.precision, config.device):
            logits, sides = trained.forward_with_sides(data.prepare(inputs))
        for name, said in (*sides.items(), ("the head", logits)):
            found = said.float().cpu().argmax(dim=1) == wanted
            hits[name] = hits.get(name, 0) + int(np.count_nonzero(found))
    scored = []
    for name, count in hits.items():
        span = wilson(count, len(rows))
        scored.append(f"{name} {span.value:.1%} ({span.low:.1%} to {span.high:.1%})")
    return [
        f"side heads, right on the {len(rows):,} photographs that chose the epoch: "
        f"{', '.join(scored)}"
    ]
