"""Probabilities of photographs: the mean over crops, then members, then temperature scaling."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tortie.activations.extract import Extraction, Extractor, Reader
from tortie.evaluation.calibration import temperature_scaled
from tortie.evaluation.crops import Crops, crop_views
from tortie.evaluation.member import MemberNetwork
from tortie.evaluation.novelty import Novelty
from tortie.images import Facts, Source

_AT_ONCE = 2**28  # bytes of activations held at a time: 364 photographs of 144 crops and 1,280 each
_NO_NUMBER = "the classifier's probabilities for it are NaN, as its weights overflow"


@dataclass(frozen=True)
class Member:
    """One network of a classifier, ready to predict.

    Attributes:
        network: trained.
        extractor: computes what its last stage yields.
        mirror: whether a mirrored photograph keeps its class.
        keeps_features: whether predictions hold its activations, too.
    """

    network: MemberNetwork
    extractor: Extractor
    mirror: bool = True
    keeps_features: bool = False


@dataclass(frozen=True)
class Predictions:
    """What a classifier says of the photographs that can be read.

    Attributes:
        rows: their positions among the sources, ascending.
        probabilities: float32 ``(n, K)``: the mean over crops and members, with temperature.
        uncalibrated: float32 ``(n, K)``: the mean as it is.
        members: float32 ``(M, n, K)``: each member's mean over the crops.
        centre: float32 ``(M, n, K)``: each member's of the undistorted view alone.
        distances: from the training photographs ``(n,)``; ``None`` where the classifier has none.
        percentiles: percentage of the training photographs that are less far ``(n,)``, or ``None``.
        facts: of each source, ``None`` where it cannot be read.
        reasons: why a source cannot be read, by its position.
        computed: photographs that went through a network now, counted for each member.
        features: of the first member, of the undistorted view ``(n, D)``; ``None`` where they were
            not asked for.
    """

    rows: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    uncalibrated: NDArray[np.float32]
    members: NDArray[np.float32]
    centre: NDArray[np.float32]
    distances: NDArray[np.float64] | None
    percentiles: NDArray[np.float32] | None
    facts: list[Facts | None]
    reasons: dict[int, str]
    computed: int
    features: NDArray[np.float32] | None = None

    def only(self, places: NDArray[np.int64]) -> "Predictions":
        """Those of some of the photographs that can be read, by their place among ``rows``."""
        return replace(
            self,
            rows=self.rows[places],
            probabilities=self.probabilities[places],
            uncalibrated=self.uncalibrated[places],
            members=self.members[:, places],
            centre=self.centre[:, places],
            distances=None if self.distances is None else self.distances[places],
            percentiles=None if self.percentiles is None else self.percentiles[places],
            features=None if self.features is None else self.features[places],
        )


@dataclass
class MemberPredictions:
    """One member's probabilities, of all photographs in their order; unreadable ones are zero.

    Attributes:
        mean: float32 ``(n, K)``, over the crops.
        centre: float32 ``(n, K)``, of the undistorted view alone.
        read: which photographs have probabilities ``(n,)``.
        facts: of each photograph, where they are known.
        distances: from the training photographs ``(n,)``; ``None`` where they are not asked for.
        reasons: why a photograph has no probabilities, by its position.
        computed: photographs that went through the network.
        features: of the undistorted view ``(n, D)``; ``None`` where they are not kept.
    """

    mean: NDArray[np.float32]
    centre: NDArray[np.float32]
    read: NDArray[np.bool_]
    facts: list[Facts | None]
    distances: NDArray[np.float64] | None
    reasons: dict[int, str] = field(default_factory=dict)
    computed: int = 0
    features: NDArray[np.float32] | None = None

    @classmethod
    def empty(
        cls, count: int, classes: int, novelty: Novelty | None, width: int | None = None
    ) -> "MemberPredictions":
        """Of photographs that none is known of yet; with ``width`` of their activations kept."""
        return cls(
            np.zeros((count, classes), np.float32), np.zeros((count, classes), np.float32),
            np.zeros(count, np.bool_), [None] * count, None if novelty is None else np.zeros(count),
            features=None if width is None else np.zeros((count, width), np.float32),
        )  # fmt: skip

    def keep(
        self,
        network: MemberNetwork,
        features: NDArray[np.float32],
        rows: NDArray[np.int64],
        novelty: Novelty | None,
    ) -> None:
        """Keep what the head makes of activations ``(m, views, ...)`` of the photographs ``rows``.

        One whose probabilities are NaN gets that as its reason.
        """
        flat = network.probabilities(features.reshape(-1, *features.shape[2:]))
        probabilities = flat.reshape(*features.shape[:2], flat.shape[1])
        finite = np.isfinite(probabilities).all(axis=(1, 2))
        self.reasons |= {int(row): _NO_NUMBER for row in rows[~finite]}
        rows, probabilities, features = rows[finite], probabilities[finite], features[finite]
        self.mean[rows], self.centre[rows] = probabilities.mean(axis=1), probabilities[:, 0]
        self.read[rows] = True
        if novelty is not None and self.distances is not None:
            self.distances[rows] = novelty.distances(features[:, 0])
        if self.features is not None:
            self.features[rows] = features[:, 0].reshape(len(rows), math.prod(features.shape[2:]))


def predict(
    members: Sequence[Member],
    temperature: float,
    sources: Sequence[Source],
    sha256: Sequence[str | None],
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    crops: Crops = 1,
    novelty: Novelty | None = None,
    reader: Reader | None = None,
) -> Predictions:
    """Average probabilities over crops and members; divide the mean's logarithm by the temperature.

    The order of the members does not matter, and neither do their sizes of input.

    Args:
        members: networks whose probabilities are averaged.
        temperature: 1 leaves the mean as it is.
        sources: the photographs.
        sha256: of each source's content; ``None`` where it could not be opened.
        progress: told images done and images in all, for each member anew.
        crops: how many crops of each photograph are averaged.
        novelty: tells how far the first member's activations are from those it was trained on.
        reader: reads photographs in place of their sources, as where they are decoded already.
    """
    each_member = [
        _predict_member(
            member, sources, sha256, progress, crops, None if number else novelty, reader
        )
        for number, member in enumerate(members)
    ]
    return combined(each_member, temperature, novelty)


def combined(
    each_member: "Sequence[MemberPredictions]", temperature: float, novelty: Novelty | None
) -> Predictions:
    """The mean over the members, with temperature, of the photographs that all of them read."""
    rows = np.flatnonzero(np.all([one.read for one in each_member], axis=0))
    reasons: dict[int, str] = {}
    facts: list[Facts | None] = [None] * len(each_member[0].facts)
    for one in each_member:
        reasons = {**one.reasons, **reasons}
        facts = [own or other for own, other in zip(facts, one.facts, strict=True)]
    each = np.stack([one.mean[rows] for one in each_member])
    # Sums in double precision come to the same whatever the order of the members.
    mean = each.mean(axis=0, dtype=np.float64).astype(np.float32)
    distances, features = each_member[0].distances, each_member[0].features
    distances = None if distances is None else distances[rows]
    return Predictions(
        rows=rows,
        probabilities=temperature_scaled(mean, temperature),
        uncalibrated=mean,
        members=each,
        centre=np.stack([one.centre[rows] for one in each_member]),
        distances=distances,
        percentiles=novelty.percentiles(distances) if novelty and distances is not None else None,
        facts=facts,
        reasons=reasons,
        computed=sum(one.computed for one in each_member),
        features=None if features is None else features[rows],
    )


def _predict_member(
    member: Member,
    sources: Sequence[Source],
    sha256: Sequence[str | None],
    progress: Callable[[int, int], None],
    crops: Crops,
    novelty: Novelty | None,
    reader: Reader | None,
) -> MemberPredictions:
    """Probabilities by one member, a part of the photographs after the other."""
    views = crop_views(member.extractor.preprocessing, crops, member.mirror)
    each = 4 * len(views) * int(np.prod(member.extractor.output))
    step = max(1, _AT_ONCE // each)
    n = len(sources)
    width = int(np.prod(member.extractor.output)) if member.keeps_features else None
    predictions = MemberPredictions.empty(n, member.network.classes, novelty, width)
    for begin in range(0, n, step):
        part = slice(begin, begin + step)

        def told(done: int, total: int, begin: int = begin) -> None:
            progress(begin + done, n)

        own = None if reader is None else _from(reader, begin)
        with Extraction(
            member.extractor, sources[part], sha256[part], views=views, reader=own
        ) as extraction:
            features, rows = extraction.finish(told)  # (n, views, ...)
        predictions.keep(member.network, features, rows + begin, novelty)
        predictions.facts[part] = extraction.facts
        predictions.reasons |= {begin + row: reason for row, reason in extraction.reasons.items()}
        predictions.computed += extraction.computed
    return predictions


def _from(reader: Reader, begin: int) -> Reader:
    """The reader of what comes from ``begin`` on."""
    return lambda positions, views: reader([begin + each for each in positions], views)
