"""Probabilities of photographs: each member's activations, its head, and the members' mean."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tortie.activations.extract import Extraction, Extractor
from tortie.images import Facts, Source
from tortie.networks.network import Network


@dataclass(frozen=True)
class Member:
    """One network of a classifier, ready to judge.

    Attributes:
        network: trained.
        extractor: computes what its last stage yields.
    """

    network: Network
    extractor: Extractor


@dataclass(frozen=True)
class Predictions:
    """What a classifier says of the photographs that can be read.

    Attributes:
        rows: their positions among the sources, ascending.
        probabilities: float32 ``(len(rows), K)``.
        facts: of each source, ``None`` where it cannot be read.
        reasons: why a source cannot be read, by its position.
        computed: photographs that went through a network now.
    """

    rows: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    facts: list[Facts | None]
    reasons: dict[int, str]
    computed: int


def predict(
    members: Sequence[Member],
    temperature: float,
    sources: Sequence[Source],
    sha256: Sequence[str | None],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Predictions:
    """The mean of the members' probabilities, its logarithm divided by the temperature.

    Args:
        members: networks whose probabilities are averaged.
        temperature: 1 leaves the mean as it is.
        sources: the photographs.
        sha256: of each source's content; ``None`` where it could not be opened.
        progress: told images done and images in all, for each member anew.
    """
    mean: NDArray[np.float32] | None = None
    computed = 0
    for member in members:
        with Extraction(member.extractor, sources, sha256) as extraction:
            features, rows = extraction.finish(progress)
        with torch.inference_mode():
            logits = member.network.head.float()(torch.from_numpy(features))
            probabilities = logits.softmax(dim=1).numpy()
        mean = probabilities if mean is None else mean + probabilities
        computed += extraction.computed
    assert mean is not None
    mean /= len(members)
    if temperature != 1:
        mean = mean ** np.float32(1 / temperature)
        mean /= mean.sum(axis=1, keepdims=True)
    return Predictions(rows, mean, extraction.facts, extraction.reasons, computed)
