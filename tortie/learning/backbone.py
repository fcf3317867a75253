"""A network of the table, frozen and cut, ready to compute activations."""

from dataclasses import dataclass

import torch

from tortie.activations.device import device_name
from tortie.activations.engine import chosen_precision
from tortie.activations.extract import Extractor
from tortie.activations.store import ActivationStore
from tortie.activations.views import Drawn
from tortie.augment import Policy, policy
from tortie.learning.freeze import check_weights, frozen_stages
from tortie.learning.options import FitOptions
from tortie.learning.plan import Freeze
from tortie.learning.softmax import LinearHead
from tortie.networks import build
from tortie.networks.network import Network
from tortie.networks.table import Entry


@dataclass(frozen=True)
class Backbone:
    """A frozen network.

    Attributes:
        network: all of its stages are frozen.
        freeze: how deep, and what was asked.
        extractor: computes what the last frozen stage yields.
    """

    network: Network
    freeze: Freeze
    extractor: Extractor

    def with_head(self, head: LinearHead) -> Network:
        """The network with a trained softmax layer in place of its head."""
        self.network.new_head(len(head.bias))
        fill_head(self.network, head)
        return self.network.eval()


def fill_head(network: Network, head: LinearHead) -> None:
    """Give a network's linear head the values of a trained softmax layer."""
    with torch.no_grad():
        network.head.get_parameter("weight").copy_(torch.from_numpy(head.weight))
        network.head.get_parameter("bias").copy_(torch.from_numpy(head.bias))


def freeze_network(
    entry: Entry, options: FitOptions, store: ActivationStore, threads: int, max_pixels: int
) -> Backbone:
    """Build the network with its weights, freeze what was asked, and cut it there.

    Raises:
        UsageError: a stage that is not there, a depth that cannot be learnt yet, freezing a
            network without trained weights, a device that is not there.
    """
    check_weights(entry, options.weights, options.freeze)
    network = build(entry.name, weights=options.weights, **dict(entry.arguments))
    if network.head_sees_maps:
        network.new_head(network.classes)  # means of the maps, for a softmax layer
    freeze = frozen_stages(network, options.freeze)
    network.freeze(freeze.stages)
    device = chosen_device(options.device)
    extractor = Extractor.of(
        network, entry, store=store, device=device,
        precision=chosen_precision(options.precision, device), engine=options.engine,
        threads=threads, max_pixels=max_pixels,
    )  # fmt: skip
    return Backbone(network, freeze, extractor)


def chosen_policy(entry: Entry, name: str, mirror: bool) -> tuple[Policy | None, list[str]]:
    """A policy as far as it suits a network and the photographs, and what the user should know.

    Args:
        entry: the network.
        name: of the policy.
        mirror: whether a mirrored photograph keeps its class.

    Returns:
        ``None`` for ``none``.
    """
    if name == "none":
        return None, []
    chosen = policy(name)
    notes = []
    if chosen.mirror and not entry.mirror:
        chosen = chosen.without("mirror")
        notes.append(f"no photograph is mirrored: {entry.name} reads digits, which it would change")
    elif chosen.mirror and not mirror:
        chosen = chosen.without("mirror")
    if entry.preprocessing.channels == 1 and chosen.colour_operations:
        notes.append(f"grey input takes no {', '.join(chosen.colour_operations)}")
        chosen = chosen.for_grey()
    return chosen, notes


def drawn_views(entry: Entry, options: FitOptions) -> tuple[list[Drawn], list[str]]:
    """The drawn views of a training photograph, and what the user should know of them."""
    chosen, notes = chosen_policy(entry, options.augment or "none", options.mirror)
    if chosen is None:
        return [], notes
    numbers = range(1, options.views + 1)
    return [Drawn(entry.preprocessing, chosen, options.draws, n) for n in numbers], notes


def chosen_device(name: str) -> torch.device:
    """The torch device of that name; ``auto`` takes a GPU where there is one.

    Raises:
        UsageError: no such device here.
    """
    return torch.device(device_name(name))
