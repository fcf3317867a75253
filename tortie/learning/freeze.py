"""A network for training at any depth: built, its head chosen, and frozen as far as asked."""

import torch

from tortie.errors import UsageError
from tortie.learning.options import FitOptions, hidden_units
from tortie.learning.plan import Freeze
from tortie.networks import build
from tortie.networks.network import Network
from tortie.networks.table import Entry
from tortie.weights.meta import meta_device


def frozen_stages(network: Network, asked: str | int) -> Freeze:
    """How deep ``all``, ``none``, a number of stages or a stage's name freezes.

    Raises:
        UsageError: no such stage.
    """
    names = network.stage_names
    text = str(asked)
    if text == "all":
        stages = len(names)
    elif text == "none":
        stages = 0
    else:
        stages = network.stage_index(int(text) if text.isdecimal() else text)
    return Freeze(asked=text, stages=stages, last_frozen=names[stages - 1] if stages else None)


def middle_stage(network: Network) -> str:
    """The stage that halves the network: the last of its first half, by number of stages."""
    names = network.stage_names
    return names[(len(names) + 1) // 2 - 1]


def check_weights(entry: Entry, weights: str | None, freeze: str | int) -> None:
    """Refuse to freeze random numbers, and weights that do not exist.

    Raises:
        UsageError: with what to ask for instead.
    """
    if weights is None and str(freeze) not in ("none", "0"):
        raise UsageError(
            "fresh weights cannot be frozen: they are random numbers; take --weights imagenet, or "
            "--freeze none to train from scratch"
        )
    if weights == "imagenet" and not entry.weights:
        instead = entry.sibling or "efficientnet-lite0"
        raise UsageError(
            f"{entry.name} has no trained weights: take --network {instead}, --weights FILE, or "
            "train from scratch with --weights none --freeze none"
        )


def check_depth(entry: Entry, options: FitOptions) -> None:
    """Refuse a depth or weights that are not there, before a photograph is read.

    Raises:
        UsageError: with what there is.
    """
    check_weights(entry, options.weights, options.freeze)
    if options.freeze == "auto":
        if options.head != "linear":
            raise UsageError(
                f"--freeze auto compares softmax layers, not a head {options.head}: take --head "
                "linear, or name the depth"
            )
        return
    with meta_device():
        network = entry.build()
        if options.weights is not None:
            network.new_head(network.classes, hidden_units(options.head))
    frozen_stages(network, options.freeze)


def build_trainable(entry: Entry, options: FitOptions, classes: int) -> tuple[Network, Freeze]:
    """The network that a fit trains, its parameters begun and its frozen stages frozen.

    From fresh weights it keeps the head of its paper; from trained ones it gets a fresh head.

    Raises:
        UsageError: a stage or a head that does not exist, or random numbers to be frozen.
        TortieError: weights that cannot be fetched, or are damaged.
    """
    check_weights(entry, options.weights, options.freeze)
    hidden = hidden_units(options.head)
    arguments = dict(entry.arguments)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.draws)
        if options.weights is None:
            network = entry.build(classes=classes)
            if hidden:
                network.new_head(classes, hidden)
        else:
            network = build(entry.name, weights=options.weights, **arguments)
            network.new_head(classes, hidden)
    freeze = frozen_stages(network, options.freeze)
    network.freeze(freeze.stages)
    return network, freeze
