"""A network of the table, frozen and cut, ready to compute activations."""

from dataclasses import dataclass

import torch

from tortie.activations.engine import Precision
from tortie.activations.extract import Extractor
from tortie.activations.store import ActivationStore
from tortie.activations.views import Drawn
from tortie.augment import policy
from tortie.errors import UsageError
from tortie.learning.options import FitOptions
from tortie.learning.plan import Freeze
from tortie.learning.softmax import LinearHead
from tortie.networks import build
from tortie.networks.network import Network
from tortie.networks.table import Entry


@dataclass(frozen=True)
class Frozen:
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
        with torch.no_grad():
            self.network.head.get_parameter("weight").copy_(torch.from_numpy(head.weight))
            self.network.head.get_parameter("bias").copy_(torch.from_numpy(head.bias))
        return self.network.eval()


def freeze_network(
    entry: Entry, options: FitOptions, store: ActivationStore, threads: int, max_pixels: int
) -> Frozen:
    """Build the network with its weights, freeze what was asked, and cut it there.

    Raises:
        UsageError: a stage that is not there, a depth that cannot be learnt yet, freezing a
            network without trained weights, a device that is not there.
    """
    if options.weights is None:
        raise UsageError(
            "fresh weights cannot be frozen: they are random numbers; take --weights imagenet"
        )
    if options.weights == "imagenet" and not entry.weights:
        instead = entry.sibling or "efficientnet-lite0"
        raise UsageError(
            f"{entry.name} has no trained weights, so freezing it would keep random numbers: "
            f"take --network {instead}, or --weights FILE"
        )
    network = build(entry.name, weights=options.weights)
    if network.head_sees_maps:
        network.new_head(network.classes)  # means of the maps, for a softmax layer
    freeze = _depth(network, options.freeze)
    network.freeze(freeze.stages)
    extractor = Extractor.of(
        network, entry, store=store, device=chosen_device(options.device),
        precision=chosen_precision(options.precision),
        threads=threads, max_pixels=max_pixels,
    )  # fmt: skip
    return Frozen(network, freeze, extractor)


def drawn_views(entry: Entry, options: FitOptions) -> tuple[list[Drawn], list[str]]:
    """The drawn views of a training photograph, and what the user should know of them."""
    if options.augment == "none":
        return [], []
    chosen = policy(options.augment)
    notes = []
    if not entry.mirror and chosen.mirror:
        chosen = chosen.without("mirror")
        notes.append(f"no photograph is mirrored: {entry.name} reads digits, which it would change")
    if entry.preprocessing.channels == 1 and chosen.colour_operations:
        notes.append(f"grey input takes no {', '.join(chosen.colour_operations)}")
        chosen = chosen.for_grey()
    numbers = range(1, options.views + 1)
    return [Drawn(entry.preprocessing, chosen, options.seed, n) for n in numbers], notes


def _depth(network: Network, asked: str | int) -> Freeze:
    names = network.stage_names
    if asked == "all":
        stages = len(names)
    elif asked == "none":
        stages = 0
    else:
        text = str(asked)
        stages = network.stage_index(int(text) if text.isdecimal() else text)
    if stages < len(names):
        raise UsageError(
            f"freeze {asked}: this version trains the softmax layer alone, on all {len(names)} "
            f"stages frozen; take --freeze all"
        )
    return Freeze(asked=str(asked), stages=stages, last_frozen=names[stages - 1])


def chosen_device(name: str) -> torch.device:
    """The torch device of that name; ``auto`` takes a GPU where there is one.

    Raises:
        UsageError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"no device {name!r} here ({reason}): take cpu or auto") from None
    return device


def chosen_precision(name: str) -> Precision | None:
    """The precision of that name; ``None`` for ``auto``, what the device does natively."""
    return "float32" if name == "float32" else "bfloat16" if name == "bfloat16" else None
