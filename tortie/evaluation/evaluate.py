"""Which labelled photographs count, and every figure on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tortie.errors import UsageError
from tortie.evaluation.metrics import score
from tortie.evaluation.prediction import Evaluation, MemberScores
from tortie.evaluation.prediction_sets import PredictionSets, measure_sets
from tortie.images import Collection, Photograph, Source
from tortie.images.class_names import plain_name
from tortie.images.inputs import Skipped
from tortie.images.inspection import Inspection
from tortie.images.read import hash_all
from tortie.text import quoted

if TYPE_CHECKING:
    from tortie.evaluation.predict import Predictions

Predict = Callable[[Sequence[Source], Sequence[str | None]], "Predictions"]
"""Probabilities of sources whose SHA-256 are known."""


@dataclass(frozen=True)
class Evaluated:
    """The classifier that is evaluated.

    Attributes:
        predict: probabilities of photographs.
        classes: its class names, in the order of the probabilities.
        training_sha256: SHA-256 of the photographs that it was trained on, uint8 ``(n, 32)``;
            ``None`` where its file does not say.
        networks: names of its members.
        crops: number of crops of each photograph that ``predict`` averages.
        temperature: that ``predict`` divides log-probabilities by.
        sets: its prediction sets; ``None`` where it has none.
    """

    predict: Predict
    classes: Sequence[str]
    training_sha256: NDArray[np.uint8] | None
    networks: Sequence[str]
    crops: int
    temperature: float
    sets: PredictionSets | None = None


def evaluate(
    classifier: Evaluated, collection: Collection, sources: Sequence[Source], threads: int
) -> Evaluation:
    """Every figure on labelled photographs; those that were trained on are not counted.

    Args:
        classifier: what is evaluated.
        collection: labels, and splits: of these the test counts, else the validation.
        sources: what to read for each photograph.
        threads: number of threads that hash.

    Raises:
        UsageError: no photograph of a class that the classifier knows.
    """
    classes, networks = classifier.classes, classifier.networks
    crops, temperature = classifier.crops, classifier.temperature
    split = next((s for s in ("test", "validation") if s in collection.splits), None)
    skipped, chosen = [], []
    labels_read, renamed = _as_known(collection.classes, classes)
    photographs = [
        replace(one, label=labels_read[one.label]) if one.label in labels_read else one
        for one in collection.photographs
    ]
    for position, photograph in enumerate(photographs):
        if not photograph.weight or (split is not None and photograph.split != split):
            continue
        if photograph.label in classes:
            chosen.append(position)
        else:
            reason = f"class {quoted(photograph.label)} is not one of the classifier's"
            if close := get_close_matches(photograph.label, classes, 1):
                reason += f" (it knows {quoted(close[0])})"
            skipped.append(Skipped(str(photograph.path), reason))
    if not chosen:
        given = sorted({photograph.label for photograph in collection.photographs})
        raise UsageError(
            f"no photograph of a class that the classifier knows: it knows {_some(classes)}; "
            f"given were {_some(given)}"
        )
    sources = [sources[i] for i in chosen]
    sha256 = hash_all(sources, threads)
    told = classifier.training_sha256
    known = set() if told is None else {row.tobytes() for row in told}
    fresh = [i for i, d in enumerate(sha256) if d is None or bytes.fromhex(d) not in known]
    found = classifier.predict([sources[i] for i in fresh], [sha256[i] for i in fresh])
    counted = [photographs[chosen[fresh[row]]] for row in found.rows]
    for row, reason in sorted(found.reasons.items()):
        path = photographs[chosen[fresh[row]]].path
        skipped.append(Skipped(str(path), reason))
    inspection = Inspection(
        [photographs[chosen[i]] for i in fresh], [sha256[i] for i in fresh],
        found.facts, found.reasons, _copies_by_features(found),
    )  # fmt: skip
    found, counted, weights, groups = _counted(found, counted, inspection)
    labels = np.array([classes.index(photograph.label) for photograph in counted], np.int64)
    seen, notes = len(chosen) - len(fresh), inspection.weights.notes()
    why = None if counted else _nothing_to_count(seen, len(skipped), len(inspection.rows))
    return Evaluation(
        scores=score(found.probabilities, labels, classes, weights) if counted else None,
        reason=why,
        split=split,
        seen=None if told is None else seen,
        skipped=skipped,
        paths=[photograph.path for photograph in counted],
        labels=labels,
        probabilities=found.probabilities,
        uncalibrated=found.uncalibrated,
        classes=classes,
        weights=weights,
        groups=groups,
        not_counted=notes,
        read_as=(*collection.all_notes, *renamed),
        sha256=[sha256[fresh[row]] for row in found.rows.tolist()],
        crops=crops,
        temperature=temperature,
        members=_members(found, labels, classes, networks, crops, weights) if counted else (),
        sets=measure_sets(classifier.sets, found.uncalibrated, labels, weights, classes),
    )


def _as_known(labels: Sequence[str], classes: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Labels that are a class but for case, accents and separators, and a line on each."""
    known: dict[str, list[str]] = {}
    for name in classes:
        known.setdefault(plain_name(name), []).append(name)
    found = {
        label: known[plain_name(label)][0]
        for label in labels
        if label not in classes and len(known.get(plain_name(label), ())) == 1
    }
    return found, [
        f"class {quoted(label)} is counted as {quoted(name)}" for label, name in found.items()
    ]


def _copies_by_features(found: "Predictions") -> list[tuple[int, int]]:
    """Copies that the first network proposes and the pixels confirm, as in a fit."""
    if found.features is None:
        return []
    from tortie.activations.feature_duplicates import feature_duplicate_pairs

    readable = [found.facts[row] for row in found.rows.tolist()]
    return feature_duplicate_pairs(found.features, readable)


def _counted(
    found: "Predictions", photographs: Sequence[Photograph], inspection: Inspection
) -> "tuple[Predictions, list[Photograph], NDArray[np.float64], NDArray[np.int64]]":
    """The predictions that figures count, with each photograph's weight and group.

    Weights that were given count beside those of copies.
    """
    place = {row: position for position, row in enumerate(inspection.rows)}
    rows = np.array([place[int(row)] for row in found.rows], np.int64)
    kept = np.flatnonzero(np.isin(rows, inspection.weights.counted(rows)))
    rows = rows[kept]
    own = [photographs[i] for i in kept.tolist()]
    given = np.array([one.weight for one in own], np.float64)
    if len(own):  # as many as are worth as much in an interval (Kish 1965, 8.2)
        given *= given.sum() / (given**2).sum()
    weights = inspection.weights.of(rows) * given
    return found.only(kept), own, weights, inspection.weights.groups[rows]


def _members(
    found: "Predictions",
    labels: NDArray[np.int64],
    classes: Sequence[str],
    networks: Sequence[str],
    crops: int,
    weights: NDArray[np.float64],
) -> list[MemberScores]:
    """Networks by crops, as in table 3 of Szegedy et al. 2015; nothing where both are one."""
    together = f"ensemble of {len(networks)}"
    members: list[MemberScores] = []
    for count, each in ((1, found.centre), (crops, found.members)):
        if count == crops == 1 and members:
            break
        for number, network in enumerate(_apart(networks)):
            members.append(
                MemberScores(network, count, count, score(each[number], labels, classes, weights))
            )
        if len(networks) > 1:
            mean = each.mean(axis=0, dtype=np.float64).astype(np.float32)
            forward_passes = count * len(networks)
            members.append(
                MemberScores(together, count, forward_passes, score(mean, labels, classes, weights))
            )
    return members if len(members) > 1 else []


def _apart(networks: Sequence[str]) -> list[str]:
    """Names of the members: those of one network are numbered, as nothing else tells them apart."""
    return [
        f"{number}: {network}" if networks.count(network) > 1 else network
        for number, network in enumerate(networks, 1)
    ]


def _some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _nothing_to_count(seen: int, skipped: int, uncounted: int) -> str:
    reasons = []
    if seen and not skipped and not uncounted:
        return (
            f"the classifier was trained on all {seen:,} of the photographs: give some that it was "
            "not trained on"
        )
    if seen:
        reasons.append(f"the classifier was trained on {seen:,} of the photographs")
    if skipped:
        reasons.append(f"{skipped:,} were left out")
    if uncounted:
        reasons.append(f"{uncounted} are copies with different labels, or too many look-alikes")
    return " and ".join(reasons) or "no photograph"
