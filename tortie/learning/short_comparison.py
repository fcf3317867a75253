"""Depths compared by short trainings, where whole ones do not fit the budget.

In rounds, as successive halving goes (Jamieson and Talwalkar 2016, "Non-stochastic best arm
identification and hyperparameter optimization"): each depth is trained on a share of the
photographs for a share of the epochs, a whole schedule each; what is clearly behind has no part in
the next round, which sees more of both. All depths of a round are trained on the same photographs,
and all are scored on those that none was trained on.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tortie.images.split import draw
from tortie.learning.backbone import make_backbone
from tortie.learning.candidate import Candidate
from tortie.learning.dataset import Dataset
from tortie.learning.plan import Plan, duration
from tortie.training.feed import batches_of

_SHARES = (0.25, 0.65)  # of the budget that each round may take; the rest is for estimates that err
_FEWEST_EPOCHS, _FEWEST = 2, 10  # epochs, and photographs of the smallest class
_BEHIND = 2.0  # standard errors of a difference
_HALVINGS = tuple(2.0 ** -(step / 2) for step in range(20))  # shares of a whole training


class Score(NamedTuple):
    """What a depth is worth on photographs that it was not trained on.

    Attributes:
        accuracy: share of right answers, 0 to 1.
        log_loss: of the probabilities, in nats.
    """

    accuracy: float
    log_loss: float


class Round(NamedTuple):
    """How short the trainings of a round are.

    Attributes:
        epochs: of each.
        share: of the training photographs.
        seconds: that all depths will take.
    """

    epochs: int
    share: float
    seconds: float

    def said(self, data: Dataset) -> str:
        """The round in words."""
        photographs = len(fewer(data, self.share).train)
        return f"{self.epochs} epochs of {photographs:,} photographs"


def plan_rounds(candidates: Sequence[Candidate], budget: float) -> list[Round]:
    """The rounds that fit the budget; none where not even the first does.

    Args:
        candidates: the depths, with the plan of a whole training each.
        budget: seconds for all rounds.
    """
    rounds: list[Round] = []
    for number, share in enumerate(_SHARES):
        found = _largest(candidates, share * budget)
        if found is None and not number:  # better one round than none
            found = _largest(candidates, sum(_SHARES) * budget)
        if found is not None and (not rounds or found[:2] > rounds[-1][:2]):
            rounds.append(found)
    return rounds


def _largest(candidates: Sequence[Candidate], seconds: float) -> Round | None:
    """The largest share of a whole training that all depths together can be given."""
    data, recipe = candidates[0].data, candidates[0].steps.recipe
    counts = np.bincount(data.labels[data.train], minlength=len(data.classes))
    for whole in _HALVINGS[1:]:
        epochs = max(_FEWEST_EPOCHS, round(recipe.epochs * math.sqrt(whole)))
        share = min(1.0, whole * recipe.epochs / epochs)
        if epochs > recipe.epochs or share * counts.min() < _FEWEST:
            return None
        trained = fewer(data, share)
        took = sum(_shortened(one, trained, epochs).plan.seconds for one in candidates)
        if took <= seconds:
            return Round(epochs, share, took)
    return None


def fewer(data: Dataset, share: float) -> Dataset:
    """The dataset with a share of its training photographs, drawn by class; copies together."""
    if share >= 1:
        return data
    drawn = draw(
        [str(data.labels[i]) for i in data.train], [data.sha256[i] for i in data.train],
        [data.groups[i] for i in data.train],
        {"train": share, "test": 1 - share}, data.seed,
    )  # fmt: skip
    own = replace(data)
    # What chooses stays what it was, where it was drawn from train.
    own.__dict__.update(chosen_on=data.chosen_on, train=data.train[np.array(drawn) == "train"])
    return own


def short_candidate(candidate: Candidate, round_: Round) -> Candidate:
    """A depth from its beginning, to be trained as shortly as a round says."""
    backbone = make_backbone(candidate.job, len(candidate.data.classes))
    data = fewer(candidate.data, round_.share)
    return replace(_shortened(candidate, data, round_.epochs), backbone=backbone)


def _shortened(candidate: Candidate, data: Dataset, epochs: int) -> Candidate:
    """The same depth on fewer photographs in fewer epochs, as its step was timed."""
    steps = candidate.steps
    views = steps.views[:epochs]  # one an epoch, of those that a whole training sees first
    entries = len(data.train) * max(1, len(views)) + len(data.chosen_on)
    stored = steps.activations == "store"
    known = steps.to_compute == 0
    recipe = steps.recipe.changed(epochs=epochs)
    short = replace(
        steps,
        recipe=recipe,
        views=views,
        steps=len(batches_of(data.train, recipe.batch)) * epochs,
        kept_bytes=steps.kept_bytes * entries // max(1, steps.in_store + steps.to_compute),
        probed=len(data.train) if steps.probed else 0,
        in_store=entries if stored and known else 0,
        to_compute=entries if stored and not known else 0,
    )
    return replace(candidate, data=data, steps=short)


def not_behind(scores: Mapping[str, Score], count: int) -> list[str]:
    """The depths that may still be the best, in their order.

    Args:
        scores: of a round.
        count: photographs that they were counted on.
    """
    best = max(score.accuracy for score in scores.values())
    # Of two shares of the same photographs; that they err on the same ones makes it too careful.
    error = math.sqrt(2 * max(best * (1 - best), 1 / count) / count)
    return [name for name, one in scores.items() if best - one.accuracy <= _BEHIND * error]


def best_of(scores: Mapping[str, Score]) -> str:
    """The depth of the most right answers; of equals, that of the lower log loss."""
    return min(scores, key=lambda name: (-scores[name].accuracy, scores[name].log_loss))


def said_rounds(rounds: Iterable[Round], candidates: Sequence[Candidate]) -> str:
    """What the rounds will do and cost, in words."""
    data = candidates[0].data
    each = ", then those not clearly behind by ".join(one.said(data) for one in rounds)
    whole = ", ".join(
        f"{one.job.options.freeze} {duration(one.plan.seconds)}" for one in candidates
    )
    spent = duration(sum(one.seconds for one in rounds))
    return f"by {each}, in {spent} at most; the best is then trained whole ({whole})"


def plan_of_rounds(rounds: Sequence[Round], candidates: Sequence[Candidate]) -> Plan:
    """The plan of the dearest depth, with what comparing costs before it."""
    whole = max((one.plan for one in candidates), key=lambda plan: plan.seconds)
    added: dict[str, Any] = {"seconds": whole.seconds + sum(one.seconds for one in rounds)}
    shorts = [
        _shortened(one, fewer(one.data, each.share), each.epochs).plan
        for each in rounds
        for one in candidates
    ]
    for name in ("multiplications", "disk_bytes"):
        added[name] = getattr(whole, name) + sum(getattr(one, name) for one in shorts)
    return whole.model_copy(update=added)


class Countdown:
    """The time that rounds have left, by how far the first ones missed their estimates.

    Args:
        budget: seconds of all rounds.
    """

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._begin = time.monotonic()
        self._estimated = 0.0

    def fits(self, seconds: float) -> bool:
        """Whether a training of that estimate ends in time."""
        spent = time.monotonic() - self._begin
        slower = max(1.0, spent / self._estimated) if self._estimated else 1.0
        return spent + seconds * slower <= self._budget

    def done(self, seconds: float) -> None:
        """Count a training that was estimated to take so long."""
        self._estimated += seconds
