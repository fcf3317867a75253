"""The network of a fit that freezes all of it, without torch where it was loaded here before."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from tortie.activations.device import device_name
from tortie.activations.engine import EngineChoice, choose
from tortie.activations.extract import Extractor
from tortie.activations.feature_shards import Manifest
from tortie.activations.prefix import NAME, Prefix
from tortie.errors import TortieError
from tortie.evaluation.activation_maps import LastMaps
from tortie.evaluation.member import MemberNetwork
from tortie.learning.job import Job
from tortie.learning.known_networks import Stages, recall_stages, record_of, remember_stages
from tortie.learning.softmax import LinearHead

if TYPE_CHECKING:
    from torch import nn

    from tortie.learning.backbone import Backbone
    from tortie.networks.network import Network


@dataclass(frozen=True)
class FrozenNetwork:
    """A network whose stages are all frozen.

    Attributes:
        job: the fit.
        stages: of the network.
        make_network: gives torch's modules with a solved softmax layer.
    """

    job: Job
    stages: Stages
    make_network: "Callable[[LinearHead], Network]"

    @cached_property
    def extractor(self) -> Extractor:
        """Computes what the last stage yields."""
        job = self.job
        return Extractor(
            prefix=self.stages.prefix, structure=job.entry.title, code=job.entry.code,
            store=job.store, device=device_name(job.options.device), choice=_choice(job),
            threads=job.threads, max_pixels=job.max_pixels,
        )  # fmt: skip

    def with_head(self, head: LinearHead) -> MemberNetwork:
        """The network with a solved softmax layer for its head."""
        weight, bias = np.ascontiguousarray(head.weight), np.ascontiguousarray(head.bias)
        maps = self.stages.maps
        tensors = {f"{NAME}.{name}": one for name, one in self.stages.prefix.tensors.items()}
        return MemberNetwork(
            tensors | {"head.weight": weight, "head.bias": bias},
            self.stages.prefix,
            lambda: self.make_network(head),
            lambda: LastMaps(maps, weight, bias) if maps else None,
        )


def frozen_network(job: Job, classes: int) -> FrozenNetwork:
    """The job's network: from the cache where it is known, else built, and kept there.

    Args:
        job: the fit.
        classes: of the head.

    Raises:
        TortieError: weights that cannot be fetched, or are damaged.
    """

    @cache
    def backbone() -> "Backbone":
        from tortie.learning.backbone import make_backbone

        return make_backbone(job, classes)

    record = record_of(job.entry, job.options.weights)
    if record is None:
        return frozen_as_built(backbone())
    known = recall_stages(
        record, job.entry, lambda: _stages(backbone()), lambda: _before_pooling(backbone())
    )
    if known is not None:
        return FrozenNetwork(job, known, lambda head: backbone().with_head(head))
    found = frozen_as_built(backbone())
    if job.processes.first:
        remember_stages(record, found.stages, job.store.limit)
    return found


def network_of(job: Job, manifest: Manifest) -> FrozenNetwork:
    """The network that features are of.

    Raises:
        TortieError: its weights are not those that they were computed with.
    """
    frozen = frozen_network(job, len(manifest.classes))
    check_tensors(frozen.extractor, manifest)
    return frozen


def check_tensors(extractor: Extractor, manifest: Manifest) -> None:
    """See that a network is the one that features are of.

    Raises:
        TortieError: its weights are not those that they were computed with.
    """
    if extractor.context.tensors != manifest.tensors:
        raise TortieError(
            f"the weights of {manifest.network} ({manifest.weights}) are not those that the "
            "features were computed with: extract again"
        )


def extractor_of(job: Job) -> Extractor:
    """Computes what the last frozen stage of a job's network yields.

    Raises:
        TortieError: weights that cannot be fetched, or are damaged.
    """
    if job.freeze is not None and job.freeze.is_complete:
        return frozen_network(job, 2).extractor
    from tortie.learning.backbone import make_backbone

    return make_backbone(job, 2).extractor


def frozen_as_built(backbone: "Backbone") -> FrozenNetwork:
    """The same of torch's modules."""
    network, entry = backbone.network, backbone.entry
    maps = _maps(backbone)
    stages = Stages(
        prefix=Prefix.of(network, entry.preprocessing),
        maps=maps,
        features=network.feature_count,
        parameters=sum(tensor.numel() for tensor in network.stages.parameters()),
        multiplications=_multiplications(backbone),
        notes=tuple(network.notes),
    )
    return FrozenNetwork(backbone.job, stages, backbone.with_head)


def _choice(job: Job) -> EngineChoice:
    return choose(job.options.engine, device_name(job.options.device), job.precision)


def _stages(backbone: "Backbone") -> "nn.Module":
    return Prefix.of(backbone.network, backbone.entry.preprocessing).module


def _maps(backbone: "Backbone") -> Prefix | None:
    from tortie.evaluation.last_maps import last_maps

    found = last_maps(backbone.network, backbone.entry.preprocessing)
    return found.prefix if found else None


def _before_pooling(backbone: "Backbone") -> "nn.Module":
    maps = _maps(backbone)
    assert maps is not None  # or none would be known
    return maps.module


def _multiplications(backbone: "Backbone") -> int:
    """Of one image through all stages, the head not counted."""
    entry, network = backbone.entry, backbone.network
    shape, classes = entry.preprocessing.shape, backbone.published_classes
    usual = entry.stages == network.stage_names and shape == network.input_shape
    whole = entry.multiplications if usual else None
    if whole is None:
        from tortie.cost.count import count

        whole, classes = count(network, shape).multiplications, network.classes
    return whole - network.feature_count * classes
