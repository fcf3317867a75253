"""A network of the table for one fit: built, its head chosen, frozen and cut."""

from dataclasses import dataclass
from functools import cached_property

import torch

from tortie.activations.device import device_name
from tortie.activations.engine import choose
from tortie.activations.extract import Extractor
from tortie.activations.prefix import Prefix
from tortie.learning.freeze import Freeze, resolve
from tortie.learning.job import Job
from tortie.learning.options import hidden_layers
from tortie.learning.side_heads import hang_side_heads
from tortie.learning.softmax import LinearHead
from tortie.networks import build
from tortie.networks.entry import Entry
from tortie.networks.network import Network, TrainedPart
from tortie.networks.own import put_own_head


@dataclass(frozen=True)
class Backbone:
    """A network, frozen as far as the job says and cut there.

    Attributes:
        job: the fit.
        network: its head fresh, its frozen stages frozen.
        freeze: the frozen stages.
        published_classes: of the head that the network had in the table.
    """

    job: Job
    network: Network
    freeze: Freeze
    published_classes: int

    @property
    def entry(self) -> Entry:
        """The network's row in the table."""
        return self.job.entry

    @cached_property
    def extractor(self) -> Extractor:
        """Computes what the last frozen stage yields; there is none where nothing is frozen."""
        assert self.freeze.last_frozen is not None
        return self._extractor(None if self.freeze.is_complete else self.freeze.last_frozen)

    def whole_extractor(self) -> Extractor:
        """Computes what the last stage yields, by the weights that the network has at this call."""
        return self._extractor(None)

    def _extractor(self, cut: str | None) -> Extractor:
        job = self.job
        return Extractor(
            prefix=Prefix.of(self.network, job.entry.preprocessing, cut),
            structure=job.entry.title, code=job.entry.code, store=job.store,
            device=str(job.device), choice=choose(job.options.engine, job.device, job.precision),
            threads=job.threads, max_pixels=job.max_pixels,
        )  # fmt: skip

    @cached_property
    def trained(self) -> TrainedPart:
        """What is trained by steps: the stages after the cut and the head, on the job's device."""
        trained = self.network.cut(self.freeze.stages)[1] if self.freeze.stages else self.network
        trained.to(self.job.device)
        trained.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return trained

    def with_head(self, head: LinearHead) -> Network:
        """The network with a solved softmax layer in place of its head."""
        self.network.new_head(len(head.bias))
        fill_head(self.network, head)
        return self.network.eval()


def make_backbone(job: Job, classes: int, freeze: Freeze | None = None) -> Backbone:
    """Build the job's network, begin its parameters, and freeze its frozen stages.

    From fresh weights it keeps the head of its paper; from trained ones it gets a fresh head.

    Args:
        job: the fit.
        classes: of the head.
        freeze: in place of the job's, as where depths are compared.

    Raises:
        UsageError: a head that does not exist.
        TortieError: weights that cannot be fetched, or are damaged.
    """
    options, entry = job.options, job.entry
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.draw_seed)
        if options.weights is None:
            network, published = entry.build(classes=classes), classes
            if options.head != "linear":
                put_head(network, options.head, classes)
        else:
            network = build(entry.name, weights=options.weights, **dict(entry.arguments))
            published = network.classes
            put_head(network, options.head, classes)
    chosen = freeze or job.freeze or resolve("all", network.stage_names)
    assert chosen is not None
    if options.side_heads is not None and options.weights is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(job.draw_seed)
            hang_side_heads(network, entry, classes, chosen)
    network.freeze(chosen.names(network.stage_names))
    return Backbone(job, network, chosen, published)


def put_head(network: Network, head: str, classes: int) -> None:
    """Put a fresh head in place of a network's: linear, with hidden layers, or one that was given.

    Raises:
        UsageError: a head that does not fit.
    """
    if head.startswith("own:"):
        put_own_head(network, head, classes)
    else:
        network.new_head(classes, hidden_layers(head))


def fill_head(network: Network, head: LinearHead) -> None:
    """Give a network's linear head the values of a solved softmax layer."""
    with torch.no_grad():
        network.head.get_parameter("weight").copy_(torch.from_numpy(head.weight))
        network.head.get_parameter("bias").copy_(torch.from_numpy(head.bias))


def chosen_device(name: str) -> torch.device:
    """The torch device of that name; ``auto`` takes a GPU where there is one.

    Raises:
        UsageError: no such device here.
    """
    return torch.device(device_name(name))
